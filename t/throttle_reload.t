# Reload: live buckets go on, a changed rate or burst applies to them at once,
# nobody gets a full bucket by it; a changed key is refused; a resized or
# renamed zone starts empty; a restart forgets.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

sub http {
    my (%args) = @_;

    my $rate = $args{rate} // '1r/h';
    my $burst = $args{burst} // 4;
    my $size = $args{size} // '64k';
    my $key = $args{key} // '$arg_k';
    my $name = $args{name} // 'z';

    return "api_throttle_zone $key zone=$name:$size rate=$rate burst=$burst"
           . ($args{more} // '') . ';'
           . 'add_header X-T "$api_throttle_status $api_throttle_remaining'
           . ' $api_throttle_reset" always;';
}

sub server {
    my ($name, $more) = @_;

    return 'location /t { api_throttle zone=' . ($name // 'z') . ' '
           . ($more // '') . '; empty_gif; }';
}

my $gw = Apigw::Scenario->start(workers => 2, http => http(),
                                server => server());

# One request, or n: how many were admitted.

sub get {
    my ($key) = @_;

    return $gw->get("/t?k=$key");
}

sub admitted {
    my ($key, $n) = @_;

    return scalar grep { get($key)->code == 200 } 1 .. $n;
}

sub near {
    my ($got, $wanted, $name) = @_;

    cmp_ok(abs($got - $wanted), '<=', 10, "$name: $got")
        or diag("wanted $wanted");
}

for my $key (qw(same faster slower lower higher variable idle)) {
    admitted($key, 4);
}

admitted('half', 2);
admitted('less', 2);

$gw->reload;
is(get('same')->code, 429, 'unchanged: still refused');
is(admitted('half', 4), 2, 'unchanged: the tokens that were left');

# 1r/h to 1r/m: an empty bucket needs a minute now, not an hour

$gw->reload(http => http(rate => '1r/m'));
my $answer = get('faster');
is($answer->code, 429, 'a raised rate: no token for it');
near($answer->header('Retry-After'), 60, 'but the next comes sooner');
is(admitted('less', 4), 2, 'and the tokens that were left');

# to 20r/s, and it really fills

$gw->reload(http => http(rate => '20r/s'));
sleep 0.3;
is(get('slower')->code, 200, 'a rate that is much higher fills the bucket');
is(get('idle')->code, 200, 'also one that nobody asked for meanwhile');

# back: what a bucket had when the rate was lowered, not what it would have

admitted('fast', 40);
admitted('late', 40);
my $before = time;
$gw->reload(http => http(rate => '1r/h'));
my $gap = time - $before;

$answer = get('fast');
my $tokens = int(20 * $gap) + 1;

cmp_ok(admitted('fast', 4), '<=', $tokens, 'a lowered rate: no full bucket')
    or diag("$gap s");

# the worker's start converts them, not the first request

sleep 0.4;
cmp_ok(admitted('late', 4), '<=', $tokens,
       'nor does it fill at the old rate from then on');

# burst

admitted($_, 4) for qw(same lower higher);

$gw->reload(http => http(burst => 2));
$answer = get('same');
is($answer->code, 429, 'a lowered burst: no token for it');
near($answer->header('Retry-After'), 3600, 'but no debt beyond it either');

$gw->reload(http => http(burst => 7));
is(admitted('lower', 9), 5, 'a raised burst: as many more');

$gw->reload(server => server('z', 'burst=9'));
is(admitted('higher', 9), 7, 'a burst raised at the use');

# a variable rate over the same buckets, and a rate of a key that changes

$gw->reload(http => http(rate => '$arg_r', more => ' default=1r/h'),
            server => server());
is(admitted('new', 9), 4, 'a rate by variable');
is($gw->get('/t?k=new&r=1r/m')->code, 429, 'the key gets another rate');
near($gw->get('/t?k=new&r=1r/m')->header('Retry-After'), 60,
     'which holds at once');

# what must not be

$gw->reload(http => http());
admitted('same', 4);

$gw->expect_log(qr/uses the "\$arg_other" key while previously/);
like($gw->reload_fails(http => http(key => '$arg_other')),
     qr/api_throttle_zone\ "z"\ uses\ the\ "\$arg_other"\ key\ while\ previously
        \ it\ used\ the\ "\$arg_k"\ key,\ give\ it\ another\ name\ or
        \ restart\ nginx/x,
     'a changed key is refused');
is(get('same')->code, 429, 'and the old one goes on');

# fresh memory

$gw->reload(http => http(size => '128k'));
is(admitted('same', 9), 4, 'a resized zone starts empty');

$gw->reload(http => http(name => 'y', size => '128k'), server => server('y'));
is(admitted('same', 9), 4, 'so does one with another name');

$gw->restart;
is(admitted('same', 9), 4, 'and every one after a restart');

# under load

admitted('load', 3);

my $wait = $gw->load_start(clients => 4, seconds => 3, uri => '/t?k=load');
$gw->reload for 1 .. 4;
my $load = $wait->();

is($load->{errors}, 0, 'reloads under load: no request fails');
is($load->{status}{200}, 1, 'and not one more is admitted')
    or diag(explain($load->{status}));

done_testing;
