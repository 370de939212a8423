# Two workers: the same caller gets the same version from each of them, every
# call is counted once whoever answers it, and a reload and a killed worker
# under load fail no request and change nobody's mind.

use strict;
use warnings;

use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $CALLERS = 60;

sub http {
    my ($share) = @_;

    return <<"END";
keepalive_requests 100000;
upstream one { server 127.0.0.1:1; }
api_version_zone zone=calls:256k store=logs/calls by=\$http_c flush=100ms;

api a {
    version v1 upstream=one deprecated=2020-01-01 sunset=2099-01-01
        successor=v2;
    version v2 upstream=one default;
    version v3 upstream=one canary=$share by=\$http_c canary_optin=on;
    brownout 30% from 2020-01-01 by=\$http_c version=v1;
}
END
}

my $gw = Apigw::Scenario->start(workers => 2, http => http('25%'),
                                server => <<'END');
location /a/ { api_publish a; empty_gif; add_header X-Pid $pid; }
END

my $store = $gw->root . '/logs/calls';


# A connection to each of the workers: while one is stopped, the other accepts.

sub clients {
    my @pids = $gw->workers;
    my @clients;

    for my $pid (@pids) {
        kill STOP => $pid or die "worker $pid: $!\n";
        wait_for { Apigw::Nginx::slurp("/proc/$pid/stat") =~ /\) T / } 5;

        my $client = $gw->connect;
        my $answer = $client->get('/a/v2/');

        kill CONT => $pid;

        is((grep { $_ != $pid } @pids)[0], $answer->header('X-Pid'),
            'the other worker answers');
        push @clients, $client;
    }

    return @clients;
}

# What every caller gets: the version, or "no" in a rehearsal
sub choices {
    my ($client, $uri) = @_;

    return join ' ', map {
        my $answer = $client->get($uri, C => "caller-$_");
        $answer->status == 200 ? $answer->header('X-API-Version') : 'no';
    } 1 .. $CALLERS;
}

# Calls in the store by version, and those that were refused
sub counted {
    my ($status, $out, $err) = cli('version', 'report', '--store', $store,
                                   '--json');
    die $err if $status;

    my %counted = (calls => 0);

    for my $line (map { decode_json($_) } split /\n/, $out) {
        $counted{$line->{version}} = $line->{calls};
        $counted{calls} += $line->{calls};
        $counted{refused} += $line->{refused};
    }

    return \%counted;
}

sub is_counted {
    my ($calls, $name) = @_;

    wait_for { counted()->{calls} >= $calls } 10;
    sleep 0.15;

    my $counted = counted();
    is($counted->{calls}, $calls, "$name: every call is counted once");

    return $counted;
}


# Stickiness

my ($one, $two) = clients();
my $default = choices($one, '/a/x');
my $old = choices($one, '/a/v1/x');

like($default, qr/v2.*v3|v3.*v2/, 'some callers are in the canary');
like($old, qr/v1.*no|no.*v1/, 'some callers are in the rehearsal');
is(choices($two, '/a/x'), $default, 'the canary is the same in both workers');
is(choices($two, '/a/v1/x'), $old, 'so is the rehearsal');

my $calls = 2 + 4 * $CALLERS;
my $n = () = $default =~ /v3/g;
my $no = () = $old =~ /no/g;
my $counted = is_counted($calls, 'both workers');

is_deeply([@$counted{qw(v1 v3 refused)}], [2 * $CALLERS, 2 * $n, 2 * $no],
    'with its version');


# Under load the share grows by a reload

my $load = $gw->load_start(clients => 4, seconds => 0.8, uri => '/a/x',
    headers => sub { [C => 'caller-' . (1 + $_[1] % $CALLERS)] });

sleep 0.2;
$gw->conf(http => http('60%'));
$gw->reload;
$load = $load->();

is($load->{errors}, 0, 'reload under load: no request fails')
    or diag(explain($load));
is_deeply([keys %{$load->{status}}], [200],
    "reload under load: $load->{requests} are answered");
cmp_ok($load->{requests}, '>', $CALLERS, 'reload under load: all callers');

$calls += $load->{requests};
is_counted($calls, 'reload under load');

($one, $two) = clients();
my $grown = choices($one, '/a/x');
my @before = split / /, $default;
my @after = split / /, $grown;

is(scalar(grep { $before[$_] eq 'v3' && $after[$_] ne 'v3' } 0 .. $#after), 0,
    'who was in the canary stays in');
cmp_ok(scalar(grep { $_ eq 'v3' } @after), '>', $n, 'and others have come');
is(choices($two, '/a/x'), $grown, 'in both workers');

$calls += 2 + 2 * $CALLERS;

$gw->kill_worker;
($one, $two) = clients();
is(choices($_, '/a/x'), $grown, 'after kill -9 of a worker') for $one, $two;
is_counted($calls + 2 + 2 * $CALLERS, 'after kill -9');

done_testing;
