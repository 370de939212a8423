# Clocks: steps of the wall clock change nothing; what takes minutes and days
# takes just as long; lines of the log come once a minute; who comes back when
# told to is admitted, and not a second earlier.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Clock;
use Apigw::Scenario;

my $DAY = 86_400;

my $clock = Apigw::Clock->new;

my $gw = Apigw::Scenario->start(
    env     => $clock->env,
    workers => 2,
    http    => '
        api_throttle_zone $arg_k zone=hour:64k rate=1r/h burst=2;
        api_throttle_zone $arg_k zone=day:64k rate=1r/d;
        api_throttle_zone $arg_k zone=slow:64k rate=0.001r/d;
        api_throttle_zone $arg_k zone=fast:64k rate=1000000r/s burst=1000000;
        api_throttle_zone $arg_k zone=any:64k rate=$arg_r burst=3;
        api_throttle_zone $arg_k zone=small:32k rate=1r/d;
        add_header X-Date $time_iso8601 always;
        keepalive_requests 100000;',
    server  => join '', map {
        "location /$_ { api_throttle zone=$_ cost=\$arg_c; empty_gif; }"
    } qw(hour day slow fast any small),
);

sub code {
    my ($uri) = @_;

    return $gw->get($uri)->code;
}


# the wall clock; the library is at work, or this would prove nothing

is(code('/hour?k=wall'), 200, 'one of two');
is(code('/hour?k=wall'), 200, 'two of two');

my $year = (gmtime)[5] + 1900;

for my $step (10 * 365 * $DAY, -20 * 365 * $DAY, 3600, 1800) {
    $clock->step(wall => $step);

    my $answer = $gw->get('/hour?k=wall');

    is($answer->code, 429, "a step by $step s: not one more");
    cmp_ok(abs($answer->header('Retry-After') - 3597), '<=', 3,
           'and as long to wait');

    my $wanted = $year + sprintf '%.0f', $clock->{wall} / 365 / $DAY;
    my ($shown) = $answer->header('X-Date') =~ /^(\d+)/;
    cmp_ok(abs($shown - $wanted), '<=', 1, "nginx's clock says $shown");
}

is(code('/hour?k=after'), 200, 'nor does a bucket stay empty');
is(code('/hour?k=after'), 200, 'that was made after a step');
is(code('/hour?k=after'), 429, 'or stay full');


# time that passes: [zone, before there is a token, when there is one]

for my $case (['hour', 3590, 12], ['day', $DAY - 10, 12],
              ['slow', 1000 * $DAY - 10, 12])
{
    my ($zone, $long, $rest) = @$case;

    my $answer;

    do { $answer = $gw->get("/$zone?k=time") } while $answer->code == 200;

    $clock->step(monotonic => $long);
    is(code("/$zone?k=time"), 429, "$zone: after $long s not yet");
    $clock->step(monotonic => $rest);
    is(code("/$zone?k=time"), 200, "$zone: $rest s later there is one");
    is(code("/$zone?k=time"), 429, "$zone: and one only");
}

is(code('/fast?k=a&c=1000000'), 200, 'a million at once');
$clock->step(monotonic => 1);
is(code('/fast?k=a&c=1000000'), 200, 'a second later a million');


# who obeys Retry-After, at rates of all kinds

srand 7;

for my $rate ('1r/s', '90r/m', '7r/m', '13r/h', '5r/d', '0.37r/d',
              map { int(1 + rand 500) . 'r/' . ('m', 'h', 'd')[rand 3] } 1 .. 9)
{
    my $cost = 1 + int rand 3;
    my $uri = "/any?k=$rate&r=$rate";

    is(code("$uri&c=3"), 200, "$rate: all at once");

    my $answer = $gw->get("$uri&c=$cost");
    my $wait = $answer->header('Retry-After');

    # a second may pass here while we ask

    if ($wait > 4) {
        $clock->step(monotonic => $wait - 4);
        is(code("$uri&c=$cost"), 429, "$rate: $cost tokens, too early");
        $clock->step(monotonic => 4);

    } else {
        $clock->step(monotonic => $wait);
    }

    is(code("$uri&c=$cost"), 200, "$rate: $cost tokens after $wait s");
}


# lines at most once a minute, for each zone and thing

sub lines {
    my ($pattern) = @_;

    return scalar $gw->grep_log($pattern);
}

sub provoke {
    code("/any?k=bad&r=$_") for 'x', 'y';
    code("/any?k=bad&r=1r/s&c=$_") for 'x', 'y';
}

provoke();
is(lines(qr/invalid rate/), 1, 'invalid rates: one line');
is(lines(qr/invalid cost/), 1, 'invalid costs: one line');

$clock->step(monotonic => 50);
provoke();
is(lines(qr/invalid rate/), 1, 'none after 50 s');
is(lines(qr/invalid cost/), 1, 'nor for costs');

$clock->step(monotonic => 11);
provoke();
is(lines(qr/invalid rate/), 2, 'one more after 61 s');
is(lines(qr/invalid cost/), 2, 'and for costs');

code('/day?k=' . $_ . '&r=') for 1 .. 3;
is(lines(qr/invalid/), 4, 'a constant rate reads nothing');


# a full zone, by pipelined requests; the clock has not to be stepped for it

sub overfill {
    my ($tag, $n) = @_;

    my $client = $gw->connect;
    my $refused = 0;

    while ($n > 0) {
        $refused += grep { $_->code != 200 }
            $client->pipeline(map { ['GET', "/small?k=$tag$_"] }
                              $n - 49 .. $n);
        $n -= 50;
    }

    return $refused;
}

is(overfill('a', 2000), 0, 'a full zone refuses nobody');
is(lines(qr/zone "small" is full/), 1, 'and is told once');
is(overfill('b', 500), 0, 'still full');
is(lines(qr/zone "small" is full/), 1, 'not told again');
$clock->step(monotonic => 61);
is(overfill('c', 500), 0, 'and a minute later');
is(lines(qr/zone "small" is full/), 2, 'it is told again');

# what has drained has room again, without a loss

$clock->step(monotonic => $DAY + 1);
is(overfill('d', 500), 0, 'a day later');
is(code('/small?k=d1'), 429, 'all is new, and kept');
is(lines(qr/zone "small" is full/), 2, 'and nothing was lost');

done_testing;
