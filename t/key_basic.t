# An API key is asked for, found and known as variables; refusals say why; it
# composes with satisfy, auth_basic, auth_request, limit_except and redirects.

use Test::Nginx::Socket 'no_plan';

use File::Temp ();

our $dir = File::Temp::tempdir(CLEANUP => 1);

chmod 0755, $dir;
mkdir "$dir/keys";
chown((getpwnam('nobody'))[2, 3], "$dir/keys") if $> == 0;

sub create {
    my @args = map { "'$_'" } @_;
    my $apigw = $ENV{APIGW_CLI} || "$ENV{TEST_NGINX_BUILD}/apigw";

    chomp(my $key = `$apigw key create --store $dir/keys @args 2>/dev/null`);
    die "no key was made\n" if $? || !$key;

    return $key;
}

our $key = create(qw(--id joe-1 --consumer joe --plan pro --name), 'A name',
                  qw(--scope b --scope a --label tier=gold --label region=eu),
                  qw(--expires 2099-01-01 --rate 5r/s --burst 7),
                  qw(--quota 1000/day --quota 5/month));
our $bare = create(qw(--id ann-1 --consumer ann));

our $wrong = substr($key, 0, -1) . (substr($key, -1) eq 'a' ? 'b' : 'a');
our $unknown = 'x' x 40;

$ENV{TEST_NGINX_KEYS} = "$dir/keys";

our $http = <<'_EOC_';
    auth_api_key_zone zone=keys:1m store=$TEST_NGINX_KEYS;
_EOC_

our $config = <<'_EOC_';
    add_header X-Who "$api_key_id|$api_key_consumer|$api_key_plan" always;
    add_header X-Status "$api_key_status" always;

    location / {
        auth_api_key zone=keys;
        empty_gif;
    }

    location /all {
        auth_api_key zone=keys;
        empty_gif;
        add_header X-Name "$api_key_name|$api_key_scopes|$api_key_expires";
        add_header X-Limits "$api_key_rate|$api_key_burst|$api_key_quota";
        add_header X-Labels "$api_key_label_tier|$api_key_label_region";
        add_header X-None "$api_key_label_none";
    }

    location /optional {
        auth_api_key zone=keys optional;
        empty_gif;

        location /optional/off {
            auth_api_key off;
            empty_gif;
        }
    }

    location /realm {
        auth_api_key zone=keys;
        auth_api_key_realm "the shop";
        auth_api_key_message missing "Get a key at https://$host/keys.";
        empty_gif;
    }

    location /any {
        satisfy any;
        deny all;
        auth_api_key zone=keys;
        empty_gif;
    }

    location /either {
        satisfy any;
        auth_basic shop;
        auth_basic_user_file passwd;
        auth_api_key zone=keys;
        empty_gif;
    }

    location /both {
        auth_basic shop;
        auth_basic_user_file passwd;
        auth_api_key zone=keys;
        empty_gif;
    }

    location /allowed {
        satisfy any;
        allow all;
        auth_api_key zone=keys;
        empty_gif;
    }

    location /denied {
        deny all;
        auth_api_key zone=keys;
        empty_gif;
    }

    location /asked {
        auth_api_key zone=keys;
        auth_request /ask;
        empty_gif;
    }

    location = /ask {
        internal;
        if ($api_key_consumer != joe) {
            return 403;
        }
        return 204;
    }

    location /write {
        empty_gif;
        limit_except GET {
            auth_api_key zone=keys;
        }
    }

    location /tried {
        auth_api_key zone=keys;
        try_files /nothing /tried2;
    }

    location /tried2 {
        auth_api_key zone=keys;
        error_page 404 = @named;
        try_files /nothing =404;
    }

    location @named {
        auth_api_key zone=keys;
        empty_gif;
    }

    location /page {
        auth_api_key zone=keys;
        error_page 401 /sorry.html;
        empty_gif;
    }

    location = /sorry.html {
        auth_api_key off;
    }

    location /early {
        auth_api_key zone=keys;
        if ($api_key_plan = pro) {
            return 204;
        }
        return 205;
    }

    location /mirrored {
        auth_api_key zone=keys;
        mirror /off;
        empty_gif;
    }

    location /off {
        empty_gif;
    }
_EOC_

our $files = ">>> sorry.html\nsorry\n";

log_level('info');
no_root_location();
no_shuffle();
run_tests();

__DATA__

=== no key: 401 with a challenge and a problem document
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /
--- error_code: 401
--- response_headers
Content-Type: application/problem+json
WWW-Authenticate: ApiKey realm="api"
X-Status: missing
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An API key is required."}



=== a valid key, and who it is
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /", "HEAD /", "OPTIONS /off", "GET /"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::key", "", "x-api-key: $::bare"]
--- error_code eval
[200, 200, 405, 200]
--- response_headers eval
["X-Who: joe-1|joe|pro
X-Status: ok
! WWW-Authenticate",
"X-Who: joe-1|joe|pro", "X-Who: ||", "X-Who: ann-1|ann|"]



=== a preflight is asked for a key as well
--- http_config eval: $::http
--- config eval: $::config
--- request
OPTIONS /
--- error_code: 401



=== all that is known
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /all", "GET /all"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::bare"]
--- response_headers eval
["X-Name: A name|a b|4070908800
X-Limits: 5r/s|7|1000/day,5/month
X-Labels: gold|eu
! X-None",
"X-Name: ||
X-Limits: ||
X-Labels: |
! X-None"]



=== malformed and unknown keys
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /", "GET /", "GET /", "GET /", "HEAD /"]
--- more_headers eval
["X-API-Key: $::wrong", "X-API-Key: $::unknown", "X-API-Key: short",
 "X-API-Key: " . 'x' x 513, "X-API-Key: $::unknown"]
--- error_code eval
[401, 401, 401, 401, 401]
--- response_headers eval
["X-Status: malformed", "X-Status: unknown", "X-Status: malformed",
 "X-Status: malformed",
 "X-Status: unknown
Content-Type: application/problem+json"]
--- response_body_like eval
["The API key is malformed", "The API key is unknown",
 "The API key is malformed", "The API key is malformed", "^\$"]



=== the same on one connection
--- http_config eval: $::http
--- config eval: $::config
--- pipelined_requests eval
["GET /", "GET /", "GET /off"]
--- more_headers eval
"X-API-Key: $::key"
--- response_headers eval
["X-Who: joe-1|joe|pro", "X-Who: joe-1|joe|pro", "X-Who: ||"]



=== optional and off
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /optional", "GET /optional", "GET /optional", "GET /optional/off",
 "GET /optional"]
--- more_headers eval
["", "X-API-Key: $::key", "X-API-Key: $::wrong", "X-API-Key: $::wrong",
 "X-API-Key: "]
--- error_code eval
[200, 200, 401, 200, 200]
--- response_headers eval
["X-Who: ||
X-Status: missing",
"X-Who: joe-1|joe|pro", "X-Who: ||", "X-Who: ||
! X-Status", "X-Status: missing"]



=== realm and texts
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /realm", "GET /realm"]
--- more_headers eval
["", "X-API-Key: $::unknown"]
--- error_code eval
[401, 401]
--- response_headers eval
['WWW-Authenticate: ApiKey realm="the shop"',
 'WWW-Authenticate: ApiKey realm="the shop"']
--- response_body_like eval
['"detail":"Get a key at https://localhost/keys."', "is unknown"]



=== satisfy any: one of them will do
--- http_config eval: $::http
--- config eval: $::config
--- user_files
>>> ../conf/passwd
joe:{PLAIN}secret
--- request eval
["GET /any", "GET /any", "GET /either", "GET /either", "GET /either",
 "GET /allowed", "GET /allowed"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::wrong", "X-API-Key: $::key",
 "Authorization: Basic am9lOnNlY3JldA==", "", "X-API-Key: $::wrong",
 "X-API-Key: $::key"]
--- error_code eval
[200, 401, 200, 200, 401, 200, 200]
--- response_headers eval
["X-Who: joe-1|joe|pro", "X-Who: ||", "X-Who: joe-1|joe|pro", "X-Who: ||",
 "Content-Type: application/problem+json", "X-Who: ||",
 "X-Who: joe-1|joe|pro"]



=== satisfy all: both are needed
--- http_config eval: $::http
--- config eval: $::config
--- user_files
>>> ../conf/passwd
joe:{PLAIN}secret
--- request eval
["GET /both", "GET /both", "GET /both", "GET /denied"]
--- more_headers eval
["X-API-Key: $::key", "Authorization: Basic am9lOnNlY3JldA==",
 "X-API-Key: $::key\nAuthorization: Basic am9lOnNlY3JldA==",
 "X-API-Key: $::key"]
--- error_code eval
[401, 401, 200, 403]



=== auth_request sees who it is
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /asked", "GET /asked", "GET /asked"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::bare", ""]
--- error_code eval
[200, 403, 401]



=== limit_except
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /write", "POST /write", "POST /write"]
--- more_headers eval
["", "", "X-API-Key: $::key"]
--- error_code eval
[200, 401, 404]



=== internal redirects keep the identity, and an error page its status
--- http_config eval: $::http
--- config eval: $::config
--- user_files eval: $::files
--- request eval
["GET /tried", "GET /tried", "GET /page", "GET /mirrored"]
--- more_headers eval
["X-API-Key: $::key", "", "", "X-API-Key: $::key"]
--- error_code eval
[200, 401, 401, 200]
--- response_headers eval
["X-Who: joe-1|joe|pro", "X-Who: ||",
 'Content-Type: text/html
WWW-Authenticate: ApiKey realm="api"', "X-Who: joe-1|joe|pro"]



=== an error page is not replaced by the problem document
--- http_config eval: $::http
--- config eval: $::config
--- user_files eval: $::files
--- request
GET /page
--- error_code: 401
--- response_body
sorry



=== variables before the check
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /early", "GET /early", "GET /early"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::bare", "X-API-Key: $::unknown"]
--- error_code eval
[204, 205, 205]



=== nothing logs a key
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /", "GET /"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::unknown"]
--- error_code eval
[200, 401]
--- no_error_log eval
[$::key, $::unknown, "[error]"]
