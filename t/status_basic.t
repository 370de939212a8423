# The status: every number of every zone of the suite and nothing else, right
# over workers and reloads, in three formats whose grammar is checked; methods,
# header fields, subrequests, HTTP/2, names of zones that have to be escaped.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use Apigw::Scenario;

# a name of all that a format could trip over: \ " < & { } newline, tab, a
# control character, UTF-8 and what is not

my $odd = "a\\b\"c<d>&{e}\nf\tg\x01 \xc3\xa9 \xff\xc3'";
my $shown = "a\\b\"c<d>&{e}\nf\tg\x01 \x{e9} ??'";
my $quoted = $odd =~ s/(["\\])/\\$1/gr;

my $gw = Apigw::Scenario->start(
    default_location => 0,
    workers => 2,
    http2   => 1,
    http    => <<"END",
auth_api_key_zone  zone=keys:1m  store=logs/keys;
api_usage_zone     zone=ledger:1m  store=logs/usage  flush=100ms;
api_throttle_zone  \$arg_k  zone=per_k:64k  rate=1r/h  burst=5;

limit_req_zone     \$arg_k zone=stock:64k rate=1r/s;
limit_conn_zone    \$arg_k zone=conn:64k;
proxy_cache_path   %%ROOT%%/logs/cache keys_zone=cache:64k;
upstream u { zone u 64k; server 127.0.0.1:1; }

auth_api_key_zone  "zone=$quoted:64k"  store=logs/odd;

api_plan free { quota 3 per=day; }
END
    server  => <<'END',
location / { empty_gif; }
location /key { auth_api_key zone=keys; empty_gif; }
location /throttle { api_throttle zone=per_k; empty_gif; }
location /usage {
    api_usage zone=ledger plan=free consumer=$arg_k;
    empty_gif;
}
location = /status { api_status; }
location = /page { ssi on; ssi_types *; default_type text/html; root html; }
location = /guarded { auth_request /status; empty_gif; }
location = /own { error_page 405 =200 /gif; api_status; }
location = /gif { empty_gif; }
END
    files   => { 'html/page' =>
                 '<<!--# include virtual="/status?format=html" -->>' },
);

my $store = $gw->root . '/logs/keys';
my ($failed, $key) = cli('key', 'create', '--store', $store, '--consumer',
                         'joe');
die "no key\n" if $failed;
chomp $key;


# Numbers: those of both workers, each request once

$gw->get('/key', ['X-API-Key' => $key]) for 1 .. 20;
$gw->get('/key', ['X-API-Key' => 'x' x 20]) for 1 .. 3;
$gw->get('/key') for 1 .. 2;
$gw->get('/throttle?k=a') for 1 .. 7;
$gw->get('/throttle?k=b') for 1 .. 2;
$gw->get('/usage?k=a') for 1 .. 5;

my $status = json();

is_deeply([sort keys %$status], [qw(loaded nginx time version zones)],
          'members');
like($status->{version}, qr/^\d+\.\d+\.\d+\z/, 'version of the suite');
like($status->{nginx}, qr/^1\.\d+\.\d+\z/, 'version of nginx');
ok(abs($status->{time} - time) <= 2, 'now');
ok($status->{loaded} <= $status->{time}
   && $status->{loaded} >= $status->{time} - 30, 'when it was loaded');

is_deeply([sort keys %{$status->{zones}}], [qw(key throttle usage)],
          'the modules that have zones');
is_deeply([sort keys %{$status->{zones}{key}}], [sort 'keys', $shown],
          'zones of key');
is_deeply([sort keys %{$status->{zones}{throttle}}], ['per_k'],
          'zones of throttle and no others');

my $key_zone = $status->{zones}{key}{keys};

is_deeply({map { $_ => $key_zone->{$_} }
           qw(accepted unknown missing malformed conflict decoy disabled early
              expired address scope unavailable uncounted flush_errors)},
          {accepted => 20, unknown => 3, missing => 2, malformed => 0,
           conflict => 0, decoy => 0, disabled => 0, early => 0, expired => 0,
           address => 0, scope => 0, unavailable => 0, uncounted => 0,
           flush_errors => 0}, 'key');
ok(defined $key_zone->{flushes}, 'key: the work of the helper');

my $throttle = $status->{zones}{throttle}{per_k};

is_deeply([@$throttle{qw(passed rejected delayed keys)}], [7, 2, 0, 2],
          'throttle');
ok($throttle->{capacity} > 1000, 'throttle: a gauge');
is($status->{zones}{key}{$shown}{accepted}, 0, 'a zone not used');

my $usage = $status->{zones}{usage}{ledger};

is_deeply([@$usage{qw(admitted refused_quota)}], [3, 2], 'usage');
ok(wait_for(sub { json()->{zones}{usage}{ledger}{flushed} }, 5),
   'usage: the work of the helper');
ok(json()->{zones}{usage}{ledger}{flushes} > 0, 'usage: how often');
is(json()->{zones}{usage}{ledger}{flush_errors}, 0, 'usage: none has failed');


# The same in the other formats

my $families = prometheus($gw->get('/status?format=prometheus')->body);

is($families->{apigw_key_accepted_total}{type}, 'counter', 'a counter');
is_deeply($families->{apigw_key_accepted_total}{samples},
          {'zone=keys' => 20, "zone=$shown" => 0}, 'Prometheus: key');
is($families->{apigw_throttle_capacity}{type}, 'gauge', 'a gauge');
is($families->{apigw_throttle_rejected_total}{samples}{'zone=per_k'}, 2,
   'Prometheus: throttle');
is($families->{apigw_info}{samples}
            {"nginx=$status->{nginx},version=$status->{version}"}, 1,
   'Prometheus: versions');
is($families->{apigw_config_load_time_seconds}{samples}{''},
   $status->{loaded}, 'Prometheus: when it was loaded');

my %prometheus;

for my $module (keys %{$status->{zones}}) {
    for my $zone (keys %{$status->{zones}{$module}}) {
        for my $metric (keys %{$status->{zones}{$module}{$zone}}) {
            my ($family) = grep { $families->{$_} }
                           "apigw_${module}_${metric}_total",
                           "apigw_${module}_$metric";
            $prometheus{$family // "$module $metric"}{"zone=$zone"} = 1;
        }
    }
}

delete @$families{qw(apigw_info apigw_config_load_time_seconds)};
is_deeply(\%prometheus,
          {map { my $family = $_;
                 $family => {map { $_ => 1 }
                             keys %{$families->{$family}{samples}}} }
           keys %$families}, 'Prometheus: all numbers and no others');

my $html = html($gw->get('/status?format=html')->body);

is($html->{'key: keys'}{accepted}, 20, 'page: key');
is($html->{'throttle: per_k'}{rejected}, 2, 'page: throttle');
is($html->{"key: $shown"}{accepted}, 0, 'page: a zone with an odd name');
is(scalar keys %$html, 4, 'page: all zones');


# Which format

my %type = (
    json       => 'application/json',
    prometheus => 'text/plain; version=0.0.4; charset=utf-8',
    html       => 'text/html; charset=utf-8',
);

my @accepts = (
    [undef,                         'json'],
    ['*/*',                         'json'],
    ['',                            'json'],
    ['application/json',            'json'],
    ['application/*',               'json'],
    ['text/plain',                  'prometheus'],
    ['text/*',                      'prometheus'],
    ['TEXT/PLAIN ; q=0.1',          'prometheus'],
    ['text/html, */*;q=0.8',        'html'],
    ['text/html;q=0.3, */*;q=0.8',  'json'],
    ['text/html;q=0.4,text/plain;q=0.3,application/json;q=0.2', 'html'],
    ['image/png',                   'json'],
    ['text/html;q=0',               'json'],
    ['text/html;q=2',               'json'],
    ['text/html.v2',                'json'],
    ['text/htmlx',                  'json'],
    ['application/json;q=0, text/html;q=0.001', 'html'],
    ['"text/html",,;', 'json'],

    # Prometheus 2.43 and 3.0, Firefox
    ['application/openmetrics-text;version=1.0.0,'
     . 'application/openmetrics-text;version=0.0.1;q=0.75,'
     . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1', 'prometheus'],
    ['application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,'
     . 'application/openmetrics-text;version=0.0.1;q=0.4,'
     . 'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,'
     . 'text/plain;version=0.0.4;q=0.2,*/*;q=0.1', 'prometheus'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
     'html'],
);

my $client = $gw->connect;

for my $accept (@accepts) {
    my ($value, $format) = @$accept;

    is($client->get('/status', [defined $value ? (Accept => $value) : ()])
              ->header('Content-Type'),
       $type{$format}, 'Accept: ' . ($value // 'none'));
}

is($gw->get('/status', [Accept => 'image/png', Accept => 'text/html'])
      ->header('Content-Type'), $type{html}, 'two Accept fields');

for my $format (sort keys %type) {
    is($gw->get("/status?a=b&format=$format", [Accept => 'image/png'])
          ->header('Content-Type'), $type{$format}, "format=$format");
}

for my $format ('', 'xml', 'JSON', 'jso', 'jsonx', 'json%20') {
    is($gw->get("/status?format=$format")->code, 400, "format=\"$format\"");
}


# Methods, header fields, ways to get there

my $answer = $gw->get('/status');

is($answer->header('Cache-Control'), 'no-store', 'not to be stored');
is($answer->header('Content-Length'), length $answer->body, 'length');

my $head = $gw->request('HEAD', '/status?format=html');
is_deeply([$head->code, $head->header('Content-Type'), $head->body],
          [200, $type{html}, ''], 'HEAD');
ok($head->header('Content-Length') > 1000, 'HEAD: the length of a GET');

for my $method (qw(POST PUT DELETE OPTIONS PATCH)) {
    my $refused = $gw->request($method, '/status', [], 'body');

    is_deeply([$refused->code, $refused->header('Allow')],
              [405, 'GET, HEAD'], $method);
}

is($gw->request('POST', '/own')->header('Content-Type'), 'image/gif',
   'a page of error_page');

$client = $gw->connect;
is($client->request('GET', '/status', [], 'a body')->code, 200,
   'a body is thrown away');
is($client->get('/status')->code, 200, 'and the connection goes on');

my @two = $gw->connect->pipeline(['GET', '/status'], ['GET', '/status']);
is_deeply([map { $_->code } @two], [200, 200], 'pipelined');

$answer = $gw->get('/page');
like($answer->body, qr{^<<!DOCTYPE html>.*</html>\n>}s, 'in a page');
is($gw->get('/guarded')->code, 200, 'as an authorizer');

my $http2 = $gw->http2('GET', '/status?format=prometheus');
is($http2->header('Content-Type'), $type{prometheus}, 'HTTP/2');
is_deeply([sort keys %{prometheus($http2->body)}],
          [sort keys %$families, 'apigw_info',
                'apigw_config_load_time_seconds'], 'HTTP/2: all of it');


# The answer does not grow with callers

my $before = names(json());
$gw->load(clients => 1, requests => 200, uri => sub { "/throttle?k=$_[1]x" });
is(names(json()), $before, 'callers are not shown');


# A reload keeps the numbers, shows new zones and leaves out old ones

my $loaded = json()->{loaded};
sleep 1;

$gw->reload(http => <<"END");
auth_api_key_zone  zone=keys:1m  store=logs/keys;
api_usage_zone     zone=ledger:1m  store=logs/usage;
api_throttle_zone  \$arg_k  zone=per_k:64k  rate=1r/h  burst=5;
@{[join "\n", map { "api_throttle_zone \$arg_k zone=many$_:64k rate=1r/h;" }
              1 .. 100]}
api_plan free { quota 3 per=day; }
END

$status = json();

is($status->{zones}{key}{keys}{accepted}, 20, 'reload: key');
is($status->{zones}{throttle}{per_k}{rejected}, 2, 'reload: throttle');
is($status->{zones}{usage}{ledger}{admitted}, 3, 'reload: usage');
is(scalar keys %{$status->{zones}{throttle}}, 101, 'reload: other zones');
ok($status->{loaded} > $loaded, 'reload: the configuration is another');

$families = prometheus($gw->get('/status?format=prometheus')->body);
is(scalar keys %{$families->{apigw_throttle_keys}{samples}}, 101,
   'a hundred zones: Prometheus');
is(scalar keys %{html($gw->get('/status?format=html')->body)}, 103,
   'a hundred zones: page');

$gw->reload(http => '', server => 'location / { api_status; }');
is_deeply(json()->{zones}, {}, 'no zones: JSON');
is_deeply([sort keys %{prometheus($gw->get('/?format=prometheus')->body)}],
          [qw(apigw_config_load_time_seconds apigw_info)],
          'no zones: Prometheus');
is_deeply(html($gw->get('/?format=html')->body), {}, 'no zones: page');

$gw->stop;


# One process for all

$gw = Apigw::Scenario->start(
    default_location => 0,
    master => 0,
    http   => 'api_throttle_zone $arg_k zone=k:64k rate=1r/h;',
    server => 'location / { api_throttle zone=k; empty_gif; }
               location /status { api_status; }',
);

$gw->get('/?k=1') for 1 .. 3;
is_deeply([@{json()->{zones}{throttle}{k}}{qw(passed rejected)}], [1, 2],
          'master_process off');

done_testing;


sub json {
    my $body = $gw->get('/status?format=json')->body;

    # "loose" would hide what is wrong
    return JSON::PP->new->utf8->decode($body);
}


sub names {
    my ($status) = @_;

    my $zones = $status->{zones};

    return join ' ', map { my $module = $_;
                           map { my $zone = $_;
                                 map { "$module $zone $_" }
                                 sort keys %{$zones->{$module}{$zone}} }
                           sort keys %{$zones->{$module}} }
                     sort keys %$zones;
}


# The text format 0.0.4, as strict as promtool: HELP and TYPE once and before
# the samples, samples of a family together, names and labels right, counters
# and only they end in _total, no sample twice.

sub prometheus {
    my ($text) = @_;

    my (%family, $current);

    ok(utf8::decode($text) && $text =~ /\n\z/, 'Prometheus: UTF-8, lines');

    for my $line (split /\n/, $text, -1) {
        next if $line eq '';

        if ($line =~ /^# HELP ([a-zA-Z_:][\w:]*) (\S.*)\z/) {
            fail("$1 begins again") if $family{$1};
            $current = $1;
            $family{$1} = { help => $2, samples => {} };
            next;
        }

        if ($line =~ /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge)\z/) {
            my ($name, $type) = ($1, $2);

            fail("TYPE of $name is not behind its HELP")
                if ($current // '') ne $name || $family{$name}{type};
            fail("$name is a $type")
                if ($type eq 'counter') != ($name =~ /_total\z/);

            $family{$name}{type} = $type;
            next;
        }

        my ($name, $labels, $value) = $line =~ m{
            ^ ([a-zA-Z_:][a-zA-Z0-9_:]*)
            (?: \{ ( [a-zA-Z_]\w*="(?:[^"\\]|\\["\\n])*"
                     (?: , [a-zA-Z_]\w*="(?:[^"\\]|\\["\\n])*" )* ) \} )?
            [ ] (\d+) \z
        }x;

        if (!defined $value) {
            fail("Prometheus: \"$line\"");
            next;
        }

        fail("$name is not of the family before it")
            if $name ne ($current // '') || !$family{$name}{type};

        my %labels;

        while (($labels // '') =~ /(\w+)="((?:[^"\\]|\\.)*)"/g) {
            my ($label, $text) = ($1, $2);
            $text =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
            $labels{$label} = $text;
        }

        my $id = join ',', map { "$_=$labels{$_}" } sort keys %labels;

        fail("$name, $id: twice") if defined $family{$name}{samples}{$id};
        $family{$name}{samples}{$id} = $value;
    }

    return \%family;
}


# The page: every element closed, in order; { heading => { name => number } }

sub html {
    my ($text) = @_;

    my (@open, %found, $zone, $name);

    ok(utf8::decode($text), 'page: UTF-8');
    $text =~ s/^<!DOCTYPE html>\n// or fail('page: no DOCTYPE');
    $text =~ s/<meta charset="utf-8">//;
    $text =~ s{<style>[^<]*</style>}{};

    while ($text =~ /\G(?:<(\/?)(\w+)((?: \w+="\w+")*)>|([^<>]+))/gc) {
        my ($end, $element, $words) = ($1, $2, $4);

        if (defined $words) {
            fail("page: \"$words\"") if $words =~ /&(?!(?:amp|lt|gt|quot);)/;

            $words =~ s/&lt;/</g;
            $words =~ s/&gt;/>/g;
            $words =~ s/&quot;/"/g;
            $words =~ s/&amp;/&/g;

            my $in = $open[-1] // '';

            $zone = $words, $found{$zone} = {} if $in eq 'h2';
            $name = $words if $in eq 'th';
            $found{$zone}{$name} //= $words if $in eq 'td';

        } elsif ($end) {
            my $last = pop @open // '';
            fail("page: </$element> ends $last") if $last ne $element;

        } else {
            push @open, $element;
        }
    }

    fail('page: ' . substr $text, pos($text) // 0)
        if (pos($text) // 0) != length $text;
    is("@open", '', 'page: all elements are closed');

    return \%found;
}
