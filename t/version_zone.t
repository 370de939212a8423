# Who calls which version: counted by API, version, source, day and caller;
# over reload, a changed API, restart, kill -9, an upgrade, two workers, a full
# zone and a store that cannot be used; never a refusal, nothing twice.

use strict;
use warnings;

use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $versions = 'version v1 upstream=one sunset=2099-01-01 deprecated=2026-01-01'
    . ' successor=v2; version v2 upstream=one default;'
    . ' version v0 upstream=one sunset=2020-01-01;';

sub http {
    my (%args) = @_;

    my $zone = $args{zone} // 'calls:256k';
    my $by = $args{by} // 'by=$http_c';
    my $more = $args{more} // '';

    return <<"END";
upstream one { server 127.0.0.1:1; }
api_version_zone zone=$zone store=logs/calls $by flush=100ms;
api a { @{[$args{versions} // $versions]} select path header=V; $more }
api b { version w1 upstream=one; version w2 upstream=one; }
END
}

my $server = <<'END';
location /a/ { api_publish a; empty_gif; }
location /b/ { api_publish b; empty_gif; }
location /none/ { empty_gif; }
location /sub/ { auth_request /a/v1/check; empty_gif; }
location /try/ { api_publish a; try_files /x /a/y; }
location /index/ { api_publish a; error_page 404 = /b/w1/z; root /nowhere; }
location /page/ { api_publish a; error_page 404 410 = /b/w1/z; empty_gif; }
location /pages/ { api_publish b; error_page 400 404 = /page/v0/y;
    empty_gif; }
location /left/ { api_publish a; error_page 410 404 = /none/; empty_gif; }
END

my $slow = Apigw::Scenario->upstream(answer => { delay => 0.6 });
my $slow_port = $slow->port;

$server .= "location /slow/ { api_publish a;"
    . " proxy_pass http://127.0.0.1:$slow_port; }\n";

my $gw = Apigw::Scenario->start(workers => 2, http => http(),
                                server => $server);

my $store = $gw->root . '/logs/calls';

# "api version ..." => calls, from the store
sub report {
    my ($by, @more) = @_;

    my ($status, $out, $err) = cli('version', 'report', '--store', $store,
        '--json', $by ? ('--by', $by) : (), @more);

    die $err if $status;

    return map { decode_json($_) } split /\n/, $out;
}

sub calls {
    my ($by, @more) = @_;

    my @lines = report($by, @more);

    return { map { join(' ', grep { $_ ne '' } $_->{api}, $_->{version},
                   $by ? $_->{$by} : ())
                   => $_->{calls} }
             grep { $_->{calls} } @lines };
}

# Waits until so many calls are in the store, and that no more come: the time
# of a flush is known, how long it takes is not.
sub flushed {
    my ($count, $by) = @_;

    my $sum = sub {
        my $calls = calls('caller');
        my $n = 0;
        $n += $calls->{$_} for grep { !$by || /\b$by\d*\z/ } keys %$calls;
        return $n;
    };

    wait_for(sub { $sum->() >= $count }, 10);
    sleep 0.15;

    return $sum->();
}

sub call {
    my ($n, @request) = @_;

    my $client = $gw->connect;
    $client->get(@request) for 1 .. $n;
}

sub v1 { return (calls('caller')->{"a v1 $_[0]"} // 0) }

sub killed {
    $gw->kill_master(keep => 1);
    $gw->end_orphans(signal => 'KILL');
    $gw->start;
}


# What is counted

call(3, '/a/v1/x', C => 'anna');
call(2, '/a/x', C => 'anna', V => 1);
call(4, '/a/v1/x');
call(5, '/a/x', C => 'anna');
call(1, '/a/v0/x', C => 'old');
call(2, '/a/v9/x', C => 'anna');
call(6, '/b/w1/x');
call(1, '/b/x');
call(3, '/none/');
call(2, '/sub/');
call(2, '/try/v1/x', C => 'try');
call(2, '/index/v1/x', C => 'index');

is(flushed(28), 28, 'all that came');

my $today = (report('day'))[0]{day};

is_deeply(calls('source'), {
    'a path' => 2, 'a v0 path' => 1, 'a v1 header' => 2, 'a v1 path' => 9,
    'a v2 default' => 5, 'b' => 1, 'b w1 path' => 8,
}, 'by source: each request once, where it was decided');

is_deeply(calls('caller'), {
    'a' => 2, 'a v0 old' => 1, 'a v1' => 4, 'a v1 anna' => 5,
    'a v1 try' => 2, 'a v2' => 5, 'b' => 1, 'b w1' => 8,
}, 'by caller: of versions that will end');

my %line = map { ("$_->{api} $_->{version}" => $_) } report();

is($line{'a v0'}{refused}, 1, 'refused: after the sunset');
is($line{'a '}{refused}, 2, 'refused: an unknown version');
is($line{'b '}{refused}, 1, 'refused: none is named');
is($line{'a v1'}{refused}, 0, 'not refused');

call(3, '/page/v0/x', C => 'paged');
call(2, '/page/v9/x', C => 'paged');
call(1, '/pages/x', C => 'paged');
call(1, '/left/v0/x', C => 'paged');
call(1, '/left/v9/x', C => 'paged');

my %paged;

ok(wait_for(sub {
    %paged = map { ("$_->{api} $_->{version}" => $_) } report();
    return $paged{'a v0'}{calls} == 5 && $paged{'a '}{calls} == 5
           && $paged{'b '}{calls} == 2;
}, 5), 'refused, and a page of another API or of none: counted where refused')
    or diag(explain(\%paged));
is_deeply([map { $paged{$_}{refused} } 'a v0', 'a ', 'b ', 'b w1'],
    [5, 5, 2, 0], 'as refused');
is($paged{'b w1'}{calls}, $line{'b w1'}{calls},
    'not for the API of the page');
is(v1('paged') + calls('caller')->{'a v0 paged'}, 4, 'with the caller');
is($line{'a v1'}{callers}, 2, 'callers');
is_deeply([@{$line{'b w2'}}{qw(calls last)}], [0, undef],
    'a version that nobody calls');
is_deeply([@{$line{'a v1'}}{qw(status deprecated sunset successor)}],
    ['deprecated', '2026-01-01T00:00:00Z', '2099-01-01T00:00:00Z', 'v2'],
    'what is configured');
like($line{'a v1'}{last}, qr/^\Q$today\E T\d\d:\d\d:\d\dZ$/x, 'the last call');
is_deeply([map { $_->{day} } report('day', '--api', 'b')], [$today, $today],
    'by day');


# Two workers and a reload under load

my $load = $gw->load_start(clients => 3, seconds => 1,
    uri => '/a/v1/x', headers => sub { [C => 'load' . $_[1] % 5] });

sleep 0.3;
$gw->reload;
$gw->conf(http => http(versions => "$versions version v3 upstream=one;"));
$gw->reload;
$load = $load->();

is(flushed($load->{status}{200}, 'load'), $load->{status}{200},
    'reload under load: every call is counted once');
is($load->{errors}, 0, 'reload under load: no request fails')
    or diag(explain($load));
is(v1('anna'), 5, 'a changed API: counts go on');
ok(exists $line{'a v1'} && (grep { $_->{version} eq 'v3' } report()),
    'a changed API: the new version is known');

$gw->conf(http => http(zone => 'calls:512k'));
my $running = $gw->connect;
$running->send("GET /slow/v1/x HTTP/1.1\r\nHost: a\r\nC: anna\r\n\r\n");
$slow->wait_requests(1);
$gw->reload;
call(1, '/a/v1/x', C => 'anna');
$running->read_answer;
is(flushed(7, 'anna'), 7,
    'a resized zone: nor is the call that an old worker ends with lost');

like($gw->reload_fails(
        http => http() =~ s{logs/calls}{logs/elsewhere}r =~ s/256k/512k/r),
    qr/uses the store ".*elsewhere" while previously it used/,
    'another store is refused');
$gw->expect_log(qr/uses the store ".*elsewhere" while previously/);


# Restart and kill -9

$gw->restart for 1 .. 2;
is(v1('anna'), 7, 'restart: everything was written at the end');
call(1, '/a/v1/x', C => 'anna');
$gw->term;
$gw->start;
is(v1('anna'), 8, 'TERM: the same');

call(2, '/a/v1/x', C => 'anna');
is(flushed(10, 'anna'), 10, 'flushed');
$gw->kill_worker;
call(1, '/a/v1/x', C => 'anna');
$gw->kill_helper;
call(1, '/a/v1/x', C => 'anna');
is(flushed(12, 'anna'), 12,
    'kill -9 of a worker and the helper: nothing is lost');

killed();
is(v1('anna'), 12, 'kill -9 of everything: what was flushed is there');
call(1, '/a/v1/x', C => 'anna');
killed();
call(1, '/a/v1/x', C => 'anna');

my $before = flushed(13, 'anna');
cmp_ok($before, '>=', 13, 'killed within the interval: nothing flushed');
cmp_ok($before, '<=', 14, 'nor anything twice');

$gw->upgrade(between => sub {
    for (1 .. 4) {
        call(3, '/a/v1/x', C => 'anna');
        sleep 0.1;
    }
});
call(1, '/a/v1/x', C => 'anna');
is(flushed($before + 13, 'anna'), $before + 13,
    'binary upgrade: both masters\' calls');

$gw->conf(master => 0, workers => 1);
$gw->restart;
call(2, '/a/v1/x', C => 'anna');
is(flushed($before + 15, 'anna'), $before + 15, 'master_process off');


# A zone that is too small: entries come and go, none is lost once flushed

my ($no_status) = Apigw::Scenario->new(
    server => 'location /s { api_status; }')->test_config;

$gw->conf(master => 1, workers => 2, http => http(zone => 'tiny:32k'),
    server => $no_status ? $server : "$server location = /s { api_status; }");
$gw->restart;

sub numbers {
    return decode_json($gw->get('/s')->body)->{zones}{version}{$_[0]};
}

for my $round (1 .. 5) {
    my $client = $gw->connect;
    $client->get('/a/v1/x', C => "tiny$_")
        for map { $round * 25 + $_ } 0 .. 24;
    flushed($round * 25, 'tiny');
}

is(scalar(grep { /tiny/ } keys %{calls('caller')}), 125,
    'more callers than fit, one after the other');
{
    my $client = $gw->connect;
    $client->get('/a/v1/x', C => "tiny$_") for 25 .. 35, 149;
}

flushed(137, 'tiny');
my $calls = calls('caller');
is_deeply([map { $calls->{"a v1 tiny$_"} } 25 .. 35, 149], [(2) x 12],
    'who was evicted is counted on');

SKIP: {
    skip 'no status module', 2 if $no_status;

    my $numbers = numbers('tiny');

    cmp_ok($numbers->{evicted}, '>', 125 - $numbers->{entries},
        "status: of $numbers->{entries} entries $numbers->{evicted} evicted");
    is_deeply([@$numbers{qw(counted lost unnamed)}], [137, 0, 0],
        'status: all calls are counted');
}


# Between two flushes what does not fit is counted without its caller, and
# what fits nowhere is not

$gw->conf(http => http(zone => 'crowd:32k') =~ s/flush=100ms/flush=1m/r);
$gw->restart;

# who has no name at the first call is there before the ways are full: with
# the zone's own hash it may be that there is no room left for him later

my $whole = calls()->{'a v1'};
my $nameless = calls('caller')->{'a v1'} + 1;
call(1, '/a/v1/x');

my $client = $gw->connect;
my %status;

$status{$client->get('/a/v1/x', C => "crowd$_")->status}++ for 1 .. 300;

is_deeply(\%status, { 200 => 300 }, 'a full zone refuses nobody');
is(scalar($gw->grep_log(qr/"crowd" has no room/)), 1,
    'one line a minute says so');

my ($lost, $unnamed);

SKIP: {
    skip 'no status module', 2 if $no_status;

    my $numbers = numbers('crowd');
    $lost = $numbers->{lost};
    $unnamed = $numbers->{unnamed};

    cmp_ok($unnamed, '>', 100, 'status: calls without their caller');
    is($numbers->{counted} + $lost, 301,
        'status: every call is counted or told to be lost');
}

$gw->restart;
my $more = calls()->{'a v1'} - $whole;
$nameless = calls('caller')->{'a v1'} - $nameless;
is($unnamed // $nameless, $nameless,
    'status: unnamed are those that are counted');
cmp_ok($more, '>', 40, 'what fits is counted');
is($more, 301 - ($lost // 301 - $more), 'what is not lost is in the store');


# A store that cannot be used

$gw->conf(http => http(zone => 'tiny:32k'));
$gw->stop;
rename "$store/data.mdb", "$store/kept" or die;
mkdir "$store/data.mdb" or die;
$gw->start;
call(2, '/a/v1/x', C => 'blind');
is($gw->get('/a/v1/x', C => 'blind')->status, 200,
    'without a store: no refusal');
ok($gw->wait_log(qr/zone "tiny": the store ".*" cannot be opened/),
    'without a store: the log says so');
rmdir "$store/data.mdb" or die;
rename "$store/kept", "$store/data.mdb" or die;
ok(wait_for(sub { v1('blind') == 3 }, 5),
    'when it is back nothing is lost');

done_testing;
