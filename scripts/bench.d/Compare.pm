package Compare;

# Copyright (C) the apigw authors

# Requests per second against bare nginx, and memory.
#
# All servers run side by side, idle but the one that is asked.  Round after
# round bare nginx and every row get one second each, with the same requests; a
# round gives one ratio, shown is their median, the lowest and the highest.
#
# It is the requests per second of a processor's time that the workers got: the
# same as per second while nothing else keeps the processors busy, and much
# steadier while something does.  The file has both.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use Client;
use Count;
use Keys;
use Server;

my $ROUNDS = 5;
my $CONNECTIONS = 16;
my $LISTED = 1000;              # requests that wrk repeats, unless random
my $BATCH = 64;
my $ZONE = 1_048_576;
my $LOST = 0.01;                # keys that may be forgotten in a full zone


# all($rows, build, work, port, back): what the report has as "compared".

sub all {
    my ($rows, %args) = @_;

    my %result = (ratios => [], memory => [], failed => []);

    ratios(\%result, $rows, %args);

    memory(\%result, $rows, \%args);

    return \%result;
}


sub ratios {
    my ($result, $rows, %args) = @_;

    my (@list, %bare);
    my $port = $args{port};

    for my $row (grep { $_->{compare} && !$_->{skipped} } @$rows) {
        my $shape = $row->{shape} . ($row->{random} // '');

        for my $each ($bare{$shape}++ ? () : { %$row, bare => 1 }, $row) {
            my $is_bare = $each->{bare};

            my $entry = {
                row    => { %$row, single => 0 },
                bare   => $is_bare,
                shape  => $shape,
                script => "$args{work}/wrk-$shape.lua",
                server => Server->new(
                    dir => "$args{work}/compare-$port", port => $port,
                    row => $is_bare ? {} : { %$row, single => 0 },
                    back => $args{back}, build => $args{build}),
            };

            write_script($entry->{script}, $row) if $is_bare;
            $port += 3;
            push @list, $entry;
        }
    }

    start($_) for @list;

    for my $workers (1, 2) {
        attempt($_, sub { $_[0]{server}->reload($workers) })
            for $workers > 1 ? @list : ();

        rounds(\@list, $workers);

        for my $entry (grep { $_->{ratios} } @list) {
            my $ratios = delete $entry->{ratios};

            push @{$result->{ratios}}, {
                name    => $entry->{row}{name},
                workers => $workers,
                map { $_ => spread(@{$ratios->{$_}}) } keys %$ratios,
            };
        }
    }

    for my $entry (@list) {
        $entry->{server}->stop;

        push @{$result->{failed}}, "$entry->{row}{name}: $entry->{error}"
            if $entry->{error};
    }
}


sub rounds {
    my ($list, $workers) = @_;

    for my $round (1 .. $ROUNDS) {
        printf STDERR "%4d s  compared with %d workers, round %d\n",
               time - $^T, $workers, $round;

        for my $endpoint ($workers > 1 ? ('e') : ('e', 'p')) {
            my %base;

            for my $entry (grep { !$_->{error} } @$list) {
                next if $entry->{row}{compare} !~ $endpoint;

                my $rates = ask($entry, $endpoint) or next;

                if ($entry->{bare}) {
                    $base{$entry->{shape}} = $rates;

                } elsif (my $bare = $base{$entry->{shape}}) {
                    push @{$entry->{ratios}{$endpoint}},
                         $rates->[0] / $bare->[0];
                    push @{$entry->{ratios}{"${endpoint}_elapsed"}},
                         $rates->[1] / $bare->[1];
                }
            }
        }
    }
}


sub attempt {
    my ($entry, $step) = @_;

    return if $entry->{error} || eval { $step->($entry); 1 };

    $entry->{error} = $@ =~ s/\s+\z//r;
}


sub start {
    my ($entry) = @_;

    my $row = $entry->{row};
    my $server = $entry->{server};

    attempt($entry, sub {
        die $row->{error} if defined $row->{error};

        $server->start;

        return if $entry->{bare};

        Count::fill($server, $row, 0) if $row->{fill};

        Count::probe($row, Client::run(
            port => $server->port('probe'),
            requests => Count::requests($row, 0, 1),
            status => $row->{status} // 200))
            if $row->{probe};
    });

    printf STDERR "%4d s  started for %s%s\n", time - $^T,
           $entry->{bare} ? "bare nginx, $entry->{shape}" : $row->{name},
           $entry->{error} ? ': FAILED' : '';
}


# wrk makes random callers itself, the others it takes from a list.

sub write_script {
    my ($file, $row) = @_;

    my $text;

    if ($row->{random}) {
        $text = <<END;
math.randomseed(os.time())
request = function()
    return string.format("GET / HTTP/1.1\\r\\nHost: localhost\\r\\n"
                         .. "User-Agent: bench\\r\\nAccept: */*\\r\\n"
                         .. "X-Caller: consumer-%07d\\r\\n\\r\\n",
                         math.random(0, $row->{random} - 1))
end
END

    } else {
        $text = "local list = {\n";

        for my $request (@{Count::requests($row, 0, $LISTED)}) {
            $request =~ s/\r\n/\\r\\n/g;
            $text .= "    '$request',\n";
        }

        $text .= <<'END';
}
local i = 0
request = function()
    i = i % #list + 1
    return list[i]
end
END
    }

    Server::write_file($file, $text);
}


# Requests per second of the workers' time, and per second.

sub ask {
    my ($entry, $endpoint) = @_;

    my $server = $entry->{server};
    my $port = $server->port($endpoint);
    my $busy = $server->busy;
    my $text = `wrk -t 1 -c $CONNECTIONS -d 1s -s '$entry->{script}' \\
                http://127.0.0.1:$port/ 2>&1`;

    my ($n) = $text =~ /(\d+) requests in/;
    my ($refused) = $text =~ /Non-2xx or 3xx responses: (\d+)/;
    my $wanted = ($entry->{bare} ? 200 : $entry->{row}{status} // 200) >= 400
                 ? $n // 0 : 0;

    if ($text =~ /(Socket errors.*)/) {
        $entry->{error} = $1;
        return;
    }

    if (($refused // 0) != $wanted) {
        $entry->{error} = ($refused // 0) . " of $n were refused";
        return;
    }

    my ($elapsed) = $text =~ m{Requests/sec:\s*([\d.]+)};

    if (!$n || !$elapsed) {
        $entry->{error} = "wrk said: $text";
        return;
    }

    $busy = ($server->busy - $busy) / 1e9;

    return [$busy > 0 ? $n / $busy : $elapsed, $elapsed];
}


sub spread {
    my @sorted = sort { $a <=> $b } @_;

    return { median => round($sorted[$#sorted / 2]),
             low => round($sorted[0]), high => round($sorted[-1]) };
}


sub round {
    return sprintf('%.3f', $_[0]) + 0;
}


# Memory.

sub memory {
    my ($result, $all, $args) = @_;

    my %used = map { $_ => 1 }
               map { @{$_->{modules} // []} } grep { !$_->{skipped} } @$all;

    my %rows = (
        'limit_req' => {
            http   => 'limit_req_zone $http_x_caller zone=z:1m rate=1r/m;',
            config => 'limit_req zone=z; limit_req_status 429;
                       limit_req_log_level info;',
        },
        'throttle' => {
            modules => ['throttle'],
            http    => 'api_throttle_zone $http_x_caller zone=z:1m rate=1r/d
                        burst=1;',
            config  => 'api_throttle zone=z; api_throttle_headers off;
                        api_throttle_log_level info;',
        },
    );

    for my $name (sort keys %rows) {
        next if !$used{throttle};

        my $keys = eval { capacity($rows{$name}, $args) };

        if (!$keys) {
            push @{$result->{failed}}, "memory per key of $name: $@";
            next;
        }

        push @{$result->{memory}},
             { name => "$name, bytes a key, of a zone of 1m that has"
                       . " forgotten 1 % of its keys",
               value => sprintf('%.1f', $ZONE / $keys) + 0,
               $name eq 'throttle' ? (target => 40) : () };
    }

    return if !$used{key};

    my %private;

    for my $n (10, 1_000_000) {
        $private{$n} = eval { private_memory($n, $args) };

        push @{$result->{failed}}, "memory of a worker with $n keys: $@"
            if !$private{$n};
    }

    push @{$result->{memory}},
         { name => "key, KB a worker keeps for itself, $_ keys",
           value => $private{$_} }
        for grep { $private{$_} } sort { $a <=> $b } keys %private;
}


# How many keys a zone of 1m holds: each is admitted once in a day, so who is
# admitted again was forgotten.

sub capacity {
    my ($row, $args) = @_;

    my ($low, $high) = (2_000, 200_000);

    while ($high / $low > 1.03) {
        my $n = int(sqrt($low * $high));
        my $forgotten = forgotten($row, $args, $n);

        if ($forgotten > $n * $LOST) {
            $high = $n;
        } else {
            $low = $n;
        }
    }

    return $low;
}


sub forgotten {
    my ($row, $args, $n) = @_;

    my $server = Server->new(dir => "$args->{work}/memory",
                             port => $args->{port}, row => $row,
                             back => $args->{back}, build => $args->{build});
    my $forgotten = 0;

    printf STDERR "%4d s  filling a zone with %d keys\n", time - $^T, $n;

    my $ok = eval {
        $server->start;

        my @texts = map { sprintf "GET / HTTP/1.1\r\nHost: a\r\n"
                                  . "X-Caller: consumer-%07d\r\n\r\n", $_ }
                    0 .. $n - 1;

        my %run = (port => $server->port('e'), batch => $BATCH);

        Client::run(%run, requests => \@texts, status => 200);

        # from the last on, for asking again makes others forgotten
        Client::run(%run, requests => [reverse @texts], status => 429,
                    other => sub { $forgotten++ if $_[0] == 200 });
        1;
    };

    my $error = $@;
    $server->stop;
    die $error if !$ok;

    return $forgotten;
}


sub private_memory {
    my ($n, $args) = @_;

    my $row = {
        modules  => ['key'],
        http     => 'auth_api_key_zone zone=keys:1m store=%KEYS%;',
        config   => 'auth_api_key zone=keys;',
        keys_dir => Keys::store($args->{build}, $args->{work}, $n),
        request  => sub { return ('/', 'X-API-Key: ' . Keys::key($_[0] % $n)
                                       . "\r\n") },
    };

    my $server = Server->new(dir => "$args->{work}/memory",
                             port => $args->{port}, row => $row,
                             back => $args->{back}, build => $args->{build});
    my $size;

    my $ok = eval {
        $server->start;
        Client::run(port => $server->port('e'), status => 200,
                    requests => Count::requests($row, 0, 20_000),
                    batch => $BATCH);
        ($size) = Server::read_file("/proc/$server->{worker}/smaps_rollup")
                  =~ /^Private_Dirty:\s+(\d+)/m;
        1;
    };

    my $error = $@;
    $server->stop;
    die $error if !$ok;

    return $size;
}


sub show {
    my ($result) = @_;

    print "Requests per second of the workers' time against bare nginx:\n"
          . "median (lowest-highest) of $ROUNDS rounds\n\n";
    printf "%-42s %-22s %-22s %-22s\n", '', 'e, 1 worker', 'p, 1 worker',
           'e, 2 workers';

    my (%cells, @order);

    for my $item (@{$result->{ratios}}) {
        push @order, $item->{name} if !$cells{$item->{name}};

        for my $endpoint (qw(e p)) {
            my $figures = $item->{$endpoint} or next;

            $cells{$item->{name}}{$endpoint . $item->{workers}} =
                sprintf '%.2f (%.2f-%.2f)', @$figures{qw(median low high)};
        }
    }

    for my $name (@order) {
        printf "%-42s %-22s %-22s %-22s\n", $name,
               map { $cells{$name}{$_} // '' } qw(e1 p1 e2);
    }

    print "\nMemory\n\n";
    printf "%-70s %8s%s\n", $_->{name}, $_->{value},
           defined $_->{target} ? "  (target $_->{target})" : ''
        for @{$result->{memory}};
    print "\n";
}


1;
