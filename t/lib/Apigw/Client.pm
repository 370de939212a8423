package Apigw::Client;

# One connection to a server under test, HTTP/1.1, blocking with a time-out.
#
#     my $client = Apigw::Client->new($port);
#     my $answer = $client->request('GET', '/', ['X-Name' => 'value']);
#     $client->send("GET / HTTP/1.1\r\n..."); $answer = $client->read_answer;
#
# Failures die with a short reason: "connect: ...", "time-out", "closed".

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(time);

use Apigw::HTTP;


sub new {
    my ($class, $port, %args) = @_;

    my $timeout = $args{timeout} // 10;

    my $socket = IO::Socket::INET->new(PeerAddr => $args{host} // '127.0.0.1',
                                       PeerPort => $port,
                                       Proto    => 'tcp',
                                       Timeout  => $timeout)
        or die "connect: $!\n";

    binmode $socket;
    $socket->autoflush(1);

    return bless { socket => $socket, timeout => $timeout, in => '',
                   host => $args{host_header} // 'localhost' }, $class;
}


# Headers come as a list, an array or a hash of names and values.

sub header_pairs {
    my @list = @_;

    @list = ref $list[0] eq 'ARRAY' ? @{$list[0]}
          : ref $list[0] eq 'HASH'  ? %{$list[0]}
          : !defined $list[0]       ? ()
          :                           @list
        if @list <= 1;

    die "headers are names and values\n" if @list % 2;

    my @pairs;
    push @pairs, [splice @list, 0, 2] while @list;

    return @pairs;
}


# A request as it goes over the wire.

sub render {
    my ($self, $method, $uri, $headers, $body, %args) = @_;

    my @pairs = header_pairs($headers);
    my %given = map { lc $_->[0] => 1 } @pairs;

    unshift @pairs, [Host => $self->{host}] if !$given{host};
    push @pairs, [Connection => 'close'] if $args{close} && !$given{connection};
    push @pairs, ['Content-Length' => length $body]
        if defined $body && !$given{'content-length'}
           && !$given{'transfer-encoding'};

    return join '', "$method $uri HTTP/1.1\r\n",
                (map { "$_->[0]: $_->[1]\r\n" } @pairs), "\r\n", $body // '';
}


sub request {
    my ($self, $method, $uri, $headers, $body, %args) = @_;

    $self->send($self->render($method, $uri, $headers, $body, %args));

    return $self->read_answer($method);
}


sub get {
    my ($self, $uri, @headers) = @_;

    return $self->request('GET', $uri,
                          [map { @$_ } header_pairs(@headers)]);
}


# Several requests in one go, [method, uri, headers, body] each.

sub pipeline {
    my ($self, @requests) = @_;

    $self->send(join '', map { $self->render(@$_) } @requests);

    return map { $self->read_answer($_->[0]) } @requests;
}


sub send {
    my ($self, $octets) = @_;

    local $SIG{PIPE} = 'IGNORE';

    while ($octets ne '') {
        $self->wait_until('write');
        my $n = syswrite $self->{socket}, $octets;

        if (!defined $n) {
            next if $!{EINTR} || $!{EAGAIN};

            # the answer may be there already
            die "write: $!\n" if !$self->{socket}->connected;
            return;
        }

        substr $octets, 0, $n, '';
    }
}


sub wait_until {
    my ($self, $what) = @_;

    my $bits = '';
    vec($bits, fileno $self->{socket}, 1) = 1;

    my $deadline = time + $self->{timeout};

    while (1) {
        my $left = $deadline - time;
        die "time-out\n" if $left <= 0;

        my $ready = $bits;
        my $n = $what eq 'write' ? select undef, $ready, undef, $left
                                 : select $ready, undef, undef, $left;

        return if $n > 0;
        die "select: $!\n" if $n < 0 && !$!{EINTR};
    }
}


# Reads once; false at the end of the stream.

sub fill {
    my ($self) = @_;

    $self->wait_until('read');

    my $n = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};

    die "read: $!\n" if !defined $n;

    return $n;
}


# The next answer; its framing is what HTTP says, not what comes after it.

sub read_answer {
    my ($self, $method) = @_;

    my $answer;

    do {
        while ($self->{in} !~ /\r\n\r\n/) {
            $self->fill or die $self->{in} eq '' ? "closed\n"
                                                 : "closed in the head\n";
        }

        $self->{in} =~ s/\A(.*?\r\n\r\n)//s;
        $answer = Apigw::HTTP->parse($1);

        die "no status: $1\n" if !defined $answer->code;

    } while $answer->code =~ /^1/ && $answer->code != 101;

    $answer->body($self->read_body($answer, $method // 'GET'));

    return $answer;
}


sub read_body {
    my ($self, $answer, $method) = @_;

    my $in = \$self->{in};

    return '' if $method eq 'HEAD' || $answer->code =~ /^(?:101|204|304)$/;

    if (lc($answer->header('Transfer-Encoding') // '') eq 'chunked') {
        while (1) {
            my ($body, $rest) = Apigw::HTTP::decode_chunked($$in);

            if (defined $body) {
                $$in = $rest;
                return $body;
            }

            die "$rest\n" if $rest !~ /^incomplete/;
            $self->fill or die "closed in the body\n";
        }
    }

    my $length = $answer->header('Content-Length');

    if (defined $length) {
        while (length $$in < $length) {
            $self->fill or die "closed in the body\n";
        }

        return substr $$in, 0, $length, '';
    }

    1 while $self->fill;

    my $body = $$in;
    $$in = '';

    return $body;
}


# All that still comes until the server closes.

sub read_all {
    my ($self) = @_;

    1 while $self->fill;

    my $all = $self->{in};
    $self->{in} = '';

    return $all;
}


# Whether the server has closed, as far as is known now.

sub is_closed {
    my ($self) = @_;

    my $bits = '';
    vec($bits, fileno $self->{socket}, 1) = 1;

    return 0 if select($bits, undef, undef, 0) <= 0;

    my $n = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};

    return !$n;
}


sub socket {
    my ($self) = @_;

    return $self->{socket};
}


sub close {
    my ($self) = @_;

    CORE::close($self->{socket});
}


1;
