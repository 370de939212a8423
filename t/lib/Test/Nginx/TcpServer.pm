package Test::Nginx::TcpServer;

# The mock server of --- tcp_listen: takes one connection, reads what is
# expected, replies.  Part of this suite's own Test::Nginx::Socket.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_STREAM);
use Test::More ();
use Time::HiRes qw(sleep);

use Apigw::Nginx;
use Test::Nginx::Checks;
use Test::Nginx::Request;


sub start {
    my ($class, $block) = @_;

    my $target = $block->tcp_listen;
    return if !defined $target;

    my $reply = $block->tcp_reply;

    die "--- tcp_listen without --- tcp_reply\n"
        if !defined $reply && !defined $block->tcp_shutdown;

    my $length = $block->tcp_query_len;
    $length //= length $block->tcp_query if defined $block->tcp_query;

    my $self = bless { block => $block, reply => $reply, length => $length,
                       file => File::Temp->new }, $class;

    $self->{listener} = listen_on($target)
        or die "cannot listen on $target: " . ($@ || $!) . "\n";

    my $pid = fork;
    die "fork() failed: $!\n" if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM QUIT);
        eval { $self->serve; 1 } or warn "tcp_listen: $@";
        POSIX::_exit(0);
    }

    $self->{pid} = $pid;

    return $self;
}


sub listen_on {
    my ($target) = @_;

    my $socket;

    if ($target =~ /^\d+$/) {
        Apigw::Nginx::wait_for(sub {
            $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                            LocalPort => $target,
                                            Proto     => 'tcp',
                                            ReuseAddr => 1,
                                            Listen    => 5);
        }, 3);

        return $socket;
    }

    die "bad --- tcp_listen \"$target\"\n" if $target !~ /\S+\.sock$/;

    unlink $target;

    return IO::Socket::UNIX->new(Local  => $target,
                                 Type   => SOCK_STREAM,
                                 Listen => 5);
}


sub serve {
    my ($self) = @_;

    my $block = $self->{block};
    my $client;

    1 until $client = $self->{listener}->accept;

    my $shutdown = $block->tcp_shutdown;

    if (defined $shutdown) {
        sleep $block->tcp_shutdown_delay if $block->tcp_shutdown_delay;
        $client->shutdown($shutdown);
    }

    my $query = '';

    $query = $self->read_query($client)
        if !defined $shutdown || $shutdown == 1;

    my $delay = Test::Nginx::Request::seconds(scalar $block->tcp_reply_delay);
    sleep $delay if $delay;

    if (!defined $shutdown || $shutdown == 0) {
        my $reply = $self->{reply};
        $reply = $reply->($query) if ref $reply eq 'CODE';

        local $SIG{PIPE} = 'IGNORE';
        $client->send($_) for grep { defined } ref $reply ? @$reply : $reply;
    }

    if (defined $block->tcp_no_close) {
        sleep 1 while 1;
    }

    $client->close;
}


sub read_query {
    my ($self, $client) = @_;

    my $query = '';

    while (1) {
        my $n = sysread $client, $query, 4096, length $query;

        open my $out, '>', $self->{file}->filename or die "$!\n";
        binmode $out;
        print $out $query;
        close $out;

        last if !$n || !$self->{length} || length $query >= $self->{length};
    }

    return $query;
}


sub check {
    my ($self) = @_;

    my $block = $self->{block};
    my $query = Apigw::Nginx::slurp($self->{file}->filename);

    Test::Nginx::Checks::is_str($query, $block->tcp_query,
                                $block->name . " - tcp_query ok")
        if defined $block->tcp_query;

    Test::More::is(length $query, $block->tcp_query_len,
                   $block->name . " - TCP query length ok")
        if defined $block->tcp_query_len;
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;

    close $self->{listener};
    unlink $self->{block}->tcp_listen
        if $self->{block}->tcp_listen !~ /^\d+$/;
}


1;
