# A gateway whose disk is full, read-only or damaged: keys are checked as long
# as they can be read, nobody is taken for somebody else, no process dies, and
# what could not be written is written in the end.

use strict;
use warnings;

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use Apigw::Scenario;

my @mounts;
my $server = <<'END';
add_header X-Status "$api_key_status" always;
add_header X-Who "$api_key_consumer" always;
location / { auth_api_key zone=k; empty_gif; }
END

my $gw;
my $store;


sub key {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', $store, @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


sub status {
    my ($key) = @_;

    my $answer = $gw->get('/', ['X-API-Key' => $key]);

    return join ' ', $answer->status, $answer->header('X-Status'),
                     $answer->header('X-Who') // ();
}


sub uses {
    my ($id) = @_;

    return key('show', '--json', $id) =~ /"uses":\s*(\d+)/ ? $1 : 0;
}


# A gateway with a disk of its own of a megabyte, or nothing.

sub on_disk {
    my ($flush) = @_;

    $gw = Apigw::Scenario->new(
        workers => 2,
        default_location => 0,
        http   => "auth_api_key_zone zone=k:1m store=logs/disk/k
                   flush=$flush;",
        server => $server,
    );

    my $disk = $gw->root . '/logs/disk';
    $store = "$disk/k";
    mkdir $disk or die "mkdir: $!\n";

    return if system("mount -t tmpfs -o size=1m none $disk 2>/dev/null") != 0;

    push @mounts, $disk;

    return $disk;
}


sub fill {
    my ($disk) = @_;

    open my $file, '>', "$disk/filler" or die "$disk/filler: $!\n";

    for my $size (65536, 4096, 1) {
        while ((syswrite $file, 'x' x $size) // 0) { }
    }
}


END {
    my $status = $?;

    system("umount -l $_") for @mounts;
    $? = $status;
}


# A full disk

SKIP: {
    my $disk = on_disk('200ms') or skip 'cannot mount a tmpfs', 16;

    $gw->start;

    my $joe = key('create', '--consumer', 'joe', '--id', 'joe');
    my $ann = key('create', '--consumer', 'ann', '--id', 'ann');

    is(status($joe), '200 ok joe', 'room: a key');
    ok(wait_for(sub { uses('joe') == 1 }, 5), 'room: a use is written');

    fill($disk);
    is(status($_->[0]), "200 ok $_->[1]", "a full disk: $_->[1]")
        for [$joe, 'joe'], [$ann, 'ann'], [$joe, 'joe'];
    is(status('x' x 20), '401 unknown', 'a full disk: an unknown key');

    # new workers open the store without room

    $gw->reload;
    is(status($joe), '200 ok joe', 'a full disk: after a reload');

    # a batch that fits into pages that are there is written all the same

    unlink "$disk/filler";
    ok(wait_for(sub { uses('joe') == 4 && uses('ann') == 1 }, 5),
       'room again: written in the end');

    # the first one to open a store, without room for its files

    $gw->stop;
    unlink glob("$store/*.*"), glob("$store/used/*.*");
    rmdir "$store/used";
    fill($disk);
    $gw->start;

    is(status($joe), '503 unavailable', 'no room for a store: refused');
    like($gw->error_log, qr/cannot read the store of keys "\Q$store\E": No spa/,
         'no room for a store: said');
    is(scalar(grep { -e } "$store/data.mdb", glob "$store/data.mdb.*"), 0,
       'no room for a store: nothing half made');

    unlink "$disk/filler";
    ok(wait_for(sub { status($joe) eq '401 unknown' }, 5),
       'room again: an empty store');

    $joe = key('create', '--consumer', 'joe', '--id', 'joe');
    ok(wait_for(sub { status($joe) eq '200 ok joe' }, 5), 'and a key in it');

    # room for the keys and not for the lock file

    $gw->stop;
    unlink "$store/lock.mdb", "$disk/helper.lock";
    fill($disk);
    $gw->start;
    is(status($joe), '503 unavailable', 'no room for the lock: refused');
    unlink "$disk/filler";
    ok(wait_for(sub { status($joe) eq '200 ok joe' }, 5), 'room again');

    $gw->stop;
    is(() = $gw->error_log =~ /exited on signal/g, 0, 'no process has died');
}


# A read-only one

SKIP: {
    my $disk = on_disk('200ms') or skip 'cannot mount a tmpfs', 7;

    $gw->start;

    my $joe = key('create', '--consumer', 'joe', '--id', 'joe');

    is(status($joe), '200 ok joe', 'a key');
    ok(wait_for(sub { uses('joe') == 1 }, 5), 'a use is written');
    $gw->stop;

    is(system("mount -o remount,ro $disk"), 0, 'read-only');
    $gw->start;

    is(status($joe), '200 ok joe', 'read-only: a key');
    is(status('x' x 20), '401 unknown', 'read-only: an unknown key');
    ok($gw->wait_log(qr/\[error\] .*helper.lock" failed .*Read-only file/),
       'read-only: what is not written is said');
    is(uses('joe'), 1, 'read-only: the command reads it');

    $gw->stop;
}


# Read-only here, and written to elsewhere: a container with a volume, say

SKIP: {
    $gw = Apigw::Scenario->new(
        workers => 2,
        default_location => 0,
        http   => 'auth_api_key_zone zone=k:1m store=logs/ro/k flush=10m;',
        server => $server,
    );

    my $ro = $gw->root . '/logs/ro';
    my $rw = $gw->root . '/logs/rw';

    mkdir $_ or die "mkdir: $!\n" for $ro, $rw;

    skip 'cannot mount', 6 if system("mount --bind $rw $ro 2>/dev/null") != 0;
    push @mounts, $ro;

    $gw->start;
    $store = "$rw/k";

    my $joe = key('create', '--consumer', 'joe', '--id', 'joe');
    my $ann = key('create', '--consumer', 'ann', '--id', 'ann');

    is(system("mount -o remount,bind,ro $ro"), 0, 'mounted read-only');
    $gw->reload;
    is(status($joe), '200 ok joe', 'a key');

    my $writer = fork // die "fork: $!\n";

    if ($writer == 0) {
        key('update', 'ann', '--plan', "p$_") for 1 .. 30;
        POSIX::_exit(0);
    }

    my ($asked, %seen) = 0;

    while (waitpid($writer, POSIX::WNOHANG()) == 0) {
        $seen{status($joe)}++;
        $seen{status($ann)}++;
        $asked++;
    }

    is($?, 0, 'written to');
    is_deeply([sort keys %seen], ['200 ok ann', '200 ok joe'],
              "keys are found all the time ($asked requests each)");

    key('disable', 'joe');
    is(status($joe), '401 disabled', 'a change is seen at once');

    my @list = cli($gw, 'key', 'list', '--store', "$ro/k");
    is($list[0], 0, 'the command lists them');

    $gw->stop;
}


# Damaged records and files

$gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    http   => 'auth_api_key_zone zone=k:1m store=logs/k flush=10m;',
    server => $server,
);
$store = $gw->root . '/logs/k';

my %key = map { $_ => key('create', '--consumer', $_, '--id', "$_-1") }
          qw(alice bob carol);

is(status($key{$_}), "200 ok $_", $_) for sort keys %key;

# a bit of a consumer's name, in the file as it is in use

my $data = "$store/data.mdb";

for my $name (qw(rob bnb bof)) {
    ok(patch('bob', $name) > 0, "bob becomes $name on the disk");

    # a change makes every worker forget what it has found
    key('update', 'alice-1', '--plan', $name);

    is_deeply([map { status($key{bob}) } 1 .. 4],
              [('503 unavailable') x 4], 'refused, and never somebody else');
    is(status($key{carol}), '200 ok carol', 'others go on');

    patch($name, 'bob');
}

like($gw->error_log, qr/\[error\] .*cannot read the store .*record is damaged/,
     'and it is said');

key('update', 'alice-1', '--plan', 'last');
is(status($key{bob}), '200 ok bob', 'put back');


# A fifo holds nobody

rename $data, "$data.away" or die "rename: $!\n";
POSIX::mkfifo($data, 0666) or die "mkfifo: $!\n";
sleep 1.1;
is_deeply([map { status($key{alice}) } 1 .. 4], [('503 unavailable') x 4],
          'a fifo: refused');
rename "$data.away", $data or die "rename: $!\n";
ok(wait_for(sub { status($key{alice}) eq '200 ok alice' }, 4), 'put back');


# An empty file, before anybody has opened it and while it is in use

truncate $data, 0 or die "truncate: $!\n";
sleep 1.1;
is(status($key{alice}), '503 unavailable', 'emptied: refused');

$gw->stop;
$gw->start;
is(status($key{alice}), '503 unavailable', 'empty at the start: refused');
is(-s $data, 0, 'nobody makes a new store of it');
like($gw->error_log, qr/store of keys "\Q$store\E": its data file was cut sh/,
     'and it is said');

my ($code, $out, $err) = cli($gw, 'key', 'create', '--store', $store,
                             '--consumer', 'x');
is($code, 1, 'the command does neither');
like($err, qr/its data file was cut short/, 'and says why');

unlink $data or die "unlink: $!\n";
sleep 1.1;
is(status($key{alice}), '503 unavailable', 'gone: refused');

unlink "$store/lock.mdb" or die "unlink: $!\n";
ok(wait_for(sub { status($key{alice}) eq '401 unknown' }, 5),
   'both files gone: a new store');

done_testing;


# Changes the consumer of a record in all copies that are in the file.

sub patch {
    my ($from, $to) = @_;

    open my $file, '+<:raw', $data or die "$data: $!\n";
    my $text = do { local $/; <$file> };
    my $n = 0;

    while ($text =~ /\x01\x01\x00\x05bob-1\x02\x00\x03$from/g) {
        sysseek $file, pos($text) - length $from, 0;
        syswrite $file, $to;
        $n++;
    }

    return $n;
}
