# Clocks: a token that was seen before ends with its time and comes back with
# it; keys that are too old are not used, those that seem to come from the
# future are; revocations end by the wall clock; nobody is told to wait long.

use strict;
use warnings;

use POSIX ();
use Test::More;

use Apigw::Clock;
use Apigw::Provider;
use Apigw::Scenario;
use Apigw::Token qw(jwks);

my $HOUR = 3600;

my $clock = Apigw::Clock->new;
my $provider = Apigw::Provider->start;
my $key = Apigw::Token->new('ES256', kid => 'one');

$provider->discovery('/shop');
$provider->set('/shop/jwks', { body => jwks($key) });

my $gw = Apigw::Scenario->start(
    default_location => 0,
    env     => $clock->env,
    workers => 2,
    http    => <<"END",
auth_jwt_zone zone=jwt:1m store=%%ROOT%%/logs/jwt;
auth_jwt_issuer shop {
    url ${\ $provider->url('/shop')};
    ca ${\ $provider->ca};
    refresh 1h;
    stale 1h;
    cooldown 2s;
    timeout 2s;
}
END
    server  => <<'END',
add_header X-Status $jwt_status always;
auth_jwt r issuer=shop;
location = /cached { auth_jwt_cache zone=jwt; empty_gif; }
location = /plain  { empty_gif; }
END
);

my $now = time;

my %token = map {
    my ($name, $hours) = @$_;
    ($name => $key->sign({ iss => $provider->url('/shop'), sub => $name,
                           iat => $now, nbf => $now - 5 * $HOUR,
                           exp => $now + $hours * $HOUR }))
} [short => 1], [long => 40];


# what all the workers say, whether the token was seen before or not

sub said {
    my ($name) = @_;

    my %seen;

    for my $uri (('/cached', '/plain') x 3) {
        my $answer = $gw->get($uri, { Authorization =>
                                      "Bearer $token{$name}" });
        my $after = $answer->header('Retry-After');

        $seen{$answer->code . ' ' . $answer->header('X-Status')}++;
        $seen{"Retry-After: $after"}++ if defined $after && $after > 3;
    }

    return join ', ', sort keys %seen;
}


sub becomes {
    my ($name, $expected, $title) = @_;

    my $last;

    ok(wait_for(sub { ($last = said($name)) eq $expected }, 10), $title)
        or diag("$name: $last, not $expected");
}


becomes('short', '200 ok', 'a token');
is(said('long'), '200 ok', 'another one');

my $count = $provider->count('/shop/jwks');

$clock->step(wall => 3 * $HOUR);
becomes('long', '200 ok', 'three hours later: keys that are too old are new');
is(said('short'), '401 expired', 'a token that has expired, seen before');
is($provider->count('/shop/jwks'), $count + 1, 'fetched once');

$clock->step(wall => -3 * $HOUR);
$provider->stop;
is(said('short'), '200 ok', 'back again: the token is good again');
is(said('long'), '200 ok', 'keys of the future are used');

$clock->step(monotonic => 24 * $HOUR);
is(said('long'), '200 ok', 'a day without a clock changes nothing');

$clock->step(wall => 6 * $HOUR);
becomes('long', '503 unavailable', 'six hours later without the provider');

$provider->start_again;
becomes('long', '200 ok', 'until it is back');

my @store = ('--store', $gw->root . '/logs/jwt');
my $until = POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($now + 8 * $HOUR));
my ($status, undef, $err) = cli(qw(token revoke --sub long --until), $until,
                                @store);

is($status, 0, 'revoked for two hours') or diag($err);
is(said('long'), '401 revoked', 'revoked');
$clock->step(wall => 3 * $HOUR);
becomes('long', '200 ok', 'three hours later');

done_testing;
