# The last use and the number of uses of each key reach the store in the end,
# exactly, over workers, reloads, a killed helper, and the end of nginx.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    http    => 'auth_api_key_zone zone=k:1m store=logs/k flush=200ms;',
    server  => <<'END',
location / { auth_api_key zone=k; empty_gif; }
location /optional { auth_api_key zone=k optional; empty_gif; }
location /scope { auth_api_key zone=k; auth_api_key_require any=none; empty_gif; }
location /twice { auth_api_key zone=k; try_files /none /again; }
location /again { auth_api_key zone=k; empty_gif; }
END
);

my $store = $gw->root . '/logs/k';


sub key {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', $store, @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


sub uses {
    my ($id) = @_;

    return key('show', '--json', $id) =~ /"uses":\s*(\d+)/ ? $1 : 0;
}


sub becomes {
    my ($id, $n, $name) = @_;

    wait_for(sub { uses($id) >= $n }, 5);
    is(uses($id), $n, $name);
}


my $key = key('create', '--consumer', 'joe', '--id', 'joe');
my $other = key('create', '--consumer', 'ann', '--id', 'ann');
my $expired = key('create', '--consumer', 'ann', '--id', 'old', '--disabled');

$gw->get($_, ['X-API-Key' => $key]) for qw(/ /optional /twice);
$gw->get('/scope', ['X-API-Key' => $key]);
$gw->get('/', ['X-API-Key' => $expired]);
$gw->get('/', ['X-API-Key' => 'x' x 20]);
$gw->get('/optional');

becomes('joe', 3, 'once for each request that was let in');
is(uses('ann'), 0, 'never used');
is(uses('old'), 0, 'refused');
like(key('show', '--json', 'joe'), qr/"last_used":\s*"\d{4}-/, 'when');

my $load = $gw->load(clients => 4, requests => 400, uri => '/',
                     headers => ['X-API-Key' => $other]);
is($load->{status}{200}, 1600, 'load');
becomes('ann', 1600, 'over two workers');

for my $n (1 .. 3) {
    $gw->get('/', ['X-API-Key' => $key]);
    $gw->reload;
}

becomes('joe', 6, 'over reloads');

$gw->kill_helper;
$gw->get('/', ['X-API-Key' => $key]);
becomes('joe', 7, 'after a killed helper');
$gw->expect_log(qr/\[alert\] .*cache manager process \d+ exited on signal 9/,
                qr/\[alert\] .*process \d+ exited on signal 9/);

$gw->get('/', ['X-API-Key' => $key]);
$gw->restart;
is(uses('joe'), 8, 'written at the end');


# A zone with room for few keys: requests go on

my @many = map { sprintf "elsewhere-%08d", $_ } 1 .. 600;
my ($status, $out, $err) = cli($gw, 'key', 'import', '--store', $store,
    { stdin => join '', map { qq({"key":"$_","id":"$_","consumer":"many"}\n) }
                        @many });
is($status, 0, 'import') or diag $err;

$gw->restart(http => 'auth_api_key_zone zone=k:32k store=logs/k flush=1h;');

my $client = $gw->connect;
my $passed = grep {
    $client->get('/', ['X-API-Key' => $_])->status == 200
} @many;
is($passed, 600, 'a full zone refuses nobody');

$gw->stop;

my $counted = () = key('list', '--json', '--consumer', 'many')
                   =~ /"uses":\s*1\b/g;
ok($counted > 50 && $counted < 600, "some are counted: $counted");

done_testing;
