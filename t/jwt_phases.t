# Where in a request tokens are looked at, and with what it composes: satisfy,
# API keys, passwords, addresses, rates by consumer, redirects, error pages,
# subrequests, two phases.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('HS256', kid => 'k');
my $other = Apigw::Token->new('HS256', kid => 'o');
my $public = Apigw::Token->new('ES256', kid => 'p');

my $gw = Apigw::Scenario->start(
    default_location => 0,
    http2 => 1,
    files => {
        'conf/keys.json'  => jwks($key),
        'conf/other.json' => jwks($other),
        'html/public'     => jwks($public),
        'conf/passwd'     => "joe:{PLAIN}secret\n",
        'html/page.html'  => "a page\n",
        'html/sub.html'   => '<!--# include virtual="/part" -->',
        'html/part.html'  => "part\n",
    },
    http => <<'END',
auth_api_key_zone zone=keys:1m store=logs/keys;
auth_jwt_zone zone=j:1m;
limit_req_zone $jwt_consumer zone=r:1m rate=1r/m;
api_throttle_zone $jwt_consumer zone=t:1m rate=1r/m burst=2;
api_usage_zone zone=u:8m store=logs/usage;
api_plan pro { quota 2 per=day; }
api_plan free { quota 1 per=day; }
map $jwt_consumer $who { default $jwt_consumer; "" nobody; }
upstream back { server 127.0.0.1:%%PORT_1%%; }
END
    server => <<'END',
add_header X-Who "$jwt_consumer|$api_key_consumer" always;
add_header X-Status "$jwt_status" always;
auth_jwt_key_file keys.json;

location / { auth_jwt shop; empty_gif; }

location /any {
    satisfy any;
    deny all;
    auth_jwt shop;
    empty_gif;
}
location /either {
    satisfy any;
    auth_jwt shop;
    auth_api_key zone=keys;
    auth_api_key_source bearer header=X-API-Key;
    empty_gif;
}
location /choice {
    satisfy any;
    auth_jwt shop;
    auth_api_key zone=keys;
    empty_gif;
}
location /both {
    auth_jwt shop;
    auth_api_key zone=keys;
    empty_gif;
}
location /password {
    satisfy any;
    auth_jwt shop;
    auth_basic shop;
    auth_basic_user_file passwd;
    empty_gif;
}
location /denied { deny all; auth_jwt shop; empty_gif; }
location /allowed { satisfy any; allow all; auth_jwt shop; empty_gif; }
location /require {
    satisfy any;
    deny all;
    auth_jwt shop;
    auth_jwt_scope read;
    empty_gif;
}

location /asked {
    auth_jwt shop;
    auth_request /ask;
    empty_gif;
}
location = /ask {
    internal;
    if ($jwt_consumer != joe) { return 403; }
    return 204;
}

location /limited { auth_jwt shop; limit_req zone=r; empty_gif; }
location /throttled {
    api_throttle zone=t before_auth;
    auth_jwt shop;
    empty_gif;
}
location /used {
    auth_jwt shop;
    api_usage zone=u plan=$jwt_plan consumer=$jwt_consumer;
    empty_gif;
}

location /preaccess {
    auth_jwt shop;
    auth_jwt_phase preaccess;
    deny all;
    empty_gif;
}
location /preaccess/limit {
    auth_jwt shop;
    auth_jwt_phase preaccess;
    limit_req zone=r burst=5 nodelay;
    empty_gif;
}
location /preaccess/any {
    auth_jwt shop;
    auth_jwt_phase preaccess;
    satisfy any;
    allow all;
    empty_gif;
}
location /preaccess/keys {
    auth_jwt shop;
    auth_jwt_phase preaccess;
    auth_jwt_key_request /public;
    empty_gif;
}
location = /public { internal; auth_jwt off; }

location /try { auth_jwt shop; try_files /none.html /page.html; }
location = /page.html { auth_jwt other; auth_jwt_key_file other.json; }
location /named { auth_jwt shop; try_files /none @named; }
location @named { auth_jwt shop; empty_gif; }
location @other { auth_jwt_key_file other.json; auth_jwt other; empty_gif; }
location /nother { auth_jwt shop; try_files /none @other; }
location /free { auth_jwt shop; try_files /none @free; }
location @free { empty_gif; }

location /page {
    auth_jwt shop;
    error_page 401 /login.html;
    empty_gif;
}
location /page/same {
    auth_jwt shop;
    error_page 401 =401 @login;
    empty_gif;
}
location @login { return 200 "log in, $who\n"; }
location = /login.html { return 200 "login\n"; }

location = /sub.html { auth_jwt shop; ssi on; }
location = /part { add_header X-Part "$jwt_consumer"; return 200 "$jwt_consumer\n"; }

location = /mirrored { auth_jwt shop; mirror /mirror; empty_gif; }
location = /mirror { internal; auth_jwt other; proxy_pass http://back/mirror?$who; }

location = /if {
    auth_jwt shop;
    if ($arg_if = $jwt_claim_sub) { return 204; }
    empty_gif;
}
location = /post { auth_jwt shop; proxy_pass http://back/post; }
END
);

my ($status, $api) = cli($gw, 'key', 'create', '--store',
                         $gw->root . '/logs/keys', '--consumer', 'ann');
chomp $api;

my $up = Apigw::Scenario->upstream(port => $gw->port(1),
                                   answer => { body => 'hi' });

my $joe = $key->sign({ sub => 'joe', plan => 'pro' });
my $bad = $other->sign({ sub => 'eve' }, { kid => 'k' });

sub ask {
    my ($uri, $token, @headers) = @_;

    return $gw->get($uri, [defined $token ? (Authorization => "Bearer $token")
                                          : (), @headers]);
}

sub said {
    my ($answer) = @_;

    return join ' ', $answer->status, $answer->header('X-Status') // '-',
                     $answer->header('X-Who') // '-';
}


# satisfy

for my $case (
    ['/', $joe, '200 ok joe|'],
    ['/any', $joe, '200 ok joe|'],
    ['/any', undef, '401 missing |'],
    ['/any', $bad, '401 signature |'],
    ['/either', $joe, '200 ok joe|'],
    ['/either', $api, '200 missing |ann'],
    ['/either', undef, '401 missing |'],
    ['/either', $bad, '401 signature |'],
    ['/both', $joe, '401 ok joe|'],
    ['/password', $joe, '200 ok joe|'],
    ['/password', undef, '401 missing |'],
    ['/denied', $joe, '403 ok joe|'],
    ['/allowed', undef, '200 missing |'],
    ['/allowed', $joe, '200 ok joe|'],
    ['/allowed', $bad, '200 signature |'],
    ['/require', $key->sign({ sub => 'joe', scope => 'read' }), '200 ok joe|'],
    ['/require', $joe, '403 scope joe|'],
)
{
    my ($uri, $token, $result) = @$case;

    my $name = $uri . (!defined $token ? '' : $token eq $joe ? ' joe'
                       : $token eq $bad ? ' forged' : ' key or scope');
    is(said(ask($uri, $token)), $result, $name);
}

is(said(ask('/either', undef, 'X-API-Key' => $api)), '200 missing |ann',
   'a key in a header');
is(said(ask('/either', $bad, 'X-API-Key' => $api)), '200 signature |ann',
   'a key and a forged token');
is(said(ask('/both', $joe, 'X-API-Key' => $api)), '200 ok joe|ann', 'both');
is(said(ask('/both', $bad, 'X-API-Key' => $api)), '401 signature |ann',
   'both, a forged token');
is($gw->get('/password', [Authorization => 'Basic am9lOnNlY3JldA=='])->status,
   200, 'a password');

my @challenges = ask('/either')->header_list('WWW-Authenticate');
is_deeply([sort @challenges],
          ['Bearer realm="api", ApiKey realm="api"', 'Bearer realm="shop"'],
          'a challenge of each (RFC 9110, 11.6.1)');
is_deeply([sort map { /^(\w+).*?(error="\w+")?\z/ ? "$1 " . ($2 // '') : $_ }
           ask('/either', $bad)->header_list('WWW-Authenticate')],
          ['Bearer ', 'Bearer error="invalid_token"'], '... and what is wrong');
is_deeply([map { /^(\w+)/ } ask('/both')->header_list('WWW-Authenticate')],
          ['ApiKey'], 'satisfy all: a challenge of what is missing first');
is_deeply([sort map { /^(\w+)/ }
           ask('/password')->header_list('WWW-Authenticate')],
          ['Basic', 'Bearer'], 'a challenge of nginx and one of ours');
is(JSON::PP::decode_json(ask('/either')->body)->{status}, 401,
   'one document');

for my $case (
    [$bad, undef, qr/^The token is not valid/],
    [undef, 'ak_1_x', qr/^The API key (?!is required)/],
    [undef, undef, qr/./],
)
{
    my ($token, $api_key, $like) = @$case;
    my $answer = ask('/choice', $token,
                     defined $api_key ? ('X-API-Key' => $api_key) : ());

    is(scalar(() = $answer->body =~ /"detail"/g), 1, 'one document');
    like(JSON::PP::decode_json($answer->body)->{detail}, $like,
         'of what there is, not of what there is not');
}


# Other modules ask before and after.

is(said(ask('/asked', $joe)), '200 ok joe|', 'auth_request sees the consumer');
is(said(ask('/asked', $key->sign({ sub => 'ann' }))), '403 ok ann|',
   'and refuses another');
is(said(ask('/asked', $bad)), '401 signature |', 'a forged token first');

is(ask('/limited', $joe)->status, 200, 'limit_req by consumer');
is(ask('/limited', $joe)->status, 503, 'the second');
is(ask('/limited', $key->sign({ sub => 'ann' }))->status, 200, 'another');
is(ask('/limited', $bad)->status, 401, 'a forged one has no rate');
$gw->expect_log(qr/limiting requests/);

is(ask('/throttled', $joe)->status, $_, "throttle before: $_")
    for 200, 200, 429;
is(ask('/throttled', $bad)->status, 401, 'throttle before: forged');

is(ask('/used', $joe)->status, $_, "usage: $_") for 200, 200, 429;
is(ask('/used', $key->sign({ sub => 'joe2', plan => 'free' }))->status, $_,
   "usage: another plan: $_") for 200, 429;
is(ask('/used', $bad)->status, 401, 'usage: forged');


# PREACCESS

is(said(ask('/preaccess', $joe)), '403 ok joe|', 'before deny: good');
is(said(ask('/preaccess', $bad)), '401 signature |', 'before deny: forged');
is(said(ask('/preaccess/any')), '401 missing |',
   'satisfy has no say before ACCESS');
is(ask('/preaccess/limit', $key->sign({ sub => 'leo' }))->status, 200,
   'limit_req still runs');
is(said(ask('/preaccess/keys', $public->sign({ sub => 'joe' }))),
   '200 ok joe|', 'with a request for keys');
is(said(ask('/preaccess/keys', $joe)), '401 key |', 'and another token');


# Internal redirects

is(said(ask('/try', $joe)), '401 key |', 'try_files: the place has other keys');
is(said(ask('/try', $other->sign({ sub => 'eve' }))), '401 key |',
   'try_files: the first place as well');
is(said(ask('/named', $joe)), '200 ok joe|', 'a named location');
is(said(ask('/nother', $joe)), '401 key |', 'a named location, other keys');
is(said(ask('/free', $joe)), '200 ok joe|',
   'a named location without auth_jwt knows');
is(said(ask('/free', $bad)), '401 signature |', 'and is not reached');

my $answer = ask('/page', $bad);
is($answer->status . $answer->body, "401login\n", 'error_page');
$answer = ask('/page/same');
is($answer->status . $answer->body, "401log in, nobody\n",
   'error_page with a status');
is($answer->header('WWW-Authenticate'), 'Bearer realm="shop"',
   'which has the challenge');
is(ask('/page', $joe)->status, 200, 'error_page: good');


# Subrequests

is(ask('/sub.html', $joe)->body, "joe\n", 'SSI sees the consumer');
is(ask('/sub.html', $bad)->status, 401, 'SSI: forged');
is(ask('/mirrored', $joe)->status, 200, 'mirror');
ok(Apigw::Scenario::wait_for(sub {
    grep { $_->{uri} eq '/mirror?joe' } $up->requests
}, 5), 'a mirror is not asked again, and knows the consumer');

is(ask('/if?if=joe', $joe)->status, 204, 'a variable in "if"');
is(ask('/if?if=ann', $joe)->status, 200, 'another');
is(ask('/if?if=eve', $bad)->status, 401, 'of a forged token');


# A body is left to the back end.

$answer = $gw->request('POST', '/post', [Authorization => "Bearer $joe"],
                       'x' x 100_000);
is($answer->status, 200, 'a body');
is(length((grep { $_->{uri} eq '/post' } $up->requests)[0]{body}), 100_000,
   'all of it');
is($gw->request('POST', '/post', [Authorization => "Bearer $bad"],
                'x' x 100_000)->status, 401, 'a body with a forged token');

my $client = $gw->connect;
my @answers = $client->pipeline(map {
    ['GET', '/', [Authorization => "Bearer $_"]]
} $joe, $bad, $joe);
is(join(',', map { $_->status } @answers), '200,401,200', 'pipelined');

is($gw->http2('GET', '/either', ['X-API-Key' => $api])->status, 200,
   'HTTP/2: a key');
is($gw->http2('GET', '/either', [Authorization => "Bearer $joe"])
   ->header('X-Who'), 'joe|', 'HTTP/2: a token');
is($gw->http2('GET', '/preaccess/keys', [Authorization => 'Bearer '
              . $public->sign({ sub => 'joe' })])->header('X-Who'), 'joe|',
   'HTTP/2: a request for keys');

done_testing();
