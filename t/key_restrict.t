# What a record restricts holds at every use, also from a worker's cache: time,
# address, scopes, the switch, the decoy; and what the caller and the log hear.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http2 => 1,
    default_location => 0,
    http  => <<'END',
auth_api_key_zone zone=k:1m store=logs/k;
log_format seen '$request_uri|$args|$http_x_api_key|$http_cookie|$api_key_id';
set_real_ip_from 127.0.0.1;
real_ip_header X-Real-IP;
END
    server => <<'END',
access_log logs/access.log seen;
add_header X-Who "$api_key_id" always;
add_header X-Status "$api_key_status" always;

location / { auth_api_key zone=k; empty_gif; }

location /scope/all {
    auth_api_key zone=k;
    auth_api_key_require scope=orders:read,orders:write;
    auth_api_key_source header=X-API-Key bearer;
    empty_gif;
}

location /scope/any {
    auth_api_key zone=k;
    auth_api_key_require any=admin,orders:read;
    auth_api_key_require scope=basic;
    auth_api_key_message scope "Ask for more.";
    empty_gif;
}

location /scope/page {
    auth_api_key zone=k;
    auth_api_key_require scope=admin;
    error_page 403 = /scope/free;
    empty_gif;
}

location = /scope/free { auth_api_key zone=k; empty_gif; }

location /soon {
    auth_api_key zone=k;
    auth_api_key_expires_header 10d;
    empty_gif;
}

location /logged {
    auth_api_key zone=k;
    auth_api_key_source header=X-API-Key query=api_key cookie=key;
    empty_gif;
}

location /text {
    auth_api_key zone=k;
    auth_api_key_message unknown "No such key.";
    empty_gif;
}
END
);

my $store = $gw->root . '/logs/k';


sub key {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', $store, @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


sub create {
    return key('create', '--consumer', 'joe', @_);
}


sub answer {
    my ($uri, $key, @more) = @_;

    my $answer = $gw->get($uri, ['X-API-Key' => $key, @more]);

    return join ' ', $answer->status, $answer->header('X-Status'),
                     $answer->header('X-Who') // '';
}


# The switch

my $key = create('--id', 'one');

is(answer('/', $key), '200 ok one', 'enabled');
key('disable', 'one');
is(answer('/', $key), '401 disabled ', 'disabled');
key('enable', 'one');
is(answer('/', $key), '200 ok one', 'enabled again');
is(answer('/', create('--id', 'off', '--disabled')), '401 disabled ',
   'made disabled');


# Time: the record does not change, so it comes from the cache

my $now = time;
$key = create('--id', 'short', '--expires', '2s');

is(answer('/', $key), '200 ok short', 'not expired');
ok(wait_for(sub { answer('/', $key) eq '401 expired ' }, 5), 'expired');

is(answer('/', create('--id', 'later', '--not-before', '2099-01-01')),
   '401 early ', 'not valid yet');

$key = create('--id', 'soon', '--not-before', '1s');
is(answer('/', $key), '401 early ', 'not valid yet');
ok(wait_for(sub { answer('/', $key) eq '200 ok soon' }, 5), 'now it is');

$key = create('--id', 'announced', '--expires', '5d');
like($gw->get('/soon', ['X-API-Key' => $key])->header('X-API-Key-Expires'),
     qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, 'expiry announced');
is($gw->get('/', ['X-API-Key' => $key])->header('X-API-Key-Expires'), undef,
   'not unless asked for');
$key = create('--id', 'notyet', '--expires', '20d');
is($gw->get('/soon', ['X-API-Key' => $key])->header('X-API-Key-Expires'),
   undef, 'not long before');


# Addresses, by what realip says

$key = create('--id', 'home', '--allow', '192.0.2.0/25', '--allow',
              '2001:db8::/33', '--allow', '198.51.100.7');

is(answer('/', $key), '403 address ', 'another address');
is(answer('/', $key, 'X-Real-IP' => '192.0.2.127'), '200 ok home', 'IPv4');
is(answer('/', $key, 'X-Real-IP' => '192.0.2.128'), '403 address ', 'IPv4');
is(answer('/', $key, 'X-Real-IP' => '198.51.100.7'), '200 ok home', 'host');
is(answer('/', $key, 'X-Real-IP' => '2001:db8:7fff::1'), '200 ok home', 'IPv6');
is(answer('/', $key, 'X-Real-IP' => '2001:db8:8000::1'), '403 address ',
   'IPv6');
is(answer('/', $key, 'X-Real-IP' => '::ffff:192.0.2.1'), '200 ok home',
   'IPv4 in IPv6');


# Scopes

$key = create('--id', 'reader', '--scope', 'orders:read', '--scope', 'basic');
my $admin = create('--id', 'admin', '--scope', 'admin', '--scope', 'basic');
my $writer = create('--id', 'writer', '--scope', 'orders:write', '--scope',
                    'orders:read');

is(answer('/scope/all', $writer), '200 ok writer', 'both scopes');
is(answer('/scope/all', $key), '403 scope reader', 'one of two');
is(answer('/scope/any', $key), '200 ok reader', 'any of two');
is(answer('/scope/any', $admin), '200 ok admin', 'any of two');
is(answer('/scope/any', $writer), '403 scope writer', 'second requirement');
is(answer('/scope/page', $key), '200 ok reader', 'after a redirect');

my $answer = $gw->get('/scope/all', ['X-API-Key' => $key]);
is($answer->body, '{"type":"about:blank","title":"Forbidden","status":403,'
   . '"detail":"The API key lacks a scope needed here.",'
   . '"error":"insufficient_scope","missing_scopes":["orders:write"]}' . "\n",
   'what is missing');
is($answer->header('WWW-Authenticate'),
   'Bearer realm="api", error="insufficient_scope", '
   . 'scope="orders:read orders:write"', 'challenge');
like($gw->get('/scope/any', ['X-API-Key' => $writer])->body,
     qr/"detail":"Ask for more."/, 'text');
like($gw->get('/scope/any', ['X-API-Key' => create('--id', 'none')])->body,
     qr/"missing_scopes":\["admin","orders:read"\]/, 'all of any missing');


# A decoy looks like an unknown key to the caller, but not in the log

$key = create('--id', 'trap', '--decoy');

my $unknown = $gw->get('/text', ['X-API-Key' => 'x' x 30]);
$answer = $gw->get('/text', ['X-API-Key' => $key]);

is($answer->header('X-Status'), 'decoy', 'decoy');
is($answer->status, 401, 'decoy refused');
is($answer->body, $unknown->body, 'same text as for an unknown key');
is($answer->header('WWW-Authenticate'), $unknown->header('WWW-Authenticate'),
   'same challenge');
like($gw->error_log, qr/\[warn\] .*API key "trap" of "joe" was refused: decoy/,
     'logged');
like($gw->error_log, qr/\[info\] .*API key "home" of "joe" was refused: addr/,
     'others at info');


# HTTP/2

$key = create('--id', 'two');
$answer = $gw->http2('GET', '/', ['X-API-Key' => $key]);
is($answer->status, 200, 'HTTP/2');
is($answer->header('X-Who'), 'two', 'HTTP/2: who');
is($gw->http2('GET', '/')->status, 401, 'HTTP/2: no key');
like($gw->http2('GET', '/')->body, qr/An API key is required/,
     'HTTP/2: problem');
is($gw->http2('GET', "/logged?api_key=$key", [Cookie => "a=1; key=$key"])
      ->status, 200, 'HTTP/2: query and cookie');
is($gw->http2('HEAD', '/')->status, 401, 'HTTP/2: HEAD');


# What logs see: never a key

$gw->get("/logged?api_key=$key&a=1", ['X-API-Key' => $key,
                                      Cookie => "b=2; key=$key"]);

ok(wait_for(sub { log_text() =~ m{^/logged\?a=1\|a=1\|-\|b=2\|two$}m }, 5),
   'stripped before the log');
unlike(log_text(), qr/\Q$key\E/, 'no key in the access log');
unlike($gw->error_log, qr/\Q$key\E/, 'no key in the error log');


# A consumer has any number of keys, and a rotated one works until its end

my ($second) = key('rotate', 'two', '--overlap', '3s') =~ /^(ak_\w+)$/m;

is(answer('/', $second) =~ s/ok .*/ok/r, '200 ok', 'the new key');
is(answer('/', $key), '200 ok two', 'the old key');
ok(wait_for(sub { answer('/', $key) eq '401 expired ' }, 6),
   'the old key expires');

key('revoke', 'one');
is(answer('/', create('--id', 'one')), '200 ok one', 'an id used again');

done_testing;


sub log_text {
    open my $in, '<', $gw->root . '/logs/access.log' or return '';
    local $/;
    return scalar <$in>;
}
