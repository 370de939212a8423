# Configuration: nonsense, and what would let anybody in, is refused with a
# message that names it; what a level says or does not say is inherited.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('HS256', kid => 'k');
my $other = Apigw::Token->new('HS256', kid => 'k');

my $gw = Apigw::Scenario->new(
    default_location => 0,
    files => {
        'conf/k.json'     => jwks($key),
        'conf/o.json'     => jwks($other),
        'conf/list.json'  => '{"joe":1}',
        'conf/array.json' => '["joe"]',
        'conf/empty'      => '',
        'conf/garbage'    => "key: abc\n",
        'conf/none.json'  => '{"keys":[]}',
        'conf/short.json' => jwks(Apigw::Token->new('HS256',
                                                    secret => 'short')),
        'conf/bad.json'   => '{"keys":[{"kty":"oct","k":"YQ","k":"Yg"}]}',
        'conf/dup.json'   => '{"joe":1,"joe":2}',
    },
);

my $file = 'auth_jwt_key_file k.json;';
my $on = "auth_jwt shop; $file";
my $zone = 'auth_jwt_zone zone=j:1m;';
my $issuer = "$zone auth_jwt_issuer i { url https://idp.example.com; }";

my $stores = 'auth_jwt_zone zone=a:1m store=logs/a;'
             . 'auth_jwt_zone zone=b:1m store=logs/b; auth_jwt_zone zone=c:1m;';

# http, location, what the message says

my @wrong = (
    ['', 'auth_jwt;', qr/invalid number of arguments in "auth_jwt"/],
    ['', 'auth_jwt off token=$arg_a;', qr/invalid parameter "token=\$arg_a"/],
    ['', 'auth_jwt off; auth_jwt off;', qr/"auth_jwt" directive is duplicate/],
    (map { [$file, "auth_jwt shop $_;", qr/invalid parameter "\Q$_\E"/] }
         'foo', 'token=', 'token=$', 'token=x', 'issuer=', 'optional'),
    [$file, 'auth_jwt shop token=$none;', qr/unknown "none" variable/],
    [$file, 'auth_jwt shop token=$arg_a token=$arg_b;',
     qr/invalid parameter "token=\$arg_b"/],
    [$file, 'auth_jwt $none;', qr/unknown "none" variable/],
    [$issuer, 'auth_jwt shop issuer=j;', qr/unknown issuer "j"/],
    [$issuer, 'auth_jwt shop issuer=i issuer=i;', qr/duplicate "i"/],
    [$issuer, "auth_jwt shop issuer=i; $file",
     qr/"auth_jwt_key_file" and .* no effect with "auth_jwt \.\.\. issuer="/],
    ["$issuer auth_jwt shop issuer=i;", $file, qr/no effect with/],

    # nobody says which keys

    ['', 'auth_jwt shop;', qr/"auth_jwt" has no keys in location "\/"/],
    ['auth_jwt shop;', '', qr/"auth_jwt" has no keys in location "\/"/],
    ['', "$on limit_except GET { auth_jwt off; } location /a { auth_jwt x; }"
         . ' location /b { }', undef],

    # what is required of tokens that nobody asks for

    (map { my ($name) = /^(\w+)/;
           [$file, "$_;", qr/"$name" has no effect without "auth_jwt"/],
           ["auth_jwt a; $file", "auth_jwt off; $_;",
            qr/"$name" has no effect without "auth_jwt"/] }
         'auth_jwt_require $jwt_claim_sub', 'auth_jwt_require_claim a eq b',
         'auth_jwt_require_header a eq b', 'auth_jwt_scope a',
         'auth_jwt_audience a', 'auth_jwt_algorithms RS256',
         'auth_jwt_revocation_list_sub list.json',
         'auth_jwt_revocation_list_kid list.json'),

    ['', "$on auth_jwt_type encrypted;",
     qr/tokens of the type "encrypted" are not supported/],
    ['', "$on auth_jwt_type nested;",
     qr/tokens of the type "nested" are not supported/],
    ['', "$on auth_jwt_type odd;", qr/invalid type "odd"/],
    ['', "$on auth_jwt_type signed; auth_jwt_type signed;",
     qr/"auth_jwt_type" directive is duplicate/],

    # files

    ['', 'auth_jwt_key_file;', qr/invalid number of arguments/],
    ['', 'auth_jwt_key_file "";', qr/invalid value ""/],
    ['', 'auth_jwt_key_file gone.json;',
     qr/JWT keys of "\S+conf\/gone\.json": cannot be read \(2: No such file/],
    ['', 'auth_jwt_key_file .;', qr/JWT keys of "\S+": is not a file/],
    ['', 'auth_jwt_key_file empty;', qr/JWT keys of "\S+empty": /],
    ['', 'auth_jwt_key_file garbage;',
     qr/"\S+garbage": neither a JSON object nor PEM: no public key or/],
    ['', 'auth_jwt_key_file none.json;', qr/JWT keys of "\S+none\.json": /],
    ['', 'auth_jwt_key_file short.json;', qr/JWT keys of "\S+short\.json": /],
    ['', 'auth_jwt_key_file bad.json;', qr/JWT keys of "\S+bad\.json": /],
    ['', 'auth_jwt_key_file k.json pem;', qr/JWT keys of "\S+k\.json": /],
    ['', 'auth_jwt_key_file k.json keyval;', qr/JWT keys of "\S+k\.json": /],
    ['', 'auth_jwt_key_file k.json odd;', qr/invalid parameter "odd"/],
    ['', 'auth_jwt_key_file $none;', qr/unknown "none" variable/],
    ['', 'auth_jwt_key_file k.json; ' x 17,
     qr/"auth_jwt_key_file" directive is given too often/],
    ['', 'auth_jwt_key_request jwks;', qr/invalid value "jwks"/],
    ['', 'auth_jwt_key_request "";', qr/invalid value ""/],
    ['', 'auth_jwt_key_request /a odd;', qr/invalid parameter "odd"/],
    ['', 'auth_jwt_key_request $none;', qr/unknown "none" variable/],
    ['', "$on auth_jwt_revocation_list_sub gone.json;",
     qr/JWT revocation list "\S+gone\.json": cannot be read/],
    ['', "$on auth_jwt_revocation_list_sub array.json;",
     qr/JWT revocation list "\S+array\.json": is not a JSON object/],
    ['', "$on auth_jwt_revocation_list_kid dup.json;",
     qr/JWT revocation list "\S+dup\.json": is not a JSON object/],
    ['', "$on " . 'auth_jwt_revocation_list_sub list.json; ' x 2, undef],
    ['', "$on auth_jwt_revocation_list_kid '';", qr/invalid value ""/],

    # times and words

    (map { ['', "$on auth_jwt_key_cache $_;",
            qr/"auth_jwt_key_cache" directive invalid value/] } qw(-1 x)),
    (map { ['', "$on auth_jwt_leeway $_;",
            qr/"auth_jwt_leeway" directive invalid value/] } qw(-1s x 1000ms)),
    ['', "$on auth_jwt_leeway 1s; auth_jwt_leeway 2s;", qr/is duplicate/],
    ['', "$on auth_jwt_validate_exp maybe;", qr/invalid value "maybe"/],
    ['', "$on auth_jwt_phase content;", qr/invalid value "content"/],
    ['', "$on auth_jwt_algorithms none;", qr/unknown algorithm "none"/],
    ['', "$on auth_jwt_algorithms rs256;", qr/unknown algorithm "rs256"/],
    ['', "$on auth_jwt_algorithms RS256 RS256;",
     qr/duplicate algorithm "RS256"/],
    ['', "$on auth_jwt_algorithms RS256; auth_jwt_algorithms ES256;",
     qr/"auth_jwt_algorithms" directive is duplicate/],
    ['', "$on auth_jwt_audience '';", qr/invalid audience ""/],
    ['', "$on auth_jwt_audience a a;", qr/duplicate "a"/],
    ['', "$on auth_jwt_audience a; auth_jwt_audience b;",
     qr/"auth_jwt_audience" directive is duplicate/],

    # the cache

    ['', "$on auth_jwt_cache zone=j;",
     qr/unknown zone "j" of "auth_jwt_cache"/],
    [$zone, "$on auth_jwt_cache;", qr/invalid number of arguments/],
    [$zone, "$on auth_jwt_cache max=1s;",
     qr/"auth_jwt_cache" must have "zone" parameter/],
    (map { [$zone, "$on auth_jwt_cache zone=j $_;",
            qr/invalid parameter "$_"/] }
         qw(max=0 max= max=x max=-1s foo off zone=j)),
    [$zone, "$on auth_jwt_cache zone=;", qr/invalid parameter "zone="/],
    [$zone, "$on auth_jwt_cache off; auth_jwt_cache off;",
     qr/"auth_jwt_cache" directive is duplicate/],
    ["$issuer auth_jwt_zone zone=k:1m;",
     'auth_jwt shop issuer=i; auth_jwt_cache zone=k;',
     qr/issuer|zone/],
    [$zone, "$on auth_jwt_cache zone=j; auth_jwt_scope "
            . join('; auth_jwt_scope ', 'a' .. 'zz') . ';',
     qr/\d+ values of JWTs are used, "auth_jwt_cache" keeps at most 64/],

    # whose revocations hold

    (map { ["$stores auth_jwt_key_file k.json;", $_,
            qr/use the store of zone "a" or "b": add "auth_jwt_c/] }
         'auth_jwt s;', 'auth_jwt s; auth_jwt_cache off;'),

    # requirements

    ['', "$on auth_jwt_require;", qr/invalid number of arguments/],
    ['', "$on auth_jwt_require error=403;",
     qr/"auth_jwt_require" must have a value/],
    ['', "$on auth_jwt_require sub;",
     qr/value "sub" does not begin with a variable/],
    ['', "$on auth_jwt_require \$none;", qr/unknown "none" variable/],
    (map { ['', "$on auth_jwt_require \$uri error=$_;",
            qr/invalid parameter "error=$_"/] }
         qw(200 399 444 499 600 x 403x), ''),
    ['', "$on auth_jwt_require \$uri error=403 error=401;",
     qr/invalid parameter "error=401"/],
    ['', 'auth_require $uri error=302;', qr/invalid parameter "error=302"/],
    ['', 'auth_require error=403;', qr/"auth_require" must have a value/],
    ['', "$on auth_jwt_require_claim a eq;", qr/invalid number of arguments/],
    ['', "$on auth_jwt_require_claim '' eq a;", qr/invalid name ""/],
    ['', "$on auth_jwt_require_claim a is b;", qr/invalid operator "is"/],
    ['', "$on auth_jwt_require_claim a !! b;", qr/invalid operator "!!"/],
    ['', "$on auth_jwt_require_claim a eq json=x;",
     qr/invalid value "json=x"/],
    ['', "$on auth_jwt_require_claim a eq json=;", qr/invalid value "json="/],
    ['', "$on auth_jwt_require_claim a match '(';", qr/pcre2?_compile\(\)/],
    (map { ['', "$on auth_jwt_require_claim a !match '$_';",
            qr/the regular expression "\Q$_\E" cannot have variables/] }
         '^$uri', '(${uri})', 'a$1', '[$_]', 'json="$uri"'),
    ['', "$on auth_jwt_require_claim a !match '\$uri';", undef],
    ['', "$on auth_jwt_require_claim a match '\$none';",
     qr/unknown "none" variable/],
    (map { ['', "$on auth_jwt_require_claim a !match '$_';",
            qr/the regular expression "\Q$_\E" is not a JSON string/] }
         'json=^evil', 'json=["a"]', 'json=1', 'json=', 'json="a'),
    ['', "$on auth_jwt_require_claim a match 'json=\"(\"';",
     qr/pcre2?_compile\(\)/],
    (map { ['', "$on auth_jwt_require_claim '$_' eq a;",
            qr/invalid name "\Q$_\E" of a JWT claim/] }
         '.a[', '.a[x]', '.', '.a..b', '."a', '.a[-1]'),
    (map { ['', "$on auth_jwt_require_claim aud $_;",
            qr/ is of no type that the operator compares with/] }
         'in a', '!in json=1', 'any a', q(!any 'json={}'), 'gt json=true',
         'le json=[1]'),
    (map { ['', "$on auth_jwt_require_claim aud $_;", undef] }
         q(in 'json={}'), 'any json=[]', 'gt a', 'eq json=null', 'in $uri'),
    ['', "$on auth_jwt_require_header '.a[' eq a;", qr/invalid name "\.a\["/],
    ['', "$on auth_jwt_require_claim a eq \$none;",
     qr/unknown "none" variable/],
    ['', "$on auth_jwt_scope;", qr/invalid number of arguments/],
    (map { ['', "$on auth_jwt_scope $_;", qr/invalid scope/] }
         'any=', 'any=a,', 'any=,a', "''", "'a b'", "'a\"b'", 'a,,b', 'a,b',
         'scope=a', 'a any=b,c'),
    (map { ['', "$on auth_jwt_scope $_;", undef] }
         'any=role=a', 'urn:a=b', '=a'),
    ['', "$on auth_jwt_scope any=a b;", qr/invalid parameter "b"/],

    # the rest

    ['auth_jwt_claim_set $a;', '', qr/invalid number of arguments/],
    ['auth_jwt_claim_set a b;', '', qr/invalid variable name "a"/],
    ['auth_jwt_claim_set $ b;', '', qr/invalid variable name "\$"/],
    ['auth_jwt_header_set $a "";', '', qr/invalid name ""/],
    ['auth_jwt_claim_set $uri a;', '', qr/the duplicate "uri" variable/],
    ['auth_jwt_claim_set $a ' . join(' ', 1 .. 17) . ';', '',
     qr/has too many names/],
    ['auth_jwt_claim_set $a a..b; auth_jwt_allow_nested;', '',
     qr/invalid name "a\.\.b" of a JWT claim/],
    ['', 'auth_jwt_allow_nested delimiter=;',
     qr/invalid parameter "delimiter="/],
    ['', 'auth_jwt_allow_nested foo;', qr/invalid parameter "foo"/],
    ['', 'auth_jwt_allow_nested; auth_jwt_allow_nested;',
     qr/"auth_jwt_allow_nested" directive is duplicate/],
    ['', 'auth_jwt_www_authenticate on; auth_jwt_www_authenticate off;',
     qr/"auth_jwt_www_authenticate" directive is duplicate/],
    ['', 'auth_jwt_www_authenticate $none;', qr/unknown "none" variable/],
    ['', 'auth_jwt_resource_metadata a; auth_jwt_resource_metadata b;',
     qr/"auth_jwt_resource_metadata" directive is duplicate/],
    ['', 'auth_jwt_metadata api;', qr/invalid resource "api"/],
    ['', 'auth_jwt_metadata https://;', qr/invalid resource "https:\/\/"/],
    ['', 'auth_jwt_metadata "https://a b";', qr/invalid resource/],
    (map { ['', "auth_jwt_metadata https://a $_;",
            qr/invalid parameter "$_"/] }
         'foo', 'scope=', 'scope=a,,b', 'server=x', 'server=', 'name=',
         'documentation=x'),
    ['', 'auth_jwt_metadata https://a name=a name=b;',
     qr/invalid parameter "name=b"/],
    ['', 'auth_jwt_metadata https://a; auth_jwt_metadata https://b;',
     qr/"auth_jwt_metadata" directive is duplicate/],
);

for my $case (@wrong) {
    my ($http, $location, $like) = @$case;

    my ($status, $text) = $gw->test_config(
        http => $http, server => "location / { empty_gif; $location }");

    my $name = substr "$http | $location", 0, 100;

    if (!defined $like) {
        is($status, 0, "right: $name") or diag($text);
        next;
    }

    isnt($status, 0, "wrong: $name");
    like($text, $like, "message: $name");
}


# What is found when all is read names the line that is wrong.

for my $case (
    [$issuer, 'auth_jwt shop issuer=j;', 'auth_jwt shop'],
    ["$issuer auth_jwt shop issuer=j;", '', 'auth_jwt shop'],
    ['', 'auth_jwt shop;', 'auth_jwt shop'],
    ['', "$file\nauth_jwt shop;\nauth_jwt_cache zone=j;", 'auth_jwt_cache'],
    ["$file $stores", 'auth_jwt shop;', 'auth_jwt shop'],
    ['', "$on\nauth_jwt_require_claim '.a[' eq a;", 'auth_jwt_require_claim'],
    ["auth_jwt_allow_nested;\nauth_jwt_claim_set \$a a..b;", '',
     'auth_jwt_claim_set'],
    (map { ['', "$_;", (split)[0]],
           ["auth_jwt shop; $file", "auth_jwt off;\n$_;\nauth_jwt_scope x;",
            (split)[0]] }
         'auth_jwt_require $jwt_claim_sub', 'auth_jwt_require_claim a eq b',
         'auth_jwt_require_header a eq b', 'auth_jwt_scope a',
         'auth_jwt_audience a', 'auth_jwt_algorithms RS256',
         'auth_jwt_revocation_list_sub list.json'),
    [$issuer, "$file\nauth_jwt shop issuer=i;", 'auth_jwt_key_file'],
    ["$issuer auth_jwt shop issuer=i;", "\nauth_jwt_key_request /k;\n",
     'auth_jwt_key_request'],
    ['', 'auth_jwt_key_file gone.json;', 'auth_jwt_key_file'],
    ['', "$on\nauth_jwt_revocation_list_sub array.json;",
     'auth_jwt_revocation_list_sub'],
)
{
    my ($http, $location, $directive) = @$case;

    my ($status, $text) = $gw->test_config(
        http => $http, server => "location / {\n$location\nempty_gif; }\n");

    open my $conf, '<', $gw->root . '/conf/test.conf' or die "test.conf: $!\n";
    my @lines = <$conf>;
    my ($number) = $text =~ /in \S+\/conf\/test\.conf:(\d+)$/m;

    like($lines[($number // 0) - 1], qr/^\s*.*\b\Q$directive\E/,
         "its line: $location") or diag($text);
    like($text, qr/"\Q$directive\E"/, '... and name')
        if $directive ne 'auth_jwt shop';
}


# What is right on one level, and on two.

for my $case (
    ['auth_jwt_require $jwt_claim_sub;', "auth_jwt shop; $file"],
    ['auth_jwt_audience a; auth_jwt_algorithms HS256;',
     "auth_jwt shop; $file"],
    [$file, 'auth_jwt shop; auth_jwt_scope a; auth_jwt_scope any=b,c;'],
    ["$issuer $file", 'auth_jwt shop issuer=i;'],
    ["$issuer auth_jwt shop issuer=i;", "auth_jwt shop; $file"],
    [$zone, "$on auth_jwt_cache zone=j max=1m; location /a "
            . '{ auth_jwt_cache off; }'],
    ["$stores auth_jwt_cache zone=a;", "$on auth_jwt_cache off;"],
    ["$stores auth_jwt_issuer i { url https://idp.example.com; zone a; }",
     'auth_jwt shop issuer=i;'],
    ["$stores auth_jwt_cache zone=b;", "auth_jwt off; auth_jwt_cache off;"
     . " location /a { $on }"],
    ["$stores auth_jwt_cache zone=b; auth_jwt_issuer i "
     . '{ url https://idp.example.com; zone a; }',
     'auth_jwt shop issuer=i; auth_jwt_cache off;'],
    ["auth_jwt_zone zone=x:1m; $zone", $on],
    ['', 'auth_jwt_key_file $uri.json; auth_jwt a;'],
    ['', 'auth_jwt_key_request /jwks keyval; auth_jwt_key_cache 1h;'
         . 'auth_jwt a;'],
    ['', 'auth_require $uri $host error=503; auth_require $uri;'],
    ['', "$on auth_jwt_require \$uri \"\${uri}x\" error=402;"],
    ['', "$on auth_jwt_require_claim .a[0].\"b.c\" !any json=[\"x\",1];"
         . 'auth_jwt_require_claim a ge $arg_n;'
         . 'auth_jwt_require_claim a eq "json=\"$arg_n\"";'
         . 'auth_jwt_require_claim a match "^x";'
         . 'auth_jwt_require_claim a match "^(x$|\\$x$)";'
         . 'auth_jwt_require_header alg in json=["RS256"];'],
)
{
    my ($http, $location) = @$case;

    my ($status, $text) = $gw->test_config(
        http => $http, server => "location / { empty_gif; $location }");

    is($status, 0, substr "right: $http | $location", 0, 100) or diag($text);
}

my ($status, $text) = $gw->test_config(http => '', server =>
    "auth_jwt shop; auth_jwt_scope a; location / { $file empty_gif; }");
is($status, 0, 'a server may leave the keys to its locations') or diag($text);


# Inheritance.

$gw->start(
    http => 'auth_jwt_key_file k.json; auth_jwt_leeway 100s;
             auth_jwt_require_claim a eq 1; auth_jwt_key_file o.json;',
    server => <<'END',
add_header X-Status $jwt_status always;
auth_jwt "server";

location / { empty_gif; }
location /none { auth_jwt off; empty_gif; }
location /own {
    auth_jwt_key_file o.json;
    auth_jwt_require_claim b eq 2;
    auth_jwt_leeway 0;
    empty_gif;
    location /own/in { empty_gif; auth_jwt "in"; }
}
location /post {
    limit_except GET { auth_jwt_key_file o.json; auth_jwt "post"; }
    empty_gif;
}
END
);

sub ask {
    my ($uri, $key, $claims, $method) = @_;

    my $answer = $gw->request($method // 'GET', $uri,
        [Authorization => 'Bearer ' . $key->sign($claims)]);

    return join ' ', $answer->status, $answer->header('X-Status') // '',
           ($answer->header('WWW-Authenticate') // '') =~ /realm="(\w+)"/;
}

my $late = time - 50;

is(ask('/', $key, { a => '1', exp => $late }), '200 ok', 'all from http');
is(ask('/', $other, { a => '1' }), '200 ok', 'two files of one level');
is(ask('/', $key, { a => '2' }), '401 claim server', 'the rule of http');
is(ask('/none', $key, { a => '2' }), '200 ', 'off');
my %both = (a => '1', b => '2');
is(ask('/own', $other, { %both }), '200 ok', 'two levels of rules');
is(ask('/own', $other, { b => '2' }), '401 claim server',
   'the outer rule holds');
is(ask('/own', $other, { a => '1' }), '401 claim server', 'the inner one too');
is(ask('/own', $key, { %both }), '401 signature server',
   'files are replaced');
is(ask('/own', $other, { %both, exp => $late }), '401 expired server',
   'leeway of 0');
is(ask('/own/in', $other, { %both }), '200 ok', 'two levels');
is(ask('/own/in', $other, { %both, b => '3' }), '401 claim in',
   'realm of the level');
is(ask('/own/in', $other, { b => '2' }), '401 claim in', 'three levels');
is(ask('/post', $key, { a => '1' }), '200 ok', 'limit_except: GET');
is(ask('/post', $key, { a => '1' }, 'DELETE'), '401 signature post',
   'limit_except: DELETE');
is(ask('/post', $other, { a => '1' }, 'DELETE'), '405 ok',
   'limit_except: DELETE with its key');


# A server that leaves its keys to its locations.

$gw->expect_log(qr/"auth_jwt" has no keys in this place/);
$gw->reload(http => '', server => 'add_header X-Status $jwt_status always;
    auth_jwt s; location /a { auth_jwt_key_file k.json; empty_gif; }');

is(ask('/a', $key, {}), '200 ok', 'a location with keys');
is(ask('/', $key, {}), '500 unavailable', 'the server has none');
is($gw->get('/')->status, 401, 'without a token');

done_testing();
