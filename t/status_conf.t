# Configuration of the status: nonsense is refused with a message that names
# it, and the place and the format are each location's own.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;

my $gw = Apigw::Scenario->new(default_location => 0);

# location, what the message says

my @wrong = (
    ['api_status on;', qr/invalid parameter "on"/],
    ['api_status format;', qr/invalid parameter "format"/],
    ['api_status format=;', qr/invalid format ""/],
    ['api_status format=xml;', qr/invalid format "xml"/],
    ['api_status format=JSON;', qr/invalid format "JSON"/],
    ['api_status format=json2;', qr/invalid format "json2"/],
    ['api_status format=json format=html;',
     qr/invalid number of arguments in "api_status" directive/],
    ['api_status; api_status;', qr/"api_status" directive is duplicate/],
    ['api_status; api_status format=html;',
     qr/"api_status" directive is duplicate/],
    ['if ($arg_a) { api_status; }',
     qr/"api_status" directive is not allowed here/],
    ['limit_except GET { api_status; }',
     qr/"api_status" directive is not allowed here/],
);

for my $wrong (@wrong) {
    my ($location, $message) = @$wrong;

    my ($status, $text) =
        $gw->test_config(server => "location / { $location }");

    ok($status && $text =~ $message, $location) or diag $text;
}

for my $place (qw(http server)) {
    my ($status, $text) = $gw->test_config($place => 'api_status;');

    ok($status && $text =~ /"api_status" directive is not allowed here/,
       "in $place") or diag $text;
}

$gw = Apigw::Scenario->start(default_location => 0, server => <<'END');
location / {
    empty_gif;

    location /status/ {
        api_status;

        location /status/json { api_status format=json; }
        location /status/prometheus { api_status format=prometheus; }
        location /status/html { api_status format=html; }
        location /status/gif { empty_gif; }
        location /status/file { root html; }
    }
}
END

my %type = (
    json       => 'application/json',
    prometheus => 'text/plain; version=0.0.4; charset=utf-8',
    html       => 'text/html; charset=utf-8',
);

is($gw->get('/status/')->header('Content-Type'), $type{json}, 'by default');

for my $format (sort keys %type) {
    for my $other ('', map { "?format=$_" } sort keys %type, 'xml') {
        my $answer = $gw->get("/status/$format$other",
                              [Accept => 'text/html;q=0.5, text/plain;q=0.5']);

        is($answer->header('Content-Type'), $type{$format},
           "format=$format, whatever the client wants: $other");
    }
}

is($gw->get('/status/gif')->header('Content-Type'), 'image/gif',
   'another content handler inside');
is($gw->get('/status/file')->code, 404, 'it is not inherited');
is($gw->get('/')->header('Content-Type'), 'image/gif', 'nor moves outwards');

done_testing;
