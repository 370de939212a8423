package Apigw::Scenario;

# Scenarios: tests that need several steps, processes or signals, written in
# plain Perl.
#
#     use Test::More;
#     use Apigw::Scenario;
#
#     my $up = Apigw::Scenario->upstream(answer => { body => 'hello' });
#     my $gw = Apigw::Scenario->start(
#         workers => 2,
#         http    => 'limit_req_zone $arg_k zone=z:1m rate=1r/s;',
#         server  => "location / { proxy_pass http://127.0.0.1:%%PORT_9%%; }",
#         files   => { 'html/x' => 'text' },
#     );
#
#     is($gw->get('/')->code, 200);
#     $gw->reload;
#     my $load = $gw->load(clients => 8, requests => 500, uri => '/');
#     is($load->{errors}, 0);
#     $gw->expect_log(qr/a line at alert that has to be/);
#     done_testing;
#
# Run with "prove -I t/lib".  nginx is TEST_NGINX_BINARY, its server root lies
# below TEST_NGINX_SERVROOT, its ports begin at TEST_NGINX_PORT; modules are
# TEST_NGINX_LOAD_MODULES or else those in TEST_NGINX_BUILD or the newest
# build/*.
#
# %%ROOT%%, %%PORT%% and %%PORT_n%% are replaced in configuration and files.
#
# When a gateway ends, its test fails if error.log has lines at alert, crit or
# emerg, or by a sanitizer, that expect_log() did not announce, if a sanitizer
# wrote a report, or if nginx did not exit with status 0.  No process outlives
# the test.

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Glob qw(bsd_glob);
use File::Path qw(make_path remove_tree);
use File::Spec;
use File::Temp ();
use IO::Socket::INET;
use List::Util qw(max);
use POSIX ();
use Storable ();
use Test::More ();
use Time::HiRes qw(sleep time);

use Apigw::Client;
use Apigw::HTTP;
use Apigw::Nginx;
use Apigw::Upstream;

our @EXPORT = qw(cli wait_for);

# How long nginx may take for a step.
my $PATIENCE = 30;

# A test has 60 ports: ten for each gateway, the others for upstreams.
my $UPSTREAM_PORTS = 40;
my $PORTS = 60;

my (@gateways, @upstreams, @children, $base_port, $base_root);
my $upstream_port = $UPSTREAM_PORTS;
my $owner = $$;

for my $signal (qw(INT TERM HUP)) {
    $SIG{$signal} = sub { exit 1 };
}


sub base_port {
    return $base_port //= $ENV{TEST_NGINX_RANDOMIZE} ? random_port()
                        : $ENV{TEST_NGINX_SERVER_PORT}
                          || $ENV{TEST_NGINX_PORT} || 1984;
}


sub random_port {
    for (1 .. 1000) {
        my $port = 10000 + 100 * int rand 220;

        return $port if IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                              LocalPort => $port,
                                              Proto     => 'tcp',
                                              Listen    => 1);
    }

    die "no free port found\n";
}


sub base_root {
    return $base_root //= File::Spec->rel2abs(
        $ENV{TEST_NGINX_RANDOMIZE} ? "t/servroot_" . base_port()
                                   : $ENV{TEST_NGINX_SERVROOT}
                                     || 't/servroot');
}


# A gateway with a configuration and no process.  Arguments: http, server,
# main, events (text of these parts), server_name, workers (1), master (1),
# log_level ("info"), connections (256), http2 (1: a second port, http2_port,
# that speaks HTTP/2 only), default_location (1: "location /" serves html/),
# files ({ path => text }, relative to the root), modules (0: load none), env
# ({ name => value } of nginx's environment).

sub new {
    my ($class, %args) = @_;

    my $number = @gateways;
    die "too many gateways\n" if 10 * $number >= $UPSTREAM_PORTS;

    # "_temp", since the other runner clears such directories away
    my $root = base_root() . "/scenario_${number}_temp";

    my $self = bless {
        root  => $root,
        port  => base_port() + 10 * $number,
        conf  => { workers => 1, master => 1, log_level => 'info',
                   connections => 256, default_location => 1, modules => 1 },
        known => [],
        nginx => Apigw::Nginx->new(root => $root,
                                   env  => delete $args{env} // {}),
    }, $class;

    $self->{nginx}->stop_stale;
    remove_tree($root);
    make_path("$root/conf", "$root/html", "$root/logs");

    write_file("$root/html/index.html", "It works!\n");

    $self->conf(%args);
    push @gateways, $self;

    return $self;
}


sub start {
    my ($self, %args) = @_;

    if (!ref $self) {
        $self = $self->new(%args);

    } elsif (%args) {
        $self->conf(%args);
    }

    my $offset = -s $self->{nginx}{log};

    $self->{nginx}->start
        or die "nginx does not start: "
               . Apigw::Nginx::describe_status($self->{nginx}{status} // 0)
               . "\n" . $self->{nginx}->stderr;

    if ($self->{conf}{master}) {
        $self->wait_workers($self->{conf}{workers});
        $self->wait_helper($offset);
    }

    $self->wait_port;

    return $self;
}


sub wait_port {
    my ($self) = @_;

    wait_for(sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                              PeerPort => $self->{port},
                              Proto    => 'tcp')
    }, $PATIENCE) or die "nothing listens on port $self->{port}\n";
}


# Changes parts of the configuration and writes it; nginx is told by reload().

sub conf {
    my ($self, %args) = @_;

    my $files = delete $args{files} // {};
    my $conf = $self->{conf};

    my %known = map { $_ => 1 } qw(http server main events server_name workers
                                   master log_level connections http2
                                   default_location modules);

    for my $name (keys %args) {
        die "unknown argument \"$name\"\n" if !$known{$name};
        $conf->{$name} = $args{$name};
    }

    for my $name (keys %$files) {
        my $path = $name =~ m{^/} ? $name : "$self->{root}/$name";

        make_path($path =~ s{/[^/]*\z}{}r);
        write_file($path, $self->expand($files->{$name}));
    }

    write_file("$self->{root}/conf/nginx.conf",
               $self->conf_text("$self->{root}/logs/error.log"));

    return $self;
}


sub write_file {
    my ($path, $text) = @_;

    open my $out, '>', $path or die "cannot write $path: $!\n";
    binmode $out;
    print $out $text;
    close $out or die "cannot write $path: $!\n";
}


sub expand {
    my ($self, $text) = @_;

    $text //= '';
    $text =~ s/%%ROOT%%/$self->{root}/g;
    $text =~ s/%%PORT%%/$self->{port}/g;
    $text =~ s/%%PORT_(\d)%%/$self->port($1)/ge;

    return $text;
}


sub conf_text {
    my ($self, $log) = @_;

    my $conf = $self->{conf};
    my $root = $self->{root};
    my $port = $self->{port};

    my %text = map { $_ => $self->expand($conf->{$_}) }
               qw(http server main events);

    my $master = $conf->{master} ? 'on' : 'off';
    my $user = $ENV{TEST_NGINX_WORKER_USER};
    my $server_name = $conf->{server_name} // 'localhost';

    my $main = $conf->{modules} ? load_modules() : '';
    $main .= "user " . ($user // 'root') . ";\n" if $> == 0;
    $main .= "env $_;\n" for qw(ASAN_OPTIONS UBSAN_OPTIONS LD_PRELOAD);

    my $http2 = $conf->{http2}
        ? "        listen 127.0.0.1:" . $self->http2_port . " http2;\n" : '';

    my $location = $conf->{default_location}
        ? "        location / {\n            root $root/html;\n        }\n"
        : '';

    # a packaged nginx has its own places for these
    my $temp = join '', map { "    ${_}_temp_path $root/${_}_temp;\n" }
               grep { $text{http} . $text{server} !~ /\b${_}_temp_path\b/ }
               qw(client_body proxy);

    return <<"END";
${main}daemon on;
master_process $master;
worker_processes $conf->{workers};
error_log $log $conf->{log_level};
pid $root/logs/nginx.pid;
$text{main}

events {
    worker_connections $conf->{connections};
    accept_mutex off;
$text{events}
}

http {
    access_log $root/logs/access.log;
    default_type text/plain;
$temp
$text{http}

    server {
        listen 127.0.0.1:$port;
$http2        server_name $server_name;

$text{server}

$location    }
}
END
}


sub load_modules {
    my $list = $ENV{TEST_NGINX_LOAD_MODULES};

    if (!defined $list) {
        my $path = built('load_modules.conf') // return '';
        my $folder = dirname($path);

        # the paths in it may be those of the installed modules
        $list = join ' ', map { "$folder/$_" }
                          Apigw::Nginx::slurp($path)
                          =~ m{^\s*load_module\s+"?(?:[^"\s;]*/)?([^"\s;/]+)}mg;
    }

    return join '', map { "load_module $_;\n" } split ' ', $list;
}


# A file that scripts/build makes.

sub built {
    my ($name) = @_;

    my $root = File::Spec->rel2abs(dirname(__FILE__) . '/../../..');
    my @folders = $ENV{TEST_NGINX_BUILD} // bsd_glob("$root/build/*");
    my ($newest) = sort { -M $a <=> -M $b } grep { -f } map { "$_/$name" }
                                                        @folders;

    return $newest;
}


# All gateways of this test, in the order of their making.

sub gateways {
    return @gateways;
}


# Where it is

sub root {
    my ($self) = @_;

    return $self->{root};
}


# The server's port, or the n-th of its ten (9 is HTTP/2's).

sub port {
    my ($self, $n) = @_;

    return $self->{port} + ($n // 0);
}


sub http2_port {
    my ($self) = @_;

    return $self->port(9);
}


# Requests

sub connect {
    my ($self, %args) = @_;

    return Apigw::Client->new($args{port} // $self->{port}, %args);
}


# One request on a connection of its own.  Headers are names and values, in
# an array or a hash.

sub request {
    my ($self, $method, $uri, $headers, $body, %args) = @_;

    return $self->connect(%args)->request($method, $uri, $headers, $body,
                                          close => 1);
}


sub get {
    my ($self, $uri, @headers) = @_;

    return $self->request('GET', $uri, [map { @$_ }
                          Apigw::Client::header_pairs(@headers)]);
}


# Octets there, octets back until the server closes.

sub raw {
    my ($self, $octets, %args) = @_;

    my $client = $self->connect(%args);

    $client->send($octets);

    return $client->read_all;
}


# HTTP/2 with prior knowledge, by curl.

sub http2 {
    my ($self, $method, $uri, $headers, $body) = @_;

    die "start the gateway with http2 => 1\n" if !$self->{conf}{http2};

    my @command = ('curl', '-sS', '-i', '--http2-prior-knowledge',
                   '--max-time', 10, '-H', 'Accept:', '-H', 'User-Agent:');

    push @command, $method eq 'HEAD' ? '-I' : ('-X', $method);

    for my $pair (Apigw::Client::header_pairs($headers)) {
        my ($name, $value) = @$pair;
        push @command, '-H', $value eq '' ? "$name;" : "$name: $value";
    }

    if (defined $body) {
        write_file("$self->{root}/curl.body", $body);
        push @command, '-H', 'Content-Type:'
            if !grep { lc $_->[0] eq 'content-type' }
                     Apigw::Client::header_pairs($headers);
        push @command, '--data-binary', "\@$self->{root}/curl.body";
    }

    my ($status, $out, $err) =
        run(@command, 'http://127.0.0.1:' . $self->http2_port . $uri);

    die "curl: $err" if $status;

    $out =~ s{\AHTTP/2 100 *\r\n\r\n}{};

    return Apigw::HTTP->parse($out);
}


# Load by processes: "clients" of them, each sends "requests" requests, or as
# many as it can in "seconds".  uri, headers and body are values or code that
# gets (client, number).  keepalive => 1 keeps connections; the default closes
# each.  Returns { status => { 200 => n, ... }, errors => n, error => { text
# => n }, requests => n, seconds => s }.

sub load {
    my ($self, %args) = @_;

    return $self->load_start(%args)->();
}


# The same beside other steps: returns code that waits for the result.

sub load_start {
    my ($self, %args) = @_;

    my $began = time;
    my @workers;

    for my $client (1 .. $args{clients} // 4) {
        pipe my $in, my $out or die "pipe: $!\n";

        my $pid = fork;
        die "fork() failed: $!\n" if !defined $pid;

        if ($pid == 0) {
            $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
            my $result = eval { $self->load_client($client, %args) }
                         // { error => { $@ => 1 } };
            Storable::store_fd($result, $out);
            close $out;
            POSIX::_exit(0);
        }

        push @children, $pid;
        push @workers, { pid => $pid, in => $in };
    }

    return sub { load_result(\@workers, $began) };
}


sub load_result {
    my ($workers, $began) = @_;

    my %sum = (status => {}, error => {}, errors => 0, requests => 0);

    for my $worker (@$workers) {
        my $part = eval { Storable::fd_retrieve($worker->{in}) }
                   // { error => { "client is gone" => 1 } };

        waitpid $worker->{pid}, 0;
        @children = grep { $_ != $worker->{pid} } @children;

        for my $kind (qw(status error)) {
            my $counts = $part->{$kind} // {};
            $sum{$kind}{$_} += $counts->{$_} for keys %$counts;
        }
    }

    $sum{errors} += $_ for values %{$sum{error}};
    $sum{requests} += $_ for values %{$sum{status}}, $sum{errors};
    $sum{seconds} = time - $began;

    return \%sum;
}


sub load_client {
    my ($self, $number, %args) = @_;

    my $end = defined $args{seconds} ? time + $args{seconds} : undef;
    my $count = $args{requests} // (defined $end ? 1e9 : 100);
    my (%status, %error, $client);

    for my $i (0 .. $count - 1) {
        last if defined $end && time >= $end || getppid() != $owner;

        my ($uri, $headers, $body) = map {
            ref $args{$_} eq 'CODE' ? $args{$_}->($number, $i) : $args{$_}
        } qw(uri headers body);

        my $answer = eval {
            $client //= Apigw::Client->new($args{port} // $self->{port},
                                           timeout => $args{timeout} // 10);
            $client->request($args{method} // 'GET', $uri // '/', $headers,
                             $body, close => !$args{keepalive});
        };

        if ($answer) {
            $status{$answer->code}++;

        } else {
            chomp(my $reason = $@);
            $error{$reason}++;
        }

        undef $client if !$answer || !$args{keepalive}
                         || ($answer->header('Connection') // '') eq 'close';
    }

    return { status => \%status, error => \%error };
}


# A mock upstream, see Apigw::Upstream; by default on the next free port after
# the gateways' own.

sub upstream {
    my ($class, %args) = @_;

    while ($upstream_port < $PORTS) {
        my $port = $args{port} // base_port() + $upstream_port++;

        my $upstream = eval { Apigw::Upstream->new(%args, port => $port) };

        if ($upstream) {
            push @upstreams, $upstream;
            return $upstream;
        }

        die $@ if defined $args{port} || $@ !~ /cannot listen/;
    }

    die "no port for an upstream\n";
}


# Processes

sub master {
    my ($self) = @_;

    return $self->{nginx}->pid;
}


# Children of the master by title; those that shut down are not counted.

sub children {
    my ($self, $title, $master) = @_;

    $master //= $self->master // return;

    my @pids = map { $_->{pid} }
               grep { $_->{ppid} == $master && $_->{state} ne 'Z'
                      && Apigw::Nginx::command_line($_->{pid})
                         =~ /^nginx: $title$/ }
               Apigw::Nginx::process_table();

    return @pids;
}


sub workers {
    my ($self) = @_;

    return $self->children('worker process');
}


# The helper: nginx's cache manager process.

sub helper {
    my ($self) = @_;

    # an old one may still be at its last work
    return max $self->children('cache manager process');
}


sub wait_workers {
    my ($self, $count, %not) = @_;

    return wait_for(sub {
        my @new = grep { !$not{$_} } $self->workers;
        return @new >= $count;
    }, $PATIENCE) || die "the workers did not come up\n";
}


# nginx -t with the configuration as it is: (status, text).  Leaves the log
# and the running nginx alone.

sub test_config {
    my ($self, %args) = @_;

    $self->conf(%args) if %args;

    my $root = $self->{root};

    write_file("$root/conf/test.conf",
               $self->conf_text('stderr')
               =~ s{^pid .*;$}{pid $root/logs/test.pid;}mr);

    my ($status, $out, $err) =
        run($self->{nginx}{binary}, '-t', '-p', "$root/",
            '-c', "$root/conf/test.conf", '-e', 'stderr');

    die "nginx -t " . Apigw::Nginx::describe_status($status) . "\n$err"
        if $status & 127;

    return ($status >> 8, $out . $err);
}


# Makes nginx read its configuration anew and waits until only new workers
# serve.  Dies when it does not happen.

sub reload {
    my ($self, %args) = @_;

    $self->conf(%args) if %args;

    # nginx cannot do it well without a master
    die "reload needs master => 1\n" if !$self->{conf}{master};

    my $offset = -s $self->{nginx}{log};
    my %old = map { $_ => 1 } $self->workers;

    $self->{nginx}->signal('HUP');

    my $failed;

    wait_for(sub {
        my @now = $self->workers;
        my @new = grep { !$old{$_} } @now;

        return 1 if @new == @now && @new >= $self->{conf}{workers};

        ($failed) = $self->{nginx}->log_text($offset) =~ /^(.*\[emerg\].*)$/m;
        return defined $failed;
    }, $PATIENCE) or die "nginx did not reload\n";

    die "nginx did not reload: $failed\n" if defined $failed;

    $self->wait_helper($offset);

    return $self;
}


# The helper is started after the workers; the log tells whether there is one.

sub wait_helper {
    my ($self, $offset) = @_;

    $self->{nginx}->log_text($offset)
        =~ /start cache manager process (\d+)/ or return;
    my $pid = $1;

    # or its successor, if it is gone already
    wait_for(sub {
        Apigw::Nginx::command_line($pid) eq 'nginx: cache manager process'
            || !-d "/proc/$pid" && $self->helper
    }, $PATIENCE) or die "the helper did not come up\n";
}


# A reload that has to be refused; returns the lines at emerg and goes back to
# the configuration before.

sub reload_fails {
    my ($self, %args) = @_;

    my $conf = { %{$self->{conf}} };

    $self->conf(%args) if %args;

    my $offset = -s $self->{nginx}{log};
    my @old = $self->workers;
    my @lines;

    $self->{nginx}->signal('HUP');

    wait_for(sub {
        @lines = $self->{nginx}->log_text($offset) =~ /^(.*\[emerg\].*)$/mg;
        return @lines || "@old" ne join ' ', $self->workers;
    }, $PATIENCE);

    $self->expect_log(map { qr/\A\Q$_\E\Z/ } @lines);

    die "nginx did not refuse to reload\n"
        if !@lines || "@old" ne join ' ', $self->workers;

    $self->{conf} = $conf;
    $self->conf;

    return join "\n", @lines;
}


# Ends nginx gracefully (stop), at once (term).

sub stop {
    my ($self, %args) = @_;

    $self->{nginx}->stop(seconds => $PATIENCE, %args);

    return $self;
}


sub term {
    my ($self) = @_;

    return $self->stop(signal => 'TERM');
}


sub restart {
    my ($self, %args) = @_;

    $self->stop;

    return $self->start(%args);
}


# kill -9 a worker, wait for its successor, return the dead one's pid.

sub kill_worker {
    my ($self, $pid) = @_;

    $pid //= ($self->workers)[0];

    $self->kill_child($pid, sub { $self->workers });

    return $pid;
}


sub kill_helper {
    my ($self) = @_;

    my $pid = $self->helper or die "there is no helper\n";

    $self->kill_child($pid, sub { $self->helper });

    return $pid;
}


sub kill_child {
    my ($self, $pid, $list) = @_;

    my $count = grep { defined } $list->();

    $self->expect_log(qr/process $pid exited on signal 9/,
                      qr/shared memory zone ".*" was locked by $pid/);

    $self->{nginx}->kill_process(9, $pid) or die "no process $pid\n";

    wait_for(sub {
        my @now = grep { defined } $list->();
        return @now >= $count && !grep { $_ == $pid } @now;
    }, $PATIENCE) or die "process $pid was not replaced\n";
}


# kill -9 the master.  Its children live on as orphans: they are ended here,
# too, unless "keep" is given (then end_orphans() does it).  Returns the pid.

sub kill_master {
    my ($self, %args) = @_;

    my $pid = $self->master;

    $self->{nginx}->kill_process(9, $pid);

    wait_for(sub { !$self->{nginx}->is_alive }, $PATIENCE)
        or die "the master survived\n";

    $self->end_orphans(%args) if !$args{keep};

    return $pid;
}


# Ends what a killed master left, with "signal" (TERM); leaves nothing.

sub end_orphans {
    my ($self, %args) = @_;

    my $nginx = $self->{nginx};
    my $signal = $args{signal} // 'TERM';

    $nginx->kill_process($signal eq 'KILL' ? 9 : $signal, $_->{pid})
        for $nginx->processes;

    wait_for(sub { !$nginx->processes }, 5) or do {
        $nginx->kill_process(9, $_->{pid}) for $nginx->processes;
        wait_for(sub { !$nginx->processes }, 5);
    };

    $nginx->stopped;
}


# Replaces the binary as nginx's manual says: USR2, WINCH, QUIT.  "between"
# runs while both serve, "after_winch" when only the new workers do.

sub upgrade {
    my ($self, %args) = @_;

    my $nginx = $self->{nginx};
    my $old = $self->master;
    my $count = $self->{conf}{workers};

    $nginx->signal('USR2');

    my $new;
    wait_for(sub {
        $new = $nginx->read_pid;
        return $new && $new != $old && Apigw::Nginx::is_running($new)
               && $self->children('worker process', $new) >= $count;
    }, $PATIENCE) or die "no new master came up\n";

    $args{between}->($old, $new) if $args{between};

    $nginx->signal('WINCH', $old);
    wait_for(sub { !$self->children('worker process.*', $old) }, $PATIENCE)
        or die "the old workers did not end\n";

    $args{after_winch}->($old, $new) if $args{after_winch};

    $nginx->signal('QUIT', $old);
    wait_for(sub { !$nginx->is_alive }, $PATIENCE)
        or die "the old master did not end\n";

    $nginx->adopt_pid($new);

    return $self;
}


# Logs

sub error_log {
    my ($self) = @_;

    return $self->{nginx}->log_text;
}


# The lines of error.log that match.

sub grep_log {
    my ($self, $pattern) = @_;

    return grep { $_ =~ $pattern } split /\n/, $self->error_log;
}


# The same, waited for.

sub wait_log {
    my ($self, $pattern, $seconds) = @_;

    my @lines;
    wait_for(sub { @lines = $self->grep_log($pattern) }, $seconds // 5);

    return @lines;
}


# Announces lines that would otherwise fail the test.

sub expect_log {
    my ($self, @patterns) = @_;

    push @{$self->{known}}, @patterns;
}


# Ends the gateway and fails the test for what it left.  Done at the end of
# the test by itself.

sub finish {
    my ($self) = @_;

    return if $self->{finished}++;

    $self->{nginx}->stop(seconds => 5);

    my @problems = $self->{nginx}->problems(sub {
        my ($line) = @_;
        return scalar grep { $line =~ $_ } @{$self->{known}};
    });

    return if !@problems;

    Test::More::fail("nginx ran cleanly ($self->{root})");
    Test::More::diag($_) for splice @problems, 0, 20;
}


# Polls: the condition's value, or a false one at the deadline.

sub wait_for (&;$) {
    my ($condition, $seconds) = @_;

    return Apigw::Nginx::wait_for($condition, $seconds // 5);
}


# Runs a command: (wait status, stdout, stderr).

sub run {
    my @command = @_;

    my $input = ref $command[-1] eq 'HASH' ? (pop @command)->{stdin} : undef;
    my @files = map { File::Temp->new } 0 .. 2;

    write_file($files[0]->filename, $input) if defined $input;

    my $pid = fork;
    die "fork() failed: $!\n" if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        open STDIN, '<', $files[0]->filename;
        open STDOUT, '>&', $files[1];
        open STDERR, '>&', $files[2];
        no warnings 'exec';
        exec { $command[0] } @command;
        print STDERR "cannot execute $command[0]: $!\n";
        POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return ($?, map { Apigw::Nginx::slurp($_->filename) } @files[1, 2]);
}


# Runs the command-line tool: (status, stdout, stderr).  A last argument
# { stdin => text } is its input.

sub cli {
    my @args = @_;

    shift @args if ref $args[0] && ref $args[0] ne 'HASH';

    my ($status, $out, $err) = run(cli_path(), @args);

    die "apigw " . Apigw::Nginx::describe_status($status) . "\n$err"
        if $status & 127;

    return ($status >> 8, $out, $err);
}


sub cli_path {
    return $ENV{APIGW_CLI} || built('apigw')
           || die "the tool is not built, and APIGW_CLI is not set\n";
}


# Also reached when the test died or was interrupted.

END {
    if ($$ == $owner) {
        my $status = $?;

        kill 'KILL', @children if @children;

        for my $gateway (@gateways) {
            eval { $gateway->finish; 1 } or warn $@;
        }

        $_->stop for @upstreams;

        if ($ENV{TEST_NGINX_RANDOMIZE} && defined $base_root
            && !$ENV{TEST_NGINX_NO_CLEAN} && $base_root =~ /servroot_\d+$/)
        {
            remove_tree($base_root);
        }

        $? = $status;
    }
}


1;
