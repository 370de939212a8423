# Every worker sees a change by its next request, whatever it has cached; two
# command lines at once, kill -9 of a worker and of the helper change nothing.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    main    => 'worker_rlimit_nofile 1024;',
    http    => 'auth_api_key_zone zone=k:1m store=logs/k flush=200ms;',
    server  => <<'END',
add_header X-Pid $pid always;
add_header X-Who "$api_key_id" always;
add_header X-Plan "$api_key_plan" always;

location / { auth_api_key zone=k; empty_gif; }
END
);

my $store = $gw->root . '/logs/k';


sub key {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', $store, @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


# A connection to each of the workers.

sub connections {
    my (%by_pid, @spare);

    for (1 .. 200) {
        my $client = $gw->connect;
        my $pid = $client->get('/')->header('X-Pid');

        push @spare, $client;
        $by_pid{$pid} //= $client;

        last if keys %by_pid == 2;
    }

    return map { $by_pid{$_} } sort keys %by_pid;
}


my @clients = connections();
is(@clients, 2, 'a connection to each worker');

my $key = key('create', '--consumer', 'joe', '--id', 'joe', '--plan', 'free');
my @with = ('X-API-Key' => $key);


sub all {
    my ($field) = @_;

    return join ' ', map {
        my $answer = $_->get('/', [@with]);
        $field ? $answer->header($field) : $answer->status;
    } @clients;
}


is(all(), '200 200', 'a new key');
is(all(), '200 200', 'from the cache');

for my $n (1 .. 20) {
    key('update', 'joe', '--plan', "plan-$n");
    is(all('X-Plan'), "plan-$n plan-$n", "change $n is seen at once");
}

for my $n (1 .. 10) {
    key('disable', 'joe');
    is(all(), '401 401', "disabled $n, at once");
    key('enable', 'joe');
    is(all(), '200 200', "enabled $n, at once");
}

key('revoke', 'joe');
is(all(), '401 401', 'revoked, at once');


# Two command lines at once, beside requests

$key = key('create', '--consumer', 'joe', '--id', 'joe');
@with = ('X-API-Key' => $key);

my $result = $gw->load_start(clients => 2, requests => 500, uri => '/',
                             headers => [@with, Connection => 'close']);

my @children;

for my $n (1, 2) {
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my $failed = grep {
            (cli($gw, 'key', 'create', '--store', $store, '--consumer', "c$n",
                 '--id', "c$n-$_"))[0]
        } 1 .. 25;

        POSIX::_exit($failed ? 1 : 0);
    }

    push @children, $pid;
}

for my $pid (@children) {
    waitpid $pid, 0;
    is($?, 0, 'a command line that made 25 keys');
}

my $load = $result->();
is($load->{errors}, 0, 'no request failed');
is_deeply([sort keys %{$load->{status}}], [200], 'every request passed');

my $list = key('list', '--json');
is(() = $list =~ /"id":\s*"c[12]-\d+"/g, 50, 'no key was lost');


# Killed processes: slots of readers are freed, keys are found

for my $n (1 .. 3) {
    $gw->kill_worker;
    $gw->wait_workers(2);
}

@clients = connections();
is(@clients, 2, 'workers again');
is(all(), '200 200', 'after killed workers');

key('revoke', 'joe');
is(all(), '401 401', 'revoked after killed workers');

$gw->kill_helper;
$key = key('create', '--consumer', 'joe', '--id', 'joe');
@with = ('X-API-Key' => $key);
is(all(), '200 200', 'after a killed helper');

key('disable', 'joe');
is(all(), '401 401', 'disabled after a killed helper');
key('enable', 'joe');


# Workers without a master still see every change, and so does the next nginx

$gw->kill_master(keep => 1);
is(all(), '200 200', 'without a master');
key('disable', 'joe');
is(all(), '401 401', 'disabled without a master');
$gw->end_orphans;
key('enable', 'joe');
$gw->start;
@clients = connections();
is(all(), '200 200', 'after a killed master');

$gw->expect_log(qr/\[alert\] .*process \d+ exited on signal 9/,
                qr/\[alert\] .*(?:worker process|cache manager)/);


# A writer that is killed in the middle leaves the store as it was

for my $n (1 .. 10) {
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'sh', '-c', "i=0; while :; do i=\$((i + 1)); "
             . "\"\$0\" key create --store $store --consumer k --id k$n-\$i; "
             . 'done', $ENV{APIGW_CLI} || "$ENV{TEST_NGINX_BUILD}/apigw";
    }

    sleep 0.02 + rand 0.05;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

is(all(), '200 200', 'after killed writers');
is((cli($gw, 'key', 'list', '--store', $store))[0], 0, 'the store is whole');

done_testing;
