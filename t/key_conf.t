# Configuration: nonsense is refused with a message that names it, and what a
# level says or does not say about keys is inherited as nginx does it.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;

my $gw = Apigw::Scenario->new(default_location => 0);
my $zone = 'auth_api_key_zone zone=k:1m store=logs/k;';

# http, location, what the message says

my @wrong = (
    ['auth_api_key_zone;', '',
     qr/invalid number of arguments in "auth_api_key_zone" directive/],
    ['auth_api_key_zone zone=k:1m foo=1;', '', qr/invalid parameter "foo=1"/],
    ['auth_api_key_zone zone=k:1m prefix=ak_;', '',
     qr/"auth_api_key_zone" must have "store" parameter/],
    ['auth_api_key_zone store=logs/k prefix=ak_;', '',
     qr/"auth_api_key_zone" must have "zone" parameter/],
    ['auth_api_key_zone zone=k store=logs/k;', '', qr/invalid zone "k"/],
    ['auth_api_key_zone zone=:1m store=logs/k;', '', qr/invalid zone ":1m"/],
    ['auth_api_key_zone zone=k:abc store=logs/k;', '',
     qr/invalid zone size "k:abc"/],
    ['auth_api_key_zone zone=k:8k store=logs/k;', '',
     qr/zone "k:8k" is too small/],
    ['auth_api_key_zone zone=k:1m store=;', '', qr/invalid parameter "store="/],
    ['auth_api_key_zone zone=k:1m store=logs/k prefix=a;', '',
     qr/invalid parameter "prefix=a", a prefix has 2 to 16 of letters/],
    ['auth_api_key_zone zone=k:1m store=logs/k prefix=;', '',
     qr/invalid parameter "prefix="/],
    ['auth_api_key_zone zone=k:1m store=logs/k prefix=a-very-long-prefix_;',
     '', qr/invalid parameter "prefix=a-very-long-prefix_"/],
    (map { ["auth_api_key_zone zone=k:1m store=logs/k flush=$_;", '',
            qr/invalid parameter "flush=$_", it must be a time from 1ms to/] }
     qw(0 -1s 2h x)),
    ['auth_api_key_zone zone=k:1m store=logs/k flush=1s flush=2s;', '',
     qr/duplicate parameter "flush=2s"/],
    ['auth_api_key_zone zone=k:1m store=logs/k prefix=a_ prefix=b_;', '',
     qr/duplicate parameter "prefix=b_"/],
    ['auth_api_key_zone zone=k:1m zone=l:1m store=logs/k;', '',
     qr/duplicate parameter "zone=l:1m"/],
    ['auth_api_key_zone zone=k:1m store=logs/k store=logs/l;', '',
     qr/duplicate parameter "store=logs\/l"/],
    ["$zone auth_api_key_zone zone=k:1m store=logs/l;", '',
     qr/duplicate zone "k"/],
    ["$zone auth_api_key_zone zone=l:1m store=logs/k;", '',
     qr{the same path name "\S*logs/k" used}],
    ["$zone limit_req_zone \$uri zone=k:1m rate=1r/s;", '',
     qr/the shared memory zone "k" is already declared/],

    ['', 'auth_api_key zone=k;',
     qr/unknown auth_api_key_zone "k" in \S+:\d+$/m],
    [$zone, 'auth_api_key;',
     qr/invalid number of arguments in "auth_api_key" directive/],
    [$zone, 'auth_api_key on;', qr/invalid parameter "on"/],
    [$zone, 'auth_api_key zone=;', qr/invalid parameter "zone="/],
    [$zone, 'auth_api_key optional;',
     qr/"auth_api_key" must have "zone" parameter/],
    [$zone, 'auth_api_key off optional;', qr/invalid parameter "off"/],
    [$zone, 'auth_api_key zone=k off;', qr/invalid parameter "off"/],
    [$zone, 'auth_api_key zone=k zone=k;', qr/invalid parameter "zone=k"/],
    [$zone, 'auth_api_key zone=k; auth_api_key off;',
     qr/"auth_api_key" directive is duplicate/],

    [$zone, 'auth_api_key_require scope=a;',
     qr/"auth_api_key_require" has no effect without .* in \S+:\d+$/m],
    [$zone, 'auth_api_key off; auth_api_key_require scope=a;',
     qr/"auth_api_key_require" has no effect without .* in \S+:\d+$/m],
    ["$zone auth_api_key_require scope=a;", 'auth_api_key zone=k;',
     qr/"auth_api_key_require" has no effect without .* in \S+:\d+$/m],

    [$zone, 'auth_api_key_source;',
     qr/invalid number of arguments in "auth_api_key_source"/],
    (map { [$zone, "auth_api_key_source $_;",
            qr/invalid source "$_", it has to be "header=name", "bearer"/] }
         qw(header query= header= cookie= X-API-Key body=x header=a:b
            query=a&b)),
    (map { [$zone, "auth_api_key_source header=$_;",
            qr/invalid source "header=$_", nginx needs this header itself/] }
         qw(Host Cookie Connection Content-Length Transfer-Encoding)),
    [$zone, 'auth_api_key_source bearer bearer;',
     qr/duplicate source "bearer"/],
    [$zone, 'auth_api_key_source header=X-Key header=x-key;',
     qr/duplicate source "header=x-key"/],
    [$zone, 'auth_api_key_source $nothing;', qr/unknown "nothing" variable/],
    [$zone, 'auth_api_key_source bearer; auth_api_key_source bearer;',
     qr/"auth_api_key_source" directive is duplicate/],
    [$zone, 'auth_api_key_source ' . join(' ', map { "query=$_" } 1 .. 17)
            . ';', qr/has too many sources/],

    [$zone, 'auth_api_key_strip maybe;', qr/invalid value "maybe"/],
    [$zone, 'auth_api_key_strip on; auth_api_key_strip on;',
     qr/"auth_api_key_strip" directive is duplicate/],

    (map { [$zone, "auth_api_key_require $_;",
            qr/invalid parameter "\Q$_\E", it has to be "scope=name,..."/] }
         'a', 'scope=', 'any=', 'scope=a,,b', 'scope=,a', 'any=a,'),
    [$zone, 'auth_api_key_require "scope=a b";',
     qr/invalid parameter "scope=a b"/],

    [$zone, q(auth_api_key_realm 'a"b';), qr/invalid realm "a"b"/],
    [$zone, 'auth_api_key_realm "";', qr/invalid realm ""/],
    [$zone, 'auth_api_key_realm $host;',
     qr/invalid realm "\$host", it is a text without .* variables/],
    [$zone, 'auth_api_key_realm a; auth_api_key_realm b;',
     qr/"auth_api_key_realm" directive is duplicate/],

    [$zone, 'auth_api_key_message gone text;', qr/invalid reason "gone"/],
    [$zone, 'auth_api_key_message decoy text;', qr/invalid reason "decoy"/],
    [$zone, 'auth_api_key_message ok text;', qr/invalid reason "ok"/],
    [$zone, 'auth_api_key_message missing $none;', qr/unknown "none" variable/],
    [$zone, 'auth_api_key_message missing a; auth_api_key_message missing b;',
     qr/duplicate message "missing"/],

    (map { [$zone, "auth_api_key_expires_header $_;", qr/invalid time "$_"/] }
         qw(0 on -1d soon)),
    [$zone, 'auth_api_key_expires_header 7d; ' x 2,
     qr/"auth_api_key_expires_header" directive is duplicate/],
);

for my $wrong (@wrong) {
    my ($http, $location, $message) = @$wrong;

    my ($status, $text) =
        $gw->test_config(http => $http,
                         server => "location / { $location empty_gif; }");

    ok($status && $text =~ $message, $location || $http) or diag $text;
}

# Headers that nginx ignores: a warning each, with its place

for my $case (['X_Key', '', 1], ['X.Key', '', 1], ['X-Key', '', 0],
              ['X_Key', 'underscores_in_headers on;', 0],
              ['X.Key', 'underscores_in_headers on;', 1],
              ['X.Key', 'ignore_invalid_headers off;', 0])
{
    my ($name, $http, $warned) = @$case;

    my ($status, $text) = $gw->test_config(
        http => "$zone $http auth_api_key_source header=$name;",
        server => "auth_api_key zone=k; location / { empty_gif; }
                   location /off { auth_api_key off; }");

    is($status, 0, "header=$name $http: right");
    my $warning = qr/\[warn\] \S+ header "\L$name\E" .* is ignored by nginx/;

    is(() = $text =~ /$warning.* in \S+:\d+$/mg, $warned,
       "header=$name $http: warned $warned times") or diag $text;
}


my ($status, $text) = $gw->test_config(http => $zone, server => <<'END');
if ($arg_a) { set $b 1; }
location / { auth_api_key zone=k; if ($arg_b) { return 204; } }
END

is($status, 0, 'right') or diag $text;


# Inheritance: http, server, location

$gw = Apigw::Scenario->start(
    default_location => 0,
    http => <<'END',
auth_api_key_zone zone=k:1m store=logs/k;
auth_api_key_zone zone=l:1m store=logs/l prefix=xx-;
auth_api_key zone=k;
auth_api_key_source header=X-One;
auth_api_key_strip off;
auth_api_key_require scope=a;
auth_api_key_require scope=b;
auth_api_key_realm outer;
auth_api_key_message missing "outer missing";
auth_api_key_message unknown "outer unknown";
auth_api_key_expires_header 400d;
END
    server => <<'END',
add_header X-One "$http_x_one" always;
add_header X-Who "$api_key_id" always;
add_header X-Status "$api_key_status" always;
location / { empty_gif; }
location /outer/ {
    location /outer/inner { empty_gif; }
    location /outer/off { auth_api_key off; empty_gif; }
    location /outer/optional { auth_api_key zone=k optional; empty_gif; }
}
location /inner {
    auth_api_key_source header=X-Two;
    auth_api_key_strip on;
    auth_api_key_require any=a,c;
    auth_api_key_realm inner;
    auth_api_key_message unknown "inner unknown";
    auth_api_key_expires_header off;
    empty_gif;
}
location /zone {
    auth_api_key zone=l;
    auth_api_key_require any=a;
    empty_gif;
}
END
);

my $root = $gw->root;

sub create {
    my ($status, $key, $err) = cli($gw, 'key', 'create', '--consumer', 'joe',
                                   '--store', "$root/logs/" . shift, @_);
    die $err if $status;

    return $key =~ s/\n//r;
}

my $a = create('k', '--id', 'a', '--scope', 'a', '--expires', '300d');
my $ab = create('k', '--id', 'ab', '--scope', 'a', '--scope', 'b');
my $c = create('k', '--id', 'c', '--scope', 'c');
my $l = create('l', '--id', 'l', '--scope', 'a', '--prefix', 'xx-');

like($l, qr/^xx-\w{49}$/, 'a key with a prefix of its own');

is($gw->get('/', ['X-One' => $ab])->status, 200, 'http: zone, source');
is($gw->get('/', ['X-API-Key' => $ab])->status, 401, 'no default source');
is($gw->get('/', ['X-One' => $a])->status, 403, 'http: require, both');
is($gw->get('/', ['X-One' => $ab])->header('X-One'), $ab, 'http: strip');
is($gw->get('/outer/inner', ['X-One' => $ab])->status, 200, 'location: zone');
is($gw->get('/outer/inner', ['X-One' => $a])->status, 403, 'location: require');
is($gw->get('/outer/off')->status, 200, 'location: off');
is($gw->get('/outer/optional')->status, 401,
   'location: optional, but a scope is demanded');
is($gw->get('/outer/optional', ['X-One' => $a])->status, 403,
   'location: optional, require');

my $answer = $gw->get('/');
is($answer->header('WWW-Authenticate'), 'ApiKey realm="outer"', 'http: realm');
like($answer->body, qr/"outer missing"/, 'http: message');

is($gw->get('/inner', ['X-Two' => $a])->status, 200, 'location: any of');
is($gw->get('/inner', ['X-Two' => $c])->status, 200, 'location: any of');
is($gw->get('/inner', ['X-One' => $ab])->status, 401, 'location: source');
is($gw->get('/inner', ['X-Two' => $a])->header('X-API-Key-Expires'), undef,
   'location: expires off');

$answer = $gw->get('/inner');
is($answer->header('WWW-Authenticate'), 'ApiKey realm="inner"',
   'location: realm');
like($answer->body, qr/"An API key is required\."/,
     'location: messages replace all of those above');
like($gw->get('/inner', ['X-Two' => 'x' x 20])->body, qr/"inner unknown"/,
     'location: message');

is($gw->get('/zone', ['X-One' => $l])->header('X-Who'), 'l', 'another zone');
is($gw->get('/zone', ['X-One' => $a])->status, 401, 'a key of another zone');
is($gw->get('/zone', ['X-One' => 'xx-' . 'x' x 49])->header('X-Status'),
   'malformed', 'another prefix');
is($gw->get('/zone', ['X-One' => 'ak_' . 'x' x 20])->header('X-Status'),
   'unknown', 'the default prefix is nothing there');

done_testing;
