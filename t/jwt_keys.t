# Where keys come from: files of all forms that are read again when they
# change, files and URIs by variables, subrequests and how long their answers
# are kept.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $one = Apigw::Token->new('ES256', kid => 'one');
my $two = Apigw::Token->new('ES256', kid => 'two');
my $hs = Apigw::Token->new('HS256', kid => 'hs');

my $up = Apigw::Scenario->upstream(answer => { body => jwks($one) });
my $port = $up->port;

my $certificate = do {
    my $file = $one->{file};
    `openssl req -x509 -new -key $file -subj /CN=x -days 2 2>/dev/null`;
};

my $gw = Apigw::Scenario->start(
    default_location => 0,
    files => {
        'conf/jwks.json'  => jwks($one, $hs),
        'conf/one.jwk'    => json($one->jwk),
        'conf/one.pem'    => $one->pem,
        'conf/both.pem'   => $two->pem . $one->pem,
        'conf/one.crt'    => $certificate,
        'conf/keyval'     => json({ one => $one->pem, two => $two->pem }),
        (map { ('conf/live' . $_ . '.json' => jwks($one)) } 1 .. 4),
        'conf/t/v.json'   => jwks($one),
        'conf/t/a.json'   => jwks($one),
        'conf/t/b.json'   => jwks($two),
        'conf/t/bad.json' => '{"keys":',
        'html/keys'       => jwks($one),
        'html/big'        => jwks($one) . ' ' x (11 * 1024 * 1024),
    },
    http   => <<'END',
map $jwt_claim_iss $tenant { ~^(?<t>\w)\z $t; default none; }
limit_req_zone $jwt_claim_sub zone=r:1m rate=100r/s;
sendfile on;
proxy_buffer_size 4k;
proxy_buffers 2 4k;
proxy_busy_buffers_size 4k;
END
    server => <<"END" . <<'END',
set \$port $port;
END
add_header X-Status $jwt_status always;
add_header X-Who "$jwt_claim_sub" always;
add_header X-Tenant "$tenant" always;
auth_jwt shop;

location /jwks { auth_jwt_key_file jwks.json; empty_gif; }
location /jwk { auth_jwt_key_file one.jwk jwks; empty_gif; }
location /pem { auth_jwt_key_file one.pem; empty_gif; }
location /pems { auth_jwt_key_file both.pem pem; empty_gif; }
location /crt { auth_jwt_key_file one.crt; empty_gif; }
location /keyval { auth_jwt_key_file keyval keyval; empty_gif; }
location /live1 { auth_jwt_key_file live1.json; empty_gif; }
location /live2 { auth_jwt_key_file live2.json; empty_gif; }
location /live3 { auth_jwt_key_file live3.json; empty_gif; }
location /live4 { auth_jwt_key_file live4.json; empty_gif; }
location /file { auth_jwt_key_file t/$arg_f.json; empty_gif; }
location /tenant { auth_jwt_key_file t/$tenant.json; empty_gif; }
location /claim { auth_jwt_key_file t/$jwt_claim_iss.json; empty_gif; }
location /kid { auth_jwt_key_file t/$jwt_header_kid.json; empty_gif; }
location /loop { auth_jwt_key_file t/$jwt_consumer.json; empty_gif; }
location /two {
    auth_jwt_key_file t/a.json;
    auth_jwt_key_file t/$arg_f.json;
    empty_gif;
}

location /request { auth_jwt_key_request /up/keys; empty_gif; }
location /requests {
    auth_jwt_key_request /static/keys;
    auth_jwt_key_request /up/keys;
    auth_jwt_key_file t/b.json;
    empty_gif;
}
location /secret { auth_jwt_key_request /up/secret; empty_gif; }
location /cached {
    auth_jwt_key_cache 1h;
    auth_jwt_key_request /up/cached;
    empty_gif;
}
location /short {
    auth_jwt_key_cache 300ms;
    auth_jwt_key_request /up/short;
    empty_gif;
}
location /by { auth_jwt_key_request /up/by?t=$jwt_claim_iss; empty_gif; }
location /byid {
    auth_jwt_key_request /up/byid?$request_id;
    add_header X-Id $request_id;
    empty_gif;
}
location /byhost {
    auth_jwt_key_cache 1h;
    auth_jwt_key_request $uri/../../up/x;
    empty_gif;
}
location /missing { auth_jwt_key_request /static/none; empty_gif; }
location /large { auth_jwt_key_request /static/big; empty_gif; }
location /rewritten { auth_jwt_key_request /moved; empty_gif; }
location /early {
    limit_req zone=r burst=100 nodelay;
    auth_jwt_key_cache 1h;
    auth_jwt_key_request /up/early;
    empty_gif;
}
location /ssi/ { ssi on; ssi_types *; alias %%ROOT%%/html/;
                 auth_jwt_key_request /up/keys; }

location /tenants/ {
    auth_jwt_key_request /tenant/$jwt_claim_iss.json;
    location /tenants/a {
        auth_jwt shop token=$cookie_a;
        try_files /none /tenants/b;
    }
    location /tenants/b { auth_jwt shop token=$cookie_b; empty_gif; }
}
location /mapped/ {
    auth_jwt_key_file t/$tenant.json;
    auth_jwt_require $tenant;
    location /mapped/a {
        auth_jwt shop token=$cookie_a;
        try_files /none /mapped/b;
    }
    location /mapped/b { auth_jwt shop token=$cookie_b; empty_gif; }
}
location /tenant/ { internal; auth_jwt off; alias %%ROOT%%/conf/t/; }

location /up/ {
    internal;
    auth_jwt off;
    proxy_pass http://127.0.0.1:$port;
}
location /static/ { internal; auth_jwt off; alias %%ROOT%%/html/; }
location /moved { internal; auth_jwt off; rewrite ^ /static/keys last; }
END
);


sub ask {
    my ($uri, $key, $claims, @headers) = @_;

    return $gw->get($uri, [Authorization => 'Bearer '
                           . $key->sign($claims // { sub => 'joe' }),
                           @headers]);
}

sub said {
    my ($answer) = @_;

    return join ' ', $answer->status, $answer->header('X-Status') // '-';
}

sub asked { my ($uri) = @_; return scalar grep { $_->{uri} eq $uri }
                                          $up->requests }


# Forms of files.

for my $case (
    ['/jwks', $one, 'ok'], ['/jwks', $hs, 'ok'], ['/jwks', $two, 'key'],
    ['/jwk', $one, 'ok'], ['/jwk', $two, 'key'],
    ['/pem', $one, 'ok'], ['/pem', $two, 'key'],
    ['/pems', $one, 'ok'], ['/pems', $two, 'ok'], ['/pems', $hs, 'key'],
    ['/crt', $one, 'ok'], ['/crt', $two, 'key'],
    ['/keyval', $one, 'ok'], ['/keyval', $two, 'ok'], ['/keyval', $hs, 'key'],
)
{
    my ($uri, $key, $status) = @$case;

    is(ask($uri, $key)->header('X-Status'), $status,
       "$uri: " . $key->jwk->{kid});
}


# Files that change, all in the same second.

my $conf = $gw->root . '/conf';

sub live { my ($n, $key) = @_; return said(ask("/live$n", $key)) }

is(live($_, $two), '401 key', "file $_: before") for 1 .. 4;
is(said(ask('/file?f=v', $one)), '200 ok', 'a file by variables: before');

$gw->expect_log(qr/live\d\.json": .*the old ones stay/);

Apigw::Scenario::write_file("$conf/live1.json", jwks($two));
Apigw::Scenario::write_file("$conf/live2.json", '{"keys":[');
Apigw::Scenario::write_file("$conf/new", jwks($two));
rename "$conf/new", "$conf/live3.json";
unlink "$conf/live4.json";
Apigw::Scenario::write_file("$conf/t/v.json", jwks($two));

ok(Apigw::Scenario::wait_for(sub { live(1, $two) eq '200 ok' }, 5),
   'a changed file');
ok(Apigw::Scenario::wait_for(sub { live(3, $two) eq '200 ok' }, 5),
   'a file that takes its place');
is(live(1, $one), '401 key', 'the old key is gone');
ok(scalar $gw->wait_log(qr/live2\.json": .*the old ones stay/),
   'a broken file');
ok(scalar $gw->wait_log(qr/live4\.json": cannot be read.*old|cannot be read/),
   'no file');
is(live($_, $one), '200 ok', "file $_: the old keys stay") for 2, 4;
ok(Apigw::Scenario::wait_for(sub {
    ask('/file?f=v', $two)->status == 200
}, 5), 'a file by variables that changes');

Apigw::Scenario::write_file("$conf/live$_.json", jwks($two)) for 2, 4;

for my $n (2, 4) {
    ok(Apigw::Scenario::wait_for(sub { live($n, $two) eq '200 ok' }, 5),
       "file $n: it is good again");
    is(scalar(my @lines = $gw->grep_log(qr/live$n\.json": .*the old ones/)),
       1, "file $n: it was said once");
}


# Files by variables.

$gw->expect_log(qr/JWT keys of "\S+t\/(?:none|bad|gone|one)\.json"/,
                qr/do not make the name of a file/);

is(said(ask('/file?f=a', $one)), '200 ok', 'a name of variables');
is(said(ask('/file?f=b', $one)), '401 key', 'another');
is(said(ask('/file?f=b', $two)), '200 ok', 'another key');
is(said(ask('/file?f=gone', $one)), '500 unavailable', 'no such file: 500');
is(said(ask('/file?f=bad', $one)), '500 unavailable', 'a broken file: 500');
is(said(ask('/file?f=../jwks', $one)), '500 unavailable', 'no climbing');
is(said(ask('/file?f=x/../../jwks', $one)), '500 unavailable',
   'no climbing inside');
is($gw->get('/file?f=gone')->status, 401, 'without a token nothing is read');
is(said(ask('/two?f=b', $two)), '200 ok', 'two files, the second');
is(said(ask('/two?f=b', $one)), '200 ok', 'two files, the first');
is(said(ask('/two?f=gone', $one)), '500 unavailable', 'one of two is missing');


# What the token says of itself may name the file, and nothing else.

for my $uri ('/claim', '/tenant') {
    my $answer = ask($uri, $one, { sub => 'joe', iss => 'a' });
    is(said($answer), '200 ok', "$uri: the issuer names the file");
    is($answer->header('X-Who'), 'joe', "$uri: then all is known");

    $answer = ask($uri, $one, { sub => 'joe', iss => 'b' });
    is(said($answer), '401 key', "$uri: another issuer");
    is($answer->header('X-Who'), undef, "$uri: nothing is known");
    is($answer->header('X-Tenant'), 'none',
       "$uri: what was made of it is forgotten");
}

is(said(ask('/claim', $one, { iss => '../jwks' })), '500 unavailable',
   'a claim does not climb');
is(said(ask('/kid', $one)), '500 unavailable', 'by kid: no such file');
is(said(ask('/kid', bless { %$one, members => { kid => 'a' } },
                    'Apigw::Token')), '401 key', 'by kid: the key has another');
is(said(ask('/loop', $one)), '500 unavailable', 'a verdict needs no verdict');

$gw->expect_log(qr/JWT keys of "\S+t\/(?:\.json|\S*)"/);


# Subrequests.

is(said(ask('/request', $one)), '200 ok', 'a request for keys');
is(said(ask('/request', $one)), '200 ok', 'and again');
is(asked('/up/keys'), 2, 'each time');
is(ask('/request', $one)->body, $gw->get('/pem', [Authorization => 'Bearer '
                                                  . $one->sign({})])->body,
   'nothing of the keys is in the answer');
is($gw->request('HEAD', '/request', [Authorization => 'Bearer '
                                     . $one->sign({})])->status, 200, 'HEAD');
is($gw->get('/request')->status, 401, 'no token, no request');
is($gw->get('/request', [Authorization => "Bearer $_"])->status, 401,
   "no token, no request: $_") for 'x', 'a.b.c', '..';
is($gw->get('/request', [Authorization => 'Bearer '
                         . $one->sign({}, { alg => 'none' })])
   ->header('X-Status'), 'algorithm', 'nor for one of no algorithm');
is(asked('/up/keys'), 4, 'so many requests');

is(said(ask('/request', $one, undef, 'Accept-Encoding' => 'gzip',
            Range => 'bytes=0-9', 'If-Range' => '"x"',
            'X-Own' => 'mine')), '200 ok', 'headers of the client');
my ($last) = reverse $up->requests;
is_deeply([map { $last->{headers}{$_} }
           qw(accept-encoding range if-range x-own)],
          [undef, undef, undef, 'mine'], 'some are for itself only');
is($last->{method}, 'GET', 'GET');

is(said(ask('/requests', $one)), '200 ok', 'several requests');
is(said(ask('/requests', $two)), '200 ok', 'and a file');
is(said(ask('/rewritten', $one)), '200 ok', 'a request that is rewritten');
is($gw->get('/ssi/', [Authorization => 'Bearer ' . $one->sign({})])->body,
   "It works!\n", 'a request for keys and SSI');

my $client = $gw->connect;
is($client->get('/request', [Authorization => 'Bearer ' . $one->sign({})])
   ->status, 200, "keep-alive $_") for 1 .. 3;

$gw->expect_log(qr/the JWT key request "\S+" failed/,
                qr/JWT keys of "\S+"/, qr/larger than 10 megabytes/,
                qr/open\(\) ".*\/html\/none" failed/,
                qr/unsafe URI/, qr/upstream prematurely closed connection/);

is(said(ask('/missing', $one)), '500 unavailable', '404: 500');
is(said(ask('/large', $one)), '500 unavailable', 'too large: 500');
is(said(ask('/byhost', $one)), '500 unavailable', 'an unsafe URI: 500');

for my $case (
    ['503', { status => 503, body => jwks($one) }],
    ['nothing', { body => '' }],
    ['HTML', { body => '<html></html>' }],
    ['encoded', { headers => ['Content-Encoding' => 'gzip'],
                  body => jwks($one) }],
    ['204', { status => 204 }],
    ['no keys', { body => '{"keys":[]}' }],
    ['cut short', { raw => "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
                           . jwks($one), close => 1 }],
)
{
    $up->answer($case->[1]);
    is(said(ask('/request', $one)), '500 unavailable', "$case->[0]: 500");
}

$up->answer({ body => jwks($one) });
is(said(ask('/request', $one)), '200 ok', 'and good again');

$up->answer({ body => jwks($hs) });
isnt(said(ask('/secret', $hs)), '200 ok', 'secrets are for files');

my $padding = 'x' x 40_000;
$up->answer({ body => jwks($one) =~ s/\{/{"padding":"$padding",/r });
is(said(ask('/request', $one)), '200 ok', 'larger than the buffers');

$up->answer({ drop => 1 });
$gw->expect_log(qr/upstream prematurely closed connection/);
is(said(ask('/request', $one)), '500 unavailable', 'the back end hangs up');


# Two tokens in one request: each has keys of its own.

my $of_a = 'a=' . $one->sign({ sub => 'ann', iss => 'a' });
my $of_b = 'b=' . $two->sign({ sub => 'bob', iss => 'b' });
my $forged = 'b=' . $one->sign({ sub => 'eve', iss => 'b' });

for my $case (
    ['b', $of_b, '200 ok', 'bob'],
    ['b', $forged, '401 key'],
    ['a', "$of_a; $of_b", '200 ok', 'bob'],
    ['a', "$of_a; $forged", '401 key'],
)
{
    my ($name, $cookies, $result, $who) = @$case;

    for my $uri ("/tenants/$name", "/mapped/$name") {
        my $answer = $gw->get($uri, [Cookie => $cookies]);

        is(said($answer), $result, "$uri: $result");
        is($answer->header('X-Who'), $who, "$uri: who");
    }
}


# How long the answers are kept.

$up->answer({ body => jwks($one) });
is(said(ask('/cached', $one)), '200 ok', 'the cache is filled');
$up->answer({ status => 503 });
is(said(ask('/cached', $one)), '200 ok', 'and used');
is(said(ask('/cached', $two)), '401 key', 'for all tokens');
is(asked('/up/cached'), 1, 'one request');

$up->answer({ body => jwks($one) });
is(said(ask('/short', $one)), '200 ok', 'for 300 ms');
$up->answer({ body => jwks($two) });
sleep 0.4;
is(said(ask('/short', $two)), '200 ok', 'then it is asked for again');
is(said(ask('/short', $one)), '401 key', 'the old key is gone');

$up->answer({ body => jwks($one) });
is(said(ask('/by', $one, { iss => 'a' })), '200 ok', 'a URI by variables');
is(asked('/up/by?t=a'), 1, 'with what the token says');

{
    my $answer = ask('/byid', $one);

    is($answer->status, 200, 'a URI by a variable that is no token\'s');
    is(asked('/up/byid?' . $answer->header('X-Id')), 1,
       'whose value is the same one later');
}

is(said(ask('/early', $one)), '200 ok', 'a variable before the keys are there');
is(said(ask('/early', $one)), '200 ok', 'and when they are');
is(asked('/up/early'), 1, 'one request');

done_testing();
