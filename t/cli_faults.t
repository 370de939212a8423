# The apigw command loses nothing and says what is wrong: several at once,
# kill -9 at any time, closed descriptors, no room left, a store that is
# read-only, somebody else's, of another version, truncated or overwritten.

use strict;
use warnings;

use IO::Handle ();
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use lib 't/lib';
use Apigw::Command;

my $apigw = Apigw::Command->new;
my @kept;
my $r;


sub ids {
    my $r = $apigw->run('key', 'list', '--json');

    # who was killed early has made no store, and a reader makes none

    ok($r->{status} == 0
       || ($r->{err} =~ /there is no store in/
           && !-e "$apigw->{store}/data.mdb"), 'list') or diag($r->{err});

    return map { decode_json($_)->{id} } split /\n/, $r->{out};
}


sub create {
    my ($id, @args) = @_;

    return $apigw->run('key', 'create', '--consumer', 'acme', '--id', $id,
                       @args);
}


sub fails {
    my ($name, $r, $expected) = @_;

    is($r->{status}, 1, "$name: status");
    like($r->{err}, $expected, "$name: text");
    is($r->{out}, '', "$name: nothing on standard output");
}


# What a killed process wrote last was not to be: the number of its transaction
# is that of the next process, or there is none yet.

sub check_log {
    my ($name, @ids) = @_;

    my (%process, %logged);
    my ($back, $last) = (0, 0);

    for my $line ($apigw->audit) {
        my $txn = $line->{txn};

        $back++ if $txn < $last;
        $last = $txn;

        delete $logged{$txn} if ($process{$txn} // 0) != $line->{pid};
        $process{$txn} = $line->{pid};
        push @{ $logged{$txn} }, $line->{id};
    }

    my %there = map { $_ => 1 } @ids;
    my $open = delete $logged{$last} // [];
    my %done = map { $_ => 1 } map { @$_ } values %logged;
    my %known = (%done, map { $_ => 1 } @$open);

    is($back, 0, "$name: the log is in the order of transactions");
    is(scalar(grep { !$known{$_} } @ids), 0,
       "$name: every key is in the log");
    is(scalar(grep { !$there{$_} } keys %done), 0,
       "$name: what is in the log has been done");
}


# several at once

{
    my @pids;

    for my $n (1 .. 4) {
        my $pid = fork // die "fork: $!\n";

        if ($pid == 0) {
            for my $k (1 .. 15) {
                my $one = $apigw->start({ out => '/dev/null',
                                          err => '/dev/null' },
                                        'key', 'create', '--consumer', 'acme',
                                        '--id', "p$n-$k");
                waitpid $one, 0;
                POSIX::_exit(1) if $?;
            }

            POSIX::_exit(0);
        }

        push @pids, $pid;
    }

    my $failed = grep { waitpid $_, 0; $? != 0 } @pids;

    is($failed, 0, 'four at once: none fails');

    my @ids = ids();
    is(scalar @ids, 60, 'four at once: all keys are there');
    check_log('four at once', @ids);

    my %txns = map { $_->{txn} => 1 } $apigw->audit;
    is(scalar keys %txns, 60, 'four at once: a transaction each');
}


# one of two rotations wins

for my $round (1 .. 6) {
    create("r$round");

    my @pids = map { $apigw->start({ out => "$apigw->{dir}/rotate$_",
                                     err => '/dev/null' },
                                   'key', 'rotate', "r$round", '--overlap',
                                   '1d') } 1 .. 2;

    my $done = grep { waitpid $_, 0; $? == 0 } @pids;
    my $keys = join '', map { Apigw::Command::slurp("$apigw->{dir}/rotate$_") }
                        1 .. 2;

    ok($done == 1 && $keys =~ /\Aak_\w{49}\n\z/,
       "rotation $round of a key by two: one new key");
}


# kill -9

my $file = "$apigw->{dir}/keys.ndjson";
my $all = 3000;
my $batch = 50;

Apigw::Command::spew($file, join '',
    map { encode_json({ key => sprintf('killed-key-%06d', $_), id => "k$_",
                        consumer => "c$_" }) . "\n" } 1 .. $all);

sub kill_import {
    my ($after, @args) = @_;

    my $pid = $apigw->start({ out => '/dev/null', err => '/dev/null' },
                            'key', 'import', @args, $file);
    sleep $after;
    kill 'KILL', $pid;
    waitpid $pid, 0;

    return $? == 9;
}

my $killed = 0;

for my $round (1 .. 8) {
    $apigw = fresh_store();
    $killed += kill_import(0.012 * $round);

    my @ids = ids();

    ok(@ids == 0 || @ids == $all, "killed in an import, round $round: "
                                  . scalar(@ids) . " keys");
    check_log("round $round", @ids);
}

cmp_ok($killed, '>', 0, "$killed imports were killed at work");

$apigw = fresh_store();
my $before = 0;

for my $round (1 .. 15) {
    kill_import(0.02 + 0.004 * ($round % 7), '--batch', $batch);

    my @ids = ids();

    ok(@ids % $batch == 0 && @ids >= $before, "killed in batches, round "
       . "$round: " . scalar(@ids) . " keys");
    check_log("round $round of batches", @ids);
    $before = @ids;

    last if @ids == $all;
}

$r = $apigw->run('key', 'import', $file, '--batch', $batch);
is($r->{status}, 0, 'an import after all that');
is(scalar(() = ids()), $all, 'completes the keys');

# a key is there with its line, or not at all

$apigw = fresh_store();

for my $round (1 .. 25) {
    my $pid = $apigw->start({ out => "$apigw->{dir}/key$round",
                              err => '/dev/null' },
                            'key', 'create', '--consumer', 'x', '--id',
                            "x$round");
    sleep 0.0005 * $round;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

my @ids = ids();
check_log('killed creations', @ids);

my %there = map { $_ => 1 } @ids;
my @shown = grep { -s "$apigw->{dir}/key$_" } 1 .. 25;

is(scalar(grep { !$there{"x$_"} } @shown), 0,
   'every key that was shown is there');
is(create('y')->{status}, 0, 'and another one can be made');


# more expired keys than are purged at a time

$apigw = fresh_store();

$r = $apigw->run({ stdin => join '', map {
    encode_json({ key => sprintf('expired-key-%06d', $_), id => "e$_",
                  consumer => 'c', expires => $_ == 7 ? '2099-01-01'
                                                      : '2001-01-01' }) . "\n"
} 1 .. 2500 }, 'key', 'import');
is($r->{status}, 0, 'expired keys');

like($apigw->run('key', 'purge')->{err}, qr/removed 2499 keys/, 'purge');
is(join(' ', ids()), 'e7', 'the key that has time is left');
is(scalar(grep { $_->{action} eq 'purge' } $apigw->audit), 2499,
   'a line for each');


# standard input, output and error closed by the caller

$apigw = fresh_store();
create('c1');

my $data = Apigw::Command::slurp("$apigw->{store}/data.mdb");

for my $fds ([0], [1], [2], [1, 2], [0, 1, 2]) {
    my $closed = sub { POSIX::close($_) for @$fds };

    for my $verb (['show', 'none'], ['show', 'c1'], ['list'], ['find']) {
        $r = $apigw->run({ before => $closed }, 'key', @$verb);
        is($r->{status}, $verb->[-1] =~ /none|find/ || "@$fds" =~ /1/ ? 1 : 0,
           "@$verb with @$fds closed: status");
    }

    is(Apigw::Command::slurp("$apigw->{store}/data.mdb"), $data,
       "@$fds closed: the store is as it was");
}

is(join(' ', ids()), 'c1', 'closed descriptors: the key is there');

for my $fds ([1], [1, 2], [0, 1, 2]) {
    my $closed = sub { POSIX::close($_) for @$fds };

    $r = $apigw->run({ before => $closed }, 'key', 'create', '--consumer',
                     'acme', '--id', 'c2');
    is($r->{status}, 1, "create with @$fds closed: status");
    is($r->{err}, "@$fds" =~ /2/ ? '' : 'apigw: cannot write to standard '
                                        . "output: Bad file descriptor\n",
       'says why, if it can');
    is(join(' ', ids()), 'c1', 'no key stays');
    is(scalar(grep { Apigw::Command::slurp($_) =~ /ak_[0-9A-Za-z]{49}/ }
              glob "$apigw->{store}/*"), 0, 'nor is it in a file');
}

$r = $apigw->run({ before => sub { POSIX::close(0); POSIX::close(2) } },
                 'key', 'create', '--consumer', 'acme', '--id', 'c3');
like($r->{out}, qr/\Aak_\w{49}\n\z/, 'a key is shown where the rest is '
                                      . 'closed');
is($r->{status}, 0, 'and created');
is(join(' ', ids()), 'c1 c3', 'and there');


# a file that may not grow, as if there were no room

$apigw = fresh_store();
create("b$_") for 1 .. 3;

my $log = Apigw::Command::slurp("$apigw->{store}/audit.log");

my @limited = (through => ['/bin/sh', '-c', 'ulimit -f 100; exec "$@"', 'sh']);

$r = $apigw->run({ @limited }, 'key', 'import', $file);
is($r->{status}, 1, 'no room for an import: status');
like($r->{err}, qr/: File too large\n/, 'no room for an import: text');
like($r->{err}, qr/ 0 keys were added/, 'no room for an import: nothing');
is(join(' ', ids()), 'b1 b2 b3', 'no room: the keys are there');
is(Apigw::Command::slurp("$apigw->{store}/audit.log"), $log,
   'no room: so is the log, without what was not to be');

# and of the log alone

Apigw::Command::spew("$apigw->{store}/audit.log", "{}\n" x 40000);
$r = $apigw->run({ @limited }, 'key', 'create', '--consumer', 'x');
fails('no room for the log', $r, qr/cannot write ".*audit.log": File too/);
is(join(' ', ids()), 'b1 b2 b3', 'no change without a line');
is(-s "$apigw->{store}/audit.log", 120000, 'and no part of a line');


# a small file system

SKIP: {
    my $small = small_disk() or skip 'cannot mount a tmpfs', 20;

    $apigw->{store} = "$small->{dir}/store";
    mkdir $apigw->{store} or die "mkdir: $!\n";

    # a change may find room that the one before did not have

    my ($n, $failed) = (0, 0);

    while ($n < 3000 && $failed < 5) {
        $r = create("f$n", '--description', 'd' x 900);
        $r->{status} == 0 ? $n++ : $failed++;
    }

    cmp_ok($n, '>', 100, "the disk is full after $n keys");
    fails('a full disk', $r, qr/: No space left on device\n\z/);

    @ids = ids();
    is(scalar @ids, $n, 'a full disk: nothing is lost');
    is(scalar(grep { $_->{action} eq 'create' } $apigw->audit), $n,
       'a full disk: nor in the log');

    $r = $apigw->run('key', 'import', $file);
    is($r->{status}, 1, 'import on a full disk');
    is(scalar(() = ids()), $n, 'import on a full disk: nothing');

    # read-only

    is(system("mount -o remount,ro $small->{dir}"), 0, 'read-only');

    fails('a change of a read-only store', create('x'),
          qr/cannot open the store ".*": Read-only file system/);
    is(scalar(() = ids()), $n, 'a read-only store can be listed');

    for my $verb (['show', 'f0'], ['export']) {
        $r = $apigw->run({ out => '/dev/null' }, 'key', @$verb);
        is($r->{status}, 0, "$verb->[0] of a read-only store")
            or diag($r->{err});
    }

    for my $verb (['revoke', 'f0'], ['import', $file], ['purge']) {
        fails("$verb->[0] in a read-only store", $apigw->run('key', @$verb),
              qr/cannot open the store ".*": Read-only file system/);
    }
}


# a store that is not there, or not ours

$apigw = fresh_store();

rmdir $apigw->{store};
fails('no directory', create('x'), qr/there is no directory ".*" \(nginx/);
Apigw::Command::spew($apigw->{store}, '');
fails('a file', create('x'), qr/cannot open the store ".*": Not a directory/);

SKIP: {
    my ($name, $uid, $gid) = (getpwnam('nobody'))[0, 2, 3];

    skip 'needs root and nobody', 21 if $< != 0 || !defined $uid;

    $apigw = fresh_store();
    chown $uid, $gid, $apigw->{store} or die "chown: $!\n";

    is(create('x')->{status}, 0, 'root in a directory of another user');
    is(scalar(grep { (stat)[4] == $uid } glob "$apigw->{store}/*"), 3,
       'leaves files of that user');

    my $as = sub {
        POSIX::setgid($_[0]) && POSIX::setuid($_[0]);
    };

    # the binary may be where another user cannot go
    my $copy = "$apigw->{dir}/apigw";
    system('cp', Apigw::Command::binary(), $copy);
    local $ENV{APIGW_CLI} = $copy;

    $r = $apigw->run({ before => sub { $as->($uid) } }, 'key', 'show', 'x');
    is($r->{status}, 0, 'the owner himself');

    chmod 0755, $apigw->{store};
    $r = $apigw->run({ before => sub { $as->($uid - 1) } }, 'key', 'show',
                     'x');
    fails('a third user', $r, qr/: Permission denied \(it takes root or/);

    chmod 0700, $apigw->{store};
    $r = $apigw->run({ before => sub { $as->($uid - 1) } }, 'key', 'list');
    fails('a closed directory', $r, qr/: Permission denied/);

    fails("a closed directory: $_->[0]",
          $apigw->run({ before => sub { $as->($uid - 1) } }, @$_),
          qr/cannot open the store ".*": Permission denied \(it takes root or/)
        for ['usage', 'report'], ['version', 'report'];

    # a relative path from where the owner may not be

    mkdir "$apigw->{dir}/private", 0700 or die "mkdir: $!\n";
    my $there = sub {
        chdir "$apigw->{dir}/private" and $ENV{APIGW_STORE} = '../store';
    };

    $r = $apigw->run({ before => $there, nostore => 1 }, 'key', 'show', 'x');
    is($r->{status}, 0, "a relative path from root's own directory")
        or diag $r->{err};

    # nor where an export may not be written

    my ($ledger, $dir) = map { "$apigw->{dir}/$_" } qw(ledger private);
    mkdir $ledger or die "mkdir: $!\n";
    chown $uid, $gid, $ledger;

    my @export = ('usage', 'export', '--store', $ledger, '--dir');
    fails('an export into the directory of root',
          $apigw->run({ nostore => 1 }, @export, $dir),
          qr/"\S+private\/chain": Permission denied \(root works as the owner/);
    fails('an export to nowhere',
          $apigw->run({ nostore => 1 }, @export, "$dir/x"),
          qr/there is no directory "\S+private\/x"/);
    chown $uid, $gid, $dir;
    is($apigw->run({ before => $there, nostore => 1 }, @export, '.')->{status},
       0, 'an export');
    fails('verify of nothing',
          $apigw->run({ nostore => 1 }, 'usage', 'verify', '--dir', "$dir/x"),
          qr/there is no directory "\S+private\/x"/);

    # a file that root has put into it

    chown 0, 0, "$apigw->{store}/data.mdb";
    fails('a file of root', $apigw->run('key', 'list'),
          qr/: Permission denied \(root works as the owner of the directory/);
}


# a store of another version, and a record of another version

sub patch {
    my ($from, $to) = @_;

    my $data = Apigw::Command::slurp("$apigw->{store}/data.mdb");
    my $n = $data =~ s/\Q$from\E/$to/g;

    Apigw::Command::spew("$apigw->{store}/data.mdb", $data);

    return $n;
}

$apigw = fresh_store();
create('old');

ok(patch('apigw-keys 2', 'apigw-keys 9'), 'another version');
fails('a store of another version', $apigw->run('key', 'list'),
      qr/cannot open the store ".*": this is a store of another kind or ver/);
patch('apigw-keys 9', 'apigw-keys 2');
is(join(' ', ids()), 'old', 'and back');

create('other');
ok(reseal('old', sub { s/\A\x01/\x02/ }), 'a record of another version');

for my $verb (['list', '--json'], ['export']) {
    $r = $apigw->run('key', @$verb);
    is($r->{status}, 1, "$verb->[0] with a record of another version");
    like($r->{err}, qr/: 1 keys are left out, they cannot be read: .*version/,
         'says so');
    like($r->{out}, qr/\A\{"id":"other"[^\n]*\n\z/, 'and has the others');
}

for my $verb (['show', 'old'], ['update', 'old', '--plan', 'x'],
              ['disable', 'old'], ['rotate', 'old', '--overlap', '1d'])
{
    $r = $apigw->run('key', @$verb);
    is($r->{status}, 1, "$verb->[0] of a record of another version");
    like($r->{err}, qr/"old".*: .*version/, 'says so');
}

is($apigw->run('key', 'show', 'other')->{status}, 0, 'others can be read');
is($apigw->run('key', 'revoke', 'old')->{status}, 0, 'it can be revoked');
is(join(' ', ids()), 'other', 'and is gone');


# a damaged store

sub damaged {
    my ($name, $change) = @_;

    $apigw = fresh_store();
    $apigw->run('key', 'import', $file);
    $change->("$apigw->{store}/data.mdb");

    for my $verb (['list'], ['create', '--consumer', 'x'], ['export'],
                  ['revoke', 'k7'], ['purge'])
    {
        my $r = $apigw->run({ out => '/dev/null' }, 'key', @$verb);

        is($r->{status}, 1, "$verb->[0] in a store $name: status");
        like($r->{err}, qr/^apigw: .*\bstore\b/m, "$verb->[0]: text");
    }
}

damaged('without its end', sub { truncate $_[0], 8192 or die });
damaged('that is empty', sub { truncate $_[0], 0 or die });
damaged('that is gone', sub { unlink $_[0] or die });

is(join(' ', glob "$apigw->{store}/*.mdb"), "$apigw->{store}/lock.mdb",
   'no new one is made');
unlink "$apigw->{store}/lock.mdb";
is(create('anew')->{status}, 0, 'but without a lock file');


# a record that was damaged on the disk

$apigw = fresh_store();
create('bad');
create('good');

my $record = quotemeta "\1\1\0\3bad";
my $bits = Apigw::Command::slurp("$apigw->{store}/data.mdb");
$bits =~ s/($record.{10})(.)/$1 . ($2 ^ "\x04")/gse;
Apigw::Command::spew("$apigw->{store}/data.mdb", $bits);

fails('show of a damaged record', $apigw->run('key', 'show', 'bad'),
      qr/"bad".*: a record is damaged/);
$r = $apigw->run('key', 'list', '--json');
is($r->{status}, 1, 'a list with a damaged record');
like($r->{err}, qr/: 1 keys are left out, they cannot be read/, 'says so');
like($r->{out}, qr/\A\{"id":"good"[^\n]*\n\z/, 'and has the others');
is($apigw->run('key', 'revoke', 'bad')->{status}, 0, 'it can be revoked');


# a change that waits for another one says so

$apigw = fresh_store();
create('first');
my $size = -s "$apigw->{store}/audit.log";

my $import = $apigw->start({ out => '/dev/null', err => '/dev/null' },
                           'key', 'import', $file);

# stopped with a part of its log written, it is in its transaction

for (1 .. 3000) {
    last if -s "$apigw->{store}/audit.log" > $size;
    sleep 0.001;
}

kill 'STOP', $import;

my $create = $apigw->start({ out => "$apigw->{dir}/out",
                             err => "$apigw->{dir}/told" },
                           'key', 'create', '--consumer', 'x', '--id', 'z');

sub told { Apigw::Command::slurp("$apigw->{dir}/told") }

for (1 .. 40) {
    last if told() ne '';
    sleep 0.1;
}

is(told(), "apigw: another process is changing the store, waiting for it\n",
   'who waits says so');
is($apigw->run('key', 'show', 'first')->{status}, 0, 'readers do not wait');

kill 'CONT', $import;
waitpid $import, 0;
is($?, 0, 'the import ends');
waitpid $create, 0;
is($?, 0, 'and then the change is done');
is(scalar(() = ids()), $all + 2, 'both are there');
like(told(), qr/\Aapigw: another process[^\n]*\napigw: created the key "z"/,
     'said once');


# an import that takes long says how far it is

$apigw = fresh_store();
my $pipe = "$apigw->{dir}/pipe";
POSIX::mkfifo($pipe, 0600) or die "mkfifo: $!\n";

$import = $apigw->start({ out => '/dev/null', err => "$apigw->{dir}/told" },
                        'key', 'import', $pipe);

open my $slow, '>', $pipe or die "$pipe: $!\n";
$slow->autoflush(1);

my @lines = split /^/, Apigw::Command::slurp($file);

for my $part ([0 .. 9], [10 .. 1999], [2000 .. $#lines]) {
    print $slow @lines[@$part];
    sleep 1.2 if $part->[0] < 2000;
}

close $slow;
waitpid $import, 0;
is($?, 0, 'a slow import');
like(told(), qr/\Aapigw: \Q$pipe\E: [123]\d{3} lines read\n[^\n]* added/,
     'said how far it was');

damaged('overwritten', sub {
    my $size = -s $_[0];

    open my $out, '+<:raw', $_[0] or die;
    seek $out, 8192, 0;
    print $out pack 'L*', map { 0xdeadbeef ^ $_ * 2654435761 & 0xffffffff }
                          1 .. ($size - 8192) / 4;
    close $out or die;
});
damaged('of garbage', sub { Apigw::Command::spew($_[0], 'x' x 100000) });

done_testing();


sub fresh_store {
    my $new = Apigw::Command->new;

    # the directory of the first one holds the files of this test
    push @kept, $apigw;

    return $new;
}


# Changes the record of a key and gives it a new seal.

sub reseal {
    my ($id, $change) = @_;

    my ($line) = grep { /"id":"$id"/ } split /\n/,
                 $apigw->run('key', 'export')->{out};
    my $digest = pack 'H*', decode_json($line)->{sha256};

    my $data = Apigw::Command::slurp("$apigw->{store}/data.mdb");
    my $n = 0;

    # from its version to what has the right seal behind it

    my $begin = quotemeta "\1\1\0" . chr(length $id) . $id;

    while ($data =~ /$begin/g) {
        my $at = $-[0];

        for my $len (10 .. 300) {
            my $record = substr $data, $at, $len;
            next if substr($data, $at + $len, 8) ne seal($digest, $record);

            for ($record) {
                $change->();
            }

            substr($data, $at, $len + 8) = $record . seal($digest, $record);
            $n++;
            last;
        }
    }

    Apigw::Command::spew("$apigw->{store}/data.mdb", $data);

    return $n;
}


# SipHash-1-3 with 128 bits of output, of which the first 64.

sub seal {
    my ($key, $text) = @_;

    no warnings 'portable';

    my ($k0, $k1) = unpack 'Q<2', $key;
    my @v = ($k0 ^ 0x736f6d6570736575, $k1 ^ 0x646f72616e646f6d ^ 0xee,
             $k0 ^ 0x6c7967656e657261, $k1 ^ 0x7465646279746573);

    my $rotate = sub { ($_[0] << $_[1]) | ($_[0] >> (64 - $_[1])) };
    my $add = sub { use integer; $_[0] + $_[1] };

    my $round = sub {
        $v[0] = unpack 'Q', pack 'q', $add->($v[0], $v[1]);
        $v[1] = $rotate->($v[1], 13) ^ $v[0];
        $v[0] = $rotate->($v[0], 32);
        $v[2] = unpack 'Q', pack 'q', $add->($v[2], $v[3]);
        $v[3] = $rotate->($v[3], 16) ^ $v[2];
        $v[0] = unpack 'Q', pack 'q', $add->($v[0], $v[3]);
        $v[3] = $rotate->($v[3], 21) ^ $v[0];
        $v[2] = unpack 'Q', pack 'q', $add->($v[2], $v[1]);
        $v[1] = $rotate->($v[1], 17) ^ $v[2];
        $v[2] = $rotate->($v[2], 32);
    };

    my $len = length $text;
    my $end = substr $text, $len - $len % 8;
    my @words = unpack 'Q<*', substr $text, 0, $len - $len % 8;

    push @words, unpack('Q<', $end . "\0" x (8 - length $end))
                 | ($len & 0xff) << 56;

    for my $word (@words) {
        $v[3] ^= $word;
        $round->();
        $v[0] ^= $word;
    }

    $v[2] ^= 0xee;
    $round->() for 1 .. 3;

    return pack 'Q<', $v[0] ^ $v[1] ^ $v[2] ^ $v[3];
}


# A tmpfs of a megabyte, unmounted when it goes out of scope.

sub small_disk {
    my $dir = "$apigw->{dir}/small";

    mkdir $dir;

    return if system("mount -t tmpfs -o size=1m none $dir 2>/dev/null") != 0;

    return bless { dir => $dir }, 'Small';
}


sub Small::DESTROY {
    my ($self) = @_;

    system("umount -l $self->{dir}");
}
