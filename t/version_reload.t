# Reload, restart and no master: the configuration in force decides, running
# requests keep theirs, no request fails.  See also version_workers.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

sub config {
    my ($default, $extra) = @_;

    my %is = ($default => 'default');
    my @versions = map { "version $_ upstream=one @{[$is{$_} // '']};" } 'v1',
        'v2';

    return "upstream one { server 127.0.0.1:1; }\n"
           . "api a { @versions $extra }\n";
}

my $slow = Apigw::Scenario->upstream(answer => { body => 'slow',
    delay => 0.5 });
my $slow_port = $slow->port;

my $gw = Apigw::Scenario->start(workers => 2, http => config('v1', ''),
    server => <<"END");
location /a/ { api_publish a; empty_gif; }
location /slow/ { api_publish a; proxy_pass http://127.0.0.1:$slow_port; }
END

is($gw->get('/a/')->header('X-API-Version'), 'v1', 'before the reload');

my $client = $gw->connect;
$client->send("GET /slow/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
$slow->wait_requests(1);

my $load = $gw->load_start(clients => 2, seconds => 1,
    uri => sub { $_[1] % 2 ? '/a/v1/x' : '/a/x' });

$gw->conf(http => config('v2',
    'version v3 upstream=one sunset=2020-01-01; version_header Version;'));
$gw->reload;

is($gw->get('/a/')->header('Version'), 'v2',
    'after the reload: another default');
is($gw->get('/a/')->header('X-API-Version'), undef, 'another header');
is($gw->get('/a/v3/')->status, 410, 'a new version, retired');
is($client->read_answer->header('X-API-Version'), 'v1',
    'a running request keeps its own');

my $result = $load->();

is($result->{errors}, 0, 'no request failed') or diag(explain($result));
is_deeply([keys %{$result->{status}}], [200], "of $result->{requests}");

like($gw->reload_fails(http => config('v1', 'version v3 upstream=none;')),
     qr/unknown upstream "none"/, 'a reload that is refused');
$gw->expect_log(qr/unknown upstream "none"/);
is($gw->get('/a/')->header('Version'), 'v2', 'changes nothing');

$gw->conf(http => config('v1', ''));
$gw->restart;

is($gw->get('/a/')->header('X-API-Version'), 'v1', 'after a restart');

$gw->conf(master => 0, workers => 1);
$gw->restart;
is($gw->get('/a/v2/')->header('X-API-Version'), 'v2', 'master_process off');

done_testing;
