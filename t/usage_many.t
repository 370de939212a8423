# A million callers through a zone that holds a twentieth of them: each is
# admitted exactly as often as its quota says, and the ledger has it.  Only
# with APIGW_LONG; APIGW_CALLERS sets how many.  t/usage_workers.t does the same
# with hundreds.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

plan skip_all => 'takes minutes, set APIGW_LONG' if !$ENV{APIGW_LONG};

my $callers = $ENV{APIGW_CALLERS} // 1_000_000;
my $clients = 2;
my $batch = 50;
my $quota = 2;

my $gw = Apigw::Scenario->start(
    workers => 2,
    http    => <<"END",
api_usage_zone zone=usage:32m store=logs/usage flush=1s;
api_plan q { quota $quota per=lifetime; }
access_log off;
keepalive_requests 100000000;
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=q consumer=$arg_c;
    api_usage_headers off;
    empty_gif;
}
END
);


# The codes of a request for each of these callers, in a pipeline.

sub ask {
    my ($socket, @callers) = @_;

    my $out = join '', map { "GET /u?c=caller-$_ HTTP/1.1\r\nHost: x\r\n\r\n" }
                       @callers;
    my ($in, @codes) = ('');

    syswrite $socket, $out or die "write: $!";

    while (@codes < @callers) {
        sysread $socket, $in, 65536, length $in or die "closed";

        while ($in =~ /\G(HTTP\/1\.1\ (\d+).*?\r\nContent-Length:\ (\d+)\r\n
                          .*?\r\n\r\n)/gcxs)
        {
            my ($code, $body, $end) = ($2, $3, pos $in);

            if (length $in < $end + $body) {
                pos($in) = $end - length $1;
                last;
            }

            push @codes, $code;
            pos($in) = $end + $body;
        }

        $in = substr $in, pos $in // 0;
    }

    return @codes;
}


# Each client has callers of its own and asks for all of them in each round;
# who cannot be counted at that moment (503) is asked for again.

sub client {
    my ($number) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $gw->port) or die $!;
    my %seen;

    for my $round (1 .. $quota + 1) {
        my @again;
        my $n = $number;

        while ($n < $callers || @again) {
            my @now = splice @again, 0, $batch;

            for (my $i = @now; $i < $batch && $n < $callers; $i++) {
                push @now, $n;
                $n += $clients;
            }

            my @codes = ask($socket, @now);
            my $full = 0;

            for my $i (0 .. $#now) {
                $seen{"$round $codes[$i]"}++;
                next if $codes[$i] != 503;

                push @again, $now[$i];
                $full++;
            }

            sleep 0.05 if $full > $batch / 2;
        }
    }

    return \%seen;
}


my $began = time;
my (@pipes, %seen);

for my $number (0 .. $clients - 1) {
    pipe my $in, my $out or die;

    my $pid = fork // die;

    if ($pid == 0) {
        my $seen = eval { client($number) } // { "error $@" => 1 };
        print $out map { "$_=$seen->{$_}\n" } sort keys %$seen;
        close $out;
        POSIX::_exit(0);
    }

    close $out;
    push @pipes, $in;
}

for my $in (@pipes) {
    while (<$in>) {
        $seen{$1} += $2 if /^(.*)=(\d+)$/;
    }
}

my $took = time - $began;
my $busy = 0;
$busy += delete $seen{$_} for grep { / 503$/ } keys %seen;

is_deeply(\%seen, { (map { ("$_ 200" => $callers) } 1 .. $quota),
                    $quota + 1 . ' 429' => $callers },
          "$callers callers: each has its quota and no more");

diag(sprintf '%d requests in %.0f s, %d times without room',
     $callers * ($quota + 1), $took, $busy);

$gw->restart;

my $report = Apigw::Scenario::cli_path() . ' usage report --csv --store '
             . $gw->root . '/logs/usage';
my ($rows, $wrong) = (0, 0);

open my $in, '-|', $report or die;

while (<$in>) {
    next if !/^[-\d]+,caller-\d+,,q,,,(\d+),/;
    $rows++;
    $wrong++ if $1 != $quota;
}

close $in;

# two rows for those that were asked for before and after midnight
cmp_ok($rows, '>=', $callers, 'the ledger has all of them');
is($wrong, 0, 'each as often as it was admitted') if $rows == $callers;

done_testing;
