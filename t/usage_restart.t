# What was counted survives: a restart, kill -9 of the helper, of the master
# and of everything, and a binary upgrade with two masters counting at once.
# Nothing is ever counted twice.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my %conf = (
    workers => 2,
    http    => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan big { quota 1000000 per=lifetime; }
api_plan n50 { quota 50 per=lifetime; }
add_header X-Used $api_quota_used always;
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=$arg_p consumer=$arg_c;
    empty_gif;
}
END
);

my $gw = Apigw::Scenario->start(%conf);

sub used {
    return $gw->get("/u?p=big&c=$_[0]")->header('X-Used') - 1;
}

sub charge {
    my ($consumer, $n) = @_;

    my $client = $gw->connect;
    $client->get("/u?p=big&c=$consumer") for 1 .. $n;
}

# longer than an interval and the flush itself
sub flushed { sleep 0.4 }


# The helper leaves the processors to the workers

sub nice_of {
    open my $in, '<', "/proc/$_[0]/stat" or return 'none';
    return (split ' ', <$in> =~ s/.*\) //r)[16];
}

my $nice = nice_of($$);
my $nicer = $nice < 10 ? $nice + 10 : 19;
ok(wait_for(sub { nice_of($gw->helper) == $nicer }, 3),
   'the helper has the lower priority');
is(join(' ', map { nice_of($_) } $gw->workers), "$nice $nice",
   'the workers have not');


# Restart

charge('quit', 20);
$gw->restart;
is(used('quit'), 20, 'restart: everything was written at the end');

$gw->restart for 1 .. 3;
is(used('quit'), 21, 'three restarts: the same');

charge('term', 20);
$gw->term;
$gw->start;
is(used('term'), 20, 'TERM: the same');

opendir my $dir, $gw->root . '/logs/usage' or die;
my @instances = grep { /^instance\./ } readdir $dir;
closedir $dir;

ok(wait_for(sub {
    opendir my $dir, $gw->root . '/logs/usage' or die;
    1 == grep { /^instance\./ } readdir $dir;
}, 3), 'files of dead instances are removed');


# The helper

charge('helper', 10);
flushed();

for (1 .. 3) {
    $gw->kill_helper;
    charge('helper', 5);
}

is(used('helper'), 25, 'kill -9 of the helper: nothing is lost');

ok(wait_for(sub { $gw->helper }, 3), 'there is a new one');
sleep 1.2;
$gw->kill_master;
$gw->start;
is(used('helper'), 26, 'and it has written');


# Everything

charge('all', 30);
flushed();
$gw->kill_master(keep => 1);
$gw->end_orphans(signal => 'KILL');
$gw->start;
is(used('all'), 30, 'kill -9 of everything: what was flushed is there');

charge('late', 7);
flushed();
charge('late', 10);
$gw->kill_master(keep => 1);
$gw->end_orphans(signal => 'KILL');
$gw->start;
my $after = used('late');
cmp_ok($after, '>=', 7, 'killed within the interval: not less than flushed');
cmp_ok($after, '<=', 17, 'killed within the interval: not more than counted');


# A quota over crashes: never more than the limit, plus what was lost unflushed

my $passed = 0;

for my $round (1 .. 4) {
    for (1 .. 15) {
        $passed++ if $gw->get('/u?p=n50&c=crash')->code == 200;
    }

    flushed();
    $gw->kill_master(keep => 1);
    $gw->end_orphans(signal => 'KILL');
    $gw->start;
}

is($passed, 50, 'a quota over four crashes admits exactly its limit');
is($gw->get('/u?p=n50&c=crash')->code, 429, 'and stays used up');


# The master alone: its workers go on and are one instance, the new nginx is
# another one; they agree through the store.

{
    charge('two', 10);
    flushed();

    $gw->upgrade(between => sub {
        for (1 .. 10) {
            charge('two', 3);
            sleep 0.15;
        }
    });

    charge('two', 5);
    flushed();

    is(used('two'), 45, 'binary upgrade: both masters\' counts are there');

    $gw->restart;
    is(used('two'), 46, 'and still after a restart');
}

done_testing;
