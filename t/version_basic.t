# Versions: found in the path, a header, Accept, the query, the host and a
# variable; the response headers byte for byte; refusals and variables.

use Test::Nginx::Socket 'no_plan';

repeat_each(1);
no_shuffle();
log_level('info');

our $http = <<'_EOC_';
    upstream one   { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    upstream two   { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    upstream three { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }

    api orders {
        version v0 upstream=one deprecated=2019-01-01 sunset=2020-01-01T12:30:00Z successor=v1;
        version v1 upstream=one deprecated=2026-06-01 sunset=2099-06-01 successor=v2 link=https://example.org/v1;
        version v2 upstream=two default;
        version v3 upstream=three status=preview;
        select path header=X-API-Version accept=application/vnd.acme.orders query=version $http_x_other;
    }

    api places {
        version v1 upstream=one;
        version v2.1 upstream=two;
        select host=*.api.test $http_x_place;
        fallback reject;
        version_header Api-Version;
    }

    api plain {
        version 1 upstream=one sunset=2099-01-01;
        version 2 upstream=two default deprecated=2020-01-01;
        select query=v on_conflict=first header=X-V;
        version_header off;
    }

    map $api_version $mapped { default no; v1 one; v2 two; }

    # the upstreams: proxy_pass sends their names as Host
    server {
        listen $TEST_NGINX_SERVER_PORT;
        server_name one two three;
        location / { return 200 "$host $request_uri\n"; }
    }
_EOC_

our $config = <<'_EOC_';
    add_header X-Api "$api_name $api_version $api_upstream $api_version_source $api_version_status $api_path" always;
    add_header X-Map $mapped;

    location /orders/ {
        api_publish orders;
        proxy_pass http://$api_upstream;
    }

    location /gif/ {
        api_publish orders;
        empty_gif;
    }

    location /places/ {
        api_publish places;
        empty_gif;
    }

    location /plain {
        api_publish plain;
        empty_gif;
    }

    location /none {
        empty_gif;
    }

    location = /catalog {
        api_catalog;
    }
_EOC_

no_long_string();
run_tests();

__DATA__

=== the path, and what a deprecated version says
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /orders/v1/items?x=1
--- response_headers
Deprecation: @1780272000
Sunset: Mon, 01 Jun 2099 00:00:00 GMT
Link: <https://example.org/v1>; rel="deprecation", <https://example.org/v1>; rel="sunset", </orders/v2/items?x=1>; rel="successor-version"
X-API-Version: v1
Vary: X-API-Version, Accept, X-Other
X-Api: orders v1 one path deprecated /orders/items
--- response_body
one /orders/items?x=1


=== a current version says its number and no more
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /orders/v2/items
--- response_headers
! Deprecation
! Sunset
! Link
X-API-Version: v2
X-Api: orders v2 two path current /orders/items
--- response_body
two /orders/items


=== headers go out byte for byte
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /gif/v1/a
--- raw_response_headers_like: \r\nX-API-Version: v1\r\nDeprecation: @1780272000\r\nSunset: Mon, 01 Jun 2099 00:00:00 GMT\r\nLink: <https://example\.org/v1>; rel="deprecation", <https://example\.org/v1>; rel="sunset", </gif/v2/a>; rel="successor-version"\r\nX-Api: 


=== the header
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /orders/a", "GET /orders/a", "GET /orders/a", "GET /orders/a"]
--- more_headers eval
["X-API-Version: v1", "x-api-version: 1", "X-API-Version: V3", "X-API-Version:"]
--- response_headers eval
["X-Api: orders v1 one header deprecated /orders/a
Vary: X-API-Version, Accept, X-Other",
"X-Api: orders v1 one header deprecated /orders/a",
"X-Api: orders v3 three header preview /orders/a
Vary: X-API-Version, Accept, X-Other",
"X-Api: orders v2 two default current /orders/a
Vary: X-API-Version, Accept, X-Other"]
--- response_body eval
["one /orders/a\n", "one /orders/a\n", "three /orders/a\n", "two /orders/a\n"]


=== the same header twice is fine, unless it disagrees
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/a", "GET /gif/a", "GET /gif/a"]
--- more_headers eval
["X-API-Version: v1\r\nX-API-Version: 1", "X-API-Version: v1\r\nX-API-Version: v2", "X-API-Version: v1, v1"]
--- error_code eval
[200, 400, 404]


=== Accept: versions in the subtype and as a parameter, weights
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[("GET /gif/a") x 10]
--- more_headers eval
["Accept: application/vnd.acme.orders.v1+json",
 "Accept: application/vnd.acme.orders+json;version=1",
 "Accept: application/vnd.acme.orders+json; version=\"v3\", */*",
 "Accept: application/vnd.acme.orders.v1+json;q=0.5, application/vnd.acme.orders.v3+json;q=0.6",
 "Accept: application/vnd.acme.orders.v1;q=0, application/vnd.acme.orders.v3;q=0.001",
 "Accept: application/vnd.acme.orders.v1;q=0.5\r\nAccept: application/vnd.acme.orders.v3",
 "Accept: application/vnd.acme.orders.v9+json, application/vnd.acme.orders.v1+json;q=0.1",
 "Accept: application/vnd.acme.orders+json, application/vnd.acme.orders.v1+json;q=0.9",
 "Accept: application/vnd.acme.orders.list+json",
 "Accept: */*"]
--- response_headers eval
["X-Api: orders v1 one accept deprecated /gif/a\nVary: X-API-Version, Accept, X-Other",
 "X-Api: orders v1 one accept deprecated /gif/a",
 "X-Api: orders v3 three accept preview /gif/a",
 "X-Api: orders v3 three accept preview /gif/a",
 "X-Api: orders v3 three accept preview /gif/a",
 "X-Api: orders v3 three accept preview /gif/a",
 "X-Api: orders v1 one accept deprecated /gif/a",
 "X-Api: orders v2 two default current /gif/a",
 "X-Api: orders v2 two default current /gif/a",
 "X-Api: orders v2 two default current /gif/a"]


=== Accept: the shortest that names the type, and what is shorter
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    api short {
        version v1 upstream=one;
        version v2 upstream=one default;
        select accept=application/x;
    }
--- config
    location /s/ {
        api_publish short;
        add_header X-Api "$api_version $api_version_source";
        empty_gif;
    }
--- request eval
[("GET /s/") x 6]
--- more_headers eval
["Accept: application/x.v1", "Accept: application/",
 "Accept: application/x.v1, application/x.v2",
 "Accept: application/x.v2;q=0.9,application/x.v1",
 "Accept: application/x.v1;q=0.5, application/x",
 "Accept: application/x.v1\r\nAccept: text/x"]
--- response_headers eval
["X-Api: v1 accept", "X-Api: v2 default", "X-Api: v1 accept",
 "X-Api: v1 accept", "X-Api: v2 default", "X-Api: v1 accept"]


=== Accept: a weight of zero is a version that is not wanted
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    api short {
        version v1 upstream=one deprecated=2020-01-01;
        version v2 upstream=one default;
        select path accept=application/x;
    }
    api first {
        version v1 upstream=one;
        version v2 upstream=one default;
        select path accept=application/x on_conflict=first;
    }
    api trial {
        version v1 upstream=one default;
        version v2 upstream=one canary=100%;
        select accept=application/x;
    }
--- config
    add_header X-Api "$api_version/$api_version_source" always;
    location /s/ { api_publish short; empty_gif; }
    location /f/ { api_publish first; empty_gif; }
    location /t/ { api_publish trial; empty_gif; }
--- request eval
[("GET /s/") x 7, "GET /s/v2/", "GET /s/v1/", "GET /f/v2/", "GET /f/",
 ("GET /t/") x 2]
--- more_headers eval
[map { "Accept: $_" } "application/x.v2;q=0",
 "application/x.v2;q=0, application/x.v1", "application/x.v1;q=0",
 "application/x;version=2;q=0.000, */*",
 "application/x.v2+json;q=0, application/x.v2+xml;q=0.1",
 "application/x.v9;q=0, application/x;q=0",
 "application/x.v1;q=0\r\nAccept: application/X.V2;Q=0.0",
 ("application/x.v2;q=0") x 4,
 "application/x.v2;q=0", "application/x.v1;q=0"]
--- error_code eval
[406, 200, 200, 406, 200, 200, 406, 406, 200, 200, 406, 200, 200]
--- response_headers eval
["! X-API-Version\nContent-Type: application/problem+json\nX-Api: /default\nVary: Accept",
 "X-Api: v1/accept", "X-Api: v2/default", "X-Api: /default",
 "X-Api: v2/accept", "X-Api: v2/default", "X-Api: /default",
 "X-Api: /path", "X-Api: v1/path", "X-Api: v2/path", "X-Api: /default",
 "X-Api: v1/default", "X-Api: v2/canary"]
--- response_body_like eval
[qr/^\{"type":"about:blank","title":"Not Acceptable","status":406,"detail":"Version \\"v2\\" is not accepted\.","api":"short","versions":\["v1","v2"\]\}$/,
 ("") x 12]


=== Accept: unknown versions and contradictions
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/a", "GET /gif/a", "GET /gif/a"]
--- more_headers eval
["Accept: application/vnd.acme.orders.v9+json",
 "Accept: application/vnd.acme.orders;version=9",
 "Accept: application/vnd.acme.orders.v1+json;version=2"]
--- error_code eval
[404, 404, 400]


=== the query
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/a?version=v1", "GET /gif/a?a=b&%76ersion=%31", "GET /gif/a?version=&c", "GET /gif/a?version=v1&version=v2", "GET /gif/a?version=9"]
--- error_code eval
[200, 200, 200, 400, 404]
--- response_headers eval
["X-Api: orders v1 one query deprecated /gif/a\nVary: X-API-Version, Accept, X-Other", "X-Api: orders v1 one query deprecated /gif/a", "X-Api: orders v2 two default current /gif/a", "", ""]


=== a variable
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/a", "GET /gif/a"]
--- more_headers eval
["X-Other: 1", "X-Other: 9"]
--- error_code eval
[200, 404]
--- response_headers eval
["X-Api: orders v1 one variable deprecated /gif/a", ""]


=== the host
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /places/a", "GET /places/a", "GET /places/a", "GET /places/a"]
--- more_headers eval
["X-Place: 1", "X-Place: 2.1", "", "X-Place: v2"]
--- error_code eval
[200, 200, 400, 404]
--- response_headers eval
["X-Api: places v1 one variable current /places/a\nApi-Version: v1\n! X-API-Version", "X-Api: places v2.1 two variable current /places/a", "", ""]


=== the first place wins, if it is said so; the answer tells no version
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /plain?v=1", "GET /plain?v=1", "GET /plain"]
--- more_headers eval
["X-V: 2", "X-V: 9", "X-V: 2"]
--- response_headers eval
["X-Api: plain 1 one query current /plain\n! X-API-Version\nSunset: Thu, 01 Jan 2099 00:00:00 GMT\n! Deprecation\n! Link",
 "X-Api: plain 1 one query current /plain\n! Vary",
 "X-Api: plain 2 two header deprecated /plain\nDeprecation: \@1577836800\n! Sunset\nVary: X-V"]


=== places that disagree
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/v1/a", "GET /gif/v1/a", "GET /gif/v1/a?version=1", "GET /gif/v1/a"]
--- more_headers eval
["X-API-Version: v2", "X-API-Version: v9", "X-API-Version: 1", "Accept: application/vnd.acme.orders.v3"]
--- error_code eval
[400, 400, 200, 400]
--- response_body_like eval
[qr!^\{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request names versions that disagree\.","api":"orders","versions":\["v1","v2","v3"\]\}$!, "", "GIF", ""]


=== an unknown version
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/v9/a", "GET /gif/V1/a", "GET /gif/v1.1/a", "GET /gif/vx/a", "HEAD /gif/v9/a"]
--- error_code eval
[404, 404, 404, 200, 404]
--- response_headers eval
["Content-Type: application/problem+json\n! X-API-Version\n! Deprecation", "", "", "X-Api: orders v2 two default current /gif/vx/a", "Content-Type: application/problem+json"]
--- response_body_like eval
[qr!^\{"type":"about:blank","title":"Not Found","status":404,"detail":"There is no version \\"v9\\"\.","api":"orders","versions":\["v1","v2","v3"\]\}$!, "", "", "GIF", qr/^$/]


=== what was asked for cannot break the document
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /gif/a
--- more_headers eval
"X-API-Version: \"\\\xff\x{01}"
--- error_code: 404
--- response_body_like: "detail":"There is no such version\."


=== no version, and none to fall back to
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /places/a
--- error_code: 400
--- response_body_like: ^\{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request names no version\.","api":"places","versions":\["v1","v2\.1"\]\}$


=== after the sunset
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /gif/v0/a%22b
--- error_code: 410
--- response_headers
Content-Type: application/problem+json
Deprecation: @1546300800
Sunset: Wed, 01 Jan 2020 12:30:00 GMT
Link: </gif/v1/a%22b>; rel="successor-version"
X-API-Version: v0
X-Api: orders v0  path sunset /gif/a%22b
--- response_body_like: ^\{"type":"about:blank","title":"Gone","status":410,"detail":"Version \\"v0\\" was retired on Wed, 01 Jan 2020 12:30:00 GMT\.","api":"orders","version":"v0","sunset":"2020-01-01T12:30:00Z","successor":"v1","successor_uri":"/gif/v1/a%22b"\}$


=== no API, no variables and no headers
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /none/v1/x
--- more_headers
X-API-Version: v9
--- response_headers
! X-API-Version
! Vary
X-Map: no
--- raw_response_headers_like: X-Api: +\r\n


=== a map of the version
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /gif/v1/a", "GET /gif/a", "GET /gif/v3/a"]
--- response_headers eval
["X-Map: one", "X-Map: two", "X-Map: no"]


=== the catalogue
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /catalog
--- response_headers
Content-Type: application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"
Link: </catalog>; rel="api-catalog"
--- response_body eval
'{"linkset":[{"anchor":"/catalog","item":['
. CORE::join(',', map { my $b = $_;
  qq({"href":"/$b/v0/","title":"orders v0","api":["orders"],"version":["v0"],"status":["sunset"],"deprecation":["2019-01-01T00:00:00Z"],"sunset":["2020-01-01T12:30:00Z"],"successor":["v1"]},)
. qq({"href":"/$b/v1/","title":"orders v1","api":["orders"],"version":["v1"],"status":["deprecated"],"deprecation":["2026-06-01T00:00:00Z"],"sunset":["2099-06-01T00:00:00Z"],"successor":["v2"]},)
. qq({"href":"/$b/v2/","title":"orders v2","api":["orders"],"version":["v2"],"status":["current"]},)
. qq({"href":"/$b/v3/","title":"orders v3","api":["orders"],"version":["v3"],"status":["preview"]}) } 'orders', 'gif')
. ',{"href":"//v1.api.test/places/","title":"places v1","api":["places"],"version":["v1"],"status":["current"]}'
. ',{"href":"//v2.1.api.test/places/","title":"places v2.1","api":["places"],"version":["v2.1"],"status":["current"]}'
. ',{"href":"/plain/?v=1","title":"plain 1","api":["plain"],"version":["1"],"status":["current"],"sunset":["2099-01-01T00:00:00Z"]}'
. ',{"href":"/plain/?v=2","title":"plain 2","api":["plain"],"version":["2"],"status":["deprecated"],"deprecation":["2020-01-01T00:00:00Z"]}'
. ']}'
. CORE::join('', map { my $b = $_;
  qq(,{"anchor":"/$b/v0/","successor-version":[{"href":"/$b/v1/"}]})
. qq(,{"anchor":"/$b/v1/","service-doc":[{"href":"https://example.org/v1"}],"deprecation":[{"href":"https://example.org/v1"}],"sunset":[{"href":"https://example.org/v1"}],"successor-version":[{"href":"/$b/v2/"}]}) } 'orders', 'gif')
. "]}\n"


=== the catalogue keeps the port that was asked for
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /catalog
--- more_headers
Host: localhost:8443
--- response_body_like: \{"href":"//v1\.api\.test:8443/places/","title":"places v1",


=== the catalogue is read only
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["HEAD /catalog", "POST /catalog"]
--- error_code eval
[200, 405]
--- response_body_like eval
[qr/^$/, "405"]


=== the catalogue of versions behind other segments
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }

    api deep {
        base /api;
        version v1 upstream=one;
        select path=3 header=V;
    }

    api both {
        version v1 upstream=one;
        select path=2 query=v;
    }
--- config
    location /api/ { api_publish deep; empty_gif; }
    location /b/ { api_publish both; empty_gif; }
    location = /catalog { api_catalog; }
--- request
GET /catalog
--- response_body eval
'{"linkset":[{"anchor":"/catalog","item":['
. '{"href":"/api/","title":"deep v1","api":["deep"],"version":["v1"],"status":["current"],"uri-template":["/api/{segment1}/{segment2}/v1/{+rest}"]},'
. '{"href":"/b/?v=v1","title":"both v1","api":["both"],"version":["v1"],"status":["current"],"uri-template":["/b/{segment1}/v1/{+rest}"]}'
. "]}]}\n"



=== the catalogue of versions that no URI can tell apart
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }

    api calls {
        version v1 upstream=one deprecated=2026-01-01 successor=v2;
        version v2 upstream=one default;
        select package;
    }

    api heads {
        version v1 upstream=one deprecated=2026-01-01 successor=v2 link=/why;
        version v2 upstream=one default;
        select header=V;
    }
--- config
    location /c/ { api_publish calls; empty_gif; }
    location /h/ { api_publish heads; empty_gif; }
    location = /catalog { api_catalog; if ($arg_x) { expires 1h; } }
--- request eval
['GET /catalog', 'GET /catalog?x=1']
--- response_headers eval
['! Expires', 'Cache-Control: max-age=3600']
--- response_body eval
[ ('{"linkset":[{"anchor":"/catalog","item":['
 . '{"href":"/c/","title":"calls v1","api":["calls"],"version":["v1"],"status":["deprecated"],"uri-template":["/c/{+package}v1.{+rest}"],"deprecation":["2026-01-01T00:00:00Z"],"successor":["v2"]},'
 . '{"href":"/c/","title":"calls v2","api":["calls"],"version":["v2"],"status":["current"],"uri-template":["/c/{+package}v2.{+rest}"]},'
. '{"href":"/h/","title":"heads v1","api":["heads"],"version":["v1"],"status":["deprecated"],"deprecation":["2026-01-01T00:00:00Z"],"successor":["v2"]},'
. '{"href":"/h/","title":"heads v2","api":["heads"],"version":["v2"],"status":["current"]}'
. ']},{"anchor":"/h/","service-doc":[{"href":"/why"}],"deprecation":[{"href":"/why"}]}'
. "]}\n") x 2 ]


=== the catalogue is where the client found it
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    api a { version v1 upstream=one; }
--- config
    location /a/ { api_publish a; empty_gif; }
    location ~ ^(/+\.well-known/api-catalog|/p/.*)$ { api_catalog; }
    location = /moved { rewrite ^ /p/x last; }
    location = /failed { error_page 404 = /p/x; }
--- request eval
['GET /.well-known/api-catalog?x', 'GET /p/a%22%3E%5C_b', 'GET /moved',
 'GET /failed', "GET //p//a HTTP/1.1", 'HEAD /.well-known/api-catalog',
 'GET http://localhost/p/a']
--- response_headers eval
[ map { qq(Link: <$_>; rel="api-catalog") } '/.well-known/api-catalog',
  '/p/a%22%3E%5C_b', '/moved', '/failed', '/p//a', '/.well-known/api-catalog',
  '/p/a' ]
--- response_body_like eval
[ (map { qr/^\{"linkset":\[\{"anchor":"\Q$_\E","item"/ }
     '/.well-known/api-catalog', '/p/a%22%3E%5C_b', '/moved', '/failed',
     '/p//a'), qr/^$/, qr/"anchor":"\/p\/a"/ ]


=== the catalogue is of no version itself
--- http_config
    upstream one { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }

    api over {
        version v1 upstream=one sunset=2020-01-01 default;
        select header=V;
    }
--- config
    api_publish over;
    add_header X-Api "$api_name $api_version" always;
    location = /x { empty_gif; }
    location = /catalog { api_catalog; }
--- request eval
['GET /x', 'GET /catalog']
--- error_code eval
[410, 200]
--- response_headers eval
['X-Api: over v1', '! X-API-Version']
