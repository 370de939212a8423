# The whole chain, key, throttle, plan and version before a back end, keeps
# its limits while nginx is reloaded and its processes are killed under load:
# the back end sees exactly what the limits admit, no refused request, no key.
# In the end the same is asked of locations that lack what keeps it so.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $QUOTA = 400;
my $BURST = 150;

my $up = Apigw::Scenario->upstream(answer => { body => "hello\n" });
my $port = $up->port;

my $gw = Apigw::Scenario->new(
    workers => 2,
    http    => <<"END",
auth_api_key_zone  zone=keys:64k  store=logs/keys;
api_throttle_zone  \$api_key_consumer  zone=calls:64k  rate=1r/h
                   burst=$BURST;
api_usage_zone     zone=usage:256k  store=logs/usage  flush=100ms;

api_plan gold   { quota $QUOTA per=lifetime; }
api_plan plenty { quota 1000000 per=lifetime; }

upstream back { server 127.0.0.1:$port; keepalive 8; }

api orders {
    version  v0  upstream=back  deprecated=2020-01-01  sunset=2021-01-01
             successor=v1;
    version  v1  upstream=back  deprecated=2025-01-01  sunset=2099-01-01
             successor=v2;
    version  v2  upstream=back  default;
    select   path  header=X-API-Version;
}
END
    server => <<'END',
location /orders/ {
    api_publish        orders;
    auth_api_key       zone=keys;
    api_usage          zone=usage  plan=$api_key_plan
                       consumer=$api_key_consumer;

    proxy_http_version 1.1;
    proxy_set_header   Connection "";
    proxy_set_header   X-Consumer $api_key_consumer;
    proxy_set_header   X-Version  $api_version;
    proxy_pass         http://$api_upstream;
}

location /unlimited/ {
    auth_api_key        zone=keys;
    auth_api_key_strip  off;
    proxy_pass          http://back;
}

location /throttled/ {
    auth_api_key  zone=keys;
    api_throttle  zone=calls;
    api_usage     zone=usage  plan=$api_key_plan  consumer=$api_key_consumer;
    proxy_pass    http://back;
}
END
);

# What is wrong with the answers to a load and with what the back end saw

sub faults {
    my ($load, $limit) = @_;

    my $admitted = $load->{status}{200} // 0;
    my @other = grep { !/^(200|429|502)$/ } keys %{ $load->{status} };

    return join ', ',
        $admitted > $limit ? 'more than the limit' : (),
        $up->count > $limit ? 'more at the back end' : (),
        $admitted + $load->{errors} < $limit ? 'less than the limit' : (),
        @other ? "answers of @other" : ();
}

sub leaks {
    my ($key) = @_;

    return grep { /\Q$key\E/ } map { map { @$_ } @{ $_->{header_list} } }
                                    $up->requests;
}


$gw->start;

my $store = $gw->root . '/logs/keys';
my %key;

for ([alice => 'gold'], [bob => 'plenty'], [carol => 'gold']) {
    my ($consumer, $plan) = @$_;
    my ($status, $out, $err) = cli('key', 'create', '--store', $store,
                                   '--consumer', $consumer, '--plan', $plan,
                                   '--id', "$consumer-1");
    is($status, 0, "a key for $consumer") or diag $err;
    chomp($key{$consumer} = $out);
}


# One request of each kind

my $answer = $gw->get('/orders/1');
is($answer->code, 401, 'no key: 401');
like($answer->header('WWW-Authenticate'), qr/./, 'no key: how to come back');
is($answer->header('Content-Type'), 'application/problem+json',
   'no key: a problem document');

$answer = $gw->get('/orders/1', 'X-API-Key' => $key{carol});
is($answer->code, 200, 'a key: 200');

my ($seen) = $up->requests;
is($seen->{headers}{'x-consumer'}, 'carol', 'the back end knows the consumer');
is($seen->{headers}{'x-version'}, 'v2', 'and the version');
is($seen->{headers}{'x-api-key'}, undef, 'but not the key');
is(scalar leaks($key{carol}), 0, 'in no header');

$answer = $gw->get('/orders/v1/1', 'X-API-Key' => $key{carol});
is($answer->code, 200, 'v1 by path: 200');
is($answer->header('Deprecation'), '@1735689600', 'v1 says Deprecation');
is($answer->header('Sunset'), 'Thu, 01 Jan 2099 00:00:00 GMT',
   'v1 says Sunset');
like($answer->header('Link'), qr/rel="successor-version"/,
     'v1 says what comes after it');

is($gw->get('/orders/1', 'X-API-Key' => $key{carol},
            'X-API-Version' => 'v0')->code, 410, 'v0 by header: 410');

my $count = $up->count;
is($count, 2, 'refused requests never reached the back end');

is((cli('key', 'revoke', '--store', $store, 'carol-1'))[0], 0, 'revoked');

my %codes;
$codes{$gw->get('/orders/1', 'X-API-Key' => $key{carol})->code}++ for 1 .. 20;
is_deeply(\%codes, { 401 => 20 }, 'the next request of every worker: 401');


# A quota under load, while workers, the helper and the configuration change

$up->forget;

my $wait = $gw->load_start(clients => 4, requests => 300, uri => '/orders/2',
                           headers => ['X-API-Key' => $key{alice}]);

sleep 0.2;
$gw->kill_worker;
sleep 0.2;
$gw->reload;
sleep 0.2;
$gw->kill_helper;
$gw->reload for 1 .. 3;
$gw->kill_worker;

my $load = $wait->();

# what is missing broke off with its worker, which also answers 502

is(faults($load, $QUOTA), '', 'the quota, and not one more');

is($gw->get('/orders/2', 'X-API-Key' => $key{alice})->code, 429,
   'the quota is used up');


# Burst of a throttle: reloads and killed workers give nobody a fresh bucket

$up->forget;

$wait = $gw->load_start(clients => 4, requests => 250, uri => '/throttled/',
                        headers => ['X-API-Key' => $key{bob}]);

sleep 0.2;
$gw->reload;
$gw->kill_worker;
$gw->reload;

$load = $wait->();

is(faults($load, $BURST), '', 'the burst, not one more, and not one less');


# kill -9 of everything after a flush: the quota is still used up

sleep 0.5;
$gw->kill_master(keep => 1);
$gw->end_orphans(signal => 'KILL');
$gw->start;

$up->forget;
%codes = ();
$codes{$gw->get('/orders/2', 'X-API-Key' => $key{alice})->code}++ for 1 .. 20;
is_deeply(\%codes, { 429 => 20 }, 'kill -9 of everything: still used up');
is($up->count, 0, 'and nothing reached the back end');


# Without a limit, with a lower one and with the key handed on all this shows

my $more = 'more than the limit, more at the back end';

$load = $gw->load_start(clients => 2, requests => $QUOTA / 2 + 10,
                        uri => '/unlimited/',
                        headers => ['X-API-Key' => $key{bob}])->();

is(faults($load, $QUOTA), $more, 'broken: no limit at all');
is(faults($load, 2 * $QUOTA), 'less than the limit', 'broken: too low a limit');
ok(leaks($key{bob}) > 0, 'broken: the key reaches the back end');

$load = $gw->load_start(clients => 1, requests => 2, uri => '/orders/v0/')->();
like(faults($load, $QUOTA), qr/answers of 410$/,
     'broken: answers that no limit gives');

done_testing;
