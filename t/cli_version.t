# apigw version report: the lines and their order, filters, days, the table,
# CSV and JSON, what is refused; a store that is empty, damaged or not ours.

use strict;
use warnings;

use JSON::PP qw(decode_json);
use POSIX qw(strftime);
use Test::More;

use lib 't/lib';
use Apigw::Command;
use Apigw::Scenario ();

my $maker = Apigw::Scenario::built('unit/tally');

plan skip_all => 'the unit tests are not built' if !$maker || !-x $maker;

my $apigw = Apigw::Command->new;

# Days that are over by UTC: a test that starts at midnight would differ.
my $time = time;
sleep 1 while ($time = time) % 86400 > 86395;

sub day { return strftime('%Y-%m-%d', gmtime($time - 86400 * $_[0])) }

is(system($maker, '--make', $apigw->{store}), 0, 'a store of three days');

sub report { return $apigw->run('version', 'report', @_) }

sub lines {
    my $r = report('--json', @_);

    is($r->{status}, 0, "@_") or diag($r->{err});

    return map { decode_json($_) } split /\n/, $r->{out};
}


# By version: ten calls yesterday, twenty and thirty on the days before

my @all = lines();

is_deeply([map { "$_->{api} $_->{version} $_->{calls}" } @all],
    ['orders v1 60', 'orders v2 0'], 'a line a version, called or not');
is_deeply([@{$all[0]}{qw(status deprecated sunset successor callers refused)}],
    ['deprecated', '1970-01-02T00:00:00Z', '2099-01-01T00:00:00Z', 'v2', 4, 0],
    'what is known of the version');
is($all[0]{last}, day(1) . 'T01:00:09Z', 'the last call');
is($all[1]{last}, undef, 'no call');

is_deeply([map { $_->{version} } lines('--deprecated')], ['v1'],
    'those that end');
is_deeply([map { $_->{version} } lines('--version=v2')], ['v2'], 'one version');
is_deeply([lines('--api', 'parcels')], [], 'an API that is not there');

my ($to, $from) = (day(0), day(29));
my $none = report('--api', 'parcels', '--version=v1');

is($none->{err}, "apigw: nothing to report of API parcels of version v1"
    . " from $from to $to\n", 'a note says so');
is($none->{status}, 0, 'which is no error');
like($none->{out}, qr/\AAPI +VERSION .*\n\z/, 'the head of the table');
is(report('--by', 'caller', '--to', day(10))->{err},
    "apigw: nothing to report from " . day(39) . " to " . day(10) . "\n",
    'days without calls');
is(report('--api', 'orders')->{err}, '', 'no note where there is something');


# By caller, day and source

is_deeply([map { "$_->{caller} $_->{calls} $_->{last}" } lines('--by=caller')],
    ['caller-0 16 ' . day(1) . 'T01:00:08Z',
     'caller-1 16 ' . day(1) . 'T01:00:09Z',
     'caller-2 14 ' . day(1) . 'T01:00:06Z',
     'caller-3 14 ' . day(1) . 'T01:00:07Z'], 'callers, who calls most first');
is_deeply([map { "$_->{day} $_->{calls} $_->{callers}" } lines('--by', 'day')],
    [map { day($_) . ' ' . 10 * $_ . ' 4' } 3, 2, 1], 'days');
is_deeply([map { "$_->{source} $_->{calls}" } lines('--by', 'source')],
    ['path 60'], 'sources');


# Days

is((lines('--from', day(2)))[0]{calls}, 30, 'from a day on');
is((lines('--to', day(2)))[0]{calls}, 50, 'up to a day');
is((lines('--from', day(2), '--to', day(2)))[0]{calls}, 20, 'one day');
is((lines('--from', day(40), '--to', day(10)))[0]{calls}, 0, 'none of them');


# The forms

my ($last, $sunset) = (day(1) . 'T01:00:09Z', '2099-01-01T00:00:00Z');

is(report()->{out}, <<"END", 'the table');
API     VERSION  STATUS      SUNSET                CALLS  REFUSED  CALLERS  LAST
orders  v1       deprecated  $sunset     60        0        4  $last
orders  v2       -           -                         0        0        0  -
END

is(report('--csv')->{out}, <<"END", 'CSV');
api,version,status,deprecated,sunset,successor,calls,refused,callers,last
orders,v1,deprecated,1970-01-02T00:00:00Z,$sunset,v2,60,0,4,$last
orders,v2,,,,,0,0,0,
END

is(report('--csv', '--by', 'day', '--from', day(1))->{out},
    "day,api,version,calls,refused,callers,last\n"
    . day(1) . ",orders,v1,10,0,4,$last\n", 'CSV by day');


# What is refused

sub refused {
    my ($status, $message, @args) = @_;

    my $r = report(@args);

    is($r->{status}, $status, "@args: status");
    like($r->{err}, qr/\Aapigw: \Q$message/, "@args: message");
    is($r->{out}, '', "@args: nothing else");
}

refused(2, '--by is "caller", "day" or "source", not "month"', '--by=month');
refused(2, '--by is "caller", "day" or "source", not "version"',
        '--by=version');
refused(2, '--csv or --json, not both', '--csv', '--json');
refused(2, '--from: "2026-02-30" is not a date like 2026-01-31',
        '--from=2026-02-30');
refused(2, '--to: "x" is not a date like 2026-01-31', '--to=x');
refused(2, '--from (' . day(1) . ') is after --to (' . day(2) . ')', '--from',
        day(1), '--to', day(2));
refused(2, 'too many arguments', 'v1');
refused(2, 'unknown option "--plan"', '--plan=x');

my $empty = Apigw::Command->new;

is($empty->run('version', 'report', '--json')->{out}, '', 'an empty store');
is($empty->run('version', 'report')->{status}, 0, 'an empty store: status');
like($empty->run('version', 'report', '--deprecated')->{err},
    qr/nothing to report of deprecated versions from/, 'an empty store: note');

my $r = $empty->run({ nostore => 1 }, 'version', 'report', '--store',
    "$empty->{dir}/none");
is($r->{status}, 1, 'no directory');
like($r->{err}, qr/\Aapigw: cannot open the store/, 'no directory: message');

my $keys = Apigw::Command->new;
$keys->run('key', 'create', '--consumer', 'acme');
$r = $keys->run('version', 'report');
is($r->{status}, 1, 'the store of keys');
like($r->{err}, qr/the store cannot be used|cannot open the store/,
    'the store of keys: message');

$r = $apigw->run({ out => '/dev/full' }, 'version', 'report');
is($r->{status}, 1, 'a full disk');

done_testing;
