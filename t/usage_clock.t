# Clocks: a restart in the middle of a month, the clock stepped forwards and
# back over the end of a window, a wrong clock that deletes nothing, and days
# that were deleted.

use strict;
use warnings;

use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Local qw(timegm);

use lib "$FindBin::Bin/lib";

use Apigw::Clock;
use Apigw::Scenario;

my $clock = Apigw::Clock->new;
my $now = 0;

# what nginx and apigw take for the time, within a second
sub set_clock {
    my ($t) = @_;

    $clock->step(wall => $t - int(time) - $now);
    $now = $t - int(time);
}

set_clock(timegm(0, 0, 12, 15, 0, 2027));       # 15 January, noon

my $gw = Apigw::Scenario->start(
    workers => 2,
    env     => $clock->env,
    http    => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms retention=1d;
api_plan m { quota 10 per=month; }
api_plan d { quota 3 per=day tz=Europe/Berlin; quota 100 per=month anchor=31; }
add_header X-Used $api_quota_used always;
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=$arg_p consumer=$arg_c;
    empty_gif;
}
END
);

my $answered = 0;

sub codes {
    my ($n, $uri) = @_;

    my @codes = map { $gw->get($uri)->code } 1 .. $n;
    $answered += grep { $_ == 200 } @codes;

    return join ' ', @codes;
}

# apigw at the time of nginx
sub usage {
    my ($verb, @args) = @_;

    local %ENV = (%ENV, %{$clock->env});

    return cli('usage', $verb, '--store', $gw->root . '/logs/usage', @args);
}

sub report {
    my ($from) = @_;
    my ($status, $out) = usage('report', '--json', '--from',
                               $from // '2020-01-01', '--to', '2105-01-01');

    my %days;
    $days{$_->{period}} += $_->{requests}
        for grep { $_->{requests} } map { decode_json($_) } split /\n/, $out;

    return \%days;
}

sub flushed { sleep 0.4 }


# In the middle of a month

is(codes(6, '/u?p=m&c=a'), '200 200 200 200 200 200', 'the middle of January');

$gw->restart;
is(codes(5, '/u?p=m&c=a'), '200 200 200 200 429', 'a restart: the rest');

set_clock(timegm(0, 0, 12, 20, 0, 2027));
$gw->restart;
is(codes(1, '/u?p=m&c=a'), '429', 'another one, days later');


# Over the end of the month and back

set_clock(timegm(50, 59, 23, 31, 0, 2027));
my $answer = $gw->get('/u?p=m&c=a');
is($answer->code, 429, 'the last seconds of January');
cmp_ok($answer->header('Retry-After'), '<=', 10, 'and not for long');

set_clock(timegm(1, 0, 0, 1, 1, 2027));
is(codes(3, '/u?p=m&c=a'), '200 200 200', 'February');

set_clock(timegm(30, 59, 23, 31, 0, 2027));
is(codes(1, '/u?p=m&c=a'), '429', 'set back: January is used up');

set_clock(timegm(30, 0, 0, 1, 1, 2027));
is($gw->get('/u?p=m&c=a')->header('X-Used'), 4, 'and February goes on');
$answered++;

# a day in Berlin, whose midnight is an hour before UTC's

set_clock(timegm(0, 30, 22, 10, 1, 2027));
is(codes(4, '/u?p=d&c=b'), '200 200 200 429', 'a day in Berlin');
set_clock(timegm(30, 0, 23, 10, 1, 2027));
is(codes(2, '/u?p=d&c=b'), '200 200', 'the next one');
set_clock(timegm(30, 59, 22, 10, 1, 2027));
$gw->restart;
is(codes(1, '/u?p=d&c=b'), '429', 'set back, and started again: the first');
set_clock(timegm(0, 1, 23, 10, 1, 2027));
is(codes(2, '/u?p=d&c=b'), '200 429', 'and the next one goes on');


# A clock that is wrong by many years

flushed();
my $days = report();
my $sum = 0;
$sum += $_ for values %$days;
is($sum, $answered, 'the ledger has every request');
is_deeply([sort keys %$days], ['2027-01-15', '2027-02-01', '2027-02-10'],
          'on three days');

set_clock(timegm(0, 0, 12, 1, 0, 2100));
ok(wait_for(sub { $gw->error_log =~ /the clock was set by \d+ seconds/ }, 3),
   'a step of 70 years is logged');
is(codes(1, '/u?p=m&c=a'), '200', 'in 2100');
flushed();
is_deeply(report(), { %$days, '2100-01-01' => 1 }, 'nothing is deleted');

set_clock(timegm(0, 0, 12, 11, 1, 2027));
is($gw->get('/u?p=m&c=a')->header('X-Used'), 5, 'set back: nothing is lost');
flushed();

my @dirs = map { my $dir = $gw->root . "/logs/days$_"; mkdir $dir or die; $dir }
           0 .. 1;

is((usage('export', '--dir', $dirs[0]))[0], 0, 'days are exported');

# two days go by, for both clocks

$clock->step(wall => 2 * 86400, monotonic => 2 * 86400);
$now += 2 * 86400;

ok(wait_for(sub { !keys %{report()} }, 5),
   'days are deleted when they are over and the clock is steady');
is_deeply([keys %{report('2027-02-12')}], ['2100-01-01'],
          'but none that is to come');


# What was deleted is neither reported as nothing nor exported as nothing

my ($status, $out, $err) = usage('report', '--from', '2027-02-11');

is("$status:$out", '1:', 'a report of a deleted day: none');
is($err, "apigw: the days before 2027-02-12 were deleted (retention), ask from"
         . " there with --from\n", 'a report of a deleted day: says so');

($status, $out, $err) = usage('report', '--by', 'month');

is("$status:$out", '1:', 'a report of a month, of a part of it: none');
like($err, qr/before 2027-02-12 were deleted .* with --from, by day$/,
     'a report of a month, of a part of it: says so');

is((usage('report', '--from', '2027-02-12'))[0], 0, 'a report of days kept');

is(codes(1, '/u?p=m&c=a'), '200', 'a request after that');
flushed();
set_clock(timegm(0, 0, 12, 14, 1, 2027));

($status, $out, $err) = usage('export', '--dir', $dirs[0]);

is("$status:$out", '1:', 'export: not to go on behind what was deleted');
is($err, 'apigw: the store has not all of 2027-02-11 to 2027-02-11 any more,'
         . ' retention has deleted it before it was exported to'
         . qq( "$dirs[0]": to write the days after that, export to an empty)
         . " directory\n", 'export: says so');
is((cli('usage', 'verify', '--dir', $dirs[0]))[0], 0,
   'export: what is there is right');

is_deeply([usage('export', '--dir', $dirs[1])],
          [0, "usage-2027-02-13.ndjson\n", ''],
          'export: from the first whole day on');
is((cli('usage', 'verify', '--dir', $dirs[1]))[0], 0,
   'export: and that is right');

done_testing;
