# The helper process: works under a lock, waits longer after each crash instead
# of letting nginx fork without end, writes the rest when nginx exits, and does
# its work from a timer with "master_process off".

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Temp ();
use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my %conf = (
    server => <<'END',
location /u {
    api_usage zone=usage plan=big consumer=$arg_c;
    empty_gif;
}
location = /status {
    allow 127.0.0.1;
    deny all;
    api_status;
}
END
);

sub http {
    my ($flush) = @_;

    return <<"END";
api_usage_zone zone=usage:256k store=logs/usage flush=$flush;
api_plan big { quota 1000000 per=lifetime; }
add_header X-Used \$api_quota_used always;
END
}

# perl has no lchown

sub lchown {
    my ($uid, $name) = @_;

    system('chown', '-h', $uid, $name) == 0 or die "cannot chown\n";
}


sub used { return $_[0]->get("/u?c=$_[1]")->header('X-Used') - 1 }

sub charge {
    my ($gw, $consumer, $n) = @_;

    $gw->get("/u?c=$consumer") for 1 .. $n;
}


sub kill_all {
    my ($gw) = @_;

    $gw->kill_master(keep => 1);
    $gw->end_orphans(signal => 'KILL');
}


# A crash at every write, as long as a file is there

my $dir = File::Temp->newdir;

open my $c, '>', "$dir/crash.c" or die;
print $c <<'END';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int
mdb_txn_begin(void *env, void *parent, unsigned flags, void **txn)
{
    int  (*begin)(void *, void *, unsigned, void **);

    if (!(flags & 0x20000) && access(getenv("APIGW_CRASH"), F_OK) == 0) {
        kill(getpid(), SIGKILL);
    }

    begin = dlsym(RTLD_NEXT, "mdb_txn_begin");

    return begin(env, parent, flags, txn);
}

/* before anything is noted of who works */

int
flock(int fd, int operation)
{
    int  (*lock)(int, int);

    if (access(getenv("APIGW_CRASH_EARLY"), F_OK) == 0) {
        kill(getpid(), SIGKILL);
    }

    lock = dlsym(RTLD_NEXT, "flock");

    return lock(fd, operation);
}
END
close $c or die;

system('cc', '-shared', '-fPIC', '-o', "$dir/crash.so", "$dir/crash.c", '-ldl')
    == 0 or die "cannot compile\n";

my $gw = Apigw::Scenario->new(%conf, http => http('100ms'));

{
    local $ENV{LD_PRELOAD} = "$dir/crash.so";
    local $ENV{APIGW_CRASH} = "$dir/crash";
    local $ENV{APIGW_CRASH_EARLY} = "$dir/early";

    # nginx hands on to its children what "env" names
    $gw->conf(%conf, http => http('100ms'),
              main => 'env APIGW_CRASH; env APIGW_CRASH_EARLY;');
    $gw->start;
}

charge($gw, 'a', 10);
sleep 0.5;

$gw->expect_log(qr/exited on signal 9/);

open my $flag, '>', "$dir/crash" or die;
close $flag;

charge($gw, 'a', 5);
ok($gw->wait_log(qr/died while it wrote/), 'a helper that died is noticed');
sleep 1.5;

my @died = $gw->grep_log(qr/process \d+ exited on signal 9/);

cmp_ok(scalar @died, '>=', 1, 'it died');
cmp_ok(scalar @died, '<=', 3, 'and nginx did not fork without end');
is($gw->get('/u?c=a')->code, 200, 'requests go on');

my $store = $gw->root . '/logs/usage/data.mdb';
my $before = (stat $store)[9];

sleep 1.1;
unlink "$dir/crash";

ok(wait_for(sub { (stat $store)[9] > $before }, 10), 'it recovers');
sleep 0.5;

# one that nothing is known of: nginx starts it again and again

open $flag, '>', "$dir/early" or die;
close $flag;

ok(wait_for(sub { $gw->grep_log(qr/exited on signal 9/) > @died + 3 }, 3),
   'broken: without the guard it would fork without end');

unlink "$dir/early";

# a helper that ends itself after its master would count as a fault

ok(wait_for(sub {
    my $pid = $gw->helper or return 0;
    sleep 0.2;
    return ($gw->helper // 0) == $pid;
}, 10), 'and stays when it can');

kill_all($gw);
$gw->conf(%conf, http => http('100ms'));
$gw->start;
is(used($gw, 'a'), 16, 'and nothing was lost');
$gw->finish;


# The lock: while somebody has it, nothing is written

$gw = Apigw::Scenario->start(%conf, http => http('100ms'));
charge($gw, 'a', 5);
sleep 0.4;

open my $lock, '>', $gw->root . '/logs/usage/helper.lock' or die;
ok(wait_for(sub { flock $lock, LOCK_EX | LOCK_NB }, 3), 'the lock is free');

charge($gw, 'a', 5);
sleep 0.8;
kill_all($gw);
close $lock;
$gw->start;
is(used($gw, 'a'), 5, 'without the lock nothing is written');

charge($gw, 'a', 4);
sleep 0.6;
kill_all($gw);
$gw->start;
is(used($gw, 'a'), 10, 'with it everything is');


# Without the directory there is no lock: each flush fails, and one line a
# minute says so

sub number {
    my ($gw, $name) = @_;

    $gw->get('/status')->body =~ /"$name":(\d+)/ or die "no $name\n";
    return $1;
}

my $usage = $gw->root . '/logs/usage';
my $failed = number($gw, 'flush_errors');

rename $usage, "$usage.away" or die "rename: $!\n";
ok(wait_for(sub { number($gw, 'flush_errors') > $failed + 4 }, 10),
   'without the directory');
rename "$usage.away", $usage or die "rename: $!\n";
is(scalar $gw->grep_log(qr/cannot enter|helper\.lock" failed/), 1,
   'one line for five failures');


# A writer that is stopped: neither the helper nor the master waits for it
# without end, and the store is in order

my $flushes = number($gw, 'flushes');
ok(wait_for(sub { number($gw, 'flushes') > $flushes + 1 }, 10), 'flushed');

open my $writer, '<', $gw->root . '/logs/usage/data.mdb' or die;
ok(wait_for(sub { flock $writer, LOCK_EX | LOCK_NB }, 3), 'a writer');

charge($gw, 'a', 5);
my $from = time;
$gw->stop;
cmp_ok(time - $from, '<', 3, 'a stopped writer: nginx ends');
ok($gw->grep_log(qr/cannot be written: another process has it, and is stopped/),
   'and says what is lost');

close $writer;
$gw->start;
is(used($gw, 'a'), 11, 'what was written is there');


# One that holds LMDB's mutex only, as where no file can be locked

SKIP: {
    skip 'APIGW_LONG=1', 3 if !$ENV{APIGW_LONG};

    open $c, '>', "$dir/hold.c" or die;
    print $c <<'END';
#include <lmdb.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    MDB_env  *env;
    MDB_txn  *txn;

    return mdb_env_create(&env) || mdb_env_open(env, argv[1], 0, 0600)
           || mdb_txn_begin(env, NULL, 0, &txn) || write(1, "x", 1) != 1
           || sleep(60);
}
END
    close $c or die;

    system('cc', '-o', "$dir/hold", "$dir/hold.c", '-llmdb') == 0
        or die "cannot compile\n";

    my $pid = open my $out, '-|', "$dir/hold", $gw->root . '/logs/usage'
        or die "fork: $!\n";
    is(getc $out, 'x', 'a writer has the mutex');

    charge($gw, 'a', 5);
    $from = time;
    $gw->expect_log(qr/exited on signal 9/);
    $gw->term;
    cmp_ok(time - $from, '<', 8, 'nginx ends');
    ok($gw->grep_log(qr/cannot be written, the latest is lost: another/),
       'and says what is lost');

    kill 'KILL', $pid;
    close $out;
}

$gw->finish;


# The last flush, in the master.  The master is root's, the directory the
# workers': no link that lies there may lead the master to a file of root.

{
    local $ENV{TEST_NGINX_WORKER_USER} = 'nobody nogroup' if $> == 0;

    $gw = Apigw::Scenario->start(%conf, http => http('60s'));
    sleep 0.3;
    charge($gw, 'a', 7);
    $gw->restart;
    is(used($gw, 'a'), 7, 'QUIT: the master writes what is left');
    charge($gw, 'a', 2);
    $gw->term;
    $gw->start;
    is(used($gw, 'a'), 10, 'TERM: the same');
    charge($gw, 'a', 3);
    kill_all($gw);
    $gw->start;
    is(used($gw, 'a'), 10, 'broken: without it they are lost');

    my $usage = $gw->root . '/logs/usage';
    my $victim = $gw->root . '/victim';

    open my $file, '>', $victim or die;
    print $file "root's\n";
    close $file or die;

    unlink "$usage/helper.lock", "$usage/lock.mdb";
    symlink $victim, "$usage/$_" or die for qw(helper.lock lock.mdb);

    $gw->expect_log(qr/helper\.lock" failed/);
    $gw->stop;

    is((stat $victim)[4] . ' ' . -s $victim, "$> 7",
       'a file of root stays what it is');
    ok($gw->grep_log(qr/helper\.lock" failed/), 'and the log tells');

    unlink "$usage/helper.lock", "$usage/lock.mdb";
    $gw->finish;
}


# Without a master

$gw = Apigw::Scenario->start(%conf, http => http('100ms'), master => 0);
charge($gw, 'a', 6);
sleep 0.5;
kill_all($gw);
$gw->start;
is(used($gw, 'a'), 6, 'master_process off: a timer writes');
charge($gw, 'a', 3);
$gw->restart;
is(used($gw, 'a'), 10, 'and the exit');


# nginx gives the directories of its configuration to the worker user: what is
# no store is refused before

for my $case (['file', '', qr/the store "\S+file" is not a directory/],
              ['dir', '/passwd', qr/"\S+dir" has files and none of them/],
              ['dots', '/.profile', qr/"\S+dots" has files and none of them/])
{
    my ($name, $file, $message) = @$case;
    my $path = $gw->root . "/logs/$name";

    mkdir $path or die "mkdir: $!\n" if $file;
    open my $made, '>', "$path$file" or die "open: $!\n";
    close $made;
    chmod 0744, $path;

    my $before = join ' ', (stat $path)[2, 4];
    my ($status, $text) = $gw->test_config(
        http => "api_usage_zone zone=u:256k store=logs/$name;");

    ok($status && $text =~ $message, "a $name is no store") or diag $text;
    is(join(' ', (stat $path)[2, 4]), $before, 'and stays what it was');
}

mkdir $gw->root . "/logs/$_" or die "mkdir: $!\n" for qw(disk disk/lost+found);

my ($status, $text) = $gw->test_config(
    http => 'api_usage_zone zone=u:256k store=logs/disk;', server => '');

is($status, 0, 'the root of an empty disk may become one') or diag $text;

($status, $text) = $gw->test_config(
    http => 'api_usage_zone zone=u:256k store=logs/no/store;');

like($text, qr{the\ store\ "\S+/no/store"\ cannot\ be\ made,\ there\ is\ no
               \ directory\ "\S+/no"\ in\ \S+:\d+$}xm, 'no parent');


# Whose it is: a store comes to the workers from root or not at all, and no
# file of root by a name of ours

SKIP: {
    my ($me, $him) = map { scalar getpwnam $_ } qw(nobody daemon);

    skip 'needs root, nobody and daemon', 22 if $> != 0 || !$me || !$him;

    my $store;

    my $made = sub {
        my ($name, $owner, %files) = @_;

        $store = $gw->root . "/logs/$name";
        mkdir $_ or die "mkdir: $!\n" for $store, "$store/used";

        for my $file (qw(data.mdb used/data.mdb)) {
            open my $fh, '>', "$store/$file" or die "open: $!\n";
            close $fh;
            chown $files{$file} // $owner, -1, "$store/$file";
        }

        chown $files{used} // $owner, -1, "$store/used";
        chown $owner, -1, $store;
    };

    my $whose = sub {
        join ' ', map { (lstat "$store/$_")[4] }
            '.', qw(data.mdb used used/data.mdb);
    };

    my $tested = sub {
        local $ENV{TEST_NGINX_WORKER_USER} = 'nobody nogroup';
        $store =~ m{([^/]+)$} or die;
        return $gw->test_config(
            http => "api_usage_zone zone=u:256k store=logs/$1;");
    };

    my $refused = sub {
        my ($title, $message) = @_;

        my $before = $whose->();
        my ($status, $text) = $tested->();

        ok($status && $text =~ /$message.* in \S+:\d+$/m, "$title: refused")
            or diag $text;
        is($whose->(), $before, "$title: left alone");
    };

    $made->('root', 0);
    is(($tested->())[0], 0, "root's");
    is($whose->(), "$me $me $me $me", "root's: given with all its files");
    is(($tested->())[0], 0, 'and once more');

    $made->('half', 0, 'data.mdb' => $him);
    is(($tested->())[0], 0, 'a copy with its owners, in a directory of root');
    is($whose->(), "$me $me $me $me", 'is given, too');

    $made->('his', $him);
    $refused->("another user's",
               qr{"\S+his" belongs to user "daemon", and the workers are to }
               . qr{run as "nobody"; if no other nginx uses it, run "chown }
               . qr{-hR nobody \S+/his"});

    $made->('moved', $me, 'data.mdb' => 0);
    $refused->("root's file in the workers' directory",
               qr{"\S+moved/data\.mdb" belongs to user "root"});

    $made->('inner', $me, used => 0);
    $refused->("root's directory in theirs",
               qr{"\S+inner/used" belongs to user "root"});

    $made->('deep', 0, 'data.mdb' => $me, used => $me, 'used/data.mdb' => 0);
    $refused->("root's file in the workers' inner directory",
               qr{"\S+deep/used/data\.mdb" belongs to user "root"});

    $made->('open', 0);
    chmod 0777, $store;
    $refused->('where all may write',
               qr{"\S+open/data\.mdb" belongs to user "root"});

    my $victim = $gw->root . '/root.s';
    open my $fh, '>', $victim or die "open: $!\n";
    close $fh;

    $made->('hard', 0);
    unlink "$store/data.mdb";
    link $victim, "$store/data.mdb" or die "link: $!\n";
    $refused->('a hard link', qr/data\.mdb" is not a regular file of one/);

    $made->('soft', 0);
    unlink "$store/data.mdb";
    symlink $victim, "$store/data.mdb" or die "symlink: $!\n";
    $refused->('a symbolic link', qr/data\.mdb" is not a regular file of one/);

    is((stat $victim)[4], 0, "what is root's is root's");

    $made->('behind', 0);
    symlink $store, $gw->root . '/logs/name' or die "symlink: $!\n";
    lchown($me, $gw->root . '/logs/name');
    my $at = $store;
    $store = $gw->root . '/logs/name';
    ($status, $text) = $tested->();
    like($text, qr/"\S+name" is a symbolic link of user "nobody", and not of/,
         'a link in place of the directory');
    $store = $at;
    is($whose->(), '0 0 0 0', 'what is behind it stays as it was');
}


# Backup while nginx runs, and putting it back, as the manual has it

SKIP: {
    my $apigw = Apigw::Scenario::built('apigw');
    my $as = $> == 0 ? 'setpriv --reuid nobody --clear-groups' : '';

    skip 'needs mdb_copy and apigw', 6
        if !$apigw || system('command -v mdb_copy >/dev/null') != 0;

    local $ENV{TEST_NGINX_WORKER_USER} = 'nobody nogroup' if $> == 0;

    $gw->stop;
    $gw->conf(
        master => 1,
        http => http('100ms')
                . 'auth_api_key_zone zone=k:1m store=logs/keys;',
        server => <<'END');
location /k { auth_api_key zone=k; empty_gif; }
location /u {
    api_usage zone=usage plan=big consumer=$arg_c;
    empty_gif;
}
END
    $gw->start;

    my $logs = $gw->root . '/logs';
    my @key = map { `$apigw key create --store $logs/keys --consumer joe \\
                     --id $_ 2>/dev/null` =~ s/\n//r } 'a', 'b';
    my $keys = sub {
        join ' ', map { $gw->get('/k', 'X-API-Key' => $_)->code } @key;
    };

    charge($gw, 'joe', 4);
    sleep 0.5;
    is($keys->(), '200 200', 'two keys');

    for my $name (qw(keys usage)) {
        is(system("$as mdb_copy $logs/$name > $logs/$name.mdb"), 0,
           "a copy of $name");
    }

    charge($gw, 'joe', 3);
    system("$apigw key revoke --store $logs/keys a 2>/dev/null");
    is($keys->(), '401 200', 'one is revoked');

    $gw->stop;

    for my $name (qw(keys usage)) {
        rename "$logs/$name", "$logs/$name.old" or die "rename: $!\n";
        mkdir "$logs/$name" or die "mkdir: $!\n";
        system('cp', "$logs/$name.mdb", "$logs/$name/data.mdb");
    }

    $gw->start;
    is(used($gw, 'joe'), 4, 'what was counted before');
    is($keys->(), '200 200', 'and both keys');
}

done_testing;
