# The scenario helpers themselves: requests, upstreams, processes and signals,
# what fails a test by itself, and that nothing outlives it.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

$ENV{TEST_NGINX_LOAD_MODULES} = '';

my $scratch = Apigw::Scenario->base_root . '/suite_temp';

remove_tree($scratch);
make_path($scratch);


# Requests

my $up = Apigw::Scenario->upstream(answer => { body    => 'hello',
                                               headers => ['X-Up' => 1] });
my $up_port = $up->port;

my $gw = Apigw::Scenario->start(
    workers => 2,
    http2   => 1,
    http    => 'proxy_cache_path %%ROOT%%/cache_temp keys_zone=c:1m;',
    files   => { 'html/sub/file' => 'port %%PORT%%' },
    server  => <<"END",
location /pixel { empty_gif; add_header X-A 1; add_header X-A 2; }
location /up { proxy_pass http://127.0.0.1:$up_port; proxy_http_version 1.1; }
location /chunked {
    ssi on;
    ssi_types text/plain;
    return 200 '<!--# echo var="uri" -->!';
}
END
);

my $port = $gw->port;

is($gw->get('/sub/file')->body, "port $port", 'file, %%PORT%%');

my $answer = $gw->get('/pixel');
is($answer->status, 200, 'status');
is($answer->code, 200, 'code');
is($answer->header('x-a'), '1, 2', 'header');
is_deeply([$answer->header_list('X-A')], [1, 2], 'header_list');
is($answer->headers->{'content-type'}, 'image/gif', 'headers');
is($answer->header('X-B'), undef, 'no header');
like($answer->raw_head, qr/^X-A: 1\r\nX-A: 2\r\n/m, 'raw_head');
is(length $answer->body, 43, 'body');

is($gw->get('/chunked')->body, '/chunked!', 'chunked');
is($gw->get('/nowhere')->status, 404, 'status 404');
is($gw->request('HEAD', '/pixel')->body, '', 'HEAD');
like($gw->raw("GET /pixel HTTP/1.0\r\n\r\n"),
     qr{^HTTP/1.1 200 OK\r\n.*GIF}s, 'raw');

my $client = $gw->connect;
is($client->get('/pixel')->status, 200, 'keep-alive');
is($client->request('HEAD', '/chunked')->body, '', 'keep-alive: HEAD');
is($client->get('/chunked')->body, '/chunked!', 'keep-alive: chunked');
ok(!$client->is_closed, 'keep-alive: open');
my @answers = $client->pipeline(['GET', '/pixel'], ['HEAD', '/x'],
                                ['GET', '/chunked']);
is_deeply([map { $_->status } @answers], [200, 404, 200], 'pipeline');
$client->request('GET', '/pixel', [Connection => 'close']);
ok(wait_for(sub { $client->is_closed }, 2), 'closed');

is(eval { Apigw::Client->new($gw->port(5)); 1 }, undef, 'nobody listens');
like($@, qr/^connect: /, 'nobody listens: reason');

$client = $gw->connect(timeout => 0.1);
$client->send("GET / HTTP/1.1\r\n");
is(eval { $client->read_answer; 1 }, undef, 'client time-out');
is($@, "time-out\n", 'client time-out: reason');
$client->close;


# The upstream

is($gw->get('/up/x?y', 'X-A' => 'b')->body, 'hello', 'upstream');
my ($request) = $up->requests;
is_deeply([@$request{qw(method uri version body)}],
          ['GET', '/up/x?y', 'HTTP/1.1', ''], 'upstream: request');
is($request->{headers}{'x-a'}, 'b', 'upstream: header');

$answer = $gw->request('PUT', '/up', { 'X-A' => 1 }, "a\0b");
is($answer->header('X-Up'), 1, 'upstream: PUT');
is(($up->requests)[1]{body}, "a\0b", 'upstream: body');

$answer = $gw->request('PUT', '/up', ['Transfer-Encoding' => 'chunked'],
                       "3\r\nabc\r\n0\r\n\r\n");
is($answer->status, 200, 'upstream: chunked');
is(($up->requests)[2]{body}, 'abc', 'upstream: chunked body');

is($up->count, 3, 'upstream: count');
$up->forget;
is($up->count, 0, 'upstream: forget');

$up->answer({ status => 503, delay => 0.2 });
my $began = time;
is($gw->get('/up')->status, 503, 'upstream: status');
cmp_ok(time - $began, '>=', 0.19, 'upstream: delay');
is(scalar(my @seen = $up->wait_requests(1)), 1, 'upstream: wait_requests');

$up->answer({ drop => 1 });
is($gw->get('/up')->status, 502, 'upstream: drop');
$up->answer({ raw => "HTTP/1.1 201 Mine\r\nContent-Length: 1\r\n\r\nx" });
is($gw->get('/up')->body, 'x', 'upstream: raw');

my $code = Apigw::Scenario->upstream(answer => sub {
    return { body => "you asked $_[0]{uri}" };
});
isnt($code->port, $up_port, 'upstream: another port');
my $direct = $gw->connect(port => $code->port);
is($direct->get('/a')->body, 'you asked /a', 'upstream: code');
is($direct->get('/b')->body, 'you asked /b', 'upstream: keep-alive');
is_deeply([map { $_->{connection} } $code->requests], [1, 1],
          'upstream: connection');


# HTTP/2

$up->answer({ body => 'two' });
$up->forget;
$answer = $gw->http2('POST', '/up', ['X-A' => 'b'], 'body');
is($answer->status, 200, 'HTTP/2: status');
is($answer->body, 'two', 'HTTP/2: body');
is(($up->requests)[0]{headers}{'x-a'}, 'b', 'HTTP/2: header');
is(($up->requests)[0]{body}, 'body', 'HTTP/2: request body');
is($gw->http2('HEAD', '/nowhere')->status, 404, 'HTTP/2: HEAD');


# Load

my $load = $gw->load(clients => 3, requests => 20, keepalive => 1,
                     uri => sub { $_[1] % 2 ? '/pixel' : '/nowhere' });
is_deeply($load->{status}, { 200 => 30, 404 => 30 }, 'load: statuses');
is($load->{errors}, 0, 'load: no errors');
is($load->{requests}, 60, 'load: requests');

$load = $gw->load(clients => 2, requests => 5, port => $gw->port(5));
is($load->{errors}, 10, 'load: errors');
is((values %{$load->{error}})[0], 10, 'load: reasons') or diag explain $load;

$load = $gw->load(clients => 2, seconds => 0.2, uri => '/pixel',
                  method => 'HEAD');
cmp_ok($load->{status}{200}, '>', 10, 'load: for a time');
cmp_ok($load->{seconds}, '<', 5, 'load: for a time only');


# Processes

my $master = $gw->master;
my @workers = $gw->workers;
my $helper = $gw->helper;

is(@workers, 2, 'workers');
ok($helper && $helper != $_, "helper is not $_") for $master, @workers;

my $running = $gw->load_start(clients => 2, requests => 200, uri => '/pixel');
$gw->reload for 1 .. 2;
is_deeply($running->()->{status}, { 200 => 400 }, 'reload: no request fails');
is($gw->master, $master, 'reload: same master');
my %old = map { $_ => 1 } @workers, $helper;
is((grep { $old{$_} } $gw->workers, $gw->helper), 0, 'reload: others are new');

$gw->reload(server => 'location /new { empty_gif; }', workers => 1);
is($gw->get('/new')->status, 200, 'reload: new configuration');
is(scalar(@workers = $gw->workers), 1, 'reload: number of workers');

like($gw->reload_fails(http => 'foo;'), qr/unknown directive "foo"/,
     'reload_fails');
is($gw->get('/new')->status, 200, 'reload_fails: old configuration');
is(eval { $gw->reload_fails; 1 }, undef, 'reload_fails: would work');
is(eval { $gw->reload(http => 'bar;'); 1 }, undef, 'reload: refused');
like($@, qr/nginx did not reload:.*"bar"/, 'reload: says why');
$gw->expect_log(qr/unknown directive "bar"/);

my ($status, $text) = $gw->test_config(http => 'baz;');
is($status, 1, 'test_config: refused');
like($text, qr/unknown directive "baz"/, 'test_config: text');
($status, $text) = $gw->test_config(
    http => 'proxy_cache_path %%ROOT%%/cache_temp keys_zone=c:1m;');
is($status, 0, 'test_config: good') or diag $text;
is($gw->get('/new')->status, 200, 'test_config leaves nginx alone');
is(scalar $gw->grep_log(qr/"baz"/), 0, 'test_config leaves the log alone');
$gw->reload;

my ($worker) = $gw->workers;
is($gw->kill_worker, $worker, 'kill_worker');
isnt(($gw->workers)[0], $worker, 'kill_worker: replaced');
is($gw->get('/new')->status, 200, 'kill_worker: serves');
my @killed = $gw->wait_log(qr/worker process $worker exited on signal 9/);
is(@killed, 1, 'wait_log');

$helper = $gw->helper;
is($gw->kill_helper, $helper, 'kill_helper');
isnt($gw->helper, $helper, 'kill_helper: replaced');

my @steps;
$gw->upgrade(between     => sub { push @steps, $gw->get('/new')->status, @_ },
             after_winch => sub { push @steps, $gw->get('/new')->status });
is_deeply(\@steps, [200, $master, $gw->master, 200], 'upgrade');
isnt($gw->master, $master, 'upgrade: new master');
ok(!kill(0, $master), 'upgrade: old master is gone');
is($gw->get('/new')->status, 200, 'upgrade: serves');

$master = $gw->master;
is($gw->kill_master(keep => 1), $master, 'kill_master');
is($gw->get('/new')->status, 200, 'kill_master: orphans serve');
$gw->end_orphans;
is(eval { $gw->get('/new'); 1 }, undef, 'end_orphans');

$gw->start;
is($gw->get('/new')->status, 200, 'start anew');
$master = $gw->master;
$gw->restart(server => 'location /newer { empty_gif; }');
isnt($gw->master, $master, 'restart');
is($gw->get('/newer')->status, 200, 'restart: new configuration');
$gw->stop;
is(eval { $gw->get('/newer'); 1 }, undef, 'stop');
$gw->start->term;
is(eval { $gw->get('/newer'); 1 }, undef, 'term');
$gw->start;

is(eval { Apigw::Scenario->start(servers => ''); 1 }, undef,
   'unknown argument');
like($@, qr/unknown argument "servers"/, 'unknown argument: says so');
is(eval { Apigw::Scenario->start(http => 'foo;'); 1 }, undef,
   'bad configuration');
like($@, qr/nginx does not start: exited with status 1\n.*"foo"/s,
     'bad configuration: says why');
$_->expect_log(qr/unknown directive "foo"/) for Apigw::Scenario->gateways;

my $single = Apigw::Scenario->start(master => 0,
                                    server => 'location /1 { return 201; }');
is($single->get('/1')->status, 201, 'no master');
isnt($single->port, $gw->port, 'another gateway, another port');
is(eval { $single->reload; 1 }, undef, 'no master, no reload');


# The command-line tool

Apigw::Scenario::write_file("$scratch/tool", <<'END');
#!/bin/sh
echo "got $1 $(cat)"
echo oops >&2
exit $1
END
chmod 0755, "$scratch/tool";
$ENV{APIGW_CLI} = "$scratch/tool";

is_deeply([cli(3, { stdin => 'text' })], [3, "got 3 text\n", "oops\n"], 'cli');
is_deeply([$gw->cli(0)], [0, "got 0 \n", "oops\n"], 'cli as a method');


# What fails a test by itself.  The children run on the same ports.

$_->finish for Apigw::Scenario->gateways;
$_->stop for $up, $code;

my $count = 0;

sub start_script {
    my ($text) = @_;

    my $file = "$scratch/" . ++$count . '.t';

    Apigw::Scenario::write_file($file, <<"END");
use Test::More;
use Apigw::Scenario;
my \$gw = Apigw::Scenario->start(server => 'location /t { empty_gif; } '
    . 'location /crit { proxy_pass http://unix:/nowhere.sock; }');
$text
END

    my $pid = fork // die "fork() failed: $!\n";

    if ($pid == 0) {
        $ENV{TEST_NGINX_PORT} = Apigw::Scenario->base_port;
        $ENV{TEST_NGINX_SERVROOT} = "$scratch/servers";
        delete @ENV{qw(TEST_NGINX_SERVER_PORT TEST_NGINX_RANDOMIZE)};
        open STDOUT, '>', "$file.out";
        open STDERR, '>&', \*STDOUT;
        { exec $^X, '-I', "$FindBin::Bin/lib", $file }
        POSIX::_exit(127);
    }

    return ($pid, "$file.out");
}

sub script {
    my ($pid, $file) = start_script(@_);

    waitpid $pid, 0;

    return ($?, Apigw::Nginx::slurp($file));
}

sub servers {
    return grep { $_ =~ /^\Q$scratch\E\/servers/ }
           map { readlink "/proc/$_->{pid}/fd/2" // '' }
           Apigw::Nginx::process_table();
}

my $fine = "is(\$gw->get('/t')->status, 200);\n";
my $done = "done_testing;\n";

sub passes {
    my ($title, $script) = @_;

    my ($exit, $output) = script($script);
    is($exit, 0, "$title: passes") or diag $output;
    is(servers(), 0, "$title: nothing is left");
}

sub fails {
    my ($title, $script, $reason) = @_;

    my ($exit, $output) = script($script);
    isnt($exit, 0, "$title: fails");
    like($output, $reason, "$title: says why");
    is(servers(), 0, "$title: nothing is left");
}

my $crit = "\$gw->get('/crit');\n";
my $report = 'Apigw::Scenario::write_file($gw->root . "/logs/ubsan.9", "%s");';

passes('clean', "$fine$done");
fails('crit', "$fine$crit$done", qr/not ok.*ran cleanly.*\[crit\]/s);
passes('crit announced', "$fine$crit\$gw->expect_log(qr/nowhere.sock/);$done");
fails('crit announced in other words',
      "$fine$crit\$gw->expect_log(qr/elsewhere/);$done", qr/\[crit\]/);
fails('report', $fine . sprintf($report, 'bad shift') . $done, qr/bad shift/);
passes('report empty', $fine . sprintf($report, '') . $done);
fails('crash', $fine . 'kill "SEGV", $gw->master;' . $done,
      qr/ended by signal 11(?!.*had to be killed)/s);
fails('worker killed from elsewhere',
      $fine . 'kill "KILL", $gw->workers; sleep 1;' . $done,
      qr/\[alert\].*exited on signal 9/);
fails('died', "${fine}die 'oops';", qr/oops/);

for my $signal (qw(TERM INT KILL)) {
    my ($pid) = start_script("Apigw::Scenario->upstream(answer => {});\n"
                             . "my \$l = \$gw->load_start(seconds => 60);\n"
                             . "sleep 60;\n$done");

    ok(wait_for(sub { servers() >= 2 }, 10), "$signal: runs");
    kill $signal, $pid;
    waitpid $pid, 0;

    passes('after KILL', "$fine$done") if $signal eq 'KILL';
    is(servers(), 0, "$signal: nothing is left");

    # upstreams and load, which are this test's orphans now
    ok(wait_for(sub { !grep { $_->{ppid} == $$ && $_->{state} ne 'Z' }
                      Apigw::Nginx::process_table() }, 5),
       "$signal: no other process is left");
}

remove_tree($scratch) if Test::More->builder->is_passing;

done_testing();
