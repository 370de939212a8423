# Reload with the zone unchanged, resized and renamed, a store that changes
# under a zone, restart, a binary without a master process.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;

my $server = <<'END';
add_header X-Who "$api_key_id" always;
location / { auth_api_key zone=k; empty_gif; }
END

my $gw = Apigw::Scenario->start(
    default_location => 0,
    http   => 'auth_api_key_zone zone=k:1m store=logs/k;',
    server => $server,
);

my $store = $gw->root . '/logs/k';
my ($status, $key) = cli($gw, 'key', 'create', '--store', $store, '--consumer',
                         'joe', '--id', 'joe');
chomp $key;


sub works {
    my ($name) = @_;

    is($gw->get('/', ['X-API-Key' => $key])->header('X-Who'), 'joe', $name);
    is($gw->get('/')->status, 401, "$name: no key");
}


works('start');

$gw->reload;
works('unchanged');

my $client = $gw->connect;
$client->get('/');
$gw->reload(http => 'auth_api_key_zone zone=k:2m store=logs/k;');
works('resized');

$gw->reload(http   => 'auth_api_key_zone zone=other:2m store=logs/k;',
            server => $server =~ s/zone=k/zone=other/r);
works('renamed');

my $text = $gw->reload_fails(
    http => 'auth_api_key_zone zone=other:2m store=logs/another;');
like($text, qr/"other" uses the store "\S+another" while previously it used/,
     'another store under the same zone');
$gw->expect_log(qr/while previously it used/);
works('the old configuration goes on');

$gw->reload(http   => 'auth_api_key_zone zone=new:1m store=logs/another;',
            server => $server =~ s/zone=k/zone=new/r);
is($gw->get('/', ['X-API-Key' => $key])->status, 401, 'another store');

$gw->reload(http   => 'auth_api_key_zone zone=k:1m store=logs/k;
                       auth_api_key_zone zone=l:1m store=logs/l;',
            server => $server);
works('two zones');

$gw->reload(http   => '', server => 'location / { empty_gif; }');
is($gw->get('/')->status, 200, 'no zone');

$gw->restart(http => 'auth_api_key_zone zone=k:1m store=logs/k;',
             server => $server);
works('restart');

my $load = $gw->load_start(clients => 2, requests => 500, uri => '/',
                           headers => ['X-API-Key' => $key,
                                       Connection => 'close']);
$gw->reload for 1 .. 3;
$load = $load->();
is($load->{errors}, 0, 'reloads under load: no failed request');
is_deeply([keys %{$load->{status}}], [200], 'reloads under load: all pass');

$gw->upgrade;
works('binary upgrade');

$gw->stop;


# One process for all

$gw = Apigw::Scenario->start(
    default_location => 0,
    master => 0,
    http   => 'auth_api_key_zone zone=k:1m store=logs/k flush=200ms;',
    server => $server,
);

$store = $gw->root . '/logs/k';
($status, $key) = cli($gw, 'key', 'create', '--store', $store, '--consumer',
                      'joe', '--id', 'joe');
chomp $key;

works('master_process off');
ok(wait_for(sub { -e "$store/used/data.mdb" }, 5), 'uses are written');

# nginx itself does not serve after a reload without a master

(cli($gw, 'key', 'disable', '--store', $store, 'joe'))[0] and die;
is($gw->get('/', ['X-API-Key' => $key])->status, 401,
   'master_process off, disabled');

done_testing;
