# Copyright (C) the apigw authors

# Run by scripts/bench, which see.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use FindBin;
use Getopt::Long;
use JSON::PP;
use POSIX qw(strftime);

use Compare;
use Count;
use Flush;
use Keys;
use Server;

my $TOLERANCE = 1.5;            # times the target, for --check
my $FUNCTIONS = 10;

my $build = $ENV{BENCH_BUILD};
my $work = $ENV{BENCH_WORK};
my $port = $ENV{BENCH_PORT};

my (%option, %have, %bare);

STDOUT->autoflush;

$SIG{INT} = $SIG{TERM} = sub { exit 1 };

END {
    my $status = $?;
    kill KILL => keys %Server::running if %Server::running;
    $? = $status;
}


sub main {
    $option{json} = "$work/result.json";

    GetOptions(\%option, 'quick', 'check', 'profile', 'only=s', 'json=s',
               'ratios', 'flush', 'rows=s', 'short=i', 'long=i')
        or exit 1;

    my @built = Server::read_file("$build/load_modules.conf")
                =~ /ngx_http_apigw_(\w+)_module\.so/g;
    %have = map { $_ => 1 } @built;

    my $began = time;
    my @rows = $option{flush} ? () : choose_rows();

    my $back = Server->new(dir => "$work/back", port => $port,
                           row => {}, back => $port);
    $back->start;

    prepare_keys($_) for @rows;

    my $brief = $option{quick} || $option{rows};
    my $results = $option{ratios} || $option{flush} ? {} : count_all(\@rows);
    my $compared = $brief || $option{flush} ? undef
        : Compare::all(\@rows, build => $build, work => $work, back => $port,
                       port => $port + 100);
    my $flush = $brief || defined $option{only} || !$have{usage} ? undef
        : Flush::all(build => $build, work => $work, back => $port,
                     port => $port + 100);

    $back->stop;

    my $report = report(\@rows, $results, $compared);
    $report->{seconds} = time - $began;
    $report->{flush} = $flush if $flush;

    write_json($report);
    print_counts($report) if !$option{ratios} && !$option{flush};
    print_functions($report) if $option{profile};
    Compare::show($compared) if $compared;
    Flush::show($flush) if $flush;

    exit verdict($report, $compared);
}


sub choose_rows {
    my $file = $option{rows} // "$FindBin::Bin/rows.pl";
    my @rows = do $file;

    die "$file: ", $@ || $!, "\n" if @rows < 1 || !defined $rows[0];

    if (defined $option{only}) {
        # names have commas as well, as in "throttle, 1,000 keys"
        my @texts = grep { $_ ne '' }
                    split /,(?! )(?!(?<=\d,)\d)/, $option{only};

        @rows = grep {
            my $row = $_;
            grep { index(lc $row->{name}, lc $_) >= 0 } @texts;
        } @rows;

        if (!@rows) {
            warn "scripts/bench: error: no row has a name with"
                 . " \"$option{only}\" in it\n";
            exit 1;
        }

    } elsif ($option{quick}) {
        @rows = grep { !$_->{full} } @rows;
    }

    for my $row (@rows) {
        my @missing = grep { !m{^stock/} && !$have{$_} }
                           @{$row->{modules} // []};

        $row->{skipped} = "module @missing not built: skipped" if @missing;
    }

    return @rows;
}


# Several rows at a time, each in a process of its own: instructions do not
# depend on what else the machine does.  Those that take longest come first,
# bare nginx for the shapes of all before them.

sub count_all {
    my ($rows) = @_;

    my (%shapes, @jobs);

    for my $row (grep { counted($_) } @$rows) {
        $shapes{$row->{shape}} //= $row;
    }

    for my $shape (sort keys %shapes) {
        push @jobs, {
            name    => "bare, $shape",
            shape   => $shape,
            request => $shapes{$shape}{request},
        };
    }

    push @jobs, sort { ($b->{fill} // 0) <=> ($a->{fill} // 0) }
                grep { counted($_) } @$rows;

    my $results = run_jobs(\@jobs);

    for my $shape (keys %shapes) {
        $bare{$shape} = delete $results->{"bare, $shape"};
    }

    return $results;
}


sub counted {
    my ($row) = @_;

    return !$row->{skipped} && ($row->{count} // 1);
}


sub prepare_keys {
    my ($row) = @_;

    return if !$row->{keys} || !grep { $_ eq 'key' } @{$row->{modules}};

    $row->{keys_dir} = eval { Keys::store($build, $work, $row->{keys}) };
    $row->{error} = $@ if !defined $row->{keys_dir};
}


sub run_jobs {
    my ($jobs) = @_;

    my (%results, %slots, @queue);
    my @free = (1 .. $ENV{BENCH_JOBS});

    @queue = @$jobs;

    while (@queue || %slots) {
        while (@queue && @free) {
            my $job = shift @queue;
            my $slot = shift @free;
            my $file = "$work/slot$slot.json";

            unlink $file;

            my $pid = fork // die "cannot fork: $!\n";

            if ($pid == 0) {
                %Server::running = ();
                run_job($job, $slot, $file);
                exit 0;
            }

            $Server::running{$pid} = 1;
            $slots{$pid} = [$job, $slot, $file];
        }

        my $pid = waitpid -1, 0;
        my $done = delete $slots{$pid} or next;

        delete $Server::running{$pid};

        my ($job, $slot, $file) = @$done;
        my $text = Server::read_file($file);

        $results{$job->{name}} = $text eq ''
            ? { error => 'the measuring process ended' }
            : decode_json($text);

        push @free, $slot;
        progress($job->{name}, $results{$job->{name}});
    }

    return \%results;
}


sub run_job {
    my ($row, $slot, $file) = @_;

    my $server = Server->new(dir => "$work/slot$slot",
                             port => $port + 10 * $slot, back => $port,
                             row => $row, build => $build);

    my $result = eval {
        die $row->{error} if defined $row->{error};

        $server->start(callgrind => 1);
        Count::measure($server, $row, short => $option{short},
                       long => $option{long});
    };

    my $error = $@;
    $server->stop;

    $error =~ s/\s*\n\s*/ /g;
    $error =~ s/ \z//;
    $result = { error => $error } if !$result;

    Server::write_file($file, encode_json($result));
}


# On standard error, for the last lines of standard output are the result.

sub progress {
    my ($name, $result) = @_;

    printf STDERR "%4d s  %s%s\n", time - $^T, $name,
           defined $result->{error} ? ': FAILED' : '';
}


# Everything that the table and the file show.

sub report {
    my ($rows, $results, $compared) = @_;

    my @list;

    for my $shape (sort keys %bare) {
        my $counts = $bare{$shape};

        push @list, { name => "bare nginx, requests of shape \"$shape\"",
                      kind => 'bare', shape => $shape, figures($counts) };
    }

    for my $row (grep { $_->{skipped} || counted($_) }
                     $option{ratios} ? () : @$rows)
    {
        my $counts = $results->{$row->{name}} // {};
        my $without = $bare{$row->{shape}} // {};

        my $item = { name => $row->{name}, kind => 'row',
                     shape => $row->{shape},
                     modules => $row->{modules} // [] };

        $item->{target} = $row->{target} if defined $row->{target};

        if ($row->{skipped}) {
            $item->{skipped} = $row->{skipped};

        } elsif (defined(my $error = $counts->{error} // $without->{error})) {
            $item->{error} = $error;

        } else {
            %$item = (%$item, added($counts, $without));
        }

        $item->{verdict} = verdict_of_row($item);
        push @list, $item;
    }

    my ($nginx) = `nginx -v 2>&1` =~ m{nginx/(\S+)};
    my ($valgrind) = `valgrind --version` =~ /(\d\S*)/;
    my ($sys, undef, undef, undef, $machine) = POSIX::uname();

    return {
        made     => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime),
        nginx    => $nginx,
        counter  => "callgrind $valgrind",
        machine  => "$sys $machine",
        rows     => \@list,
        $compared ? (compared => $compared) : (),
    };
}


sub figures {
    my ($counts) = @_;

    return (error => $counts->{error}) if defined $counts->{error};

    return (e => int $counts->{e}{total} + 0.5,
            p => int $counts->{p}{total} + 0.5);
}


sub added {
    my ($counts, $without) = @_;

    my %item;

    for my $endpoint (qw(e p)) {
        my ($with, $bare) = ($counts->{$endpoint}, $without->{$endpoint});

        $item{$endpoint} = POSIX::floor($with->{total} - $bare->{total} + 0.5);
        $item{"spread_$endpoint"} =
            POSIX::ceil($with->{spread} + $bare->{spread});

        my %functions = %{$with->{functions}};

        while (my ($name, $n) = each %{$bare->{functions}}) {
            $functions{$name} = ($functions{$name} // 0) - $n;
        }

        # also what became less: two names for one piece of nginx show so

        my @order = sort { abs $functions{$b} <=> abs $functions{$a}
                           || $a cmp $b }
                    grep { abs $functions{$_} >= 0.5 } keys %functions;

        splice @order, $FUNCTIONS if @order > $FUNCTIONS;

        $item{"functions_$endpoint"} = [
            map { { name => $_, added => POSIX::floor($functions{$_} + 0.5) } }
            @order
        ];
    }

    return %item;
}


sub verdict_of_row {
    my ($item) = @_;

    return 'skipped' if $item->{skipped};
    return 'FAILED' if defined $item->{error};
    return '-' if !defined $item->{target};
    return 'reached' if $item->{e} <= $item->{target};
    return 'near' if $item->{e} <= $item->{target} * $TOLERANCE;
    return 'OVER';
}


sub write_json {
    my ($report) = @_;

    my $file = $option{json};
    my $json = JSON::PP->new->canonical->pretty->encode($report);

    Server::write_file("$file.tmp", $json);
    rename "$file.tmp", $file or die "cannot write $file: $!\n";
}


sub print_counts {
    my ($report) = @_;

    print "\nInstructions per request (nginx $report->{nginx}, "
          . "$report->{counter}, 1 worker)\n\n";
    printf "%-46s %9s %9s %7s  %s\n", 'bare nginx, by form of request', 'e',
           'p', '', '';

    my $is_row;

    for my $item (@{$report->{rows}}) {
        if ($item->{kind} eq 'row' && !$is_row++) {
            printf "\n%-46s %9s %9s %7s  %s\n", 'added', 'e', 'p', 'target',
                   'verdict';
        }

        my $name = $item->{kind} eq 'bare' ? $item->{shape} : $item->{name};

        if (!defined $item->{e}) {
            printf "%-46s %9s %9s %7s  %s\n", $name, '', '',
                   $item->{target} // '',
                   $item->{skipped} // "FAILED: $item->{error}";
            next;
        }

        printf "%-46s %9s %9s %7s  %s\n", $name, $item->{e}, $item->{p},
               $item->{target} // '', $item->{verdict} // '';
    }

    print "\nA request that is refused never comes to the second nginx.\n\n";
}


sub print_functions {
    my ($report) = @_;

    for my $item (grep { $_->{functions_e} } @{$report->{rows}}) {
        print "$item->{name}: added by function, at e and at p\n";

        for my $i (0 .. $FUNCTIONS - 1) {
            my ($e, $p) = map { $item->{"functions_$_"}[$i] } qw(e p);

            printf "    %6s  %-42s %6s  %s\n", $e->{added} // '',
                   $e->{name} // '', $p->{added} // '', $p->{name} // ''
                if $e || $p;
        }

        print "\n";
    }
}


sub verdict {
    my ($report, $compared) = @_;

    my @rows = @{$report->{rows}};
    my @failed = grep { defined $_->{error} } @rows;
    my @over = grep { ($_->{verdict} // '') eq 'OVER' } @rows;
    my $status = 0;

    my @names = ((map { $_->{name} } @failed),
                 $compared ? @{$compared->{failed}} : (),
                 $report->{flush}{error} ? 'flush' : ());

    if (@names) {
        print 'could not be measured: ', join('; ', @names), "\n";
        $status = 1;
    }

    if ($option{check} && @over) {
        print "more than $TOLERANCE times the target: ",
              join('; ', map { $_->{name} } @over), "\n";
        $status = 1;
    }

    print "result in $option{json}\n";

    return $status;
}


main();
