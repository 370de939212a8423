# Where requests come from and how they are allowed makes no difference:
# HTTP/2, OPTIONS, satisfy any, a body, a static file, one process.  Expensive
# requests that are under way at the same time do not overshoot, and leave no
# more overage than there is in the end.  A connection that is upgraded is in
# the ledger as one request.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

# Requests whose answers are read when all are sent.

sub at_once {
    my ($gw, $n, $uri) = @_;

    my @sockets = map { $gw->connect } 1 .. $n;

    $_->send("GET $uri HTTP/1.0\r\n\r\n") for @sockets;

    return @sockets;
}


# A server that switches protocols and sends back what comes.

my $echo = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1')
    or die "cannot listen: $!\n";

my $pid = fork // die "fork() failed: $!\n";

if ($pid == 0) {
    while (my $socket = $echo->accept) {
        my $text = '';

        sysread $socket, $text, 4096, length $text until $text =~ /\r\n\r\n/;
        syswrite $socket, "HTTP/1.1 101 Switching Protocols\r\n"
                          . "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n";
        syswrite $socket, $text while sysread $socket, $text, 4096;
    }

    POSIX::_exit(0);
}

my %conf = (
    http   => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan n2 { quota 2 per=lifetime; }
api_plan dear { quota 100000 per=lifetime; }
api_plan open { quota 30000 per=lifetime overage=unlimited; }
add_header X-Usage "$api_usage_status $api_quota_used" always;
END
    server => <<'END',
location /u {
    api_usage zone=usage plan=n2 consumer=$arg_c;
    empty_gif;
}
location /any {
    satisfy any;
    allow 127.0.0.1;
    deny all;
    auth_basic x;
    auth_basic_user_file none;
    api_usage zone=usage plan=n2 consumer=$arg_c;
    empty_gif;
}
location /file {
    api_usage zone=usage plan=n2 consumer=$arg_c;
    root html;
}
location /open {
    api_usage zone=usage plan=open consumer=$arg_c cost=$bytes_sent;
    api_usage_charge on=response;
    limit_rate 8k;
    alias html/dear;
}
location /high {
    api_usage zone=usage plan=open consumer=high cost=$bytes_sent;
    api_usage_charge on=response estimate=30000;
    limit_rate 8k;
    alias html/dear;
}
location /back {
    api_usage zone=usage plan=open consumer=back key=$arg_k cost=30000;
    api_usage_refund 200;
    limit_rate 8k;
    alias html/dear;
}
location /kept {
    api_usage zone=usage plan=open consumer=back key=$arg_k cost=20000;
    empty_gif;
}
location /ws {
    api_usage zone=usage plan=open consumer=ws;
    proxy_pass http://127.0.0.1:ECHO;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
}
location /dear {
    api_usage zone=usage plan=dear consumer=$arg_c cost=$bytes_sent;
    api_usage_charge on=response estimate=40000;
    limit_rate 8k;
    root html;
}
END
    files  => { 'html/file' => 'text', 'html/dear' => 'x' x 12_000 },
);

$conf{server} =~ s/ECHO/$echo->sockport/e;

for my $master (1, 0) {
    my $what = $master ? 'workers' : 'one process';

    my $gw = Apigw::Scenario->start(%conf, master => $master,
                                    http2 => $master);

    is_deeply([map { $gw->get('/any?c=any')->code } 1 .. 3],
              [200, 200, 429], "$what: satisfy any");
    is_deeply([map { $gw->get('/file?c=file')->code } 1 .. 3],
              [200, 200, 429], "$what: a static file");
    is_deeply([map { $gw->request('POST', '/u?c=post', [], 'body')->code }
               1 .. 3],
              [405, 405, 429], "$what: with a body");
    is_deeply([map { $gw->request('OPTIONS', '/u?c=options')->code } 1 .. 3],
              [405, 405, 429], "$what: OPTIONS");

    if ($master) {
        my @codes = map { $gw->http2('GET', '/u?c=two')->code } 1 .. 3;
        is_deeply(\@codes, [200, 200, 429], "$what: HTTP/2");
    }

    # each reserves its estimate, and what it was in the end is settled

    my @dear = at_once($gw, 6, '/dear?c=dear');

    # what is added in the end is beyond the limit if others were faster

    my @open = at_once($gw, 4, '/open?c=open');

    # an estimate that was too high leaves no overage

    my @high = at_once($gw, 4, '/high');

    # nor does what is given back, whoever was charged beyond it

    my @back = at_once($gw, 1, '/back?k=one');
    sleep 0.1;
    is($gw->get('/kept?k=two')->code, 200, "$what: beyond what is given back");

    my @answers = map { $_->read_all } @dear;

    is_deeply([sort map { m{^HTTP/1\.1 (\d+)} } @answers],
              [200, 200, 429, 429, 429, 429], "$what: expensive, at once");

    my ($used) = $gw->get('/dear?c=dear')->header('X-Usage') =~ /(\d+)$/;
    my $sent = 0;
    $sent += length for grep { m{^HTTP/1\.1 200} } @answers;

    is($used, $sent + 40_000, "$what: expensive, settled");

    my ($open, $high) = (0, 0);

    $open += length $_->read_all for @open;
    $high += length $_->read_all for @high;
    $_->read_all for @back;

    # a connection that is upgraded is one request

    my $upgraded = $gw->connect;
    $upgraded->send("GET /ws HTTP/1.1\r\nHost: localhost\r\n"
                    . "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    $upgraded->fill;
    like($upgraded->{in}, qr{^HTTP/1\.1 101 }, "$what: upgraded");
    sleep 0.1;
    $upgraded->send('x' x 1000);
    $upgraded->fill while $upgraded->{in} !~ /x{1000}/;
    $upgraded->close;

    $gw->stop;
    $gw->start;

    my $ws = decode_json(report($gw, 'ws', '--json'));

    is("$ws->{requests} $ws->{status_1xx} $ws->{units_included}", '1 1 1',
       "$what: upgraded, in the ledger once");
    cmp_ok($ws->{bytes_out}, '>=', 1000, "$what: upgraded, all bytes out");
    cmp_ok($ws->{time_ms}, '>=', 90, "$what: upgraded, its whole time");

    like(report($gw, 'open', '--csv'), qr/,30000,@{[$open - 30_000]},/,
         "$what: expensive, the overage");
    like(report($gw, 'high', '--csv'), qr/,30000,@{[$high - 30_000]},/,
         "$what: estimates too high, the overage");

    like(report($gw, 'back', '--csv'), qr/,open,,,2,.*,20000,0,\d+,\d+,\d+$/m,
         "$what: given back, no overage in all");
    like(report($gw, 'back', '--csv', '--detail'),
         qr/,one,open,,,1,.*,20000,-20000,.*\n.*,two,open,,,1,.*,0,20000,/,
         "$what: given back, by key");
    like(report($gw, 'back', '--detail'), qr/ one .* 20000 +-20000 /,
         "$what: given back, the table");
    like(report($gw, 'back', '--detail', '--json'),
         qr/"units_included":20000,"units_overage":-20000,/,
         "$what: given back, JSON");

    is($gw->get('/any?c=any')->code, 429, "$what: kept over a restart");

    $gw->finish;
}

kill KILL => $pid;
waitpid $pid, 0;

sub report {
    my ($gw, $consumer, @args) = @_;

    return (cli('usage', 'report', '--consumer', $consumer, @args,
                '--store', $gw->root . '/logs/usage'))[1];
}

done_testing;
