package Apigw::Upstream;

# A mock HTTP upstream: a process that answers as programmed and records what
# it was asked.
#
#     my $up = Apigw::Upstream->new(port => 9001,
#                                   answer => { status => 200, body => 'hi' });
#     my $up = Apigw::Upstream->new(port => 9001, answer => sub {
#         my ($request) = @_;                   # runs in the other process
#         return { body => $request->{uri} };
#     });
#
#     $up->answer({ status => 503, delay => 0.2 });
#     my ($first) = $up->requests;
#     is($first->{headers}{'x-consumer'}, 'alice');
#
# An answer has: status, reason, headers (names and values in an array), body,
# delay (seconds), close (after the answer), drop (close without an answer),
# raw (octets instead of all that).
#
# A request has: method, uri, version, headers (lower-case names, values joined
# by ", "), header_list ([name, value], ...), body, connection (its number).

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Storable ();
use Time::HiRes qw(sleep time);

use Apigw::HTTP;
use Apigw::Nginx;


sub new {
    my ($class, %args) = @_;

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         LocalPort => $args{port} // 0,
                                         Proto     => 'tcp',
                                         ReuseAddr => 1,
                                         Listen    => 128)
        or die "cannot listen on port $args{port}: $@\n";

    my $self = bless { listener => $listener,
                       port     => $listener->sockport,
                       program  => $args{answer} // {},
                       record   => File::Temp->new,
                       answers  => File::Temp->new,
                       owner    => $$,
                       seen     => 0 }, $class;

    $self->answer($args{answer})
        if defined $args{answer} && ref $args{answer} ne 'CODE';

    my $pid = fork;
    die "fork() failed: $!\n" if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT);
        $SIG{PIPE} = 'IGNORE';
        eval { $self->serve; 1 } or print STDERR "upstream: $@";
        POSIX::_exit(1);
    }

    $self->{pid} = $pid;
    close $listener;

    return $self;
}


sub port {
    my ($self) = @_;

    return $self->{port};
}


# The answer to every request from now on.

sub answer {
    my ($self, $answer) = @_;

    die "only new() takes code\n" if ref $answer ne 'HASH';

    my $file = $self->{answers}->filename;

    Storable::nstore($answer, "$file.new");
    rename "$file.new", $file or die "cannot rename $file.new: $!\n";
}


# What was received since the start or forget(), in order of arrival.

sub requests {
    my ($self) = @_;

    my $text = Apigw::Nginx::slurp($self->{record}->filename);
    my $offset = 0;
    my @requests;

    while (length $text >= $offset + 4) {
        my $length = unpack 'N', substr $text, $offset, 4;
        last if length $text < $offset + 4 + $length;

        push @requests, Storable::thaw(substr $text, $offset + 4, $length);
        $offset += 4 + $length;
    }

    splice @requests, 0, $self->{seen};

    return @requests;
}


sub count {
    my ($self) = @_;

    return scalar(my @all = $self->requests);
}


# Waits until that many have come.

sub wait_requests {
    my ($self, $count, $seconds) = @_;

    Apigw::Nginx::wait_for(sub { $self->count >= $count }, $seconds // 5);

    return $self->requests;
}


sub forget {
    my ($self) = @_;

    $self->{seen} += $self->count;
}


sub stop {
    my ($self) = @_;

    return if $$ != $self->{owner};

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    $self->stop;
}


# The other process: one loop over all connections.

sub serve {
    my ($self) = @_;

    $self->{connections} = {};
    $self->{number} = 0;

    open $self->{out}, '>>', $self->{record}->filename
        or die "cannot write: $!\n";
    binmode $self->{out};

    while (getppid() == $self->{owner}) {
        $self->serve_once;
    }

    POSIX::_exit(0);
}


sub serve_once {
    my ($self) = @_;

    my $connections = $self->{connections};
    my ($in, $wait) = ('', 0.5);
    my $now = time;

    vec($in, fileno $self->{listener}, 1) = 1;

    for my $connection (values %$connections) {
        vec($in, fileno $connection->{socket}, 1) = 1;

        next if !defined $connection->{due};

        my $left = $connection->{due} - $now;
        $wait = $left if $left < $wait;
    }

    return if select($in, undef, undef, $wait < 0 ? 0 : $wait) < 0;

    $self->take_connection if vec $in, fileno $self->{listener}, 1;

    for my $connection (values %$connections) {
        $self->read_from($connection)
            if vec $in, fileno $connection->{socket}, 1;
    }

    for my $connection (values %$connections) {
        $self->reply_to($connection)
            if defined $connection->{due} && $connection->{due} <= time;
    }
}


sub take_connection {
    my ($self) = @_;

    my $socket = $self->{listener}->accept or return;
    my $number = ++$self->{number};

    $self->{connections}{$number} = { socket => $socket, number => $number,
                                      in => '' };
}


sub read_from {
    my ($self, $connection) = @_;

    my $n = sysread $connection->{socket}, $connection->{in}, 65536,
                    length $connection->{in};

    if (!$n) {
        $self->drop($connection);
        return;
    }

    $self->take_request($connection) if !defined $connection->{due};
}


sub drop {
    my ($self, $connection) = @_;

    delete $self->{connections}{$connection->{number}};
    close $connection->{socket};
}


# Takes a whole request off the buffer and decides when to answer it.

sub take_request {
    my ($self, $connection) = @_;

    return if $connection->{in} !~ /\A(.*?\r\n)\r\n(.*)\z/s;

    my ($head, $rest) = ($1, $2);
    my ($line) = $head =~ /\A(.*)\r\n/;
    my $message = Apigw::HTTP->parse("HTTP/1.1 200 OK\r\n"
                                     . substr($head, 2 + length $line)
                                     . "\r\n");

    my $length = $message->header('Content-Length') // 0;
    my $body;

    if (lc($message->header('Transfer-Encoding') // '') eq 'chunked') {
        ($body, $rest) = Apigw::HTTP::decode_chunked($rest);
        return if !defined $body;

    } else {
        return if length $rest < $length;
        $body = substr $rest, 0, $length, '';
    }

    $connection->{in} = $rest;

    my ($method, $uri, $version) = split ' ', $line;
    my $request = { method      => $method,
                    uri         => $uri,
                    version     => $version,
                    headers     => $message->headers,
                    header_list => $message->{headers},
                    body        => $body,
                    connection  => $connection->{number} };

    my $frozen = Storable::nfreeze($request);
    syswrite $self->{out}, pack('N', length $frozen) . $frozen;

    my $answer = $self->answer_to($request);

    $connection->{answer} = $answer;
    $connection->{request} = $request;
    $connection->{due} = time + ($answer->{delay} // 0);
}


sub answer_to {
    my ($self, $request) = @_;

    my $file = $self->{answers}->filename;

    return Storable::retrieve($file) if -s $file;

    my $program = $self->{program};

    return ref $program eq 'CODE' ? $program->($request) : $program;
}


sub reply_to {
    my ($self, $connection) = @_;

    my ($answer, $request) = delete @$connection{qw(answer request due)};

    if ($answer->{drop}) {
        $self->drop($connection);
        return;
    }

    my $close = $answer->{close}
                || $request->{version} eq 'HTTP/1.0'
                || ($request->{headers}{connection} // '') =~ /\bclose\b/i;

    my $text = $answer->{raw} // render($answer, $request, $close);

    while ($text ne '') {
        my $n = syswrite $connection->{socket}, $text;
        last if !defined $n;
        substr $text, 0, $n, '';
    }

    if ($close || defined $answer->{raw}) {
        $self->drop($connection);
        return;
    }

    # the next one may be there already
    $self->take_request($connection) if $connection->{in} ne '';
}


sub render {
    my ($answer, $request, $close) = @_;

    my $status = $answer->{status} // 200;
    my $body = $answer->{body} // '';
    my @headers = @{$answer->{headers} // []};

    push @headers, 'Content-Length' => length $body
        if $status !~ /^(?:1|204|304)/;
    push @headers, Connection => $close ? 'close' : 'keep-alive';

    my $text = "HTTP/1.1 $status " . ($answer->{reason} // 'Programmed')
               . "\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return "$text\r\n" . ($request->{method} eq 'HEAD' ? '' : $body);
}


1;
