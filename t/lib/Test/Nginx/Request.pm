package Test::Nginx::Request;

# From the sections of a block to requests on the wire, and back to the
# octets that nginx answered.  Part of this suite's Test::Nginx::Socket.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep time);

use Apigw::Nginx;


# A request is a list of packets { value => ..., delay_before => ... }.  This
# returns all requests of the block; pipelined ones are a single request.

sub from_block {
    my ($block, $settings) = @_;

    if (defined $block->raw_request) {
        my $raw = $block->raw_request;

        return [map { { value => $_ } } ref $raw eq 'ARRAY' ? @$raw : $raw];
    }

    return pipelined($block, $settings) if defined $block->pipelined_requests;

    my $request = $block->request;

    die "no --- request section\n" if !defined $request;

    if (!ref $request) {
        # comments and blank lines may stand before the request line
        1 while $request =~ s/\A\s+//s || $request =~ s/\A#[^\n]*(?:\n|\z)//;

        return assemble($block, $settings, [0, 1], 'close', $request);
    }

    die "--- request is neither a string nor an array\n"
        if ref $request ne 'ARRAY';

    my @requests;

    for my $i (0 .. $#$request) {
        push @requests, assemble($block, $settings, [$i, scalar @$request],
                                 'close', $request->[$i]);
    }

    die "--- request is empty\n" if !@requests;

    return @requests;
}


sub pipelined {
    my ($block, $settings) = @_;

    my $requests = $block->pipelined_requests;

    die "--- pipelined_requests is not an array\n"
        if ref $requests ne 'ARRAY' || !@$requests;

    my $all = '';

    for my $i (0 .. $#$requests) {
        my $connection = $i == $#$requests ? 'close' : 'keep-alive';
        my $packets = assemble($block, $settings, [$i, scalar @$requests],
                               $connection, $requests->[$i]);

        $all .= $_->{value} for @$packets;
    }

    return [{ value => $all }];
}


# Completes one request, a string or a list of packets: the request line gets
# its version, then come the headers, then the body.  The cuts between packets
# stay where the test has put them.

sub assemble {
    my ($block, $settings, $index, $connection, $request) = @_;

    my @packets = map { ref $_ eq 'HASH' ? { %$_ } : { value => $_ } }
                  ref $request eq 'ARRAY' ? @$request : $request;

    my $text = join '', map { $_->{value} // '' } @packets;

    my ($line, $tail) = $text =~ /\A([^\n]*\n?)(.*)\z/s;

    if ($line !~ /\A(\s*)(\S+)(?: +(\S+))?(?: +(\S+))? *\s*\z/) {
        die "bad request line \"" . ($line =~ s/\n//r) . "\"\n";
    }

    my ($skipped, $method, $uri, $version) =
        ($1, $2, $3 // '/', $4 // 'HTTP/1.1');

    my ($headers, $chunked) = more_headers($block, @$index);

    my $body = $tail;
    my $length = '';

    if (!$chunked && $body ne '' && $headers !~ /(?:^|\n)Content-Length:/) {
        $body =~ s/\A\s+|\s+\z//g;
        $length = "Content-Length: " . length($body) . "\r\n";
    }

    my $head = "$method $uri $version\r\n";

    $head .= "Host: $settings->{server_name}\r\n"
        if $headers !~ /(?:^|\n)Host:/i;
    $head .= "Connection: $connection\r\n"
        if $headers !~ /(?:^|\n)Connection/i;

    $head .= "$headers$length\r\n";

    my $lead = $body eq $tail ? '' : $tail =~ s/\S.*//sr;

    cut(\@packets, "$head$body", sub {
        my ($place) = @_;

        return $place - length $skipped if $place < length $line;
        return length($head) + $place - length($line) - length $lead;
    });

    return \@packets;
}


# Puts the completed request into the packets, cut where the test cut its own
# text.

sub cut {
    my ($packets, $request, $moved) = @_;

    my ($place, $done) = (0, 0);

    for my $packet (@$packets) {
        $place += length $packet->{value};

        my $end = $packet == $packets->[-1] ? length $request
                                            : $moved->($place);

        $end = $done if $end < $done;
        $end = length $request if $end > length $request;

        $packet->{value} = substr $request, $done, $end - $done;
        $done = $end;
    }
}


# The section's headers for one request, and whether the body is chunked.

sub more_headers {
    my ($block, $i, $count) = @_;

    my $text = $block->more_headers || '';

    if (ref $text eq 'ARRAY') {
        die "--- more_headers has " . @$text . " entries for $count requests\n"
            if @$text != $count;

        $text = $text->[$i] // die "--- more_headers has an undefined entry\n";
    }

    my ($headers, $chunked) = ('', 0);

    for my $line (split /\n+/, $text) {
        next if $line =~ /^\s*#/;

        my ($name, $value) = split /:\s*/, $line, 2;
        $value //= '';

        $chunked = 1 if lc $name eq 'transfer-encoding'
                        && $value eq 'chunked';

        $headers .= "$name: $value\r\n";
    }

    return ($headers, $chunked);
}


# "50ms", "2s" or a number of seconds.

sub seconds {
    my ($time) = @_;

    return undef if !defined $time;

    $time =~ s/\s+\z//;

    return $1 / 1000 if $time =~ /^([\d.]+)ms$/;
    return $1 if $time =~ /^([\d.]+)s?$/;

    die "bad time \"$time\"\n";
}


# Sends one request and returns the octets of the answer.  The time-out is
# between two events, not for the whole.

sub send_packets {
    my ($packets, $block, $settings, $timeout) = @_;

    my $socket = connect_to($block, $settings, $timeout) or return;

    my @queue = map { { %$_ } } @$packets;
    my $middle = $block->raw_request_middle_delay;
    my $out = shift(@queue)->{value};
    my $answer = '';
    my $writing = 1;

    while (1) {
        my $bits = '';
        vec($bits, fileno $socket, 1) = 1;

        my ($in, $wanted) = ($bits, $writing ? $bits : undef);
        my $n = select $in, $wanted, undef, $timeout;

        next if $n < 0 && $!{EINTR};

        if ($n == 0) {
            close $socket;

            if (defined $block->abort) {
                sleep 0.005;

            } else {
                Test::More::fail($block->name . " - client socket timed out"
                                 . " after $timeout s");
            }

            last;
        }

        if (vec $in, fileno $socket, 1) {
            my $state = read_some($socket, \$answer, $block);
            last if $state ne 'again';
        }

        next if !$writing || !vec $wanted, fileno $socket, 1;

        my $written = syswrite $socket, $out;

        if (!defined $written) {
            next if $!{EAGAIN} || $!{EINTR};

            # the answer may have come before the refusal
            warn "write failed: $!\n" if $settings->{verbose};
            $answer = "write failed: $!" if $answer eq '';
            last;
        }

        substr $out, 0, $written, '';

        while ($out eq '' && @queue) {
            my $next = shift @queue;
            my $delay = $next->{delay_before} // $middle;

            sleep $delay if $delay;
            $out = $next->{value};
        }

        if ($out eq '') {
            $writing = 0;
            end_writing($socket, $block);
        }
    }

    close $socket;

    return $answer;
}


sub read_some {
    my ($socket, $answer, $block) = @_;

    while (1) {
        my $n = sysread $socket, my $buffer, 65536;

        if (!defined $n) {
            return 'again' if $!{EAGAIN} || $!{EINTR};

            warn "WARNING: " . $block->name . " - reading failed: $!\n";
            return 'error';
        }

        return 'end' if $n == 0;

        $$answer .= $buffer;
    }
}


sub end_writing {
    my ($socket, $block) = @_;

    my $how = $block->shutdown;

    shutdown $socket, $how =~ /^$/ ? 1 : $how if defined $how;
}


sub connect_to {
    my ($block, $settings, $timeout) = @_;

    my $address = $block->server_addr_for_client
                  // $settings->{server_addr};
    my $port = $settings->{client_port};

    # nginx listens before its command returns: this waits for nothing but a
    # crash or, under valgrind, a late start
    my $socket;

    Apigw::Nginx::wait_for(sub {
        $socket = IO::Socket::INET->new(PeerAddr => $address,
                                        PeerPort => $port,
                                        Proto    => 'tcp',
                                        Timeout  => $timeout);
        return $socket || !$settings->{nginx}->is_alive;
    }, 5);

    if (!$socket) {
        my $state = $settings->{nginx}->is_alive ? '' : '; nginx is gone';

        Test::More::fail($block->name . " - cannot connect to "
                         . "$address:$port: $@$state");
        return;
    }

    $socket->blocking(0);

    return $socket;
}


# HTTP/2 goes through curl, as in the original.

sub send_by_curl {
    my ($packets, $block, $settings, $timeout) = @_;

    my @command = curl_command($packets, $block, $settings, $timeout);
    my ($status, $out, $err) = run_command(@command);

    return $out if $out ne '';

    my $expected = $block->curl_error;

    if (defined $expected) {
        chomp $expected;

        return if ref $expected ? $err =~ $expected
                                : $err =~ /\Q$expected\E/;
    }

    chomp $err;
    Test::More::fail($block->name . " - curl, status "
                     . ($status >> 8) . ": $err");
    return;
}


sub curl_command {
    my ($packets, $block, $settings, $timeout) = @_;

    my $request = join '', map { $_->{value} } @$packets;

    my ($head, $body) = $request =~ /\A(.*?)\r\n\r\n(.*)\z/s
        or die "cannot take the request apart for curl\n";

    my ($line, @headers) = split /\r\n/, $head;
    my ($method, $uri, $version) = $line =~ m{^(\S+) (\S+) HTTP/(\S+)$}
        or die "bad request line \"$line\"\n";

    my @command = ('curl', '-i', '-sS', '-H', 'User-Agent:',
                   '-H', 'Accept:', '--http2', '--http2-prior-knowledge');

    push @command, $method eq 'HEAD' ? '-I' : ('-X', $method);
    push @command, '-0' if $version ne '1.1';

    for my $header (grep { !/^Connection\s*:/i } @headers) {
        die "curl would not send the empty header \"$header\"\n"
            if $header =~ /:\s*\z/;

        push @command, '-H', $header;
    }

    if ($body ne '') {
        my $file = "$settings->{root}/html/curl.data.bin";

        open my $out, '>', $file or die "cannot write $file: $!\n";
        binmode $out;
        print $out $body;
        close $out;

        push @command, '-H', 'Content-Type:'
            if !grep { /^\s*Content-Type\s*:/i } @headers;
        push @command, '--data-binary', '@' . $file;
    }

    push @command, '--connect-timeout', $timeout, '--max-time', $timeout;

    my $options = $block->curl_options;
    push @command, ref $options eq 'ARRAY' ? @$options : $options
        if defined $options;

    my $protocol = $block->curl_protocol // 'http';
    my $address = $block->server_addr_for_client
                  // $settings->{server_addr};

    return (@command, "$protocol://$address:$settings->{client_port}$uri");
}


# Runs a command: (wait status, stdout, stderr).

sub run_command {
    my @command = @_;

    require File::Temp;

    my @files = map { File::Temp->new } 0 .. 1;

    my $pid = fork;
    die "fork() failed: $!" if !defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $files[0];
        open STDERR, '>&', $files[1];
        no warnings 'exec';
        exec { $command[0] } @command;
        print STDERR "cannot execute $command[0]: $!\n";
        POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return ($?, map { Apigw::Nginx::slurp($_->filename) } @files);
}


1;
