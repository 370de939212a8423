# Calendar windows against another implementation of the calendar, DateTime
# with the time zones of DateTime::TimeZone: random instants in zones whose
# clocks do strange things.  APIGW_LONG makes it longer, APIGW_WINDOWS_SEED
# repeats.

use strict;
use warnings;

use FindBin;
use IPC::Open2;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

plan skip_all => 'needs libdatetime-perl, libdatetime-timezone-perl'
    if !eval { require DateTime; require DateTime::TimeZone; 1 };

my $program = Apigw::Scenario::built('unit/window');
plan skip_all => 'the unit tests are not built' if !$program || !-x $program;

my $seconds = $ENV{APIGW_LONG} ? 60 : 2;
my $seed = $ENV{APIGW_WINDOWS_SEED} // int(time * 1000);

srand $seed;
note("APIGW_WINDOWS_SEED=$seed");

# Both have their tables of zones from the same source, perhaps of another
# year: instants that are past for either.
my ($from, $to) = (631152000, 1704067200);      # 1990 to 2023

# with clocks that change at midnight, by half an hour, a day that is missing
my @zones = qw(UTC Europe/Berlin America/New_York America/Sao_Paulo
               America/Havana Asia/Beirut Asia/Kolkata Asia/Kathmandu
               Australia/Lord_Howe Pacific/Apia Pacific/Chatham Africa/Cairo
               America/Asuncion Asia/Amman Europe/Dublin Antarctica/Troll
               America/St_Johns Asia/Tehran Africa/Casablanca);

my %zone = map { $_ => DateTime::TimeZone->new(name => $_) } @zones;


sub at {
    my ($tz, $t) = @_;

    return DateTime->from_epoch(epoch => $t, time_zone => $zone{$tz});
}


# The first instant whose local date is that or a later one.

my %begin;

sub begin {
    my ($tz, $date) = @_;

    return $begin{$tz}{$date} //= do {
        my $wanted = $date =~ s/-//gr;
        my ($y, $m, $d) = split /-/, $date;
        my $noon = DateTime->new(year => $y, month => $m, day => $d,
                                 hour => 12)->epoch;
        my $offset = at($tz, $noon)->offset;

        # clocks change by less than three hours, but for a day left out
        my $low = $noon - $offset - 15 * 3600;
        $low -= 24 * 3600 if at($tz, $low)->ymd('') >= $wanted;
        my $high = $low;

        while (at($tz, $high)->ymd('') < $wanted) {
            $low = $high;
            $high += 1800;
        }

        while ($high - $low > 1) {
            my $middle = int(($low + $high) / 2);

            if (at($tz, $middle)->ymd('') < $wanted) { $low = $middle }
            else { $high = $middle }
        }

        $high;
    };
}


sub date { sprintf '%04d-%02d-%02d', @_ }


# The first days of the window of a date and of the next one.

sub days {
    my ($kind, $anchor, $y, $m, $d) = @_;

    my $day = DateTime->new(year => $y, month => $m, day => $d);

    return ($day->ymd, $day->clone->add(days => 1)->ymd) if $kind eq 'day';

    if ($kind eq 'week') {
        my $back = ($day->day_of_week - 1 - $anchor) % 7;
        my $first = $day->clone->subtract(days => $back);
        return ($first->ymd, $first->clone->add(days => 7)->ymd);
    }

    my $first = sub {
        my ($month) = @_;

        my $last = DateTime->last_day_of_month(year => $month->year,
                                               month => $month->month)->day;
        return date($month->year, $month->month,
                    $anchor < $last ? $anchor : $last);
    };

    my $month = DateTime->new(year => $y, month => $m);
    $month->subtract(months => 1) if $day->ymd lt $first->($month);

    return ($first->($month), $first->($month->clone->add(months => 1)));
}


sub oracle {
    my ($tz, $kind, $anchor, $t) = @_;

    if ($kind eq 'hour') {
        my $local = at($tz, $t);
        my $start = $t - $local->minute * 60 - $local->second;
        my @offsets = map { at($tz, $_)->offset } $start - 1, $t, $start + 3600;

        # where the clocks change it is cut, which t/unit/window.c looks at
        return if grep { $_ != $offsets[1] } @offsets;
        return ($start, $start + 3600);
    }

    my $local = at($tz, $t);
    my @edges = days($kind, $anchor, $local->year, $local->month, $local->day);

    # the clocks went back over midnight: the next window has begun before
    @edges = days($kind, $anchor, split /-/, $edges[1])
        if $t >= begin($tz, $edges[1]);

    return map { begin($tz, $_) } @edges;
}


my $pid = open2(my $out, my $in, $program, '--answer');
$in->autoflush;

my ($n, @wrong) = (0);
my $until = time + $seconds;

while (time < $until && @wrong < 5) {
    my $tz = $zones[rand @zones];
    my $kind = (qw(hour day day week month month))[rand 6];
    my $anchor = $kind eq 'month' ? (1 + int rand 28, 29, 30, 31)[rand 4]
                 : $kind eq 'week' ? int rand 7 : 0;
    my $t = $from + int rand($to - $from);

    # every other one within some hours of the change of a date, or of clocks
    if ($n % 2) {
        my $local = at($tz, $t);
        $t = begin($tz, $local->ymd) + int(rand 3) * 3600 - 3600
             + (-1, 0, 1)[rand 3];
    }

    my @expected = oracle($tz, $kind, $anchor, $t) or next;

    print $in "$tz $kind $anchor $t\n";
    my $line = <$out> // 'no answer';
    chomp $line;
    $n++;

    push @wrong, "$tz $kind $anchor $t: $line, not @expected"
        if $line ne "@expected";
}

close $in;
waitpid $pid, 0;

is($? >> 8, 0, 'the program');
is_deeply(\@wrong, [], 'windows are those of the calendar');
cmp_ok($n, '>', 20, "$n windows were compared");

done_testing;
