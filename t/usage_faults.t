# The store fails at every n-th call, for one n after the other, in workers and
# in the helper: a call is refused, or a commit succeeds and is reported as
# failed.  What clients were answered is in the quotas and in the ledger, each
# exactly once, and no quota admits too much.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $most = $ENV{APIGW_LONG} ? 400 : 40;

my $SOURCE = <<'END';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* every how many calls one fails (-1: all commits do), calls, failures */
static volatile long  *control;

__attribute__((constructor)) static void
init(void)
{
    int    fd;
    void  *p;

    fd = open(getenv("APIGW_FAULTS"), O_RDWR);
    p = mmap(NULL, 24, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    control = (p == MAP_FAILED) ? NULL : p;
    close(fd);
}

static long
fails(void)
{
    if (control == NULL || control[0] <= 0
        || __sync_add_and_fetch(&control[1], 1) % control[0])
    {
        return 0;
    }

    return __sync_add_and_fetch(&control[2], 1);
}

#define real(name)  ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int
mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags)
{
    return fails() ? ENOSPC : real(mdb_put)(txn, dbi, key, data, flags);
}

int
mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    return fails() ? EIO : real(mdb_get)(txn, dbi, key, data);
}

int
mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    return fails() ? ENOMEM : real(mdb_txn_begin)(env, parent, flags, txn);
}

int
mdb_txn_renew(MDB_txn *txn)
{
    return fails() ? MDB_READERS_FULL : real(mdb_txn_renew)(txn);
}

int
mdb_txn_commit(MDB_txn *txn)
{
    int   rc;
    long  n;

    n = control && control[0] == -1 ? 1 : fails();

    if (n == 0) {
        return real(mdb_txn_commit)(txn);
    }

    if (n % 2) {
        mdb_txn_abort(txn);
        return ENOSPC;
    }

    rc = real(mdb_txn_commit)(txn);

    return rc ? rc : EIO;
}
END

my $dir = tempdir('apigw-faults.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

open my $pipe, '|-', split(' ', $ENV{CC} || 'cc'), qw(-x c -shared -fPIC -O1),
    '-o', "$dir/faults.so", '-', '-x', 'none', '-llmdb', '-ldl'
    or die "no compiler: $!\n";
print $pipe $SOURCE;
close $pipe or die "the library of the faults cannot be compiled\n";

sub control {
    my ($every) = @_;

    open my $out, -e "$dir/control" ? '+<' : '>', "$dir/control" or die;
    print $out pack 'q', $every;
    print $out pack 'q2', 0, 0 if -s "$dir/control" == 0;
    close $out or die;
    chmod 0666, "$dir/control";
}

sub failures {
    open my $in, '<', "$dir/control" or die;
    read $in, my $data, 24;
    return (unpack 'q3', $data)[2];
}

open my $new, '>', "$dir/control" or die;
print $new pack 'q3', 0, 0, 0;
close $new;
control(0);

my $gw = Apigw::Scenario->start(
    workers => 2,
    env     => { LD_PRELOAD => "$dir/faults.so",
                 APIGW_FAULTS => "$dir/control" },
    http    => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_usage_zone zone=tiny:128k store=logs/tiny flush=100ms;
api_version_zone zone=calls:128k store=logs/calls flush=100ms;
api a { version v1 upstream=127.0.0.1:1 default; }
api_plan n5 { quota 5 per=lifetime; quota 100 per=month; }
api_plan n1000 { quota 1000 per=lifetime; }
add_header X-Used $api_quota_used always;
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=n5 consumer=$arg_c;
    empty_gif;
}
location /late {
    api_usage zone=tiny plan=n1000 consumer=$arg_c cost=7;
    api_usage_charge on=response estimate=2;
    proxy_pass http://127.0.0.1:$server_port/ok;
}
location /self {
    api_usage zone=usage plan=n5 consumer=$arg_c;
    api_usage_self;
}
location /v/ {
    api_publish a;
    empty_gif;
}
location /ok {
    return 200;
}
END
);

is($gw->get('/u?c=before')->code, 200, 'before');

my (%passed, %codes);

for my $n (1 .. $most) {
    control($n);

    my $client = $gw->connect;

    for (1 .. 3) {
        for my $c (1 .. 6) {
            my $code = $client->get("/u?c=$n-$c")->code;

            $codes{$code}++;
            $passed{"$n-$c"}++ if $code == 200;
        }

        # so that the helper comes to it as well
        sleep 0.02;
    }
}

control(0);

cmp_ok(failures(), '>=', $most, failures() . ' calls have failed');
cmp_ok($codes{200} // 0, '>', 240, 'most requests were admitted');
cmp_ok($codes{503} // 0, '>', 18, 'those that could not be counted were not');
is_deeply([sort keys %codes], [200, 503], 'and there was no other answer');

my $works = wait_for(sub { $gw->get('/u?c=works')->code == 200 }, 3);
ok($works, 'without faults all is as before');

# a caller's own usage: what is in memory, and no empty list for what is not.
# As long as nothing is written a worker reads on without the calls that fail.

my $written = wait_for {
    (cli('usage', 'show', '--store', $gw->root . '/logs/usage', '--json',
         'works'))[1] =~ /"used":1,/;
};
ok($written, 'written since');

control(1);
like($gw->get('/self?c=works')->body, qr/"per":"lifetime","used":1,/,
     'own usage, in memory');
my $unknown = $gw->get('/self?c=unknown');
control(0);

is($unknown->code . $unknown->header('Content-Type'),
   '503application/problem+json', 'own usage that cannot be read');
is($unknown->header('Retry-After'), 1, 'own usage: when to ask again');
like($gw->get('/self?c=unknown')->body, qr/"per":"lifetime","used":0,/,
     'own usage, read');


# some are looked at in memory, the others in the store

sub wrong {
    my $client = $gw->connect;
    my @wrong;

    for my $c (@_) {
        my $answer = $client->get("/u?c=$c");

        push @wrong, "$c: " . $answer->header('X-Used') . ", not $passed{$c}+1"
            if $answer->header('X-Used') != $passed{$c} + 1;
        $passed{$c}++;
    }

    return \@wrong;
}

is_deeply(wrong(grep { /[12]$/ } sort keys %passed), [],
          'quotas have what was admitted');

$gw->restart;

my ($status, $out) = cli('usage', 'report', '--store',
                         $gw->root . '/logs/usage', '--json');
my %ledger = map { $_->{consumer} => $_->{requests} }
             map { decode_json($_) } split /\n/, $out;

is_deeply([map { "$_: " . ($ledger{$_} // 0) . ", not $passed{$_}" }
           grep { ($ledger{$_} // 0) != $passed{$_} } sort keys %passed],
          [], 'so does the ledger');

is_deeply(wrong(grep { !/[12]$/ } sort keys %passed), [],
          'and after a restart the quotas');


# A request under way whose entry and counter give way to others, in a zone
# that has no room when it is over: what it adds waits for room.

my $last = 0;

# One that is over when there is no room.

sub slow {
    my ($c) = @_;

    my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                     PeerPort => $gw->port) or die;
    $slow->syswrite("POST /late?c=$c HTTP/1.0\r\n"
                    . "Content-Length: 1\r\n\r\n");
    sleep 0.4;

    others($last + 1, $last + 400);
    sleep 0.4;
    control(-1);
    like(others($last + 1001, $last + 1800), qr/503(?: 503)*$/,
         'a zone without room');

    $slow->syswrite('x');
    $slow->sysread(my $head, 100);
    like($head, qr/ 200 /, 'a request is over now');

    $last += 2000;
    sleep 0.3;
}

sub others {
    my ($from, $to) = @_;

    my $client = $gw->connect;
    return join ' ', map { $client->get("/late?c=other$_")->code } $from .. $to;
}

slow('slow');
control(0);

my $tiny = $gw->root . '/logs/tiny';
my $entered = sub {
    my (undef, $out) = cli('usage', 'report', '--store', $tiny, '--json',
                           '--consumer', 'slow');
    return $out && decode_json($out);
};

my $works_again = wait_for { $entered->() } 3;
ok($works_again, 'with room again it is entered');
is(join(' ', map { $entered->()->{$_} } qw(requests status_2xx
                                            units_included)),
   '1 1 7', 'once');

my $settled = wait_for {
    my (undef, $out) = cli('usage', 'show', '--store', $tiny, '--json', 'slow');
    $out && decode_json($out)->{used} == 7;
} 3;
ok($settled, 'and its cost is settled');

# as long as a worker lives

slow('lost');
$gw->stop;
like($gw->error_log, qr/"tiny" is full: 1 requests are lost from the ledger/,
     'what an exiting worker loses is told');

# and what the store does not take when nginx ends, zone by zone

sub lost {
    return map { /(api_\w+_zone .* ends: .*?),/ } $gw->grep_log(qr/ends:/);
}

my @lost = lost();
is(scalar @lost, 1, 'a stop: only of the zone that could not be written')
    or diag explain \@lost;
like($lost[0], qr/"tiny" .* [1-9]\d* counters and [1-9]\d* ledger entries/,
     'a stop: how much is lost');

control(0);
$gw->start;

control(-1);
$gw->get("/u?c=lost$_") for 1 .. 3;
is($gw->get('/v/')->code, 200, 'calls of a version');

$gw->reload;
is(scalar lost(), 1, 'a reload: nothing is lost');

$gw->term;

is_deeply([sort((lost())[1, 2])],
          ['api_usage_zone "usage" ends: the latest of 6 counters and 3 ledger'
           . ' entries is lost',
           'api_version_zone "calls" ends: the latest calls of 1 entries are'
           . ' lost'],
          'a stop: how much is lost, of all workers');
is(scalar lost(), 3, 'a stop: once for a zone');

done_testing;
