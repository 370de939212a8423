package Server;

# Copyright (C) the apigw authors

# An nginx that is measured, or that stands behind one.
#
#     my $server = Server->new(dir => ..., port => ..., row => ...);
#     $server->start(callgrind => 1);
#     $server->stop;
#
# What a proxied request takes from its pool ends, in bare nginx, in the middle
# of a block: X-Pad sees to that.  At the end of one every module would seem to
# need 700 instructions more, for the next block.
#
# Ports from "port" on: endpoint e, endpoint p, probe.  The probe serves the
# same location as e and shows a variable in X-Probe, so that a row can prove
# that what it measures is at work.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my $START_SECONDS = 120;
my $STOP_SECONDS = 20;
my $PAD = 'x' x 1500;
my $STOCK = '/usr/lib/nginx/modules';

our %running;


sub new {
    my ($class, %args) = @_;

    return bless { workers => 1, back => 0, build => '', %args }, $class;
}


sub port {
    my ($self, $endpoint) = @_;

    my %place = (e => 0, p => 1, probe => 2);

    return $self->{port} + $place{$endpoint};
}


sub start {
    my ($self, %how) = @_;

    my $dir = $self->{dir};
    my $single = $self->{row}{single};

    remove_tree($dir);
    make_path("$dir/logs", "$dir/temp");
    write_file("$dir/nginx.conf", $self->config);

    my $files = $self->{row}{files} // {};
    write_file("$dir/$_", $files->{$_}) for keys %$files;

    my @command = ('nginx', '-p', "$dir/", '-c', "$dir/nginx.conf",
                   '-e', "$dir/logs/error.log");

    # A worker that gets SIGUSR1 calls ngx_reopen_files(): there callgrind
    # writes down what it has counted and starts anew.

    unshift @command, 'valgrind', '--tool=callgrind', '-q',
            "--callgrind-out-file=$dir/logs/count.%p",
            '--dump-before=ngx_reopen_files', '--compress-strings=no',
            '--compress-pos=no', $single ? '--instr-atstart=no' : ()
        if $how{callgrind};

    my $pid = fork // die "cannot fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/logs/output";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    $self->{pid} = $pid;
    $running{$pid} = 1;

    my $until = time + $START_SECONDS;

    while (time < $until) {
        $self->die_if_gone;

        my @workers = $single
            ? read_file("$dir/logs/nginx.pid") =~ /(\d+)/
            : read_file("$dir/logs/error.log")
              =~ /start worker process (\d+)/g;

        if (@workers == $self->{workers}) {
            $self->{worker} = $workers[0];
            $self->{pids} = \@workers;
            return;
        }

        sleep 0.02;
    }

    $self->stop;
    die "nginx did not start in $START_SECONDS s\n";
}


sub die_if_gone {
    my ($self) = @_;

    return if waitpid($self->{pid}, WNOHANG) == 0;

    delete $running{delete $self->{pid}};

    my $text = read_file("$self->{dir}/logs/error.log");
    my ($line) = $text =~ /^(.*\[(?:emerg|alert)\].*)$/m;

    die 'nginx ended: '
        . ($line // read_file("$self->{dir}/logs/output")) . "\n";
}


sub stop {
    my ($self) = @_;

    my $pid = $self->{pid} or return;

    kill TERM => $pid;

    my $until = time + $STOP_SECONDS;

    while (waitpid($pid, WNOHANG) == 0) {
        if (time > $until) {
            kill KILL => $pid, $self->{worker} // ();
        }

        sleep 0.02;
    }

    delete $running{$pid};
    delete $self->{pid};
}


# With another number of workers; what is in shared memory stays.

sub reload {
    my ($self, $workers) = @_;

    my $dir = $self->{dir};
    my $before = () = read_file("$dir/logs/error.log")
                      =~ /start worker process \d+/g;

    $self->{workers} = $workers;
    write_file("$dir/nginx.conf", $self->config);

    kill HUP => $self->{pid};

    my $until = time + $START_SECONDS;

    while (time < $until) {
        $self->die_if_gone;

        my $text = read_file("$dir/logs/error.log");
        my @started = $text =~ /start worker process (\d+)/g;
        my $ended = () = $text =~ /worker process \d+ exited/g;

        if (@started == $before + $workers && $ended == $before) {
            $self->{pids} = [@started[$before .. $#started]];
            return;
        }

        sleep 0.02;
    }

    die "nginx did not reload in $START_SECONDS s\n";
}


# Nanoseconds that its workers have been on a processor, 0 where the kernel
# does not tell.

sub busy {
    my ($self) = @_;

    my $sum = 0;

    for my $pid (@{$self->{pids}}) {
        my ($ns) = read_file("/proc/$pid/schedstat") =~ /^(\d+)/;
        $sum += $ns // 0;
    }

    return $sum;
}


# valgrind has let it run without counting so far, which is much faster.  It
# hears of the end while it works: wake() gives it something to do.  (It could
# be interrupted with ptrace, where that is allowed.)

sub count_from_now {
    my ($self, $wake) = @_;

    my $output = "$self->{dir}/logs/vgdb";
    my $pid = fork // die "cannot fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', $output;
        open STDERR, '>&', \*STDOUT;
        exec 'vgdb', "--pid=$self->{worker}", '--max-invoke-ms=0',
             qw(instrumentation on) or POSIX::_exit(127);
    }

    my $until = time + $STOP_SECONDS;

    while (waitpid($pid, WNOHANG) == 0) {
        kill KILL => $pid if time > $until;

        $wake->();
        sleep 0.02;
    }

    die 'valgrind does not begin to count: ' . read_file($output) if $?;
}


# What the modules or nginx complained about, the first line of it.

sub complaint {
    my ($self) = @_;

    my ($line) = read_file("$self->{dir}/logs/error.log")
                 =~ /^(.*\[(?:emerg|alert|crit)\].*)$/m;

    return $line;
}


sub config {
    my ($self) = @_;

    my $row = $self->{row};
    my $dir = $self->{dir};
    my $user = $> == 0 ? 'user root;' : '';
    my $load = join "\n", map { "load_module $_;" } $self->modules;
    my $single = $row->{single} ? 'master_process off;' : '';

    my $location = $row->{location} // '/';
    my $config = $row->{config} // '';
    my $http = $row->{http} // '';
    my $in_server = $row->{server} // '';
    my $proxy = $row->{proxy} // 'http://back';
    my $probe = ($row->{probe} // ['-'])->[0];
    my ($e, $p, $q) = map { $self->port($_) } qw(e p probe);

    my $text = <<END;
$load
$user
$single
daemon off;
worker_processes $self->{workers};
pid $dir/logs/nginx.pid;
error_log $dir/logs/error.log notice;

events {
    worker_connections 1024;
}

http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path $dir/temp/body;
    proxy_temp_path $dir/temp/proxy;
    fastcgi_temp_path $dir/temp/fastcgi;
    uwsgi_temp_path $dir/temp/uwsgi;
    scgi_temp_path $dir/temp/scgi;

    upstream back {
        server 127.0.0.1:$self->{back};
        keepalive 64;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Pad "$PAD";

    $http

    server {
        listen 127.0.0.1:$e;
        $in_server
        location $location {
            $config
            empty_gif;
        }
    }

    server {
        listen 127.0.0.1:$p;
        $in_server
        location $location {
            $config
            proxy_pass $proxy;
        }
    }

    server {
        listen 127.0.0.1:$q;
        $in_server
        location $location {
            $config
            add_header X-Probe "$probe" always;
            empty_gif;
        }
    }
}
END

    $text =~ s/%DIR%/$dir/g;
    $text =~ s/%BACK%/$self->{back}/g;
    $text =~ s/%KEYS%/$row->{keys_dir}/g if defined $row->{keys_dir};

    return $text;
}


# "name" is one of ours, "stock/name.so" one that Debian packages.

sub modules {
    my ($self) = @_;

    return map { m{^stock/(.*)} ? "$STOCK/$1"
                 : "$self->{build}/ngx_http_apigw_${_}_module.so" }
           @{$self->{row}{modules} // []};
}


sub write_file {
    my ($file, $text) = @_;

    open my $out, '>', $file or die "cannot write $file: $!\n";
    print $out $text;
    close $out or die "cannot write $file: $!\n";
}


sub read_file {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return scalar <$in> // '';
}


1;
