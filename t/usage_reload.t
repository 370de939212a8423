# Reload: counts go on with the zone unchanged, with limits changed, locations
# renamed and plans in another order; a resized or renamed zone reads what the
# other one wrote; a changed store is refused; under load nothing is lost.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

sub http {
    my (%args) = @_;

    my $zone = $args{zone} // 'usage';
    my $size = $args{size} // '256k';
    my $store = $args{store} // 'logs/usage';
    my $limit = $args{limit} // 100;
    my @plans = ("api_plan a { quota $limit per=lifetime;"
                 . ' rate 1r/h burst=3000; }',
                 'api_plan b { quota 1000000 per=lifetime; }');

    @plans = reverse @plans if $args{reverse};

    return join "\n", "api_usage_zone zone=$zone:$size store=$store"
                      . ' flush=100ms;', @plans,
                      'add_header X-Used $api_quota_used always;';
}

sub server {
    my (%args) = @_;

    my $zone = $args{zone} // 'usage';
    my $uri = $args{uri} // '/u';

    my $usage = "api_usage zone=$zone plan=\$arg_p consumer=\$arg_c";

    return "location $uri { $usage; empty_gif; }
            location /self { $usage; api_usage_self; }
            location /slow { $usage; limit_rate 100; alias html/slow; }
            location /ends { $usage cost=50; api_usage_charge on=response;
                             limit_rate 100; alias html/ends; }";
}

my $gw = Apigw::Scenario->start(
    workers => 2, http => http(), server => server(),
    files   => { 'html/slow' => 'x' x 10_000, 'html/ends' => 'x' x 100 },
);

sub charge {
    my ($n, $uri) = @_;

    my $client = $gw->connect;
    my $last;
    $last = $client->get($uri) for 1 .. $n;
    return $last;
}

is(charge(10, '/u?p=a&c=x')->header('X-Used'), 10, 'before');

$gw->reload;
is(charge(1, '/u?p=a&c=x')->header('X-Used'), 11, 'unchanged');

$gw->reload(http => http(reverse => 1), server => server(uri => '/v'));
is(charge(1, '/v?p=a&c=x')->header('X-Used'), 12,
   'plans reordered, location renamed');

$gw->reload(http => http(limit => 13), server => server());
is(charge(1, '/u?p=a&c=x')->code, 200, 'limit lowered: the last one');
is(charge(1, '/u?p=a&c=x')->code, 429, 'limit lowered: applies at once');

$gw->reload(http => http(limit => 14), server => server());
is(charge(1, '/u?p=a&c=x')->header('X-Used'), 14, 'limit raised');
is(charge(1, '/u?p=a&c=x')->code, 429, 'limit raised: exactly');

$gw->reload(http => http(size => '512k'), server => server());
sleep 0.3;
is(charge(1, '/u?p=a&c=x')->header('X-Used'), 15, 'zone resized');

# a worker that cannot exit yet goes on counting in the zone as it was

my @slow = map { $gw->connect } 1 .. 10;
$_->send("GET /slow?p=b&c=slow HTTP/1.0\r\n\r\n") for @slow;

my $ends = $gw->connect;
$ends->send("GET /ends?p=b&c=slow HTTP/1.0\r\n\r\n");
sleep 0.3;

$gw->reload(http => http(size => '256k'), server => server());
$ends->read_all;

my $seen = wait_for {
    $gw->get('/self?p=b&c=slow')->body =~ /"used":60,/;
} 3;

ok($seen, 'zone resized: what an exiting worker counts is seen');

undef @slow;

$gw->reload(http => http(zone => 'other'), server => server(zone => 'other'));
sleep 0.3;
is(charge(1, '/u?p=a&c=x')->header('X-Used'), 16, 'zone renamed');

$gw->expect_log(qr/uses the store ".*elsewhere" while previously/);

like($gw->reload_fails(http   => http(zone  => 'other',
                                      store => 'logs/elsewhere'),
                       server => server(zone => 'other')),
     qr/uses the store ".*elsewhere" while previously it used/,
     'another store is refused');

is(charge(1, '/u?p=a&c=x')->header('X-Used'), 17, 'and nothing has happened');

$gw->reload(http => http(), server => server());


# Under load

my $wait = $gw->load_start(clients => 4, seconds => 2, uri => '/u?p=b&c=load');

for (1 .. 4) {
    sleep 0.3;
    $gw->reload;
}

my $load = $wait->();

is($load->{errors}, 0, 'under load: no errors');
is(charge(1, '/u?p=b&c=load')->header('X-Used'), $load->{status}{200} + 1,
   'under load: every answer was counted once');

$gw->restart;
is(charge(1, '/u?p=b&c=load')->header('X-Used'), $load->{status}{200} + 2,
   'and is in the store');

$wait = $gw->load_start(clients => 4, seconds => 1.5, uri => '/u?p=a&c=limit');
$gw->reload for 1 .. 3;
$load = $wait->();

is($load->{status}{200}, 100, 'under load: not one beyond the limit');

done_testing;
