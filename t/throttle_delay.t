# Delays: paced to the rate, the worker serves others meanwhile, a client that
# leaves leaves nothing behind, in both phases and over HTTP/2; who comes back
# when told to is admitted.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http2 => 1,
    http  => '
        api_throttle_zone $arg_k zone=a:64k rate=3r/s burst=4;
        api_throttle_zone $arg_k zone=slow:64k rate=1r/s burst=9;
        api_throttle_zone $arg_k zone=second:64k rate=2r/s burst=2;
        add_header X-T "$api_throttle_status $api_throttle_remaining" always;',
    server => '
        location /late { api_throttle zone=a delay=0; empty_gif; }
        location /early { api_throttle zone=a before_auth delay=0; empty_gif; }
        location /some { api_throttle zone=a delay=2; empty_gif; }
        location /none { api_throttle zone=a nodelay; empty_gif; }
        location /dry { api_throttle zone=a dry_run delay=0; empty_gif; }
        location /both { api_throttle zone=a before_auth delay=0;
                         api_throttle zone=slow delay=5; empty_gif; }
        location /slow { api_throttle zone=slow delay=0; empty_gif; }
        location /second { api_throttle zone=second cost=2; empty_gif; }
        location /open { empty_gif; }
        location /status { stub_status; }',
);

# Requests at the same time: [uri, ...] to [[code, X-T, seconds], ...]

sub at_once {
    my (@uris) = @_;

    my $began = time;
    my @clients = map { $gw->connect } @uris;
    my @answers;

    for my $i (0 .. $#uris) {
        $clients[$i]->send("GET $uris[$i] HTTP/1.1\r\nHost: localhost\r\n\r\n");

        # in this order
        sleep 0.005;
    }

    for my $client (@clients) {
        my $answer = $client->read_answer;
        push @answers, [$answer->code, $answer->header('X-T'), time - $began];
    }

    return @answers;
}

for my $way (qw(late early)) {
    my @answers = at_once(("/$way?k=$way") x 5);

    is_deeply([map { $_->[0] } @answers], [200, 200, 200, 200, 429],
              "$way: the burst passes, the rest is refused");
    is($answers[0][1], 'PASSED 3', "$way: the first at once");
    is($answers[$_][1], 'DELAYED ' . (3 - $_), "$way: the next waits")
        for 1 .. 3;
    is($answers[4][1], 'REJECTED 0', "$way: refused");

    for my $i (1 .. 3) {
        cmp_ok($answers[$i][2], '>', 0.333 * $i - 0.03,
               "$way: number $i waits long enough");
    }

    cmp_ok($answers[3][2], "<", 3, "$way: and not too long");
}

my @answers = at_once(('/some?k=some') x 4);
is_deeply([map { $_->[1] } @answers],
          ['PASSED 3', 'PASSED 2', 'PASSED 1', 'DELAYED 0'],
          'two of excess without a delay');

my @none = at_once(('/none?k=none') x 5);
is_deeply([map { $_->[1] } @none],
          ['PASSED 3', 'PASSED 2', 'PASSED 1', 'PASSED 0', 'REJECTED 0'],
          'no delay at all');

my @dry = at_once(('/dry?k=dry') x 5);
is_deeply([map { $_->[1] } @dry],
          ['PASSED 3', 'DELAYED_DRY_RUN 2', 'DELAYED_DRY_RUN 1',
           'DELAYED_DRY_RUN 0', 'REJECTED_DRY_RUN 0'],
          'a dry run delays nobody');
cmp_ok($dry[4][2], '<', 1, 'indeed');

my @both = at_once(('/both?k=both') x 2);
is_deeply([map { $_->[0] } @both], [200, 200], 'delayed in one of two phases');
is($both[1][1], 'DELAYED 2', 'and charged once in each');

# what waits holds nobody up, and goes when the client goes

is($gw->get('/slow?k=gone')->code, 200, 'one token less');

my @waiting = map { $gw->connect } 1 .. 8;

for my $client (@waiting) {
    $client->send("GET /slow?k=gone HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

ok(wait_for(sub { active() == 9 }), 'eight wait');

my $began = time;
is($gw->get('/open')->code, 200, 'others are served');
cmp_ok(time - $began, '<', 1, 'at once');

$_->close for @waiting;
ok(wait_for(sub { active() == 1 }), 'clients that leave leave nothing');
cmp_ok(time - $began, '<', 5, 'long before their turn');

my $late = $gw->get('/slow?k=gone');
is($late->code, 429, 'what they took stays taken');

my $answer = $gw->http2('GET', '/early?k=h2');
is($answer->code, 200, 'HTTP/2');
$answer = $gw->http2('GET', '/early?k=h2');
is($answer->header('X-T') =~ s/ .*//r, 'DELAYED', 'HTTP/2, delayed');

# who obeys Retry-After is admitted

is($gw->get('/second?k=1')->code, 200, 'a bucket is emptied');
$answer = $gw->get('/second?k=1');
is($answer->header('Retry-After'), 1, 'come back in a second');
sleep 1;
is($gw->get('/second?k=1')->code, 200, 'and that is enough');

# a delay on a connection that stays

my $client = $gw->connect;
my @pipe = $client->pipeline(map { ['GET', '/late?k=pipe'] } 1 .. 3);
is_deeply([map { $_->code } @pipe], [200, 200, 200], 'pipelined');
is($client->get('/open')->code, 200, 'and the connection goes on');

done_testing;


sub active {
    my ($n) = $gw->get('/status')->body =~ /Active connections: (\d+)/;
    return $n;
}
