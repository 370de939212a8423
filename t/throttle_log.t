# What throttles write: refusals, dry runs, invalid values, a full zone, each
# at its level and not at every request; and the variables in a log.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http => '
        api_throttle_zone $arg_k zone=a:64k rate=1r/m;
        api_throttle_zone $arg_k zone=var:64k rate=$arg_r default=1r/d;
        api_throttle_zone $arg_k zone=small:32k rate=1r/d;
        keepalive_requests 10000;
        log_format t "$uri $api_throttle_status $api_throttle_limit'
          . ' $api_throttle_remaining $api_throttle_reset $early";
        access_log logs/t.log t;',
    server => '
        set $early "$api_throttle_status$api_throttle_limit";

        location /info { api_throttle zone=a; empty_gif; }
        location /error { api_throttle zone=a; api_throttle_log_level error;
                          empty_gif; }
        location /dry { api_throttle zone=a dry_run;
                        api_throttle_log_level notice; empty_gif; }
        location /rate { api_throttle zone=var; empty_gif; }
        location /cost { api_throttle zone=var burst=5 cost=$arg_c;
                         empty_gif; }
        location /small { api_throttle zone=small; empty_gif; }
        location /open { empty_gif; }',
);

sub lines {
    my ($pattern) = @_;

    return scalar $gw->grep_log($pattern);
}

$gw->get('/info?k=1') for 1 .. 3;
is(lines(qr/\[info\].* throttling request by zone "a", client/), 2,
   'refusals at info');

$gw->get('/error?k=1') for 1 .. 2;
is(lines(qr/\[error\].* throttling request by zone "a", client/), 2,
   'refusals at error');

$gw->get('/dry?k=1');
is(lines(qr/\[notice\].* throttling request by zone "a", dry run, client/), 1,
   'a dry run');

my $long = '9' x 3000;

$gw->get("/rate?k=1&r=$_") for '', '5', 'x', $long, '1r/s', 'unlimited';
is(lines(qr/invalid rate/), 1, 'invalid rates: one line a minute');
is(lines(qr/\[error\].* invalid rate "5" for api_throttle_zone "var", the/),
   1, 'which is the first');

$gw->get("/cost?k=1&c=$_") for '', '3', '0', '-3', 'x';
is(lines(qr/invalid cost/), 1, 'invalid costs: one line a minute');
is(lines(qr/\[error\].* invalid cost "-3" for api_throttle_zone "var", 1/),
   1, 'which is the first');

my $client = $gw->connect;
my $refused = 0;

for my $i (1 .. 3000) {
    $refused++ if $client->get("/small?k=$i")->code != 200;
}

is($refused, 0, 'a full zone refuses nobody');
is(lines(qr/\[warn\].* api_throttle_zone "small" is full, keys are forgotten/),
   1, 'a full zone: one line a minute');

$gw->get('/info?k=2') for 1 .. 2;
$gw->get('/dry?k=2');
$gw->get('/open?k=2');
$gw->get('/rate?k=2&r=unlimited');
$gw->stop;

open my $log, '<', $gw->root . '/logs/t.log' or die $!;
my @last = (<$log>)[-5 .. -1];
chomp @last;

is($last[0], '/info PASSED 1 0 60 ', 'log of a request that passed');
like($last[1], qr{^/info REJECTED 1 0 (?:60|59|58|57) $}, 'of a refused one');
like($last[2], qr{^/dry REJECTED_DRY_RUN 1 0 (?:60|59|58|57) $},
     'of one in a dry run');
is($last[3], '/open - - - - ', 'of one without a throttle');
is($last[4], '/rate PASSED - - - ', 'of one without a limit');

done_testing;
