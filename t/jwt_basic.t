# A token is asked for, found, verified and known as variables; refusals say
# why, to the client no more than it may know.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks json base64url);

my %key = map { $_ => Apigw::Token->new($_, kid => lc $_) }
          qw(HS256 HS384 HS512 RS256 ES256 ES384 ES512 ES256K Ed25519 Ed448);

$key{$_} = Apigw::Token->new($_, kid => lc $_, of => $key{RS256})
    for qw(RS384 RS512 PS256 PS384 PS512);

my $key = $key{ES256};
my $now = time;

my $gw = Apigw::Scenario->start(
    default_location => 0,
    http2 => 1,
    files => {
        'conf/keys.json' => jwks(map { $key{$_} } sort keys %key),
        'conf/es.pem'    => $key->pem,
    },
    http  => <<'END',
auth_jwt_claim_set $city address city;
auth_jwt_claim_set $roles realm_access roles;
auth_jwt_claim_set $dotted a.b;
auth_jwt_header_set $x5t x5t#S256;
auth_jwt_key_file keys.json;
map $jwt_claim_sub $is_joe { joe 1; default 0; }
log_format jwt "$jwt_consumer|$jwt_status|$jwt_nowtime";
END
    server => <<'END',
add_header X-Who "$jwt_consumer|$jwt_plan" always;
add_header X-Status $jwt_status always;
access_log logs/jwt.log jwt;

location / { auth_jwt shop; empty_gif; }

location /all {
    auth_jwt shop;
    add_header X-Who "$jwt_consumer|$jwt_plan" always;
    add_header X-Status $jwt_status always;
    add_header X-Sub "$jwt_claim_sub|$is_joe";
    add_header X-Header "$jwt_header_alg|$jwt_header_kid|$x5t";
    add_header X-Paths "$city|$roles|$dotted";
    add_header X-Types "$jwt_claim_n|$jwt_claim_b|$jwt_claim_o|$jwt_claim_l";
    add_header X-Claims $jwt_claims;
    add_header X-Payload $jwt_payload;
    add_header X-Nested "$jwt_claim_none|$jwt_header_none";
    empty_gif;

    location /all/nested {
        auth_jwt_allow_nested;
        empty_gif;
        add_header X-Paths "$city|$roles|$dotted";
    }
    location /all/odd {
        auth_jwt_allow_nested delimiter=: quote=';
        empty_gif;
        add_header X-Paths "$dotted";
    }
}

location /realm { auth_jwt "the \"$arg_shop\" shop"; empty_gif; }
location /cookie { auth_jwt shop token=$cookie_token; empty_gif; }
location /arg { auth_jwt shop token=${arg_token}; empty_gif; }
location /header { auth_jwt shop token=$http_x_token; empty_gif; }
location /off { auth_jwt shop; location /off/off { auth_jwt off; empty_gif; } }
location /pem { auth_jwt shop; auth_jwt_key_file es.pem; empty_gif; }
location /leeway { auth_jwt shop; auth_jwt_leeway 60s; empty_gif; }
location /noexp { auth_jwt shop; auth_jwt_validate_exp off; empty_gif; }
location /aud { auth_jwt shop; auth_jwt_audience api other; empty_gif; }
location /alg { auth_jwt shop; auth_jwt_algorithms ES256 EdDSA; empty_gif; }
location /type { auth_jwt shop; auth_jwt_type signed; empty_gif; }
location /silent {
    auth_jwt shop; auth_jwt_www_authenticate off; empty_gif;
    location /silent/on { auth_jwt_www_authenticate on; empty_gif; }
}
location /own {
    auth_jwt shop; auth_jwt_www_authenticate "Bearer at=\"$host\""; empty_gif;
}
location /meta {
    auth_jwt shop;
    auth_jwt_resource_metadata "https://$host/.well-known/x";
    empty_gif;
    location /meta/off { auth_jwt_resource_metadata off; empty_gif; }
}
location = /.well-known/oauth-protected-resource {
    auth_jwt_metadata https://api.example.com/ server=https://idp.example.com
                      server=https://two.example.com scope=read,write
                      "name=The shop" documentation=https://example.com/doc;
}
location /page {
    auth_jwt shop;
    error_page 401 = /login;
    empty_gif;
}
location = /login { return 200 "please log in as $jwt_consumer\n"; }
location = /ssi { auth_jwt shop; ssi on; ssi_types *; }
END
);

Apigw::Scenario::write_file($gw->root . '/html/ssi',
    '<!--# echo var="jwt_claim_mail" default="" -->|<!--# echo'
    . ' var="jwt_plan" default="" -->|<!--# echo var="jwt_header_typ" -->');


sub bearer { return [Authorization => 'Bearer ' . $_[0]] }

sub ask {
    my ($uri, $token) = @_;

    return $gw->get($uri, defined $token ? bearer($token) : []);
}

sub said {
    my ($answer) = @_;

    return join ' ', $answer->status, $answer->header('X-Status') // '',
                     $answer->header('X-Who') // '';
}


# Every algorithm, and what the token says.

for my $alg (sort keys %key) {
    my $answer = ask('/all', $key{$alg}->sign({ sub => 'joe', plan => 'pro' }));

    is(said($answer), '200 ok joe|pro', $alg);
    is($answer->header('X-Sub'), 'joe|1', "$alg: claims");
    is($answer->header('X-Header'),
       ($alg =~ /^Ed/ ? 'EdDSA' : $alg) . '|' . lc($alg) . '|',
       "$alg: header");
}

is(said(ask('/', $key{$_}->sign({ sub => 'joe' }, { kid => undef }))),
   '200 ok joe|', "$_ without kid")
    for qw(HS256 RS256 ES256 Ed25519);

my $full = $key->sign({
    sub => 'joe', address => { city => 'Wien', 'a.b' => 2 },
    realm_access => { roles => ['a', 'b'] }, 'a.b' => 'dot', a => { b => 1 },
    n => 12.5, b => JSON::PP::true, o => { x => [1] },
    l => [1, 'x', { y => 2 }],
    none => undef,
}, { 'x5t#S256' => 'abc' });

my $answer = ask('/all', $full);

is($answer->header('X-Header'), 'ES256|es256|abc', 'a member of the header');
is($answer->header('X-Paths'), 'Wien|a,b|dot', 'paths of names');
is($answer->header('X-Types'), '12.5|true|{"x":[1]}|1,x,{"y":2}', 'types');
is_deeply(JSON::PP::decode_json($answer->header('X-Claims'))->{address},
          { city => 'Wien', 'a.b' => 2 }, '$jwt_claims');
is($answer->header('X-Payload'), $answer->header('X-Claims'),
   '$jwt_payload of a signed token');
is($answer->header('X-Nested'), '|', 'what the token lacks');

is(ask('/all/nested', $full)->header('X-Paths'), 'Wien|a,b|1',
   'auth_jwt_allow_nested');
is(ask('/all/odd', $key->sign({ 'a.b' => 5, a => { b => 1 } }))
   ->header('X-Paths'), '5', 'auth_jwt_allow_nested with a delimiter');

$answer = ask('/all', $key->sign_text(
    '{"alg":"ES256","kid":"es256"}',
    qq({ "sub" :\n "jo\\r\\nX-Evil: 1", "x" :\t[ 1,\r\n2 ] })));

is(said($answer), '200 ok |', 'a line break in a claim: there is no value');
is($answer->header('X-Sub'), '|0', 'nor by its name');
is($answer->header('X-Claims'), '{"sub":"jo\r\nX-Evil: 1","x":[1,2]}',
   '$jwt_claims is one line');
is($answer->header('X-Evil'), undef, 'no header was made');

is(ask('/ssi', $key->sign({ mail => 'joe@x', plan => 'pro' }))->body,
   'joe@x|pro|JWT', 'names that the configuration does not have');


# Where the token is.

my $good = $key->sign({ sub => 'joe' });

is(said($gw->get('/', [Authorization => $_ . $good])), '200 ok joe|',
   "\"$_\"") for 'bearer ', 'BEARER ', 'Bearer   ';
is(said($gw->get('/', [Authorization => $_])), '401 missing |', "\"$_\"")
    for 'Bearer', 'Bearer ', 'Basic abc', "Bearer\t$good", "Bearer$good";
is(said($gw->get('/', [Authorization => $_])), '401 malformed |',
   substr($_, 0, 14) . '..' . substr $_, -14)
    for "Bearer $good, Bearer $good", "Bearer $good,$good", "Bearer $good,",
        "Bearer $good $good", "Bearer a b", "Bearer $good\t",
        "Bearer \"$good\"", "Bearer token=$good";
is($gw->raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            . "Authorization: Bearer $good\r\n" x 2 . "\r\n") =~ m{ (\d+) },
   1, 'two Authorization headers') && is($1, 400, '... are refused');

is(said($gw->get('/cookie', [Cookie => "token=$good"])), '200 ok joe|',
   'a cookie');
is(said($gw->get("/arg?token=$good")), '200 ok joe|', 'an argument');
is(said(ask('/arg', $good)), '401 missing |', 'only where it is said');
is(said(ask("/arg?token=$good", $good)), '200 ok joe|', 'the same twice');
is(said(ask("/arg?token=$good", $key->sign({ sub => 'ann' }))),
   '401 malformed |', 'two tokens in two places');
is(said($gw->get("/arg?token=$good", [Authorization => $_
                                     . $key->sign({ sub => 'ann' })])),
   '401 malformed |', 'two tokens, ' . json($_))
    for "Bearer\t", "bearer \t ", "\tBearer ", "Bearer\x0b";
is(said(ask("/arg?token=$good", 'ak_an-api-key')), '200 ok joe|',
   'a token and something else');

my $ann = $key->sign({ sub => 'ann' });

is(said($gw->get("/arg?token=$good&$_=$ann")), '401 malformed |',
   "two arguments, $_") for 'token', 'Token', '%74oke%6e', 'a=b&token';
is(said($gw->get("/arg?token=$good&$_=$ann")), '200 ok joe|',
   "an argument of another name, $_") for 'token2', 'toke', '%74', 'token%';
is(said($gw->get("/arg?token=$good&token=&Token=$good")), '200 ok joe|',
   'an argument again');
is(said($gw->get('/cookie', [map { (Cookie => $_) } @$_])), '401 malformed |',
   join ', ', 'two cookies', map { s/ey[^ ;]*/../gr } @$_)
    for ["token=$good; token=$ann"], ["token=$good;a=b; TOKEN = $ann"],
        ["token=$good", "a=b; token=$ann"], ["token=$good, token=$ann"];
is(said($gw->get('/cookie', [Cookie => "token=$good; $_"])), '200 ok joe|',
   "a cookie and \"" . substr($_, 0, 20) . '"')
    for "token=$good ", 'token=', "atoken=$ann", "token2=$ann", 'token', ';=;';
is(said($gw->get('/header', ['X-Token' => $good])), '200 ok joe|', 'a header');
is(said($gw->get('/header', ['X-Token' => $good, 'x-token' => $ann])),
   '401 malformed |', 'two headers');
is(said(ask('/off/off', $good)), '200  |', 'auth_jwt off');
is(said(ask('/pem', $key->sign({ sub => 'joe' }, { kid => 'whatever' }))),
   '200 ok joe|', 'a PEM file');
is(said(ask('/pem', $key{RS256}->sign({ sub => 'joe' }))), '401 key |',
   'a PEM file of another key');
is(said(ask('/type', $good)), '200 ok joe|', 'auth_jwt_type signed');

is(said($gw->request('HEAD', '/', bearer($good))), '200 ok joe|', 'HEAD');
is(said($gw->request('OPTIONS', '/', [])), '401 missing |', 'OPTIONS');
is(said($gw->request('POST', '/', bearer($good), 'a body')),
   '405 ok joe|', 'POST');
is(said($gw->http2('GET', '/', bearer($good))), '200 ok joe|', 'HTTP/2');
is(said($gw->http2('GET', '/', [])), '401 missing |', 'HTTP/2 without');
is(said($gw->http2('HEAD', '/', bearer("x$good"))), '401 malformed |',
   'HTTP/2, HEAD, a bad one');
is(said($gw->http2('GET', '/cookie', [map { (Cookie => "token=$_") } $good,
                                      $ann])), '401 malformed |',
   'HTTP/2, two cookies');

my $client = $gw->connect;
is(said($client->get('/', bearer($good))), '200 ok joe|', 'keep-alive: good');
is(said($client->get('/')), '401 missing |', 'keep-alive: none');
is(said($client->get('/', bearer($good))), '200 ok joe|', 'keep-alive: again');


# Time, audience, algorithm: location, claims, what is said.

my @cases = (
    ['/', { exp => $now + 60 }, '200 ok'],
    ['/', { exp => $now + 60.5 }, '200 ok'],
    ['/', { exp => $now - 1 }, '401 expired'],
    ['/leeway', { exp => $now - 30 }, '200 ok'],
    ['/leeway', { exp => $now - 90 }, '401 expired'],
    ['/leeway', { nbf => $now + 30 }, '200 ok'],
    ['/leeway', { nbf => $now + 90 }, '401 early'],
    ['/noexp', { exp => $now - 90 }, '200 ok'],
    ['/noexp', { exp => 'x' }, '401 malformed'],
    ['/noexp', { nbf => $now + 90 }, '401 early'],
    ['/', { nbf => $now - 1 }, '200 ok'],
    ['/', { nbf => $now + 60 }, '401 early'],
    ['/', { exp => "$now" }, '401 malformed'],
    ['/', { exp => undef }, '401 malformed'],
    ['/', { sub => 17 }, '401 malformed'],
    ['/', { jti => [] }, '401 malformed'],
    ['/', {}, '200 ok'],
    ['/aud', { aud => 'api' }, '200 ok'],
    ['/aud', { aud => ['x', 'other'] }, '200 ok'],
    ['/aud', { aud => ['x'] }, '401 audience'],
    ['/aud', { aud => [] }, '401 audience'],
    ['/aud', { aud => 'ap' }, '401 audience'],
    ['/aud', { aud => [['api']] }, '401 audience'],
    ['/aud', {}, '401 audience'],
    ['/alg', {}, '200 ok'],
);

for my $case (@cases) {
    my ($uri, $claims, $result) = @$case;

    like(said(ask($uri, $key->sign($claims))), qr/^$result /,
         "$uri " . json($claims));
}

is(said(ask('/alg', $key{Ed25519}->sign({}))), '200 ok |', 'EdDSA is allowed');
is(said(ask('/alg', $key{ES384}->sign({}))), '401 algorithm |',
   'ES384 is not');


# What is told.

my $expired = $key->sign({ sub => 'joe', exp => $now - 9 });
my $forged = $good =~ s/.{5}\z/AAAAA/r;
my $invalid = ', error="invalid_token"';

for my $case (
    ['/', undef, ''],
    ['/', $forged, $invalid],
    ['/', 'x', $invalid],
    ['/', $key->sign({}, { kid => 'none' }), $invalid],
    ['/', $expired, "$invalid, error_description=\"The token expired\""],
    ['/realm?shop=a"\\%0db', undef, undef,
     'Bearer realm="the \"a\"\\\\%0db\" shop"'],
    ['/silent', undef, undef, undef],
    ['/silent/on', undef, ''],
    ['/own', $forged, undef, 'Bearer at="localhost"'],
    ['/meta', undef, ', resource_metadata="https://localhost/.well-known/x"'],
    ['/meta', $forged, "$invalid, resource_metadata="
                       . '"https://localhost/.well-known/x"'],
    ['/meta/off', undef, ''],
)
{
    my ($uri, $token, $rest, $all) = @$case;

    my $answer = ask($uri, $token);

    is($answer->status, 401, "$uri: status");
    is($answer->header('WWW-Authenticate'),
       defined $rest ? "Bearer realm=\"shop\"$rest" : $all,
       "$uri: WWW-Authenticate");
    is($answer->header('Content-Type'), 'application/problem+json',
       "$uri: type");
    is(JSON::PP::decode_json($answer->body)->{status}, 401, "$uri: document");
}

is_deeply(JSON::PP::decode_json(ask('/', $expired)->body),
          { type => 'about:blank', title => 'Unauthorized', status => 401,
            detail => 'The token has expired.' }, 'the document');
is(JSON::PP::decode_json(ask('/', $forged)->body)->{detail},
   'The token is not valid.', 'a forger learns nothing');

$answer = ask('/page', $expired);
is($answer->status . $answer->body, "200please log in as \n", 'error_page');


# RFC 9728

$answer = $gw->get('/.well-known/oauth-protected-resource');
is($answer->header('Content-Type'), 'application/json', 'metadata: type');
is_deeply(JSON::PP::decode_json($answer->body), {
    resource => 'https://api.example.com/',
    authorization_servers => ['https://idp.example.com',
                              'https://two.example.com'],
    scopes_supported => ['read', 'write'],
    bearer_methods_supported => ['header'],
    resource_name => 'The shop',
    resource_documentation => 'https://example.com/doc',
}, 'metadata: document');
is($gw->request('HEAD', '/.well-known/oauth-protected-resource')->status, 200,
   'metadata: HEAD');
is($gw->request('POST', '/.well-known/oauth-protected-resource', [], 'x')
   ->status, 405, 'metadata: POST');


my $log = Apigw::Nginx::slurp($gw->root . '/logs/jwt.log');

like($log, qr/^joe\|ok\|\d+$/m, 'variables in the access log');
like($log, qr/^-\|expired\|\d+$/m, 'no consumer of a token that expired');
# but for what nginx itself says of a request

unlike($gw->error_log =~ s/.*duplicate header line.*//r
       =~ s/request: "[^"]*"//gr, qr/eyJ/, 'no token in the error log');

done_testing();
