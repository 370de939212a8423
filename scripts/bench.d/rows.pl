# Copyright (C) the apigw authors

# What is measured.  A row:
#
#     name      as in the table
#     target    instructions that it may add at endpoint e (none: it is there
#               to compare with)
#     modules   to load: "key" is one of ours, "stock/x.so" one of Debian's
#     http, server, config   what goes into these blocks; config is that of
#               the measured location.  %DIR% is nginx's own directory, %KEYS%
#               the store of "keys" keys, %BACK% the port of the second nginx
#     location, proxy        instead of "/" and "http://back"
#     keys      how many are in the store
#     shape     the form of the requests: rows of one shape are compared with
#               the same measurement of bare nginx
#     request   sub ($i): path and headers of the request number $i
#     status    of every answer, 200 unless said
#     probe     [a variable, what it has to be in the measured location]
#     before    the status of one request that is sent first, not counted
#     fill      how many requests to send then, not counted
#     files     to write into %DIR%: { name => text }
#     compare   requests per second as well: "e", "p" or "ep"
#     random    for that: so many callers in random order
#     single    1: a single process, which is not counted before it is filled
#     count     0: too slow to count, only compared
#     full      only in the full run

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../t/lib";

use Apigw::Token ();
use Keys;


my $KEYS = 1_000_000;           # in the largest stores and zones
my $KNOWN = 1_000_000;          # from here on keys are in no store

my $ndk = 'stock/ndk_http_module.so';
my $lua = 'stock/ngx_http_lua_module.so';
my $js = 'stock/ngx_http_js_module.so';


# The shapes.

my $caller = sub {
    my ($n) = @_;

    # a step without a common divisor, so that all come and none is near
    return sub {
        return ('/', sprintf "X-Caller: consumer-%07d\r\n",
                             ($_[0] * 7_919) % $n);
    };
};

my $key = sub {
    my ($n, $from) = @_;

    return sub {
        return ('/', 'X-API-Key: ' . Keys::key(($from // 0) + $_[0] % $n)
                     . "\r\n");
    };
};

my $malformed = sub {
    my $text = Keys::key($_[0]);
    substr $text, -1, 1, substr($text, -1) eq 'x' ? 'y' : 'x';
    return ('/', "X-API-Key: $text\r\n");
};

my $missing = sub { return ('/', '') };


# Tokens of 400 bytes of claims.

my %signer = map { $_ => Apigw::Token->new($_, kid => "key-$_") }
             qw(HS256 RS256 ES256 Ed25519);

my $claims = {
    iss => 'https://id.example.com/realms/company', aud => 'orders',
    sub => '6f1d0c2e-8a0b-4c43-9f5e-1d2a7b3c4d5e', plan => 'pro',
    exp => time + 86400, iat => time, nbf => time - 1,
    jti => 'b1946ac9-2492-4a8d-9f3e-5e7f8a6b9c0d', azp => 'orders-web',
    scope => 'openid profile orders:read orders:write',
    preferred_username => 'somebody', email => 'somebody@example.com',
    roles => ['user', 'buyer'],
};

my %token = map { $_ => $signer{$_}->sign($claims) } keys %signer;

my $jwt = sub {
    my ($alg, $text) = @_;

    my $token = $text // $token{$alg};

    return (
        modules => ['jwt'],
        files   => { 'keys.json' => Apigw::Token::jwks(values %signer) },
        http    => 'auth_jwt_zone zone=jwt:4m;',
        config  => 'auth_jwt shop; auth_jwt_key_file %DIR%/keys.json;',
        probe   => ['$jwt_consumer/$jwt_plan', qr{^6f1d0c2e-[^/]+/pro$}],
        shape   => "jwt-$alg",
        request => sub { return ('/', "Authorization: Bearer $token\r\n") },
    );
};

# A storm of made-up key ids; the signature is never looked at.

my (undef, $payload, $signature) = split /\./, $token{ES256};

my $unknown = sub {
    my $header = Apigw::Token::base64url(sprintf
        '{"alg":"ES256","kid":"made-up-%06d","typ":"JWT"}', $_[0]);

    return ('/', "Authorization: Bearer $header.$payload.$signature\r\n");
};

my $seen = 'auth_jwt shop; auth_jwt_key_file %DIR%/keys.json;
            auth_jwt_cache zone=jwt;';
my $identity = 'auth_jwt_require $jwt_consumer $jwt_plan;';


# Configurations that several rows share.

my $limit_req = {
    http   => 'limit_req_zone $http_x_caller zone=r:256m rate=100000r/s;',
    config => 'limit_req zone=r burst=1000000 nodelay;',
    probe  => ['$limit_req_status', qr/^PASSED$/],
    shape  => 'caller',
};

my $address = { shape => 'missing', request => $missing, fill => 0 };

my $map = {
    http   => 'map_hash_max_size 8192; map_hash_bucket_size 128;
               map $http_x_api_key $who { default ""; %MAP% }',
    config => 'if ($who = "") { return 401; }',
    probe  => ['$who', qr/^consumer-/],
    shape  => 'key',
};

my $throttle = {
    modules => ['throttle'],
    http    => 'api_throttle_zone $http_x_caller zone=t:64m
                rate=1000000r/s burst=1000000;
                api_throttle_headers off;',
    config  => 'api_throttle zone=t;',
    probe   => ['$api_throttle_status', qr/^PASSED$/],
    shape   => 'caller',
};

my $api_key = {
    modules => ['key'],
    http    => 'auth_api_key_zone zone=keys:1m store=%KEYS%;',
    config  => 'auth_api_key zone=keys;',
    probe   => ['$api_key_consumer', qr/^consumer-\d+$/],
    shape   => 'key',
};

my $refused = {
    %$api_key,
    keys   => 1000,
    status => 401,
    probe  => ['$api_key_consumer', qr/^$/],
};

my $usage_zone = 'api_usage_zone zone=usage:64m store=%DIR%/usage;';
my $rate = 'rate 1000000r/s burst=1000000;';
my $month = 'quota 1000000000 per=month;';
my $day = 'quota 1000000000 per=day;';

my $usage = {
    modules => ['usage'],
    config  => 'api_usage zone=usage plan=pro consumer=$http_x_caller;
                api_usage_headers off;',
    probe   => ['$api_usage_status', qr/^PASSED$/],
    shape   => 'caller',
    request => $caller->(1),
};

my $versions =
    'version v1 upstream=back deprecated=2025-01-01 sunset=2099-01-01
     successor=v2; version v2 upstream=back default;';

# In the same location as everything else, so that what nginx does to find it
# is not taken for the module's.

my $version = {
    modules => ['version'],
    config  => 'api_publish orders;',
    proxy   => 'http://$api_upstream',
    probe   => ['$api_version', qr/^v1$/],
};

my $by_path = {
    %$version,
    http    => "api orders { $versions base /orders; select path; }",
    shape   => 'path',
    request => sub { return ('/orders/v1/items', '') },
};

my $version_zone = 'api_version_zone zone=calls:1m store=%DIR%/versions';

my $chain = {
    modules  => ['key', 'throttle', 'usage', 'version', 'status'],
    http     => "auth_api_key_zone zone=keys:1m store=%KEYS%;
                 $usage_zone
                 api_throttle_zone \$binary_remote_addr zone=per_ip:1m
                 rate=1000000r/s burst=1000000;
                 api_plan pro { $rate $month }
                 api orders { $versions select path header=X-API-Version; }",
    config   => 'api_publish orders;
                 api_throttle zone=per_ip before_auth;
                 auth_api_key zone=keys;
                 api_usage zone=usage plan=$api_key_plan
                 consumer=$api_key_consumer;',
    location => '/orders/',
    proxy    => 'http://$api_upstream',
    probe    => ['$api_version/$api_key_consumer', qr{^v1/consumer-\d+$}],
    shape    => 'chain',
    keys     => 1000,
    request  => sub {
        return ('/orders/v1/items', 'X-API-Key: '
                                    . Keys::key($_[0] % 100) . "\r\n");
    },
};


my @rows = (

    # stock nginx

    {   %$limit_req,
        name    => 'limit_req, 1 key',
        compare => 'ep',
        request => $caller->(1),
    },
    {   %$limit_req,
        name    => 'limit_req, 10,000 keys',
        compare => 'e',
        random  => 10_000,
        request => $caller->(10_000),
        fill    => 10_000,
    },
    {   %$limit_req,
        name    => 'limit_req, 1,000,000 keys',
        count   => 0,
        compare => 'e',
        random  => $KEYS,
        request => $caller->($KEYS),
        fill    => $KEYS,
        full    => 1,
    },
    {   %$limit_req, %$address,
        name    => 'limit_req by address',
        http    => 'limit_req_zone $binary_remote_addr zone=r:1m
                    rate=100000r/s;',
    },
    {   %$map,
        name    => 'map + if, 1,000 keys',
        compare => 'ep',
        map     => 1000,
        request => $key->(1000),
    },
    {   name    => 'auth_request to a local 204',
        compare => 'ep',
        config  => 'auth_request /auth;',
        server  => 'location = /auth { internal; return 204; }',
        shape   => 'key',
        request => $key->(1000),
    },

    # what other people's nginx modules need for a key check

    {   name    => 'Lua: key check, 1,000 keys',
        compare => 'ep',
        modules => [$ndk, $lua],
        http    => 'init_by_lua_block { keys = {} %LUA% }',
        config  => 'access_by_lua_block {
                        local who = keys[ngx.req.get_headers()["x-api-key"]]
                        if not who then return ngx.exit(401) end
                        ngx.req.set_header("X-Consumer", who)
                    }',
        map     => 1000,
        shape   => 'key',
        request => $key->(1000),
        full    => 1,
    },
    {   name    => 'njs: key check, 10 keys',
        compare => 'ep',
        modules => [$js],
        http    => 'js_path "%DIR%/"; js_import bench from bench.js;
                    js_set $who bench.who;',
        config  => 'if ($who = "") { return 401; }',
        files   => { 'bench.js' => 'const keys = { %JS% };
                    function who(r) {
                        return keys[r.headersIn["X-API-Key"]] || "";
                    }
                    export default { who };' },
        map     => 10,
        probe   => ['$who', qr/^consumer-/],
        shape   => 'key-10',
        request => $key->(10),
        full    => 1,
    },

    # throttle

    {   %$throttle,
        name    => 'throttle, 1 key',
        compare => 'ep',
        target  => 400,
        request => $caller->(1),
    },
    {   %$throttle,
        name    => 'throttle, 10,000 keys',
        compare => 'e',
        random  => 10_000,
        target  => 400,
        request => $caller->(10_000),
        fill    => 10_000,
    },
    {   %$throttle,
        name    => 'throttle, 1,000,000 keys',
        single  => 1,
        compare => 'e',
        random  => $KEYS,
        target  => 400,
        request => $caller->($KEYS),
        fill    => $KEYS,
        full    => 1,
    },
    {   %$throttle,
        name    => 'throttle, 1 key, RateLimit headers',
        target  => 900,
        http    => 'api_throttle_zone $http_x_caller zone=t:1m
                    rate=1000000r/s burst=1000000;',
        request => $caller->(1),
    },
    {   %$throttle,
        name    => 'throttle, refused (429)',
        http    => 'api_throttle_zone $http_x_caller zone=t:1m
                    rate=1r/d burst=1; api_throttle_log_level info;',
        status  => 429,
        probe   => undef,
        config  => 'api_throttle zone=t;',
        before  => 200,
        request => $caller->(1),
    },

    {   %$throttle, %$address,
        name    => 'throttle by address',
        target  => 400,
        http    => 'api_throttle_zone $binary_remote_addr zone=t:1m
                    rate=1000000r/s burst=1000000;
                    api_throttle_headers off;',
    },

    # key

    {   %$api_key,
        name    => 'key, seen before, of 10',
        target  => 1200,
        keys    => 10,
        request => $key->(10),
    },
    {   %$api_key,
        name    => 'key, seen before, of 1,000',
        compare => 'ep',
        target  => 1200,
        keys    => 1000,
        request => $key->(100),
    },
    {   %$api_key,
        name    => 'key, seen before, of 1,000,000',
        target  => 1200,
        keys    => $KEYS,
        request => $key->(100),
        full    => 1,
    },
    {   %$api_key,
        name    => 'key, first seen, of 20,000',
        target  => 3500,
        keys    => 20_000,
        request => $key->(20_000),
    },
    {   %$api_key,
        name    => 'key, first seen, of 1,000,000',
        target  => 3500,
        keys    => $KEYS,
        request => $key->($KEYS),
        full    => 1,
    },
    {   %$refused,
        name    => 'key, unknown (401)',
        request => $key->($KEYS, $KNOWN),
    },
    {   %$refused,
        name    => 'key, unknown (401), of 10',
        keys    => 10,
        request => $key->($KEYS, $KNOWN),
    },
    {   %$refused,
        name    => 'key, unknown (401), of 1,000,000',
        keys    => $KEYS,
        request => $key->($KEYS, $KNOWN),
        full    => 1,
    },
    {   %$refused,
        name    => 'key, malformed (401)',
        request => $malformed,
    },
    {   %$refused,
        name    => 'key, missing (401)',
        shape   => 'missing',
        request => $missing,
    },

    # jwt: without auth_jwt_cache each request is as if its token was first seen

    {   $jwt->('HS256'),
        name    => 'jwt, HS256, first seen',
        compare => 'ep',
        target  => 100_000,
    },
    {   $jwt->('RS256'),
        name    => 'jwt, RS256, first seen',
        compare => 'ep',
    },
    {   $jwt->('ES256'),
        name    => 'jwt, ES256, first seen',
        compare => 'ep',
    },
    {   $jwt->('Ed25519'),
        name    => 'jwt, Ed25519, first seen',
        compare => 'ep',
    },
    {   $jwt->('RS256'),
        name    => 'jwt, RS256, seen before, consumer and plan',
        compare => 'ep',
        target  => 3500,
        config  => "$seen $identity",
    },
    {   $jwt->('ES256'),
        name    => 'jwt, ES256, seen before, consumer and plan',
        target  => 3500,
        config  => "$seen $identity",
    },
    {   $jwt->('ES256'),
        name    => 'jwt, ES256, seen before, scope and rule',
        target  => 3500,
        config  => "$seen auth_jwt_scope orders:read;
                    auth_jwt_require_claim azp eq orders-web;",
    },
    {   $jwt->('ES256', $signer{ES256}->sign({ %$claims,
                                               exp => time - 9 })),
        name    => 'jwt, expired (401)',
        status  => 401,
        probe   => ['$jwt_consumer', qr/^$/],
        shape   => 'jwt-expired',
    },
    {   $jwt->('ES256'),
        name    => 'jwt, unknown keys, each another (401)',
        compare => 'e',
        status  => 401,
        probe   => ['$jwt_status', qr/^key$/],
        shape   => 'jwt-unknown',
        request => $unknown,
    },
    {   $jwt->('ES256'),
        name    => 'jwt, missing (401)',
        status  => 401,
        probe   => ['$jwt_consumer', qr/^$/],
        shape   => 'missing',
        request => $missing,
    },

    # usage

    {   %$usage,
        name   => 'usage: rate + quota',
        target => 1500,
        http   => "$usage_zone api_plan pro { $rate $month }",
    },
    {   %$usage,
        name   => 'usage: rate + two quotas',
        target => 1500,
        http   => "$usage_zone api_plan pro { $rate $day $month }",
    },
    {   %$usage,
        name    => 'usage: rate + two quotas, 10,000 callers',
        target  => 1500,
        http    => "$usage_zone api_plan pro { $rate $day $month }",
        request => $caller->(10_000),
        fill    => 10_000,
    },

    {   %$usage,
        name   => 'usage: rate + two quotas, RateLimit headers',
        target => 2000,
        http   => "$usage_zone api_plan pro { $rate $day $month }",
        config => 'api_usage zone=usage plan=pro consumer=$http_x_caller;',
    },

    # version

    {   name    => 'add_header: the four fields of the next row',
        config  => 'add_header X-API-Version v1;
                    add_header Deprecation @1735689600;
                    add_header Sunset "Thu, 01 Jan 2099 00:00:00 GMT";
                    add_header Link "</orders/v2/items>;
                                     rel=\\"successor-version\\"";',
        shape   => 'path',
        request => sub { return ('/orders/v1/items', '') },
    },
    {   %$by_path,
        name    => 'version by path',
        target  => 800,
    },
    {   %$by_path,
        name    => 'version by path, one field',
        target  => 800,
        request => sub { return ('/orders/v2/items', '') },
        probe   => ['$api_version', qr/^v2$/],
    },
    {   %$version,
        name    => 'version by header',
        target  => 800,
        http    => "api orders { $versions select header=X-API-Version; }",
        shape   => 'header',
        request => sub { return ('/orders/items', "X-API-Version: v1\r\n") },
    },
    {   %$version,
        name    => 'version by Accept',
        target  => 800,
        http    => "api orders { $versions
                    select accept=application/vnd.acme.orders; }",
        shape   => 'accept',
        request => sub {
            return ('/orders/items', 'Accept: application/vnd.acme.orders.v1'
                                     . "+json, application/json;q=0.5\r\n");
        },
    },
    {   %$by_path,
        name    => 'version by path, counted',
        target  => 1300,
        http    => "$version_zone; $by_path->{http}",
    },
    {   %$by_path,
        name    => 'version by path, counted by caller',
        target  => 1500,
        http    => "$version_zone by=\$http_user_agent; $by_path->{http}",
    },

    # together

    {   %$chain,
        name   => 'all modules loaded, none used',
        http   => '',
        config => '',
        proxy  => undef,
        probe  => undef,
    },
    {   %$chain,
        name     => 'all modules used, but not in this location',
        config   => '',
        location => '/',
        proxy    => undef,
        probe    => undef,
        server   => "location /used/ { $chain->{config} empty_gif; }",
    },
    {   %$chain,
        name    => 'key + plan + version',
        compare => 'ep',
        target  => 4000,
        config  => 'api_publish orders;
                   auth_api_key zone=keys;
                   api_usage_headers off;
                   api_usage zone=usage plan=$api_key_plan
                   consumer=$api_key_consumer;',
    },
    {   %$chain,
        name   => 'key + plan + version + throttle, all headers',
        target => 5000,
    },
);


# Lists of keys, as other modules want them in the configuration.

for my $row (grep { $_->{map} } @rows) {
    my %lists = (MAP => '', LUA => '', JS => '');

    for my $i (0 .. $row->{map} - 1) {
        my ($text, $who) = (Keys::key($i), sprintf 'consumer-%07d', $i);
        $lists{MAP} .= "$text $who;\n";
        $lists{LUA} .= "keys[\"$text\"] = \"$who\"\n";
        $lists{JS} .= "\"$text\": \"$who\",\n";
    }

    my $files = $row->{files} // {};

    for my $text ($row->{http}, values %$files) {
        $text =~ s/%(MAP|LUA|JS)%/$lists{$1}/;
    }
}


return @rows;
