package Client;

# Copyright (C) the apigw authors

# A client that sends an exact number of requests over one connection and
# looks at every answer.

use strict;
use warnings;

use IO::Socket::INET;

my $SECONDS = 60;
my $FILL = 128;


# run(port => ..., requests => [text, ...], status => 200, batch => 1)
#
# "batch" is how many are sent before the answers are read.  Dies unless every
# answer has the wanted status, or calls other($status) if that is given.
# Returns the head of the last answer.

sub run {
    my (%args) = @_;

    my $requests = $args{requests};
    my $batch = $args{batch} // 1;
    my $head;

    local $SIG{ALRM} = sub { die "no answer in $SECONDS s\n" };
    local $SIG{PIPE} = 'IGNORE';

    my $socket = IO::Socket::INET->new("127.0.0.1:$args{port}")
        or die "cannot connect: $!\n";

    my $buffer = '';

    for (my $i = 0; $i < @$requests; $i += $batch) {
        my $last = $i + $batch - 1;
        $last = $#$requests if $last > $#$requests;

        my $text = join '', @$requests[$i .. $last];

        alarm $SECONDS;

        (syswrite($socket, $text) // -1) == length $text
            or die "cannot send: $!\n";

        for ($i .. $last) {
            $head = take_answer($socket, \$buffer);

            my ($status) = $head =~ m{^HTTP/1\.1 (\d+)};

            next if $status == $args{status};

            if ($args{other}) {
                $args{other}->($status);

            } else {
                alarm 0;
                die "status $status instead of $args{status} at request "
                    . ($_ + 1) . " of " . @$requests . "\n";
            }
        }
    }

    alarm 0;

    return $head;
}


# fill(port => ..., n => ..., texts => sub ($from, $n)): sends n requests, whose
# answers have to be 200 and of one length.  Looks at them by the hundred.

sub fill {
    my (%args) = @_;

    local $SIG{ALRM} = sub { die "no answer in $SECONDS s\n" };
    local $SIG{PIPE} = 'IGNORE';

    my $socket = IO::Socket::INET->new("127.0.0.1:$args{port}")
        or die "cannot connect: $!\n";

    my ($length, $buffer);

    for (my $i = 0; $i < $args{n}; ) {
        my $n = $length ? $FILL : 1;
        $n = $args{n} - $i if $n > $args{n} - $i;

        my $text = join '', @{$args{texts}->($i, $n)};

        alarm $SECONDS;

        (syswrite($socket, $text) // -1) == length $text
            or die "cannot send: $!\n";

        $buffer = '';

        if (!$length) {
            (undef, $length) = take_answer($socket, \$buffer);

        } else {
            more($socket, \$buffer) while length $buffer < $n * $length;

            my $good = () = $buffer =~ m{HTTP/1\.1 200 }g;

            die "an answer is not as the others at request $i\n"
                if $good != $n || length $buffer != $n * $length;
        }

        $i += $n;
    }

    alarm 0;
}


# Returns the head and how long the whole is.

sub take_answer {
    my ($socket, $buffer) = @_;

    my $end;

    while (($end = index $$buffer, "\r\n\r\n") < 0) {
        more($socket, $buffer);
    }

    my $head = substr $$buffer, 0, $end + 4;
    my $length = 0;

    if ($head =~ /^Content-Length: (\d+)/mi) {
        $length = $1;

    } elsif ($head !~ m{^HTTP/1\.1 (?:204|304)}) {
        die "an answer without Content-Length\n";
    }

    my $total = length($head) + $length;

    more($socket, $buffer) while length $$buffer < $total;

    substr $$buffer, 0, $total, '';

    return wantarray ? ($head, $total) : $head;
}


sub more {
    my ($socket, $buffer) = @_;

    my $n = sysread $socket, $$buffer, 65536, length $$buffer;

    die "cannot receive: $!\n" if !defined $n;
    die "the connection was closed\n" if $n == 0;
}


1;
