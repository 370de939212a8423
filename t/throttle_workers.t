# Exact over all workers: any number of concurrent clients gets exactly the
# limit through, also when workers are killed and when keys are new; HTTP/2,
# keep-alive and "master_process off" all the same.

use strict;
use warnings;

use FindBin;
use List::Util qw(sum);
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $HTTP = '
    api_throttle_zone $arg_k zone=day:256k rate=1r/d burst=1000;
    api_throttle_zone $arg_k zone=few:32k rate=1r/d burst=3;
    api_throttle_zone $arg_k zone=wide:64k rate=1r/d burst=700;
    api_throttle_zone $arg_j zone=narrow:64k rate=1r/d burst=500;
    api_throttle_zone $arg_k zone=fast:64k rate=100r/s burst=50;
    keepalive_requests 100000;
    access_log off;
    error_log logs/error.log notice;';

my $SERVER = '
    location /day { api_throttle zone=day; empty_gif; }
    location /early { api_throttle zone=day before_auth; empty_gif; }
    location /few { api_throttle zone=few; empty_gif; }
    location /two { api_throttle zone=wide; api_throttle zone=narrow;
                    empty_gif; }
    location /owt { api_throttle zone=narrow; api_throttle zone=wide;
                    empty_gif; }
    location /fast { api_throttle zone=fast; empty_gif; }
    location /cost { api_throttle zone=day cost=$arg_c; empty_gif; }';

for my $workers (2, 4) {
    my $gw = Apigw::Scenario->start(workers => $workers, http => $HTTP,
                                    server => $SERVER, http2 => 1);
    my $w = "$workers workers";

    my $load = $gw->load(clients => 8, requests => 200, uri => '/day?k=a',
                         keepalive => 1);
    is($load->{errors}, 0, "$w: no errors");
    is($load->{status}{200}, 1000, "$w: exactly the limit");
    is($load->{status}{429}, 600, "$w: the rest is refused");

    $load = $gw->load(clients => 8, requests => 150, keepalive => 1,
                      uri => sub { $_[0] % 2 ? '/day?k=b' : '/early?k=b' });
    is($load->{status}{200}, 1000, "$w: the same zone in both phases");

    $load = $gw->load(clients => 4, requests => 5, uri => '/few?k=closed');
    is($load->{status}{200}, 3, "$w: a connection each");

    # every key is new to all clients at about the same time

    $load = $gw->load(clients => 6, requests => 200, keepalive => 1,
                      uri => sub { "/few?k=$_[1]" });
    is($load->{status}{200}, 600, "$w: 200 new keys, the limit each");

    # two zones each, in both orders: the narrow one decides

    $load = $gw->load(clients => 8, requests => 100, keepalive => 1,
                      uri => sub { $_[0] % 2 ? '/two?k=t&j=t'
                                             : '/owt?k=t&j=t' });
    is($load->{status}{200}, 500, "$w: two zones");

    my $left = $gw->load(clients => 1, requests => 300, keepalive => 1,
                         uri => '/two?k=t&j=other');
    is($left->{status}{200}, 200, "$w: and nothing leaked from the wide one");

    # h2 counts in the same bucket

    my @codes = map { $gw->http2('GET', '/few?k=h2')->code } 1 .. 4;
    is("@codes", '200 200 200 429', "$w: HTTP/2");
    is($gw->http2('HEAD', '/few?k=h2')->code, 429, "$w: HTTP/2, HEAD");

    $gw->stop;
}

# over time: the burst and what the rate brings meanwhile, not one more

my $gw = Apigw::Scenario->start(workers => 2, http => $HTTP,
                                server => $SERVER);

my $load = $gw->load(clients => 4, seconds => 1.2, keepalive => 1,
                     uri => '/fast?k=a');
my $most = 50 + 100 * $load->{seconds} + 1;

cmp_ok($load->{status}{200}, '<=', $most, 'a rate is not exceeded')
    or diag(explain($load));
cmp_ok($load->{status}{200}, '>=', 50 + 100 * 0.6, 'and is reached');

# killed workers leave nothing locked and lose no count

my $wait = $gw->load_start(clients => 4, seconds => 2, uri => '/day?k=killed');

for (1 .. 4) {
    $gw->kill_worker;
}

$load = $wait->();
my $more = $gw->load(clients => 2, requests => 600, keepalive => 1,
                     uri => '/day?k=killed');
my $sum = sum(map { $_->{status}{200} // 0 } $load, $more);

# an answer may have been lost with its worker, its charge is not

cmp_ok($sum, '<=', 1000, 'killed workers: not one more');
cmp_ok($sum, '>=', 1000 - $load->{errors}, 'and none is lost but with them');
ok($load->{errors} < 100, 'clients could go on')
    or diag(explain($load));

$gw->stop;

# a single process

$gw = Apigw::Scenario->start(master => 0, http => $HTTP, server => $SERVER);
$load = $gw->load(clients => 4, requests => 50, uri => '/few?k=single');
is($load->{status}{200}, 3, 'master_process off');

done_testing;
