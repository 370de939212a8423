# The key is found in each source and goes no further: nothing that runs later
# and no upstream sees it.

use Test::Nginx::Socket 'no_plan';

use File::Temp ();

our $dir = File::Temp::tempdir(CLEANUP => 1);

chmod 0755, $dir;
mkdir "$dir/keys";
chown((getpwnam('nobody'))[2, 3], "$dir/keys") if $> == 0;

our $apigw = $ENV{APIGW_CLI} || "$ENV{TEST_NGINX_BUILD}/apigw";

our ($key, $other) = map {
    my @args = ("--store $dir/keys", "--id $_-1", "--consumer $_");
    my $made = `$apigw key create @args 2>&1`;
    $made =~ /^(ak_\w+)$/m ? $1 : undef;
} qw(joe ann);

die "no key was made\n" if !$key || !$other;

# a key made elsewhere, with characters that a query has to escape

our $foreign = 'made/elsewhere+and%more';

open my $import, '|-', "$apigw key import --store $dir/keys >$dir/import 2>&1"
    or die "import: $!\n";
print $import qq({"key":"$foreign","id":"old-1","consumer":"old"}\n);
close $import or die "the key was not imported\n";

$ENV{TEST_NGINX_KEYS} = "$dir/keys";

our $http = <<'_EOC_';
    auth_api_key_zone zone=keys:1m store=$TEST_NGINX_KEYS;

    server {
        listen $TEST_NGINX_PORT_BACK;

        location / {
            add_header X-Uri $request_uri;
            add_header X-Key "$http_x_api_key";
            add_header X-Other "$http_x_other$http_z";
            add_header X-Cookie $http_cookie;
            add_header X-Authorization $http_authorization;
            empty_gif;
        }
    }

    server {
        listen $TEST_NGINX_PORT_MIRROR;

        location / {
            # the error log tells what came

            root html/mirror-$http_x_api_key$arg_api_key;
        }
    }
_EOC_

$ENV{TEST_NGINX_PORT_BACK} = server_port() + 1;
$ENV{TEST_NGINX_PORT_MIRROR} = server_port() + 2;

our $config = <<'_EOC_';
    add_header X-Who "$api_key_id" always;
    add_header X-Status "$api_key_status" always;

    auth_api_key zone=keys;

    location / {
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /every {
        auth_api_key_source header=X-API-Key bearer query=api_key cookie=key
                            $arg_v;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /keep {
        auth_api_key_source header=X-API-Key bearer query=api_key cookie=key;
        auth_api_key_strip off;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /changed/ {
        auth_api_key_source query=api_key;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK/new/;
    }

    location /variable/ {
        auth_api_key_source query=api_key;
        set $back 127.0.0.1:$TEST_NGINX_PORT_BACK;
        proxy_pass http://$back;
    }

    location /cached {
        auth_api_key_source header=X-API-Key bearer query=api_key cookie=key;

        set $seen "$request_uri$args$query_string$is_args$arg_api_key";
        set $seen "$http_x_api_key$http_cookie$cookie_key$http_authorization";

        if ($request_uri ~ nothing) {
            return 404;
        }

        proxy_set_header X-Other "$http_x_api_key,$http_cookie,$cookie_key";
        proxy_set_header Z "$http_authorization,$query_string,$arg_api_key";
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK$request_uri;
    }

    location = /cached/args {
        auth_api_key_source query=api_key;

        set $seen "$request_uri$args$query_string$is_args$arg_api_key";

        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK/a$is_args$args;
    }

    location /line {
        auth_api_key_source query=api_key query=k;

        set $seen $request;

        add_header X-Who "$api_key_id" always;
        add_header X-Line "$request" always;
        empty_gif;
    }

    location /refused {
        auth_api_key_source query=api_key;
        proxy_pass http://127.0.0.1:1;
    }

    location /broken {
        auth_api_key_source $realpath_root;
        root nowhere;
        empty_gif;
    }

    location /rewritten {
        auth_api_key_source query=api_key;
        rewrite ^ /else?b=2 break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /bearer {
        auth_api_key_source bearer;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /any {
        satisfy any;
        allow all;
        auth_api_key_source header=X-API-Key query=api_key;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /asked {
        auth_request /ask;
        auth_request_set $seen $upstream_http_x_key;
        auth_request_set $args_seen $upstream_http_x_uri;
        auth_api_key_source header=X-API-Key query=api_key;
        add_header X-Seen "$seen|$args_seen";
        mirror /mirror;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /ask {
        internal;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }

    location /mirror {
        internal;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_MIRROR;
        proxy_set_header X-Kept $http_z;
    }

    location /redirected {
        auth_api_key_source query=api_key;
        error_page 418 = @other;
        try_files /nothing =418;
    }

    location @other {
        auth_api_key_source header=X-Other-Key;
        proxy_pass http://127.0.0.1:$TEST_NGINX_PORT_BACK;
    }
_EOC_

log_level('info');
no_root_location();
no_shuffle();
run_tests();

__DATA__

=== a header, wherever it stands
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a", "GET /a", "GET /a", "GET /a"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: $::key\nZ: 1", "Z: 1\nX-API-Key: $::key",
 CORE::join("\n", map({ "A$_: 1" } 1 .. 21), "X-API-Key: $::key", "Z: 1",
            map({ "B$_: 1" } 1 .. 30), "X-API-Key: $::key", "X-Other: 2")]
--- response_headers eval
["X-Who: joe-1
! X-Key", "X-Who: joe-1
! X-Key
X-Other: 1", "X-Who: joe-1
! X-Key
X-Other: 1", "X-Who: joe-1
! X-Key
X-Other: 21"]



=== the last header of a part, and the only one of the next
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a", "GET /a", "GET /a"]
--- more_headers eval
[map { my $n = $_; CORE::join("\n", map({ "A$_: 1" } 1 .. $n), "X-API-Key: $::key") }
     17, 18, 19]
--- response_headers eval
["X-Who: joe-1
! X-Key", "X-Who: joe-1
! X-Key", "X-Who: joe-1
! X-Key"]



=== bearer, with our prefix only
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /bearer", "GET /bearer", "GET /bearer", "GET /bearer", "GET /bearer"]
--- more_headers eval
["Authorization: Bearer $::key", "Authorization: bearer  $::key",
 "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
 "Authorization: Basic abcdefghijklmnopqrstuvwxyz",
 "Authorization: Bearer ak_abcdefghijklmnopqrstuvwxyz"]
--- error_code eval
[200, 200, 401, 401, 401]
--- response_headers eval
["X-Who: joe-1
! X-Authorization", "X-Who: joe-1
! X-Authorization",
'X-Status: missing
WWW-Authenticate: Bearer realm="api"', "X-Status: missing",
'X-Status: malformed
WWW-Authenticate: Bearer realm="api", error="invalid_token"']



=== bearer, with other white space
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every", "GET /every", "GET /every", "GET /every"]
--- more_headers eval
["Authorization: Bearer\t$::key", "Authorization: \tBearer \t$::key",
 "Authorization: Bearer\t$::other\nX-API-Key: $::key",
 "Authorization: Bearer$::other\nX-API-Key: $::key"]
--- error_code eval
[200, 200, 401, 200]
--- response_headers eval
["X-Who: joe-1
! X-Authorization", "X-Who: joe-1
! X-Authorization", "X-Status: conflict", "X-Authorization: Bearer$::other"]



=== somebody else's Authorization is left alone
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /every
--- more_headers eval
"X-API-Key: $::key\nAuthorization: Bearer abc.def.ghi"
--- response_headers
X-Who: joe-1
X-Authorization: Bearer abc.def.ghi



=== a query argument, from every place of the query
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every?api_key=$::key", "GET /every?a=1&api_key=$::key",
 "GET /every?api_key=$::key&a=1", "GET /every?a=1&api_key=$::key&&b=%20#x",
 "GET /every%2Fx?api_key=$::key&api_key=$::key",
 "GET /every?xapi_key=1&api_keyx&api_key=$::key&api_key&API_KEY=2"]
--- response_headers eval
["X-Who: joe-1
X-Uri: /every", "X-Uri: /every?a=1", "X-Uri: /every?a=1",
"X-Uri: /every?a=1&&b=%20#x", "X-Who: joe-1
X-Uri: /every%2Fx", "X-Uri: /every?xapi_key=1&api_keyx&API_KEY=2"]



=== the name of a query argument may be escaped
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every?%61pi_key=$::key&a=1", "GET /every?a=1&api%5fke%79=$::other",
 "GET /every?api_key=$::key&%61pi_key=$::key&%61=%7A",
 "GET /every?api%2_key=1&api+key=2&%2561pi_key=3"]
--- more_headers eval
["", CORE::join(": ", "X-API-Key", $::key), "",
 CORE::join(": ", "X-API-Key", $::key)]
--- error_code eval
[200, 401, 200, 200]
--- response_headers eval
["X-Who: joe-1
X-Uri: /every?a=1", "X-Status: conflict", "X-Uri: /every?%61=%7A",
"X-Uri: /every?api%2_key=1&api+key=2&%2561pi_key=3"]



=== a query argument that is escaped
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /every?api_key=made%2felsewhere%2Band%25more&z
--- response_headers
X-Who: old-1
X-Uri: /every?z



=== however the URI for the upstream is made
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /changed/a%2Fb?api_key=$::key&c=1", "GET /changed/?api_key=$::key",
 "GET /variable/a%2Fb?api_key=$::key&c=1", "GET /rewritten?api_key=$::key&c=1"]
--- response_headers eval
["X-Uri: /new/a/b?c=1", "X-Uri: /new/", "X-Uri: /variable/a%2Fb?c=1",
 "X-Uri: /else?b=2&c=1"]



=== variables that were asked for before
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /cached?api_key=$::key&a=1", "GET /cached/args?api_key=$::key",
 "GET /cached?a=1", "GET /cached?a=1", "GET /cached?a=1"]
--- more_headers eval
["X-API-Key: $::key\nAuthorization: Bearer $::key\nCookie: key=$::key; b=2",
 "", "X-API-Key: $::key", "Authorization: Bearer $::key\nCookie: b=2",
 "Cookie: key=$::key"]
--- response_headers eval
["X-Who: joe-1
X-Uri: /cached?a=1
X-Other: ,b=2,,a=1,", "X-Who: joe-1
X-Uri: /a", "X-Uri: /cached?a=1
X-Other: ,,,a=1,", "X-Other: ,b=2,,a=1,", "X-Other: ,,,a=1,"]



=== the request line
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /line?api_key=$::key&a=1", "GET /line?a=/line?&api_key=$::key",
 "GET //line?%61pi_key=$::key#?b", "GET /line?k=$::key&api_key=$::key&k",
 "GET /line?a=1", "GET /line"]
--- error_code eval
[200, 200, 200, 200, 401, 401]
--- response_headers eval
["X-Line: GET /line?a=1 HTTP/1.1", "X-Line: GET /line?a=/line? HTTP/1.1",
 "X-Line: GET //line HTTP/1.1", "X-Line: GET /line HTTP/1.1",
 "X-Line: GET /line?a=1 HTTP/1.1", "X-Line: GET /line HTTP/1.1"]



=== the request line with a host
--- http_config eval: $::http
--- config eval: $::config
--- raw_request eval
"POST http://h:1/line?api_key=$::key&a=1  HTTP/1.0\r\n\r\n"
--- error_code: 405
--- response_headers
X-Who: joe-1
X-Line: POST http://h:1/line?a=1  HTTP/1.0



=== the request line of HTTP/2
--- http_config eval: $::http
--- config eval: $::config
--- http2
--- request eval
"GET /line?b=%20&api_key=$::key&a=1"
--- response_headers
X-Who: joe-1
X-Line: GET /line?b=%20&a=1 HTTP/2.0



=== a request without headers
--- http_config eval: $::http
--- config eval: $::config
--- raw_request eval
"GET /refused?api_key=$::key&a=1\r\n"
--- ignore_response
--- error_log
request: "GET /refused?a=1", upstream
--- no_error_log eval
[$::key]



=== the error log does not quote the key
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /refused?a=1&api_key=$::key"
--- error_code: 502
--- error_log
request: "GET /refused?a=1 HTTP/1.1", upstream
--- no_error_log eval
[$::key]



=== a cookie
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every", "GET /every", "GET /every", "GET /every", "GET /every"]
--- more_headers eval
["Cookie: key=$::key", "Cookie: a=1; key=$::key; b=2", "Cookie: key=$::key;a=1",
 qq(Cookie: xkey=1; a; key = "$::key"), "Cookie: key=$::key\nCookie: a=1"]
--- response_headers eval
["X-Who: joe-1
! X-Cookie", "X-Who: joe-1
X-Cookie: a=1; b=2", "X-Who: joe-1
X-Cookie: a=1", "X-Who: joe-1
X-Cookie: xkey=1; a", "X-Who: joe-1
X-Cookie: a=1"]



=== a cookie behind a comma
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every", "GET /every", "GET /every"]
--- more_headers eval
["Cookie: a=b, key=$::key; c=d", "Cookie: a=b,key=$::other\nX-API-Key: $::key",
 "Cookie: a=b, c=d\nX-API-Key: $::key"]
--- error_code eval
[200, 401, 200]
--- response_headers eval
["X-Who: joe-1
X-Cookie: a=b; c=d", "X-Status: conflict", "X-Cookie: a=b, c=d"]



=== a variable
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /every?v=$::key"
--- response_headers
X-Who: joe-1



=== a variable that has no value because of an error
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /broken
--- error_code: 500
--- error_log
realpath() "



=== the same key in several places is one key, two keys are none
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /every?api_key=$::key", "GET /every?api_key=$::key",
 "GET /every?api_key=$::key&api_key=$::other", "GET /every?api_key=x"]
--- more_headers eval
["X-API-Key: $::key\nCookie: key=$::key", "X-API-Key: $::other", "",
 "X-API-Key: $::key"]
--- error_code eval
[200, 401, 401, 401]
--- response_headers eval
["X-Uri: /every
! X-Key
! X-Cookie", "X-Status: conflict", "X-Status: conflict", "X-Status: conflict"]



=== only the sources of the location count
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a?api_key=$::key", "GET /bearer"]
--- more_headers eval
["Cookie: key=$::key", "X-API-Key: $::key"]
--- error_code eval
[401, 401]



=== strip off
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /keep?api_key=$::key"
--- more_headers eval
"X-API-Key: $::key\nCookie: key=$::key\nAuthorization: Bearer $::key"
--- response_headers eval
"X-Who: joe-1
X-Uri: /keep?api_key=$::key
X-Key: $::key
X-Cookie: key=$::key
X-Authorization: Bearer $::key"



=== satisfy any granted before: the key goes no further all the same
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /any?api_key=$::key", "GET /any?api_key=wrong"]
--- more_headers eval
["X-API-Key: $::key", "X-API-Key: wrong"]
--- response_headers eval
["X-Who: joe-1
X-Uri: /any
! X-Key", "X-Who: 
X-Uri: /any
! X-Key"]



=== auth_request and mirror do not see it
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /asked?api_key=$::key&a=1"
--- more_headers eval
"X-API-Key: $::key\nZ: 1"
--- response_headers
X-Seen: |/ask
X-Uri: /asked?a=1
! X-Key
--- error_log
html/mirror-/mirror"
--- no_error_log eval
[$::key]



=== removed before a redirect to where another source is read
--- http_config eval: $::http
--- config eval: $::config
--- request eval
"GET /redirected?api_key=$::key&a=1"
--- response_headers
X-Who: joe-1
X-Uri: /redirected?a=1
