package Count;

# Copyright (C) the apigw authors

# Counts instructions per request with callgrind: after a warm-up a short run
# and a long one, each on a connection of its own; their difference holds
# whole requests and nothing else.  Done twice; the larger deviation is shown.

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use Client;
use Server;

my $WARM = 200;
my $SHORT = 100;
my $LONG = 500;
my $ROUNDS = 2;
my $DUMP_SECONDS = 60;
my $NUDGE_SECONDS = 0.5;


# The requests number $from to $from + $n - 1 of a row.

sub requests {
    my ($row, $from, $n) = @_;

    my @texts;

    for my $i ($from .. $from + $n - 1) {
        my ($path, $headers) = $row->{request}->($i, $row);
        push @texts, "GET $path HTTP/1.1\r\nHost: localhost\r\n"
                     . "User-Agent: bench\r\nAccept: */*\r\n$headers\r\n";
    }

    return \@texts;
}


# measure($server, $row): { e => {...}, p => {...} }, each with "total" and
# "spread" per request and "functions", what each function needs by itself.

sub measure {
    my ($server, $row, %sizes) = @_;

    my $status = $row->{status} // 200;
    my $next = 0;

    my $send = sub {
        my ($endpoint, $n, $batch, $wanted) = @_;

        my $head;

        while ($n > 0) {
            my $part = $n < 10_000 ? $n : 10_000;

            $head = Client::run(port => $server->port($endpoint),
                                requests => requests($row, $next, $part),
                                status => $wanted // $status,
                                batch => $batch // 1);
            $next += $part;
            $n -= $part;
        }

        return $head;
    };

    $send->('e', 1, 1, $row->{before}) if $row->{before};
    fill($server, $row, $next) if $row->{fill};
    $next += $row->{fill} // 0;

    $server->count_from_now(sub { $send->('e', 10) }) if $row->{single};

    probe($row, $send->('probe', 1)) if $row->{probe};

    my %short = (e => $sizes{short} // $SHORT, p => $sizes{short} // $SHORT);
    my %long = (e => $sizes{long} // $LONG, p => $sizes{long} // $LONG);
    my %result;

    for my $endpoint (qw(e p)) {
        $send->($endpoint, $row->{warm} // $WARM);
        dump_counts($server);

        my (@totals, %functions);
        my $extra = $long{$endpoint} - $short{$endpoint};

        for my $round (1 .. $ROUNDS) {
            $send->($endpoint, $short{$endpoint});
            my $less = dump_counts($server);

            $send->($endpoint, $long{$endpoint});
            my $more = dump_counts($server);

            push @totals, ($more->{total} - $less->{total}) / $extra;

            next if $round > 1;

            for my $name (keys %{$more->{functions}}) {
                my $added = $more->{functions}{$name}
                            - ($less->{functions}{$name} // 0);
                $functions{$name} = $added / $extra if $added;
            }
        }

        my ($low, $high) = (sort { $a <=> $b } @totals)[0, -1];

        $result{$endpoint} = {
            total     => ($low + $high) / 2,
            spread    => $high - $low,
            functions => \%functions,
        };
    }

    # nor has it ended to be at work meanwhile

    probe($row, $send->('probe', 1)) if $row->{probe};

    my $complaint = $server->complaint;
    die "nginx logged: $complaint\n" if defined $complaint;

    return \%result;
}


sub fill {
    my ($server, $row, $next) = @_;

    Client::fill(port => $server->port('e'), n => $row->{fill},
                 texts => sub { requests($row, $next + $_[0], $_[1]) });
}


sub probe {
    my ($row, $head) = @_;

    my ($variable, $wanted) = @{$row->{probe}};
    my ($value) = $head =~ /^X-Probe: ([^\r\n]*)/mi;
    $value //= '';

    die "$variable is \"$value\"\n" if $value !~ $wanted;
}


# Makes the worker write its counts since the last time; reads them.

sub dump_counts {
    my ($server) = @_;

    my $number = ++$server->{dumps};
    my $file = "$server->{dir}/logs/count.$server->{worker}.$number";

    # the worker may still be about to see the end of a connection
    sleep 0.05;

    kill USR1 => $server->{worker}
        or die "the worker is gone\n" . ($server->complaint // '');

    my $sent = time;
    my $text = '';
    my $nudged;

    while ($text !~ /^totals: \d+$/m) {
        my $waited = time - $sent;

        die "no counts from callgrind in $DUMP_SECONDS s\n"
            if $waited > $DUMP_SECONDS;

        # A signal that comes just before the worker waits for events is seen
        # with the next event only.

        if ($waited > $NUDGE_SECONDS && !$nudged && !-e $file) {
            IO::Socket::INET->new('127.0.0.1:' . $server->port('e'));
            $nudged = 1;
        }

        sleep 0.02;
        $text = Server::read_file($file);
    }

    unlink $file;

    return parse($text);
}


# The format is documented in the manual of valgrind ("Callgrind Format
# Specification"): "fn=" begins a function, lines "position cost" follow; the
# line after "calls=" is the cost of the call, which is not its own.

sub parse {
    my ($text) = @_;

    my ($total, %functions);
    my ($object, $name, $is_call) = ('', '', 0);

    while ($text =~ /^(.*)$/mg) {
        my $line = $1;

        if ($line =~ /^\+?\d+ (\d+)$/) {
            $functions{$name} += $1 if !$is_call;
            $is_call = 0;

        } elsif ($line =~ /^fn=(.*)/) {
            $name = $1;

            # a static function of a stripped binary
            $name = "($object)" if $name =~ /^(?:\?\?\?|0x[0-9a-f]+)/;

        } elsif ($line =~ /^calls=/) {
            $is_call = 1;

        } elsif ($line =~ m{^ob=(?:.*/)?(.*)}) {
            $object = $1;

        } elsif ($line =~ /^totals: (\d+)/) {
            $total = $1;
        }
    }

    my $sum = 0;
    $sum += $_ for values %functions;

    die "callgrind's counts do not add up: $sum, $total\n" if $sum != $total;

    return { total => $total, functions => \%functions };
}


1;
