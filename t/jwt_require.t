# What a location requires of a valid token: variables, claims and members of
# the header by all operators and paths, scopes, lists of revocations.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('HS256', kid => 'k');
my $anonymous = Apigw::Token->new('HS256');

# operator and value, what the claim "c" may be, and what not

my @rules = (
    ['eq a', ['a'], ['b', 1, ['a'], undef, '']],
    ['eq json=1', [1], [2, '1', 1.5, JSON::PP::true]],
    ['eq json=[1,"a"]', [[1, 'a']], [['a', 1], [1]]],
    ['eq json=true', [JSON::PP::true], [JSON::PP::false, 1, 'true']],
    ['!eq a', ['b', 'A'], ['a']],
    ['ne a', ['b'], ['a']],
    ['gt json=5', [6, 5.5], [5, 4, '6']],
    ['ge json=5', [5, 6], [4.5]],
    ['lt json=5', [4], [5, 6, undef]],
    ['le json=5', [5, 4.9], [5.1]],
    ['lt b', ['a', 'aa'], ['b', 'c', 1]],
    ['!gt json=5', [5, 4], [6, 'a']],
    ['in json=["a","b"]', ['a', 'b'], ['c', ['a'], 1]],
    ['nin json=["a","b"]', ['c'], ['a']],
    ['!in json=["a","b"]', ['c', 1], ['a']],
    ['in $arg_string', [], ['a', ['a']]],
    ['in $arg_object', ['a', 'b'], ['c', 1, ['a']]],
    ['!in $arg_object', ['c'], ['a', 1, ['c']]],
    ['any json=["a","b"]', ['a', ['x', 'b']], ['x', ['x'], []]],
    ['intersect json=["a","b"]', [['b']], [['x']]],
    ['!any json=["a","b"]', [['x'], 'x', []], ['a', ['b', 'x']]],
    ['nintersect json=["a"]', [['x']], [['a']]],
    ['match ^a+$', ['a', 'aaa'], ['b', 'ab', 1, ['a']]],
    ['!match ^a+$', ['b'], ['a', 1]],
    ['match json="^a\\u0062$"', ['ab'], ['b', 'json="^ab$"']],
    ['!match json="^evil"', ['good'], ['evil', 'evil2', 1]],
    ['match ^a+$', [], ['a' x 5000]],
    ['match $arg_re', ['a', 'aaa'], ['b', 'ab', 1, ['a']]],
    ['!match ${arg_re}', ['b'], ['a', 1]],
    ['match $arg_json', [], ['1', 1]],
    (map { ["!match \$arg_$_", [], ['a', '(']] } qw(json bad none text)),

    # what takes too much work is not met: a limit, not the end of the search

    ['match $arg_slow', ['aab'], ['a' x 20 . 'b']],
    ['!match $arg_slow', ['aac'], ['a' x 20 . 'c']],
    ['eq $arg_json', [1], ['1', 2]],
    ['!eq $arg_json', [2], [1]],
    ['eq "x$arg_text"', ['xyz'], ['x', 'yz']],
    ['eq "json=[$arg_json]"', [[1]], [1]],
    ['eq $arg_none', [], ['', 1]],
    ['eq $arg_text', [], ['yz']],
);

my %paths = (
    '.a.b'       => { a => { b => 'x' } },
    '."a.b"'     => { 'a.b' => 'x' },
    '.a[1]'      => { a => [0, 'x'] },
    '.a["b c"]'  => { a => { 'b c' => 'x' } },
    'a.b'        => { 'a.b' => 'x' },
);

my ($n, $server) = (0, '');

for my $rule (@rules) {
    my ($op, $value) = split / /, $rule->[0], 2;
    $value = "'$value'" if $value !~ /^["\$]/;
    $server .= "location = /rule" . $n++ . " { auth_jwt_require_claim c $op"
               . " $value; empty_gif; }\n";
}

$n = 0;

for my $path (sort keys %paths) {
    $server .= "location = /path" . $n++
               . " { auth_jwt_require_claim '$path' eq x; empty_gif; }\n";
}

# rules of two levels: none, one and two

my @outer = ('', 'auth_jwt_require_claim a eq x;',
             'auth_jwt_require_claim a eq x;'
             . ' auth_jwt_require_header typ eq x;');
my @inner = ('', 'auth_jwt_require_claim c eq x;',
             'auth_jwt_require_header cty eq x;'
             . ' auth_jwt_require_claim c eq $arg_json;');

for my $i (0 .. 2) {
    $server .= "location /level$i/ { $outer[$i]\n";
    $server .= "location /level$i/$_ { $inner[$_] empty_gif; }\n" for 0 .. 2;
    $server .= "location /level$i/off { auth_jwt off; empty_gif;"
               . " location /level$i/off/on { auth_jwt x; empty_gif; } }\n";
    $server .= "}\n";
}

my $gw = Apigw::Scenario->start(
    default_location => 0,
    files => {
        'conf/keys.json' => jwks($key, $anonymous),
        'conf/subs.json' => '{"bad":{"since":2024},"evil":1}',
        'conf/more.json' => '{"worse":0}',
        'conf/kids.json' => '{"old":true}',
    },
    http   => <<'END',
auth_jwt_zone zone=j:1m;
auth_jwt_zone zone=s:1m store=logs/s;
map $jwt_claim_role $is_admin { admin 1; default 0; }
map $arg_open $open { yes 1; default ""; }
END
    server => <<"END" . <<'END',
auth_jwt shop;
auth_jwt_key_file keys.json;
add_header X-Status \$jwt_status always;
add_header X-Who \$jwt_claim_sub always;
$server
END
location /cached/ {
    auth_jwt_cache zone=j;
    alias %%ROOT%%/html/;
    auth_jwt_require_claim c in $arg_json;
    auth_jwt_require_claim .d gt json=5;
    auth_jwt_scope read;
}
location = /both {
    auth_jwt_require_claim c eq 1;
    auth_jwt_require_claim d eq 2;
    empty_gif;
}
location = /header {
    auth_jwt_require_header alg in json=["HS256"];
    auth_jwt_require_header typ eq at+jwt;
    empty_gif;
}
location = /nested {
    auth_jwt_allow_nested;
    auth_jwt_require_claim a.b eq x;
    auth_jwt_require_claim '"c.d"' eq y;
    empty_gif;
}
location /vars_of/ {
    add_header X-Vars "$jwt_claim_a_b,$jwt_claim_sub";
    add_header X-More "$jwt_header_h_i,$jwt_claim__x";
    add_header X-Claims $jwt_claims;
    location /vars_of/steps { auth_jwt_allow_nested delimiter=_; empty_gif; }
    location /vars_of/names { empty_gif; }
}
location = /var { auth_jwt_require $is_admin; empty_gif; }
location = /vars {
    auth_jwt_require $is_admin $jwt_claim_sub error=403;
    auth_jwt_require $arg_a error=418;
    auth_jwt_require "$arg_a$arg_b" error=503;
    empty_gif;
}
location = /general {
    auth_jwt off;
    auth_require $open;
    auth_require $arg_a error=404;
    empty_gif;
}
location = /general_too { auth_require $is_admin; empty_gif; }
location = /any {
    satisfy any;
    deny all;
    auth_jwt off;
    auth_require $open;
    empty_gif;
}
location = /scope { auth_jwt_scope read write; empty_gif; }
location = /scope_any { auth_jwt_scope any=read,write; empty_gif; }
location = /scope_both {
    auth_jwt_scope a;
    auth_jwt_scope any=b,c;
    empty_gif;
}
location = /listed { auth_jwt_revocation_list_sub subs.json; empty_gif; }
location = /lists {
    auth_jwt_revocation_list_sub subs.json;
    auth_jwt_revocation_list_sub more.json;
    empty_gif;
}
location = /kids { auth_jwt_revocation_list_kid kids.json; empty_gif; }
END
);

sub ask {
    my ($uri, $claims, $header) = @_;

    return $gw->get($uri, [Authorization => 'Bearer '
                                            . $key->sign($claims, $header)]);
}

sub said {
    my ($answer) = @_;

    return join ' ', $answer->status, $answer->header('X-Status') // '';
}


for my $i (0 .. $#rules) {
    my ($rule, $met, $unmet) = @{$rules[$i]};
    my $uri = "/rule$i?json=1&text=yz&bad=\"(\"&re=\"^a+\$\""
              . '&slow="^(a+)+$|b"&object={"a":0,"b":null}&string="a"';

    is(said(ask($uri, { c => $_ })), '200 ok', "$rule: " . json($_))
        for @$met;
    is(said(ask($uri, { c => $_ })), '401 claim',
       substr("$rule: not " . json($_), 0, 60)) for @$unmet;
    is(said(ask($uri, { d => 1 })), '401 claim', "$rule: no claim");
}

$n = 0;

for my $path (sort keys %paths) {
    is(said(ask("/path$n", $paths{$path})), '200 ok', "path $path");
    is(said(ask("/path$n", { a => 'x' })), '401 claim', "path $path: another");
    $n++;
}

for my $case (
    ['/both', { c => '1', d => '2' }, '200 ok'],
    ['/both', { c => '1', d => '1' }, '401 claim'],
    ['/both', { d => '2' }, '401 claim'],
    ['/nested', { a => { b => 'x' }, 'c.d' => 'y' }, '200 ok'],
    ['/nested', { 'a.b' => 'x', 'c.d' => 'y' }, '401 claim'],
    ['/nested', { a => { b => 'x' }, c => { d => 'y' } }, '401 claim'],

    ['/var', { role => 'admin' }, '200 ok'],
    ['/var', { role => 'user' }, '401 claim'],
    ['/vars?a=1', { role => 'admin', sub => 'x' }, '200 ok'],
    ['/vars?a=1', { role => 'admin' }, '403 claim'],
    ['/vars?a=1', { role => 'admin', sub => '0' }, '403 claim'],
    ['/vars', { role => 'admin', sub => 'x' }, '418 claim'],
    ['/vars?a=0', { role => 'admin', sub => 'x' }, '418 claim'],
    ['/vars?a=00', { role => 'admin', sub => 'x' }, '200 ok'],

    ['/general_too', { role => 'admin' }, '200 ok'],
    ['/general_too', { role => 'user' }, '403 ok'],

    ['/scope', { scope => 'read write' }, '200 ok'],
    ['/scope', { scope => 'x write read' }, '200 ok'],
    ['/scope', { scope => ['read', 'write'] }, '200 ok'],
    ['/scope', { scp => ['read', 'write'] }, '200 ok'],
    ['/scope', { scp => 'read write' }, '200 ok'],
    ['/scope', { scope => 'read' }, '403 scope'],
    ['/scope', { scope => 'reads write' }, '403 scope'],
    ['/scope', { scope => '' }, '403 scope'],
    ['/scope', { scope => 1 }, '403 scope'],
    ['/scope', {}, '403 scope'],
    ['/scope_any', { scope => 'write' }, '200 ok'],
    ['/scope_any', { scope => 'x' }, '403 scope'],
    ['/scope_both', { scope => 'a c' }, '200 ok'],
    ['/scope_both', { scope => 'b c' }, '403 scope'],
    ['/scope_both', { scope => 'a' }, '403 scope'],

    ['/listed', { sub => 'good' }, '200 ok'],
    ['/listed', { sub => 'bad' }, '401 revoked'],
    ['/listed', { sub => 'evil' }, '401 revoked'],
    ['/listed', {}, '200 ok'],
    ['/lists', { sub => 'good' }, '200 ok'],
    ['/lists', { sub => 'bad' }, '401 revoked'],
    ['/lists', { sub => 'worse' }, '401 revoked'],
    ['/listed', { sub => 'worse' }, '200 ok'],
    ['/kids', { sub => 'bad' }, '200 ok'],
)
{
    my ($uri, $claims, $result) = @$case;

    is(said(ask($uri, $claims)), $result, "$uri " . json($claims));
}

is(said(ask('/header', {}, { typ => 'at+jwt' })), '200 ok', 'header');
is(said(ask('/header', {}, {})), '401 claim', 'header: another typ');
is(said(ask('/kids', {}, { kid => undef })), '401 revoked',
   'a token without a kid, though its key has one');
is(said($gw->get('/kids', [Authorization => 'Bearer '
       . $anonymous->sign({ sub => 'x' })])), '401 revoked',
   'a list of kids makes a kid mandatory');
is(said($gw->get('/kids', [Authorization => 'Bearer '
       . $anonymous->sign({ sub => 'x' }, { kid => 'old' })])), '401 revoked',
   'a kid that is listed');
is(ask('/listed', { sub => 'bad' })->header('X-Who'), undef,
   'nothing is known of who is revoked');
is(ask('/scope', { sub => 'joe' })->header('X-Who'), 'joe',
   'who lacks a scope is known');


# With auth_jwt_allow_nested the names of variables are paths, too.

{
    my @token = ({ a_b => 'flat', a => { b => ['deep', 1] }, sub => 'joe',
                   _x => 'x', Z => 1 },
                 { h_i => 'flat', h => { i => 'deep' } });

    for my $case ([steps => 'deep,1,joe', 'deep,x'],
                  [names => 'flat,joe', 'flat,x']) {
        my ($kind, @values) = @$case;
        my $answer = ask("/vars_of/$kind", @token);

        is_deeply([ map { $answer->header($_) } qw(X-Vars X-More) ],
                  \@values, "variables: $kind");
    }

    is(ask('/vars_of/names', @token)->header('X-Claims') =~ s/"exp":\d+,//r,
       '{"Z":1,"_x":"x","a":{"b":["deep",1]},"a_b":"flat","sub":"joe"}',
       'all claims, sorted by name');
}


# The rules of all levels hold.

for my $i (0 .. 2) {
    for my $inner (0 .. 2, 'off/on') {
        my $uri = "/level$i/$inner?json=\"x\"";
        my %all = (a => 'x', c => 'x');
        my %header = (typ => 'x', cty => 'x');
        my $j = $inner eq 'off/on' ? 0 : $inner;

        is(said(ask($uri, { %all }, { %header })), '200 ok', "$uri: all met");
        is(said(ask($uri, { %all, a => 'y' }, { %header })),
           $i > 0 ? '401 claim' : '200 ok', "$uri: another a");
        is(said(ask($uri, { %all }, { %header, typ => 'y' })),
           $i > 1 ? '401 claim' : '200 ok', "$uri: another typ");
        is(said(ask($uri, { %all, c => 'y' }, { %header })),
           $j > 0 ? '401 claim' : '200 ok', "$uri: another c");
        is(said(ask($uri, { %all }, { %header, cty => 'y' })),
           $j > 1 ? '401 claim' : '200 ok', "$uri: another cty");
    }

    is($gw->get("/level$i/off")->status, 200, "/level$i/off");
}


# auth_require alone

is($gw->get('/general?open=yes&a=1')->status, 200, 'auth_require: both');
is($gw->get('/general?a=1')->status, 403, 'auth_require: 403');
is($gw->get('/general?open=yes')->status, 404, 'auth_require: error=404');
is($gw->get('/any?open=yes')->status, 403,
   'auth_require grants nothing by itself');


# The cache keeps what was found, and what depends on the request is compared.

for my $round (1, 2) {
    my $claims = { sub => 'joe', c => 1, d => 6, scope => 'read' };

    is(said(ask('/cached/index.html?json=[1]', $claims)), '200 ok',
       "cache $round: met");
    is(said(ask('/cached/index.html?json=[2]', $claims)), '401 claim',
       "cache $round: not met by this request");
    is(said(ask('/cached/index.html?json=[1]', { %$claims, d => 4 })),
       '401 claim', "cache $round: a constant");
    is(said(ask('/cached/index.html?json=[1]', { %$claims, scope => 'x' })),
       '403 scope', "cache $round: scope");
}


# The only store of several zones holds where no zone is named.

my ($status, undef, $err) = cli(qw(token revoke --sub gone --store),
                                $gw->root . '/logs/s');
is($status, 0, 'revoked') or diag($err);
is(said(ask('/both', { sub => 'gone', c => '1', d => '2' })), '401 revoked',
   'where no zone is named');
is(said(ask('/both', { sub => 'joe', c => '1', d => '2' })), '200 ok',
   'another one');


# What is told.

my $answer = ask('/scope', { scope => 'x' });

is($answer->header('WWW-Authenticate'), 'Bearer realm="shop",'
   . ' error="insufficient_scope", scope="read write"', 'scope: challenge');
is_deeply(JSON::PP::decode_json($answer->body),
          { type => 'about:blank', title => 'Forbidden', status => 403,
            detail => 'The token lacks a scope needed here.',
            error => 'insufficient_scope', scope => 'read write' },
          'scope: document');

$answer = ask('/vars?a=1', {});
is($answer->header('WWW-Authenticate'), undef, '403: no challenge');
is(JSON::PP::decode_json($answer->body)->{title}, 'Forbidden', '403: title');
is(JSON::PP::decode_json(ask('/vars', { role => 'admin', sub => 'x' })->body)
   ->{status}, 418, '418: document');
is(JSON::PP::decode_json($gw->get('/general')->body)->{title}, 'Forbidden',
   'auth_require: document');


# What the log says, whatever it was, and nothing of the token with it.

for my $case (
    ['/scope', { scope => 'read' }, 'scope (it has not all of "read write")'],
    ['/scope_any', { scp => 'x' }, 'scope (it has none of "read write")'],
    ['/both', { c => '1', d => '1' }, 'claim (not met by the claim "d")'],
    ['/header', {}, 'claim (not met by the header "typ")'],
    ['/var', { role => 'user' },
     'claim (a value of "auth_jwt_require" is empty or 0)'],
    ['/listed', { sub => 'evil' }, 'revoked (by a list)'],
    ['/both', { sub => 'gone', c => '1', d => '2' }, 'revoked'],
    ['/var', { nbf => time + 100, sub => 'evil' }, 'early'],
)
{
    my ($uri, $claims, $line) = @$case;
    my $token = $key->sign($claims);

    $gw->get($uri, [Authorization => "Bearer $token"]);

    my ($said) = $gw->error_log =~ /.*JWT was refused: ([^\n]*)/s;

    like($said, qr/^\Q$line\E,/, "log: $line");
    unlike($said, qr/\Q$token\E|evil|user/, '... no more');
}

$gw->get('/scope');
like($gw->error_log, qr/.*JWT was refused: (?=missing,)/s, 'log: no token');


# A list is read again; a broken one leaves the old one.

Apigw::Scenario::write_file($gw->root . '/conf/subs.json', '{"good":1}');
ok(Apigw::Scenario::wait_for(sub {
    ask('/listed', { sub => 'good' })->status == 401
}, 5), 'a changed list');
is(said(ask('/listed', { sub => 'bad' })), '200 ok', 'who was taken off it');

Apigw::Scenario::write_file($gw->root . '/conf/subs.json', '{"good":');
$gw->expect_log(qr/JWT revocation list "\S+": is not a JSON object, the old/);
ok(scalar $gw->wait_log(qr/the old ones stay/), 'a broken list');
is(said(ask('/listed', { sub => 'good' })), '401 revoked', 'the old one stays');

done_testing();
