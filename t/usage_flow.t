# Where requests come from and how they are allowed makes no difference:
# HTTP/2, OPTIONS, satisfy any, a body, a static file, one process.  Expensive
# requests that are under way at the same time do not overshoot.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

# Whole answers to requests of which none is read before all are sent.

sub at_once {
    my ($gw, $n, $uri) = @_;

    my @sockets = map { $gw->connect } 1 .. $n;

    $_->send("GET $uri HTTP/1.0\r\n\r\n") for @sockets;

    return map { $_->read_all } @sockets;
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
location /dear {
    api_usage zone=usage plan=dear consumer=$arg_c cost=$bytes_sent;
    api_usage_charge on=response estimate=40000;
    limit_rate 8k;
    root html;
}
END
    files  => { 'html/file' => 'text', 'html/dear' => 'x' x 12_000 },
);

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

    my @answers = at_once($gw, 6, '/dear?c=dear');

    is_deeply([sort map { m{^HTTP/1\.1 (\d+)} } @answers],
              [200, 200, 429, 429, 429, 429], "$what: expensive, at once");

    my ($used) = $gw->get('/dear?c=dear')->header('X-Usage') =~ /(\d+)$/;
    my $sent = 0;
    $sent += length for grep { m{^HTTP/1\.1 200} } @answers;

    is($used, $sent + 40_000, "$what: expensive, settled");

    # what is added in the end is beyond the limit if others were faster

    $sent = 0;
    $sent += length for at_once($gw, 4, '/open?c=open');

    $gw->stop;
    $gw->start;

    my ($status, $out) = cli('usage', 'report', '--consumer', 'open', '--csv',
                             '--store', $gw->root . '/logs/usage');

    like($out, qr/,30000,@{[$sent - 30_000]},/,
         "$what: expensive, the overage");

    is($gw->get('/any?c=any')->code, 429, "$what: kept over a restart");

    $gw->finish;
}

done_testing;
