# Random kill -9 of workers, the helper, the master and of everything, and
# reloads, under load: the ledger and the quota say what clients were answered,
# but for what was under way and, after a kill of everything, what was not
# flushed yet.  APIGW_LONG makes it last a minute and more, APIGW_CHAOS_ROUNDS
# sets for how many kills, APIGW_CHAOS_SEED repeats.

use strict;
use warnings;

use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $rounds = $ENV{APIGW_CHAOS_ROUNDS} // ($ENV{APIGW_LONG} ? 60 : 6);
my $seed = $ENV{APIGW_CHAOS_SEED} // time;

srand $seed;
note("APIGW_CHAOS_SEED=$seed");

my $gw = Apigw::Scenario->start(
    workers => 2,
    http    => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan big { quota 100000000 per=lifetime; quota 90000000 per=month; }
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=big consumer=c$arg_c;
    empty_gif;
}
END
);

my @actions = (
    sub { $gw->kill_worker; 'worker' },
    sub { $gw->kill_helper if $gw->helper; 'helper' },
    sub { $gw->reload; 'reload' },
    sub {
        $gw->kill_master(keep => 1);
        $gw->end_orphans(signal => 'KILL');
        $gw->start;
        return 'everything';
    },
);

my ($answered, $errors, $unflushed) = (0, 0, 0);

for my $round (1 .. $rounds) {
    my $action = $round <= @actions ? $round - 1 : int rand @actions;

    my $wait = $gw->load_start(clients => 3, seconds => 0.8,
                               uri => sub { '/u?c=' . $_[1] % 7 });

    sleep 0.1 + rand 0.5;
    my $what = $actions[$action]->();

    my $load = $wait->();

    $answered += $load->{status}{200} // 0;
    $errors += $load->{errors};
    $unflushed += $load->{status}{200} // 0 if $what eq 'everything';

    note("$what: ", $load->{status}{200} // 0, " answers, $load->{errors}",
         ' errors');
}

$gw->restart;

my $store = $gw->root . '/logs/usage';
my ($status, $out) = cli('usage', 'report', '--store', $store, '--json',
                         '--by', 'month');
my $ledger = 0;
$ledger += decode_json($_)->{requests} for split /\n/, $out;

my $quota = 0;

for my $n (0 .. 6) {
    ($status, $out) = cli('usage', 'show', '--store', $store, '--json', "c$n");

    for (map { decode_json($_) } split /\n/, $out) {
        $quota += $_->{used} if $_->{per} eq 'lifetime';
    }
}

# a worker that is killed has at most one request of each client under way

my $under_way = $errors + 3 * $rounds;

cmp_ok($answered, '>', 100 * $rounds, 'there was load');
cmp_ok($ledger, '<=', $answered + $under_way, 'ledger: nothing twice');
cmp_ok($ledger, '>=', $answered - $under_way - $unflushed,
       'ledger: nothing flushed is lost');
cmp_ok($quota, '<=', $answered + $under_way, 'quota: nothing twice');
cmp_ok($quota, '>=', $answered - $under_way - $unflushed,
       'quota: nothing flushed is lost');

note("answered $answered, errors $errors, ledger $ledger, quota $quota,"
     . " of rounds that killed everything $unflushed");

done_testing;
