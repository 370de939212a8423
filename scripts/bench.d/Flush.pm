package Flush;

# Copyright (C) the apigw authors

# What requests feel of a flush: of usage's zone with 100,000 counters and as
# many entries of the ledger that have to be written.
#
# A round changes all of them, then asks one request after the other until the
# helper has written and is idle again.  A request belongs to the flush if the
# helper was on a processor for most of the time around it, to the time without
# one if it was not at all.  Then the same is asked while a process that has
# nothing to do with nginx keeps a processor busy: on a machine that has none
# to spare that is felt as well, and is not the flush's doing.  Each round gives
# a 99th percentile of each; shown are the medians, and that of the ratios.

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use Client;
use Server;

my $CALLERS = 100_000;
my $ROUNDS = 5;
my $BATCH = 20;                 # requests between two looks at the helper
my $LEAST = 1000;               # requests that a percentile needs
my $INTERVAL = 6;
my $SECONDS = 3 * $INTERVAL;

my $ROW = {
    modules => ['usage'],
    http    => "api_usage_zone zone=usage:256m store=%DIR%/usage
                flush=${INTERVAL}s;
                api_plan pro { quota 1000000000 per=month; }",
    config  => 'api_usage zone=usage plan=pro consumer=$http_x_caller;
                api_usage_headers off;',
};


# all(build, work, port): medians in microseconds, the ratio, its spread.

sub all {
    my (%args) = @_;

    my $server = Server->new(dir => "$args{work}/flush", row => $ROW, %args);
    my (@rounds, %result);

    my $done = eval {
        $server->start;

        for my $round (1 .. $ROUNDS) {
            printf STDERR "%4d s  flush, round %d\n", time - $^T, $round;
            push @rounds, round($server);
        }

        1;
    };

    my $error = $@;
    $server->stop;

    return { error => $error =~ s/\s+\z//r } if !$done;

    for my $what (qw(quiet flush other)) {
        $result{"${what}_us"} = median(map { $_->{$what} } @rounds);
    }

    for my $what (qw(quiet other)) {
        my @ratios = sort { $a <=> $b }
                     map { $_->{flush} / $_->{$what} } @rounds;

        $result{"to_$what"} = { ratio => median(@ratios), low => $ratios[0],
                                high => $ratios[-1] };
    }

    return { %result, callers => $CALLERS, rounds => $ROUNDS };
}


# The 99th percentiles of a round.

sub round {
    my ($server) = @_;

    my $helper = helper($server);
    my $port = $server->port('e');

    wait_for_flush($helper);

    Client::fill(port => $port, n => $CALLERS, texts => sub {
        my ($from, $n) = @_;
        return [map { request($_) } $from .. $from + $n - 1];
    });

    my %times = watch($port, $helper, $LEAST);

    my $pid = fork // die "cannot fork: $!\n";

    if ($pid == 0) {
        1 while 1;
    }

    $Server::running{$pid} = 1;

    my %other = watch($port, $pid, 0);

    kill KILL => $pid;
    waitpid $pid, 0;
    delete $Server::running{$pid};

    my %all = (quiet => $times{0}, flush => $times{1}, other => $other{1});

    for my $what (keys %all) {
        my $n = @{$all{$what} // []};
        die "too few requests ($what): $n\n" if $n < $LEAST;
    }

    return { map { $_ => percentile(@{$all{$_}}) } keys %all };
}


# Asks until the process has worked and is idle again, with so many requests
# while it was idle: microseconds, of requests while it did (1) and while it did
# not (0).

sub watch {
    my ($port, $pid, $idle) = @_;

    my $socket = IO::Socket::INET->new("127.0.0.1:$port")
        or die "cannot connect: $!\n";

    my %times = (0 => [], 1 => []);
    my $buffer = '';
    my $text = request(0);
    my $end = time + $SECONDS;
    my $worked;

    while (time < $end) {
        my @times;
        my ($began, $before) = (time, on_cpu($pid));

        for (1 .. $BATCH) {
            my $sent = time;

            syswrite $socket, $text or die "cannot send: $!\n";
            Client::take_answer($socket, \$buffer);

            push @times, (time - $sent) * 1e6;
        }

        my $now = time;
        my $share = (on_cpu($pid) - $before) / 1e9 / ($now - $began);

        push @{$times{1}}, @times if $share > 0.5;
        push @{$times{0}}, @times if $share == 0;

        $worked = $now if $share > 0;

        last if @{$times{0}} >= $idle && @{$times{1}} >= $LEAST
                && (!$idle || $now - $worked > 0.3);
    }

    return %times;
}


sub request {
    return sprintf "GET / HTTP/1.1\r\nHost: localhost\r\n"
                   . "X-Caller: consumer-%07d\r\n\r\n", $_[0];
}


sub helper {
    my ($server) = @_;

    my ($pid) = Server::read_file("$server->{dir}/logs/error.log")
                =~ /start cache manager process (\d+)/;

    return $pid // die "no cache manager process\n";
}


# Nanoseconds that a process has been on a processor.

sub on_cpu {
    my ($ns) = Server::read_file("/proc/$_[0]/schedstat") =~ /^(\d+)/;

    return $ns // die "no schedstat\n";
}


# So that what is filled is not written before it is all there.

sub wait_for_flush {
    my ($helper) = @_;

    my $end = time + 2 * $INTERVAL;
    my $before = on_cpu($helper);

    while (time < $end) {
        sleep 0.01;
        last if on_cpu($helper) > $before;
    }

    do {
        $before = on_cpu($helper);
        sleep 0.2;
    } while (on_cpu($helper) > $before);
}


sub percentile {
    return (sort { $a <=> $b } @_)[$#_ * 0.99];
}


sub median {
    return (sort { $a <=> $b } @_)[$#_ / 2];
}


sub show {
    my ($flush) = @_;

    print "\n";

    if ($flush->{error}) {
        print "flush: could not be measured: $flush->{error}\n";
        return;
    }

    printf "Flush of %d callers, p99 of requests in us, median of %d rounds\n"
           . "%.0f without, %.0f during the flush, %.0f while another process"
           . " is busy\n",
           @$flush{qw(callers rounds quiet_us flush_us other_us)};

    printf "during the flush / %s: %.2f (%.2f to %.2f)\n", $_->[0],
           @{$flush->{$_->[1]}}{qw(ratio low high)}
        for ['without', 'to_quiet'], ['another process', 'to_other'];
}


1;
