# A limit of N admits exactly N over all workers: for one consumer, for many in
# a zone that holds few of them, and while workers are killed.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    http    => <<'END',
api_usage_zone zone=usage:128k store=logs/usage flush=100ms;
api_plan n300 { quota 300 per=lifetime; quota 1000000 per=day; }
api_plan n200 { quota 200 per=day; quota 250 per=lifetime; rate 1000r/s burst=10000; }
api_plan n7 { quota 7 per=lifetime; }
api_plan burst { rate 1r/h burst=150; }
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=$arg_p consumer=$arg_c;
    empty_gif;
}
END
);

# All windows of this test but "day" last; begin the day early enough.

sleep 1 while time % 86400 > 86380;


my $load = $gw->load(clients => 6, requests => 100, keepalive => 1,
                     uri => '/u?p=n300&c=one');

is($load->{errors}, 0, 'one consumer: no errors');
is($load->{status}{200}, 300, 'one consumer: exactly the quota');
is($load->{status}{429}, 300, 'one consumer: the rest is refused');

$load = $gw->load(clients => 6, requests => 60, keepalive => 1,
                  uri => '/u?p=n200&c=two');

is($load->{status}{200}, 200, 'two quotas and a rate: exactly the quota');

$load = $gw->load(clients => 6, requests => 60, keepalive => 1,
                  uri => '/u?p=burst&c=three');

is($load->{status}{200}, 150, 'a rate: exactly the burst');


# 128k have room for some 280 counters and 150 entries: most of these 900 are
# evicted, flushed and read back between two of their requests.  Where all is
# dirty the answer is 503, which has to count nothing.

my (%left, %seen);
my $consumers = 900;

for my $round (1 .. 9) {
    my $load = $gw->load(clients => 3, requests => $consumers / 3,
                         keepalive => 1,
                         uri => sub {
                             my ($client, $n) = @_;
                             return "/u?p=n7&c=m" . ($n * 3 + $client);
                         });

    is($load->{errors}, 0, "round $round: no errors");
    $seen{$_} += $load->{status}{$_} for keys %{$load->{status}};
}

my $until = time + 40;

while (($seen{200} // 0) < 7 * $consumers && time < $until) {
    sleep 0.1;

    my $load = $gw->load(clients => 3, requests => $consumers / 3,
                         keepalive => 1,
                         uri => sub {
                             my ($client, $n) = @_;
                             return "/u?p=n7&c=m" . ($n * 3 + $client);
                         });

    $seen{$_} += $load->{status}{$_} for keys %{$load->{status}};
}

is($seen{200}, 7 * $consumers, 'many consumers: each exactly its quota');

$load = $gw->load(clients => 3, requests => $consumers / 3, keepalive => 1,
                  uri => sub { "/u?p=n7&c=m" . ($_[1] * 3 + $_[0]) });

is($load->{status}{200}, undef, 'many consumers: nobody gets more');


# Workers that are killed under load take no count with them.

my $wait = $gw->load_start(clients => 4, seconds => 1.2,
                           uri => '/u?p=n300&c=killed');

for (1 .. 5) {
    sleep 0.15;
    $gw->kill_worker;
}

$load = $wait->();

cmp_ok($load->{status}{200} // 0, '<=', 300, 'killed: not one too many');
cmp_ok($load->{status}{200} // 0, '>=', 300 - $load->{errors},
       'killed: what is missing was charged but not answered');

is($gw->get('/u?p=n300&c=killed')->code, 429, 'killed: the quota is used up');

done_testing;
