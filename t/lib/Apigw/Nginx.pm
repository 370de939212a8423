package Apigw::Nginx;

# One nginx under test: started, signalled, stopped and judged.
#
#     my $nginx = Apigw::Nginx->new(root => $root);
#     $nginx->start or die $nginx->stderr;
#     ...
#     $nginx->stop;
#     print for $nginx->problems(sub { $_[0] =~ /expected/ });
#
# nginx lives in a session of its own (it is a daemon), whose id is the first
# master's pid.  The test adopts orphans (PR_SET_CHILD_SUBREAPER), so that it
# learns the exit status of a daemon and can find every process that belongs
# to it, also after its master was killed.

use strict;
use warnings;

use File::Glob qw(bsd_glob);
use File::Spec;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my $LEVELS = qr/alert|crit|emerg/;
my $BAD_LINE = qr{
    ^ \d{4}/\d\d/\d\d [ ] \d\d:\d\d:\d\d [ ] \[ (?:$LEVELS) \]
    | ^ nginx: [ ] \[ (?:$LEVELS) \]
    | (?: ERROR | WARNING ): [ ] \w+Sanitizer
    | \b LeakSanitizer \b
    | \b runtime [ ] error:
}x;

# What a worker says that was ended while it waited for its connections.
my $HURRIED = qr/\[alert\] \S+ (?:\*\d+ open socket #\d+ left in |aborting)/;

# Files that a sanitizer or valgrind writes when it found something.
my $REPORTS = '{sanitizer,asan,ubsan,lsan,msan,tsan,valgrind}.*';

adopt_orphans();


sub adopt_orphans {
    my %prctl = (x86_64 => 157, aarch64 => 167);

    my $number = $prctl{(POSIX::uname())[4]};

    return defined $number && syscall($number, 36, 1, 0, 0, 0) == 0;
}


sub new {
    my ($class, %args) = @_;

    my $root = $args{root} or die "no server root given";

    my $binary = delete $args{binary} // $ENV{TEST_NGINX_BINARY} || 'nginx';

    return bless {
        binary   => find_binary($binary),
        conf     => "$root/conf/nginx.conf",
        log      => "$root/logs/error.log",
        pid_file => "$root/logs/nginx.pid",
        env      => {},
        wrapper  => [],
        faults   => [],
        %args,
    }, $class;
}


# The whole path: nginx starts itself anew when it is upgraded.

sub find_binary {
    my ($name) = @_;

    return File::Spec->rel2abs($name) if $name =~ m{/};

    my ($path) = grep { -f && -x } map { "$_/$name" } File::Spec->path;

    return $path // die "no $name in PATH\n";
}


# Polls until the condition holds; the interval grows from 2 to 10 ms.

sub wait_for {
    my ($condition, $seconds) = @_;

    my $deadline = time + $seconds;
    my $step = 0.002;

    while (1) {
        my $value = $condition->();
        return $value if $value;
        return $value if time >= $deadline;

        sleep $step;
        $step = $step * 1.2 < 0.01 ? $step * 1.2 : 0.01;
    }
}


sub describe_status {
    my ($status) = @_;

    return sprintf "ended by signal %d%s", $status & 127,
                   $status & 128 ? ' (core dumped)' : ''
        if $status & 127;

    return sprintf "exited with status %d", $status >> 8;
}


# Everything that runs now: pid, ppid, session, state and command line.

sub process_table {
    my @table;

    opendir my $dir, '/proc' or die "cannot open /proc: $!";

    for my $pid (grep { /^\d+$/ } readdir $dir) {
        my $stat = slurp("/proc/$pid/stat") // next;

        next if $stat !~ /^\d+ \((.*)\) (\S) (\d+) -?\d+ (-?\d+) /s;

        push @table, { pid => $pid, comm => $1, state => $2, ppid => $3,
                       session => $4 };
    }

    return @table;
}


sub command_line {
    my ($pid) = @_;

    my $line = slurp("/proc/$pid/cmdline") // '';

    $line =~ s/\0+\z//;
    $line =~ tr/\0/ /;
    $line =~ s/\s+\z//;

    return $line;
}


sub slurp {
    my ($path) = @_;

    open my $in, '<', $path or return;
    binmode $in;
    local $/;

    return scalar <$in> // '';
}


sub is_running {
    my ($pid) = @_;

    my $stat = slurp("/proc/$pid/stat") // return 0;

    return $stat =~ /\) [ZX] \d+ [^)]*\z/ ? 0 : 1;
}


# Ends whatever an earlier, aborted run left under this server root.  nginx's
# error output goes to its log, so that tells whose a process is, also when its
# master is gone.

sub stop_stale {
    my ($self) = @_;

    my $stale = sub {
        grep { (readlink "/proc/$_->{pid}/fd/2" // '') =~ m{^\Q$self->{root}/} }
        grep { $_->{pid} != $$ && $_->{state} ne 'Z' }
        process_table();
    };

    for my $signal (qw(QUIT TERM KILL)) {
        my @pids = map { $_->{pid} } $stale->() or last;
        my $master = slurp($self->{pid_file}) // '';
        my ($first) = grep { $master =~ /^$_$/ } @pids;

        # the master ends the others
        kill $signal, $signal ne 'KILL' && $first ? $first : @pids;

        wait_for(sub { !$stale->() }, 1);
    }

    unlink $self->{pid_file};
}


# Starts nginx; true if it runs.  "status" is what the command ended with.

sub start {
    my ($self) = @_;

    unlink $self->{pid_file};
    delete @$self{qw(pid session exit)};

    my $pid = $self->{starting} = fork;
    die "fork() failed: $!" if !defined $pid;

    $self->exec_nginx if $pid == 0;

    my $runs = @{$self->{wrapper}} ? $self->start_foreground($pid)
                                   : $self->start_daemon($pid);

    delete $self->{starting};

    return $runs;
}


sub start_daemon {
    my ($self, $pid) = @_;

    # nginx itself tries for 2.5 s to bind a busy port
    my $status = $self->reap_child($pid, 60);

    if (!defined $status) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        $self->{status} = 9;
        $self->fault("nginx did not start within 60 s");
        return 0;
    }

    $self->{status} = $status;
    return 0 if $status != 0;

    my $found = wait_for(sub { $self->read_pid }, 10);

    if (!$found) {
        $self->fault("nginx wrote no pid file");
        return 0;
    }

    $self->{pid} = $self->{session} = $found;

    return 1;
}


sub start_foreground {
    my ($self, $pid) = @_;

    $self->{session} = $pid;

    my $up = wait_for(sub {
        my $status = $self->reap_child($pid, 0);
        if (defined $status) {
            $self->{status} = $status;
            return -1;
        }
        return $self->read_pid;
    }, 60);

    return 0 if !$up || $up == -1;

    $self->{status} = 0;
    $self->{pid} = $up;

    return 1;
}


sub exec_nginx {
    my ($self) = @_;

    my $reports = "$self->{root}/logs/sanitizer";

    for my $name (qw(ASAN_OPTIONS UBSAN_OPTIONS)) {
        my $options = $ENV{$name} // '';
        next if $options =~ /log_path/;
        $ENV{$name} = join ':', grep { length } $options, "log_path=$reports";
    }

    $ENV{$_} = $self->{env}{$_} for keys %{$self->{env}};

    # a daemon makes a session of its own
    POSIX::setsid() if @{$self->{wrapper}};

    $SIG{$_} = 'DEFAULT' for qw(INT TERM QUIT HUP PIPE CHLD ALRM);

    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', $self->stderr_file;

    no warnings 'exec';
    exec { ($self->command)[0] } $self->command;

    print STDERR "cannot execute $self->{binary}: $!\n";
    POSIX::_exit(127);
}


sub command {
    my ($self, @args) = @_;

    return (@{$self->{wrapper}}, $self->{binary}, '-p', "$self->{root}/",
            '-c', $self->{conf}, '-e', $self->{log}, @args);
}


sub stderr_file {
    my ($self) = @_;

    return "$self->{root}/logs/stderr.log";
}


sub stderr {
    my ($self) = @_;

    return slurp($self->stderr_file) // '';
}


sub read_pid {
    my ($self) = @_;

    my $text = slurp($self->{pid_file}) // return;

    return $text =~ /^(\d+)\n\z/ ? $1 : undef;
}


# The status of a child, once it is there; undef at the deadline.

sub reap_child {
    my ($self, $pid, $seconds) = @_;

    my $status;

    wait_for(sub {
        my $n = waitpid $pid, WNOHANG;
        return 0 if $n == 0;
        $status = $n == $pid ? $? : 0;
        return 1;
    }, $seconds);

    return $status;
}


sub signal {
    my ($self, $signal, $pid) = @_;

    return kill $signal, $pid // $self->{pid};
}


sub pid {
    my ($self) = @_;

    return $self->{pid};
}


# Follows the pid file after a binary upgrade.

sub adopt_pid {
    my ($self, $pid) = @_;

    $self->{pid} = $pid;
    delete $self->{exit};
}


# The processes of this nginx, its own session; the dead ones are buried.

sub processes {
    my ($self) = @_;

    return if !$self->{session};

    my @living;

    for my $process (process_table()) {
        next if $process->{session} != $self->{session};

        if ($process->{state} eq 'Z' || $process->{state} eq 'X') {
            $self->bury($process->{pid}) if $process->{ppid} == $$;
            next;
        }

        push @living, $process;
    }

    return @living;
}


sub bury {
    my ($self, $pid) = @_;

    my $n = waitpid $pid, WNOHANG;
    return if $n == 0;

    my $status = $n == $pid ? $? : undef;

    if ($self->{pid} && $pid == $self->{pid}) {
        $self->{exit} = $status;
        $self->note_exit($pid, $status) if defined $status;

    } elsif (defined $status) {
        $self->note_exit($pid, $status);
    }
}


sub note_exit {
    my ($self, $pid, $status) = @_;

    return if $status == 0 || $self->{allow_exit}{$pid};

    my $signal = $status & 127;
    return if $signal && ($self->{sent}{$pid} // '') eq $signal;

    $self->fault("nginx process $pid " . describe_status($status));
}


# kill -9 and the like, on purpose: the status is not a fault then.

sub kill_process {
    my ($self, $signal, $pid) = @_;

    $self->{sent}{$pid} = $signal;

    return kill $signal, $pid;
}


sub is_alive {
    my ($self) = @_;

    return 0 if !$self->{pid};

    $self->bury($self->{pid});

    return is_running($self->{pid});
}


# Ends nginx: gracefully, then at once, then by force.

sub stop {
    my ($self, %args) = @_;

    $self->stop_starting if $self->{starting};

    return if !$self->{session};

    my $first = $args{signal} // 'QUIT';
    my @steps = ([ $first => $args{seconds} // 2 ], [ TERM => 4 ]);

    for my $step (@steps) {
        $self->{hurried} //= -s $self->{log} if $step == $steps[1];

        return $self->stopped if $self->stop_by(@$step);
    }

    my @left = $self->processes;
    $self->fault("nginx had to be killed, running was: "
                 . join ', ', map { "$_->{pid} " . command_line($_->{pid}) }
                              @left);

    $self->kill_process(9, $_->{pid}) for @left;
    $self->wait_gone(5) or $self->fault("nginx survived being killed");

    return $self->stopped;
}


# A single process that just goes to wait for events misses a signal until the
# next event, so the signal is repeated.  A master would lose count of its time.

sub stop_by {
    my ($self, $signal, $seconds) = @_;

    my $deadline = time + $seconds;
    my $told = 0;

    do {
        my @pids = map { $_->{pid} } $self->processes;

        # orphans have to be told themselves
        if (!$told++ || @pids == 1) {
            $self->signal($signal, $_) for $self->is_alive ? $self->pid : @pids;
        }

        return 1 if $self->wait_gone(0.25);

    } while time < $deadline;

    return 0;
}


# The test was interrupted while nginx started: what there is of it is not
# known but by its error output.

sub stop_starting {
    my ($self) = @_;

    my $pid = delete $self->{starting};

    kill 'KILL', $pid;
    waitpid $pid, 0;

    $self->stop_stale;
}


sub stopped {
    my ($self) = @_;

    delete @$self{qw(pid session)};

    return 1;
}


sub wait_gone {
    my ($self, $seconds) = @_;

    return wait_for(sub {
        return 0 if $self->is_alive;
        return $self->processes ? 0 : 1;
    }, $seconds);
}


sub fault {
    my ($self, $text) = @_;

    push @{$self->{faults}}, $text;
}


sub log_text {
    my ($self, $offset) = @_;

    open my $in, '<', $self->{log} or return '';
    binmode $in;
    seek $in, $offset, 0 if $offset;
    local $/;

    return scalar <$in> // '';
}


# What a clean run does not have.  Each line of the log at alert, crit or
# emerg, or by a sanitizer, must be one that the caller has announced.

sub problems {
    my ($self, $announced, $offset) = @_;

    my @problems = @{$self->{faults}};
    $self->{faults} = [];

    my $place = $offset // 0;

    for my $line (split /^/, $self->log_text($offset)) {
        $place += length $line;

        next if $line !~ $BAD_LINE || $announced->($line);
        next if defined $self->{hurried} && $place > $self->{hurried}
                && $line =~ $HURRIED;

        chomp $line;
        push @problems, "error.log: $line";
    }

    for my $report (bsd_glob("$self->{root}/logs/$REPORTS")) {
        my $text = slurp($report);
        next if !defined $text || $text !~ /\S/;

        my @lines = grep { /\S/ } split /\n/, $text;
        splice @lines, 40;

        push @problems, join "\n    ", "$report:", @lines;
    }

    return @problems;
}


# The last lines above info, for a reader of a failed test.

sub log_tail {
    my ($self, $count) = @_;

    my @lines = grep { /^[\d\/]+ [\d:]+ \[(?!debug|info|notice)\w+\] /
                       || $_ =~ $BAD_LINE }
                split /\n/, $self->log_text;

    splice @lines, 0, @lines - $count if @lines > $count;

    return @lines;
}


1;
