# scripts/run --check finds the quick start as promised, and notices when it is
# not; scripts/run ends without a trace, and says clearly why it cannot start.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Check;

my $base = $ENV{TEST_NGINX_PORT} || 19840;
my %port = (8080 => $base, map { $_ => $base + $_ - 9000 } 9001 .. 9003);

$ENV{APIGW_BUILD} = $ENV{TEST_NGINX_BUILD};

my $quickstart = 'examples/quickstart/nginx.conf';

# as it is
{
    my $tree = gateway();
    my ($status, $text) = output("$tree/scripts/run", '--check');

    is($status, 0, 'the quick start is as promised') or diag($text);
    like($text, qr/\d+ calls were answered as promised/, 'all calls');
    ok(!listening($base), 'the gateway has ended');
}

# broken in several ways
{
    my $tree = gateway();

    edit($tree, $quickstart, sub {
        s/quota  25/quota  26/;
        s/burst=10;/burst=40;/;
        s/sunset=2024-01-01/sunset=2096-01-01/;
        s/sunset=2099-01-01/sunset=2097-01-01/;
        s/(auth_api_key  zone=keys;)/$1 auth_api_key_strip off;/;
        s/^ *proxy_set_header +X-Plan.*\n//m;
        s/version  v2  upstream=orders_v2/version  v2  upstream=orders_v0/;
    });

    my ($status, $text) = output("$tree/scripts/run", '--check');

    isnt($status, 0, 'a broken quick start is noticed');

    like($text, qr/not as promised: \Q$_\E/, $_)
        for 'served 25', 'burst 10 5', 'status 410',
            'header Sunset: .* 2099 .* GMT', 'body "api_key":""',
            'body "plan":"free"', 'body "version":"v2"';

    like($text, qr/error: \d+ answers are not as promised/, 'the error');
    ok(!listening($base), 'the gateway has ended');
}

# without authentication
{
    my $tree = gateway();

    edit($tree, $quickstart, sub { s/^ *auth_api_key  zone.*\n//m });
    fails(qr/not as promised: status 401/, "$tree/scripts/run", '--check');
}

# Ctrl-C goes to all of the terminal's processes, kill to one
for my $signal (qw(INT TERM)) {
    my $tree = gateway();
    my ($pid, $file) = start($tree);

    ok(wait_for(sub { slurp($file) =~ /Ctrl-C/ }, 30), 'it is ready')
        or diag(slurp($file));
    like(slurp($file), qr/^ALICE=ak_\w+$/m, 'it prints keys');
    ok(listening($base), 'it listens');

    my @pids = processes($tree);

    ok(@pids > 2, 'there are processes');

    kill $signal, $signal eq 'INT' ? -$pid : $pid;

    is(ended($pid), 0, "it ends by $signal, with status 0")
        or diag(slurp($file));
    is(join(' ', processes($tree)), '', 'no process is left');
    ok(!listening($base), 'nor a socket');
}

# the master is killed
{
    my $tree = gateway();
    my ($pid, $file) = start($tree);

    ok(wait_for(sub { slurp($file) =~ /Ctrl-C/ }, 30), 'it is ready')
        or diag(slurp($file));

    kill 'KILL', slurp("$tree/build/run/nginx.pid");

    is(ended($pid) >> 8, 1, 'it ends');
    like(slurp($file), qr/error: the gateway has ended/, 'and says why');
    ok(wait_for(sub { !processes($tree) }, 10), 'no process is left');
    ok(!listening($base), 'nor a socket');
}

# reasons not to start
{
    my $tree = gateway();

    local $ENV{APIGW_BUILD} = "$tree/none";
    fails(qr/error: APIGW_BUILD: no folder "\S+none"/,
          "$tree/scripts/run", '--check');

    mkdir $ENV{APIGW_BUILD} or die "mkdir: $!\n";
    fails(qr/error: APIGW_BUILD: no apigw in "\S+none"/,
          "$tree/scripts/run", '--check');
}

{
    my $tree = gateway();
    my $busy = $port{9002};
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       LocalPort => $busy,
                                       ReuseAddr => 1, Listen => 1)
        or die "cannot listen: $!\n";

    fails(qr/error: port $busy of 127\.0\.0\.1 is in use/,
          "$tree/scripts/run", '--check');
}

{
    my $tree = gateway();

    edit($tree, $quickstart, sub { s/^http \{/http {\n    api_unheard on;/m });
    fails(qr/unknown directive "api_unheard".*error: nginx did not start/s,
          "$tree/scripts/run", '--check');
}

{
    my $tree = gateway();

    # a machine without apt and curl
    mkdir "$tree/bin" or die "mkdir: $!\n";

    for my $name (qw(bash basename dirname readlink id nginx setpriv)) {
        my ($path) = grep { -x } map { "$_/$name" }
                     split(/:/, $ENV{PATH}), '/usr/sbin';
        symlink $path, "$tree/bin/$name" or die "symlink: $!\n";
    }

    local $ENV{PATH} = "$tree/bin";

    fails(qr/error: missing, to run the gateway: curl/,
          "$tree/scripts/run", '--check');
}

{
    my $tree = gateway();
    my @as = $> == 0 ? qw(setpriv --reuid nobody --clear-groups) : ();

    # what others may not get to is not asked for here

    mkdir "$tree/made" or die "mkdir: $!\n";
    put("$tree/made/$_", '') for qw(apigw load_modules.conf);

    local $ENV{APIGW_BUILD} = "$tree/made";

    chmod 0755, "$tree" or die "chmod: $!\n";
    chmod 0555, "$tree/build" or die "chmod: $!\n";

    fails(qr{error: .*build.*(?:not writable|cannot create)}s,
          @as, "$tree/scripts/run", '--check');

    chmod 0755, "$tree/build";
}

done_testing;


# A copy of the suite with a quick start on ports of this test.

sub gateway {
    my $tree = copy();

    for my $file ($quickstart, 'examples/quickstart/services.conf',
                  'scripts/run')
    {
        edit($tree, $file, sub { s/\b(8080|900[1-3])\b/$port{$1}/g });
    }

    return $tree;
}


sub start {
    my ($tree) = @_;

    my $file = "$tree/output";
    put($file, '');

    # the worker user gets there, and the processes show it
    chmod 0755, "$tree" or die "chmod: $!\n";

    my $pid = fork;
    die "fork() failed: $!\n" if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM);
        POSIX::setpgid(0, 0);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $file;
        open STDERR, '>&', \*STDOUT;
        no warnings 'exec';
        exec "$tree/scripts/run";
        POSIX::_exit(127);
    }

    return ($pid, $file);
}


sub ended {
    my ($pid) = @_;

    my $status;

    wait_for(sub {
        return waitpid($pid, POSIX::WNOHANG()) == $pid && defined($status = $?);
    }, 15);

    return $status if defined $status;

    kill 'KILL', -$pid;
    waitpid $pid, 0;

    return 'never';
}


# Processes whose command line has the tree in it, or whose master has.

sub processes {
    my ($tree) = @_;

    my (%command, %parent);

    for my $dir (glob '/proc/[0-9]*') {
        my ($pid) = $dir =~ /(\d+)/;

        my $stat = eval { slurp("$dir/stat") } // next;
        next if $stat !~ /\) ([A-Z]) (\d+) / || $1 eq 'Z' || $pid == $$;

        $parent{$pid} = $2;
        $command{$pid} = eval { slurp("$dir/cmdline") } // '';
    }

    my %found = map { $_ => 1 }
                grep { $command{$_} =~ /\Q$tree\E/ } keys %command;

    my @pids = sort grep { $found{$_} || $found{$parent{$_}} } keys %command;

    return @pids;
}


sub listening {
    my ($port) = @_;

    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
                                 Timeout => 1) ? 1 : 0;
}


sub wait_for {
    my ($condition, $seconds) = @_;

    my $deadline = time + $seconds;

    while (time < $deadline) {
        return 1 if $condition->();
        sleep 0.05;
    }

    return 0;
}
