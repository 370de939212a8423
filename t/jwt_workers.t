# Tokens seen before: what one worker has verified the others know; a change
# of keys, time, another policy and a reload end that; a killed worker does no
# harm; without a master the same.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('ES256', kid => 'k');
my $other = Apigw::Token->new('ES256', kid => 'k');
my $third = Apigw::Token->new('HS256', kid => 'third');

my $gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    files => {
        'conf/keys.json' => jwks($key),
        'conf/live.json' => jwks($key),
        'conf/list.json' => '{"eve":1}',
    },
    http   => <<'END',
auth_jwt_zone zone=j:1m;
auth_jwt_claim_set $city address city;
END
    server => <<'END',
add_header X-Pid $pid always;
add_header X-Who "$jwt_consumer|$jwt_plan|$city|$jwt_header_kid|$jwt_claim_x"
           always;
add_header X-Status $jwt_status always;
auth_jwt shop;
auth_jwt_key_file keys.json;
auth_jwt_cache zone=j;

location / { empty_gif; }
location /same { auth_jwt_scope a; empty_gif; }
location /aud { auth_jwt_audience api; empty_gif; }
location /off { auth_jwt_cache off; empty_gif; }
location /short { auth_jwt_cache zone=j max=1s; auth_jwt_leeway 1s; empty_gif; }
location /live { auth_jwt_key_file live.json; empty_gif; }
location /list { auth_jwt_revocation_list_sub list.json; empty_gif; }
location = /status { auth_jwt off; api_status format=json; }
END
);

sub ask {
    my ($uri, $token) = @_;

    return $gw->get($uri, [Authorization => "Bearer $token"]);
}

sub said {
    my ($answer) = @_;

    return join ' ', $answer->status, $answer->header('X-Status') // '',
                     $answer->header('X-Who') // '';
}

# hits, misses

sub cache {
    my $zones = JSON::PP::decode_json($gw->get('/status')->body)->{zones};

    return @{$zones->{jwt}{j}}{qw(cache_hits cache_misses)};
}

# What a piece of work adds to them.

sub cost(&) {
    my ($work) = @_;

    my @before = cache();
    $work->();
    my @after = cache();

    return join ' ', map { $after[$_] - $before[$_] } 0, 1;
}


my $claims = { sub => 'joe', plan => 'pro', address => { city => 'Wien' },
               x => [1, 'y'], scope => 'a', aud => 'api' };
my $token = $key->sign($claims);
my $known = '200 ok joe|pro|Wien|k|1,y';

is(cost { is(said(ask('/', $token)), $known, 'first seen') }, '0 1',
   'a miss');
is(cost { is(said(ask('/', $token)), $known, 'seen before') }, '1 0',
   'a hit, with all values');

# A connection to each of the workers.

my %client;
for (1 .. 50) {
    my $client = $gw->connect;
    my $pid = $client->get('/status')->header('X-Pid');
    $client{$pid} //= $client;
    last if keys %client == 2;
}
is(scalar keys %client, 2, 'two workers');

is(cost {
    is(said($_->get('/', [Authorization => "Bearer $token"])), $known,
       'a worker') for values %client;
}, '2 0', 'both know it');

is(cost { is(said(ask('/same', $token)), $known, 'another location') }, '1 0',
   'what is equal is one policy');
is(cost { is(said(ask('/aud', $token)), $known, 'another policy') }, '0 1',
   'what is not is not');
is(cost { is(said(ask('/off', $token)), $known, 'without a cache') }, '0 0',
   'off');
is(said(ask('/same', $key->sign({ %$claims, scope => 'b' }))),
   '403 scope joe|pro|Wien|k|1,y', 'another token') for 1, 2;

my $forged = $token =~ s/.{6}\z/AAAAAA/r;
is(said(ask('/', $forged)), '401 signature ||||', "forged: $_") for 1, 2;
is(said(ask('/', $token)), $known, 'and the good one');


# Time

my $soon = $key->sign({ sub => 'joe', exp => time + 2 });
is(ask('/', $soon)->status, 200, 'good for two seconds');
is(ask('/', $soon)->status, 200, 'and when it was seen before');
ok(Apigw::Scenario::wait_for(sub { ask('/', $soon)->status == 401 }, 5),
   'then no more');
is(ask('/', $soon)->header('X-Status'), 'expired', 'it has expired');

my $early = $key->sign({ sub => 'joe', nbf => time + 1 });
like(said(ask('/', $early)), qr/^401 early|^200/, 'not yet');
ok(Apigw::Scenario::wait_for(sub { ask('/', $early)->status == 200 }, 5),
   'then it is');


# Keys and lists

is(ask('/live', $token)->status, 200, "before the keys change") for 1, 2;
is(said(ask('/list', $key->sign({ sub => 'joe' }))), '200 ok joe|||k|',
   'before the list changes') for 1, 2;

Apigw::Scenario::write_file($gw->root . '/conf/live.json', jwks($other));
Apigw::Scenario::write_file($gw->root . '/conf/list.json', '{"joe":1}');

for my $pid (sort keys %client) {
    ok(Apigw::Scenario::wait_for(sub {
        $client{$pid}->get('/live', [Authorization => "Bearer $token"])
                     ->status == 401
    }, 5), 'the key is gone, the token was seen before');
    is($client{$pid}->get('/list', [Authorization => 'Bearer '
                                    . $key->sign({ sub => 'joe' })])
       ->header('X-Status'), 'revoked', 'so is the consumer');
}

is(ask('/live', $other->sign({}))->status, 200, 'the new key');


# Claims that do not fit in the cache

my $large = $key->sign({ sub => 'joe', x => 'x' x 5000 });
is(ask('/', $large)->header('X-Who'), 'joe|||k|' . 'x' x 5000,
   "a large claim: $_") for 1, 2;


# Faults

$gw->kill_worker;
is(said(ask('/', $token)), $known, "after a worker was killed") for 1 .. 4;

is(cost { $gw->reload; is(said(ask('/', $token)), $known, 'reload') }, '0 1',
   'what was found before a reload is found again');

my $load = $gw->load_start(clients => 2, requests => 300, uri => '/',
                           headers => [Authorization => "Bearer $token",
                                       Connection => 'close']);
$gw->reload for 1 .. 2;
$load = $load->();
is($load->{errors}, 0, 'reloads under load: no failed request');
is_deeply([keys %{$load->{status}}], [200], 'reloads under load: all pass');

my $server = $gw->{conf}{server};

$gw->restart(master => 0, workers => 1,
             server => $server =~ s/live\.json/keys.json/r);
is(said(ask('/', $token)), $known, "without a master") for 1, 2;
Apigw::Scenario::write_file($gw->root . '/conf/keys.json', jwks($other));
ok(Apigw::Scenario::wait_for(sub { ask('/', $token)->status == 401 }, 5),
   'without a master: other keys');


# A worker in place of a dead one begins with what is in the files now, and
# does not fall back on what nginx was started with.

$gw = Apigw::Scenario->start(
    workers => 1,
    default_location => 0,
    files => {
        'conf/live.json' => jwks($key),
        'conf/both.json' => jwks($key, $third),
        'conf/list.json' => '{}',
        'conf/kept.json' => '{}',
    },
    server => <<'END',
location / { auth_jwt shop; auth_jwt_key_file live.json; empty_gif; }
location /list { auth_jwt shop; auth_jwt_key_file both.json;
                 auth_jwt_revocation_list_sub list.json; empty_gif; }
location /kept { auth_jwt shop; auth_jwt_key_file both.json;
                 auth_jwt_revocation_list_sub kept.json; empty_gif; }
END
);

my %by = (a => $key->sign({ sub => 'eve' }),
          b => $third->sign({ sub => 'eve' }));

sub codes {
    return join ' ', ask('/', $by{a})->status, ask('/', $by{b})->status,
                     ask('/list', $by{b})->status, ask('/kept', $by{b})->status;
}

sub put {
    my ($name, $text) = @_;

    my $file = $gw->root . "/conf/$name";
    Apigw::Scenario::write_file("$file.new", $text);
    rename "$file.new", $file or die "rename: $!\n";
}

is(codes(), '200 401 200 200', 'the keys of the start');
put('kept.json', '{');
put('live.json', jwks($third));
put('list.json', '{"eve":1}');
ok(Apigw::Scenario::wait_for(sub { codes() eq '401 200 401 200' }, 5),
   'others');

$gw->kill_worker;
is(codes(), '401 200 401 200', 'a new worker has them at once');

put('live.json', '{"keys":[');
put('list.json', '{');
ok($gw->wait_log(qr/live\.json": .*old ones stay/), 'a broken file');
ok($gw->wait_log(qr/list\.json": .*old ones stay/), 'and list');
is(codes(), '401 200 401 200', 'they stay');

$gw->kill_worker;
is(codes(), '500 500 500 200',
   'but not those of the start; what was never replaced stays');
is(scalar(my @told = $gw->grep_log(qr/are older than what was in use/)), 2,
   'which is said once');

put('live.json', jwks($third));
put('list.json', '{}');
ok(Apigw::Scenario::wait_for(sub { codes() eq '401 200 200 200' }, 5),
   'good files');

done_testing();
