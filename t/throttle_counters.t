# What a zone counts, as the status shows it: every request once, whatever
# becomes of it, over workers and reloads; the keys in use; what a full zone
# forgets, which is what matters least.

use strict;
use warnings;

use FindBin;
use JSON::PP ();
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    http    => '
        api_throttle_zone $arg_k zone=a:64k rate=1r/h burst=3;
        api_throttle_zone $arg_k zone=b:64k rate=1r/h burst=2;
        api_throttle_zone $arg_k zone=quick:64k rate=3r/s burst=4;
        api_throttle_zone $arg_k zone=small:32k rate=$arg_r default=1r/d;
        api_throttle_zone $arg_k zone=drained:32k rate=1000r/s;
        api_throttle_zone $arg_k zone=large:1m rate=1r/d;
        keepalive_requests 1000000;
        api_throttle_headers off;
        error_log logs/error.log warn;',
    server  => '
        location /a { api_throttle zone=a; empty_gif; }
        location /dry { api_throttle zone=a dry_run; empty_gif; }
        location /both { api_throttle zone=a; api_throttle zone=b; empty_gif; }
        location /early { api_throttle zone=a before_auth; deny all;
                          error_page 403 = /a; }
        location /quick { api_throttle zone=quick delay=2; empty_gif; }
        location /small { api_throttle zone=small; empty_gif; }
        location /drained { api_throttle zone=drained; empty_gif; }
        location /large { api_throttle zone=large; empty_gif; }
        location = /status { api_status; }',
);

sub counts {
    my ($zone) = @_;

    my $all = JSON::PP::decode_json($gw->get('/status')->body);
    return $all->{zones}{throttle}{$zone};
}

sub shows {
    my ($zone, $name, %wanted) = @_;

    my $got = counts($zone);
    is_deeply({ map { $_ => $got->{$_} } keys %wanted }, \%wanted, $name);
}

# So many requests, pipelined; how many were answered with which status.

sub send_all {
    my (@uris) = @_;

    my $client = $gw->connect;
    my %codes;

    while (my @some = splice @uris, 0, 100) {
        $codes{$_->code}++ for $client->pipeline(map { ['GET', $_] } @some);
    }

    return \%codes;
}


is_deeply([sort keys %{counts('a')}],
          [qw(capacity delayed evicted keys passed rejected
              rejected_dry_run)], 'what is counted');
shows('a', 'nothing yet', passed => 0, delayed => 0, rejected => 0,
      rejected_dry_run => 0, evicted => 0, keys => 0);

$gw->get('/a?k=1') for 1 .. 5;
$gw->get('/a') for 1 .. 5;
shows('a', 'passed and rejected; no key is no count', passed => 3,
      rejected => 2, keys => 1);

$gw->get('/dry?k=1') for 1 .. 4;
$gw->get('/dry?k=2');
shows('a', 'a dry run', passed => 4, rejected => 2, rejected_dry_run => 4,
      keys => 2);

$gw->get('/both?k=3') for 1 .. 3;
shows('a', 'refused by the other: neither passed nor rejected', passed => 6,
      rejected => 2, keys => 3);
shows('b', 'and by whom', passed => 2, rejected => 1, keys => 1);

$gw->get('/early?k=4');
shows('a', 'a page of error_page is not counted', passed => 7);

my @waiting = map { $gw->connect } 1 .. 4;
$_->send("GET /quick?k=1 HTTP/1.1\r\nHost: localhost\r\n\r\n") for @waiting;
$_->read_answer for @waiting;
my $quick = counts('quick');
is($quick->{passed} + $quick->{delayed}, 4, 'passed or delayed');
cmp_ok($quick->{delayed}, '>=', 1, 'some were delayed');
is($quick->{rejected}, 0, 'none rejected');
ok(wait_for(sub { counts('quick')->{keys} == 0 }), 'a full bucket is no key');

$gw->reload;
shows('a', 'a reload keeps the counts', passed => 7, rejected => 2, keys => 4);

my $load = $gw->load(clients => 4, requests => 100, keepalive => 1,
                     uri => '/a?k=load');
shows('a', 'of all workers', passed => 10, rejected => 399, keys => 5);


# a full zone: what lasts stays, what is about to drain goes

my $room = counts('small')->{capacity};

cmp_ok($room, '>', 500, "a zone of 32k has room for $room");

my $lasting = int $room / 2;
my $codes = send_all(map { "/small?k=d$_" } 1 .. $lasting);
is_deeply($codes, { 200 => $lasting }, 'half of it');
shows('small', 'nothing is lost', evicted => 0, keys => $lasting);

my $n = 4 * $room;
$codes = send_all(map { "/small?k=m$_&r=1r/m" } 1 .. $n);
is_deeply($codes, { 200 => $n }, 'a full zone refuses nobody');

my $small = counts('small');
is($small->{keys} + $small->{evicted}, $lasting + $n,
   'every key is there or counted');
is($small->{passed}, $lasting + $n, 'all passed');
cmp_ok($small->{keys}, '>', 0.95 * $room, 'and no room is wasted');
cmp_ok($small->{keys}, '<=', $room, 'nor more used');

$codes = send_all(map { "/small?k=d$_" } 1 .. $lasting);
is_deeply($codes, { 429 => $lasting }, 'the lasting ones were kept');

$n = 5 * counts('drained')->{capacity};
send_all(map { "/drained?k=$_" } 1 .. $n);
my $drained = counts('drained');
is($drained->{passed}, $n, 'keys that drain at once, many more than fit');
cmp_ok($drained->{evicted}, '<', $n / 100, 'are hardly a loss');


# the manual's "A megabyte has room for ..., and holds ... without a loss"

my $large = counts('large');
cmp_ok($large->{capacity}, '>', 64_000, "1m has room for $large->{capacity}");
cmp_ok(1_048_576 / $large->{capacity}, '<', 40, 'less than 40 bytes a key');

if ($ENV{APIGW_LONG}) {
    send_all(map { "/large?k=$_" } 1 .. 32_000);
    shows('large', 'it holds 32,000', keys => 32_000, evicted => 0);
    send_all(map { "/large?k=$_" } 32_001 .. 50_000);
    cmp_ok(counts('large')->{evicted}, '>', 0, 'and not 50,000');
}

done_testing;
