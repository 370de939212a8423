# Throttles: what is admitted and what a refusal looks like, header fields and
# variables, several zones at once, charged once whatever way a request takes.

use Test::Nginx::Socket 'no_plan';

repeat_each(1);
no_shuffle();
log_level('info');

our $http = <<'_EOC_';
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=2;
    api_throttle_zone $arg_k zone=b:64k rate=1r/h burst=3;
    api_throttle_zone "x${arg_k}$arg_l" zone=text:64k rate=0.5r/m;
    api_throttle_zone $arg_k zone=var:64k rate=$arg_r burst=4 default=2r/m;
    api_throttle_zone $arg_k zone=own:64k rate=$arg_r;
    api_throttle_zone $arg_k zone=mix:64k rate=${arg_r}r/h burst=4;

    add_header X-T
        "$api_throttle_status $api_throttle_limit $api_throttle_remaining"
        always;
    add_header X-Reset $api_throttle_reset always;
_EOC_

our $config = <<'_EOC_';
    location /a {
        api_throttle zone=a;
        empty_gif;
    }

    location /big {
        api_throttle zone=a burst=5;
        empty_gif;
    }

    location /cost {
        api_throttle zone=b cost=2;
        empty_gif;
    }

    location /var-cost {
        api_throttle zone=b cost=$arg_c;
        empty_gif;
    }

    location /both {
        api_throttle zone=a;
        api_throttle zone=b;
        empty_gif;
    }

    location /text {
        api_throttle zone=text;
        empty_gif;
    }

    location /var {
        api_throttle zone=var;
        empty_gif;
    }

    location /own {
        api_throttle zone=own;
        empty_gif;
    }

    location /mix {
        api_throttle zone=mix;
        empty_gif;
    }

    location /legacy {
        api_throttle zone=a;
        api_throttle zone=b;
        api_throttle_headers legacy;
        empty_gif;
    }

    location /silent {
        api_throttle zone=a;
        api_throttle_headers off;
        api_throttle_status 503;
        api_throttle_log_level warn;
        empty_gif;
    }

    location /dry {
        api_throttle zone=a dry_run;
        empty_gif;
    }

    location /dry-both {
        api_throttle zone=a dry_run;
        api_throttle zone=b burst=1;
        empty_gif;
    }

    location /open {
        empty_gif;
    }

    location /early {
        api_throttle zone=a before_auth;
        return 204;
    }
_EOC_

run_tests();

__DATA__

=== a bucket of two, and one for each key
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a?k=1", "GET /a?k=1", "GET /a?k=1", "GET /a?k=2"]
--- error_code eval
[200, 200, 429, 200]
--- response_headers_like eval
["X-T: PASSED 2 1
RateLimit-Policy: \"a\";q=2;w=120
X-Reset: (?:60|59|58|57)
RateLimit: \"a\";r=1;t=(?:60|59|58|57)",
"X-T: PASSED 2 0
X-Reset: (?:120|119|118|117)
RateLimit: \"a\";r=0;t=(?:120|119|118|117)",
"X-T: REJECTED 2 0
RateLimit-Policy: \"a\";q=2;w=120
Content-Type: application/problem\\+json
X-Reset: (?:60|59|58|57)
RateLimit: \"a\";r=0;t=(?:60|59|58|57)
Retry-After: (?:60|59|58|57)",
"X-T: PASSED 2 1
X-Reset: (?:60|59|58|57)"]
--- raw_response_headers_unlike eval
[qr/\nRetry-After:/, qr/\nNothing:/, qr/\nNothing:/, qr/\nNothing:/]
--- response_body_like eval
["GIF", "GIF",
qr!^\{"type":"https://iana\.org/assignments/http-problem-types#quota-exceeded","title":"Too Many Requests","status":429,"violated-policies":\["a"\]\}$!,
"GIF"]


=== a burst of its own for a use, on the same buckets
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a?k=1", "GET /big?k=1", "GET /a?k=1", "GET /big?k=1", "GET /big?k=1", "GET /big?k=1", "GET /big?k=1"]
--- error_code eval
[200, 200, 429, 200, 200, 200, 429]
--- response_headers_like eval
["X-T: PASSED 2 1
X-Reset: (?:60|59|58|57)",
"X-T: PASSED 5 3
X-Reset: (?:120|119|118|117)",
"X-T: REJECTED 2 0
X-Reset: (?:60|59|58|57)",
"X-T: PASSED 5 2
X-Reset: (?:180|179|178|177)",
"X-T: PASSED 5 1
X-Reset: (?:240|239|238|237)",
"X-T: PASSED 5 0
X-Reset: (?:300|299|298|297)",
"X-T: REJECTED 5 0
X-Reset: (?:60|59|58|57)"]


=== a cost, constant
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /cost?k=1", "GET /cost?k=1"]
--- error_code eval
[200, 429]
--- response_headers_like eval
["X-T: PASSED 3 1
X-Reset: (?:7200|7199|7198|7197)",
"X-T: REJECTED 3 1
X-Reset: (?:3600|3599|3598|3597)
RateLimit: \"b\";r=1;t=(?:3600|3599|3598|3597)
Retry-After: (?:3600|3599|3598|3597)"]


=== a cost by variable; nothing valid is one; zero is free
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /var-cost?k=1&c=2", "GET /var-cost?k=1&c=0", "GET /var-cost?k=1", "GET /var-cost?k=1&c=0", "GET /var-cost?k=1&c=1", "GET /var-cost?k=2&c=x", "GET /var-cost?k=2&c=-1"]
--- error_code eval
[200, 200, 200, 200, 429, 200, 200]
--- response_headers_like eval
["X-T: PASSED 3 1
X-Reset: (?:7200|7199|7198|7197)",
"X-T: PASSED 3 1
X-Reset: (?:7200|7199|7198|7197)",
"X-T: PASSED 3 0
X-Reset: (?:10800|10799|10798|10797)",
"X-T: PASSED 3 0
X-Reset: (?:10800|10799|10798|10797)",
"X-T: REJECTED 3 0
X-Reset: (?:3600|3599|3598|3597)",
"X-T: PASSED 3 2
X-Reset: (?:3600|3599|3598|3597)",
"X-T: PASSED 3 1
X-Reset: (?:7200|7199|7198|7197)"]


=== a cost that is never admitted has no time to come back
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /var-cost?k=1&c=4", "GET /var-cost?k=1&c=9999999999", "GET /var-cost?k=1&c=99999999999999999999", "GET /var-cost?k=1&c=3"]
--- error_code eval
[429, 429, 200, 429]
--- response_headers_like eval
["X-T: REJECTED 3 3
X-Reset: 0",
"",
"X-T: PASSED 3 2
X-Reset: (?:3600|3599|3598|3597)",
"Retry-After: (?:3600|3599|3598|3597)"]
--- raw_response_headers_unlike eval
[qr/\nRetry-After:/, qr/\nRetry-After:/, qr/\nNothing:/, qr/\nNothing:/]
--- response_body_like eval
["costs more than the limit ever allows", "costs more than the limit ever allows", "GIF", "\"violated-policies\":\\[\"b\"\\]"]


=== several zones are charged all or none
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /both?k=1", "GET /both?k=1", "GET /both?k=1", "GET /both?k=1", "GET /cost?k=1", "GET /var-cost?k=1&c=1", "GET /var-cost?k=1&c=1"]
--- error_code eval
[200, 200, 429, 429, 429, 200, 429]
--- response_headers_like eval
["X-T: PASSED 2 1
RateLimit-Policy: \"a\";q=2;w=120, \"b\";q=3;w=10800
X-Reset: (?:60|59|58|57)
RateLimit: \"a\";r=1;t=(?:60|59|58|57), \"b\";r=2;t=(?:3600|3599|3598|3597)",
"X-T: PASSED 2 0
X-Reset: (?:120|119|118|117)
RateLimit: \"a\";r=0;t=(?:120|119|118|117), \"b\";r=1;t=(?:7200|7199|7198|7197)",
"X-T: REJECTED 2 0
X-Reset: (?:60|59|58|57)
RateLimit: \"a\";r=0;t=(?:60|59|58|57), \"b\";r=1;t=(?:7200|7199|7198|7197)
Retry-After: (?:60|59|58|57)",
"",
"",
"X-T: PASSED 3 0
X-Reset: (?:10800|10799|10798|10797)",
""]


=== both refuse: the longest wait, both are named
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /both?k=1", "GET /both?k=1", "GET /var-cost?k=1&c=1", "GET /both?k=1"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers_like eval
["",
"",
"",
"X-T: REJECTED 3 0
Retry-After: (?:3600|3599|3598|3597)
X-Reset: (?:3600|3599|3598|3597)
RateLimit: \"a\";r=0;t=(?:60|59|58|57), \"b\";r=0;t=(?:3600|3599|3598|3597)"]
--- response_body_like eval
["GIF", "GIF", "GIF", "\"violated-policies\":\\[\"a\",\"b\"\\]"]


=== an empty key is not throttled
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /a", "GET /a?k=", "GET /a", "GET /a", "GET /both", "GET /open?k=1"]
--- error_code eval
[200, 200, 200, 200, 200, 200]
--- raw_response_headers_unlike eval
["RateLimit|X-T: [A-Z]", "RateLimit|X-T: [A-Z]", "RateLimit", "RateLimit", "RateLimit", "RateLimit|X-T: [A-Z]"]


=== a key of several parts, a rate below one a minute, no burst
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /text?k=1&l=2", "GET /text?k=1&l=2", "GET /text?k=12", "GET /text?k=1", "GET /text"]
--- error_code eval
[200, 429, 429, 200, 200]
--- response_headers_like eval
["X-T: PASSED 1 0
RateLimit-Policy: \"text\";q=1;w=120
X-Reset: (?:120|119|118|117)",
"Retry-After: (?:120|119|118|117)",
"Retry-After: (?:120|119|118|117)",
"",
""]


=== a rate by variable
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /var?k=1&r=1r/h", "GET /var?k=2&r=3r/m", "GET /var?k=3&r=unlimited", "GET /var?k=4", "GET /var?k=5&r=99", "GET /var?k=6&r=0r/s"]
--- error_code eval
[200, 200, 200, 200, 200, 200]
--- response_headers_like eval
["X-T: PASSED 4 3
RateLimit-Policy: \"var\";q=4;w=14400
X-Reset: (?:3600|3599|3598|3597)",
"X-T: PASSED 4 3
X-Reset: (?:20|19|18|17)",
"",
"X-T: PASSED 4 3
X-Reset: (?:30|29|28|27)",
"X-T: PASSED 4 3
X-Reset: (?:30|29|28|27)
RateLimit: \"var\";r=3;t=(?:30|29|28|27)",
"X-T: PASSED 4 3
X-Reset: (?:30|29|28|27)"]
--- raw_response_headers_unlike eval
[qr/\nNothing:/, qr/\nNothing:/, qr/\nRateLimit:/, qr/\nNothing:/, qr/\nNothing:/, qr/\nNothing:/]


=== a rate that changes leaves the tokens
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /var?k=1&r=1r/d", "GET /var?k=1&r=1r/d", "GET /var?k=1&r=1r/d", "GET /var?k=1&r=1r/m", "GET /var?k=1&r=1r/m", "GET /var?k=1&r=1r/h", "GET /var?k=1&r=unlimited", "GET /var?k=1&r=1r/h"]
--- error_code eval
[200, 200, 200, 200, 429, 429, 200, 429]
--- response_headers_like eval
["X-T: PASSED 4 3
X-Reset: 86400", "X-T: PASSED 4 2", "X-T: PASSED 4 1",
"X-T: PASSED 4 0
X-Reset: 2(?:40|39|38)", "Retry-After: (?:60|59|58)",
"Retry-After: 3[56][0-9][0-9]", "X-T: PASSED *",
"Retry-After: 3[56][0-9][0-9]"]


=== a rate by variable with a burst of its own
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /own?k=1&r=5r/h", "GET /own?k=1&r=5r/h", "GET /own?k=2&r=3000r/s", "GET /own?k=3"]
--- error_code eval
[200, 429, 200, 200]
--- response_headers_like eval
["X-T: PASSED 1 0
X-Reset: (?:720|719|718|717)",
"Retry-After: (?:720|719|718|717)",
"X-T: PASSED 3 2
X-Reset: 1",
"X-T: PASSED 1 0
X-Reset: 1"]


=== a rate of text and variable
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /mix?k=1&r=2", "GET /mix?k=1&r=3"]
--- response_headers_like eval
["X-T: PASSED 4 3
X-Reset: 1800", "X-T: PASSED 4 2
X-Reset: (?:2400|2399|2398)"]


=== legacy header fields, of the tightest zone
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /legacy?k=1", "GET /legacy?k=1", "GET /legacy?k=1"]
--- error_code eval
[200, 200, 429]
--- response_headers_like eval
["X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1
X-RateLimit-Reset: (?:60|59|58|57)",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: (?:120|119|118|117)",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: (?:60|59|58|57)
Retry-After: (?:60|59|58|57)"]
--- raw_response_headers_unlike eval
[qr/\nRateLimit:|\nRateLimit-Policy:/, qr/\nNothing:/, qr/\nNothing:/]


=== no header fields, another status, another log level
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /silent?k=1", "GET /silent?k=1", "GET /silent?k=1"]
--- error_code eval
[200, 200, 503]
--- raw_response_headers_unlike eval
["RateLimit", "RateLimit", "RateLimit"]
--- response_headers_like eval
["",
"",
"Retry-After: (?:60|59|58|57)"]
--- response_body_like eval
["GIF", "GIF", "\"status\":503"]


=== a dry run refuses nobody, tells clients nothing and charges
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /dry?k=1", "GET /dry?k=1", "GET /dry?k=1", "GET /a?k=1"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers_like eval
["X-T: PASSED 2 1
X-Reset: (?:60|59|58|57)",
"X-T: PASSED 2 0
X-Reset: (?:120|119|118|117)",
"X-T: REJECTED_DRY_RUN 2 0
X-Reset: (?:60|59|58|57)",
""]
--- raw_response_headers_unlike eval
[qr/\nRateLimit:|\nRateLimit-Policy:/, qr/\nNothing:/, qr/\nRetry-After:|\nRateLimit:/, qr/\nNothing:/]


=== a dry run beside a zone that counts: a refused request is charged in neither
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /dry-both?k=1", "GET /dry-both?k=1", "GET /dry-both?k=1", "GET /a?k=1", "GET /a?k=1"]
--- error_code eval
[200, 429, 429, 200, 429]
--- response_headers_like eval
["X-T: PASSED 1 0
RateLimit-Policy: \"b\";q=1;w=3600
X-Reset: (?:3600|3599|3598|3597)",
"X-T: REJECTED 1 0
X-Reset: (?:3600|3599|3598|3597)",
"",
"X-T: PASSED 2 0
X-Reset: (?:120|119|118|117)",
""]


=== HEAD, POST, OPTIONS and unknown methods are requests
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["HEAD /a?k=1", "POST /a?k=1
x", "OPTIONS /a?k=1", "HEAD /a?k=1", "BREW /a?k=1"]
--- error_code eval
[200, 405, 429, 429, 429]
--- response_headers_like eval
["X-T: PASSED 2 1
X-Reset: (?:60|59|58|57)",
"X-T: PASSED 2 0
X-Reset: (?:120|119|118|117)",
"Retry-After: (?:60|59|58|57)",
"Content-Type: application/problem\\+json
Retry-After: (?:60|59|58|57)",
""]


=== pipelined requests
--- http_config eval: $::http
--- config eval: $::config
--- pipelined_requests eval
["GET /a?k=1", "GET /a?k=1", "GET /a?k=1", "GET /open"]
--- error_code eval
[200, 200, 429, 200]


=== error_page answers in place of the document, the fields stay
--- http_config eval: $::http
--- config
    location /a {
        api_throttle zone=a burst=1;
        error_page 429 /sorry;
        empty_gif;
    }

    location /named {
        api_throttle zone=a burst=1;
        error_page 429 = @sorry;
        empty_gif;
    }

    location = /sorry { api_throttle zone=b cost=3; add_header X-T $api_throttle_status always; empty_gif; }
    location @sorry { api_throttle zone=b cost=3; empty_gif; }
--- request eval
["GET /a?k=1", "GET /a?k=1", "GET /named?k=1", "GET /sorry?k=1", "GET /sorry?k=1"]
--- error_code eval
[200, 429, 200, 200, 429]
--- response_headers_like eval
["",
"X-T: REJECTED
Content-Type: image/gif
RateLimit: \"a\";r=0;t=(?:60|59|58|57)
Retry-After: (?:60|59|58|57)",
"RateLimit: \"a\";r=0;t=(?:60|59|58|57)",
"",
""]
--- raw_response_headers_unlike eval
[qr/\nNothing:/, qr/\nNothing:/, qr/\nRetry-After:/, qr/\nNothing:/, qr/\nNothing:/]
--- response_body_like eval
["GIF", "GIF", "GIF", "GIF", "quota-exceeded"]


=== what is refused is charged nowhere, neither by its error page
--- http_config
    api_throttle_zone $arg_k zone=early:64k rate=1r/m burst=1;
    api_throttle_zone $arg_k zone=late:64k rate=1r/m burst=3;
--- config
    location /a {
        api_throttle zone=early before_auth;
        error_page 429 /page?$args;
        empty_gif;
    }

    location /denied { deny all; error_page 403 /page?$args; }
    location /page { api_throttle zone=late; empty_gif; }
--- request eval
["GET /a?k=1", "GET /a?k=1", "GET /a?k=1", "GET /denied?k=1", "GET /page?k=1"]
--- error_code eval
[200, 429, 429, 403, 200]
--- response_headers_like eval
["RateLimit: \"early\";r=0;t=60",
"RateLimit: \"early\";r=0;t=(?:60|59|58|57)",
"RateLimit: \"early\";r=0;t=(?:60|59|58|57)",
"",
"RateLimit: \"late\";r=2;t=60"]
--- raw_response_headers_unlike eval
[qr/late/, qr/late/, qr/late/, qr/late/, qr/early/]


=== charged once on the way through internal redirects
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=2;
--- config
    location /again { api_throttle zone=a; try_files /nothing /again2; }
    location /again2 { api_throttle zone=a; error_page 405 = /again3; empty_gif; limit_except GET { deny all; } }
    location /again3 { api_throttle zone=a; try_files /nothing @again4; }
    location @again4 { api_throttle zone=a; rewrite ^ /again5; }
    location /again5 { api_throttle zone=a; empty_gif; }
--- request eval
["GET /again3?k=1", "GET /again?k=1", "GET /again?k=1"]
--- error_code eval
[200, 200, 429]
--- response_headers_like eval
["RateLimit: \"a\";r=1;t=(?:60|59|58|57)",
"RateLimit: \"a\";r=0;t=(?:120|119|118|117)",
"RateLimit: \"a\";r=0;t=(?:60|59|58|57)"]


=== a zone of both phases is charged once on the way
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=3;
    api_throttle_zone $arg_k zone=b:64k rate=1r/m burst=9;
--- config
    location /one { api_throttle zone=a before_auth; error_page 403 = /two?$args; deny all; }
    location /two { api_throttle zone=a; api_throttle zone=b; empty_gif; }
--- request eval
["GET /one?k=1", "GET /one?k=1"]
--- response_headers_like eval
["RateLimit: \"a\";r=2;t=(?:60|59|58|57), \"b\";r=8;t=(?:60|59|58|57)",
"RateLimit: \"a\";r=1;t=(?:120|119|118|117), \"b\";r=7;t=(?:120|119|118|117)"]


=== subrequests are free
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=2;
--- config
    location /m { mirror /sub; mirror /sub; mirror /sub; auth_request /auth; api_throttle zone=a; empty_gif; }
    location /sub { api_throttle zone=a before_auth; empty_gif; }
    location /auth { api_throttle zone=a; empty_gif; }
--- request eval
["GET /m?k=1", "GET /m?k=1", "GET /m?k=1"]
--- error_code eval
[200, 200, 429]


=== before_auth counts those who are turned away, the default does not
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=2;
    api_throttle_zone $arg_k zone=b:64k rate=1r/m burst=2;
--- config
    location /early { api_throttle zone=a before_auth; api_throttle zone=b; deny all; }
    location /late { api_throttle zone=b; empty_gif; }
--- request eval
["GET /early?k=1", "GET /early?k=1", "GET /early?k=1", "GET /late?k=1", "GET /late?k=1", "GET /late?k=1"]
--- error_code eval
[403, 403, 429, 200, 200, 429]
--- response_headers_like eval
["RateLimit: \"a\";r=1;t=(?:60|59|58|57)",
"RateLimit: \"a\";r=0;t=(?:120|119|118|117)",
"Retry-After: (?:60|59|58|57)",
"RateLimit: \"b\";r=1;t=(?:60|59|58|57)",
"",
""]


=== what the later phase refuses stays charged before_auth
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=5;
    api_throttle_zone $arg_k zone=b:64k rate=1r/m burst=1;
--- config
    location /x { api_throttle zone=b; api_throttle zone=a before_auth; empty_gif; }
--- request eval
["GET /x?k=1", "GET /x?k=1"]
--- error_code eval
[200, 429]
--- response_headers_like eval
["RateLimit: \"a\";r=4;t=(?:60|59|58|57), \"b\";r=0;t=(?:60|59|58|57)",
"RateLimit: \"a\";r=3;t=(?:120|119|118|117), \"b\";r=0;t=(?:60|59|58|57)"]


=== satisfy any skips no throttle
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=2;
--- config
    location /x {
        satisfy any;
        allow all;
        auth_request /deny;
        api_throttle zone=a;
        empty_gif;
    }

    location /deny { internal; return 401; }
--- request eval
["GET /x?k=1", "GET /x?k=1", "GET /x?k=1"]
--- error_code eval
[200, 200, 429]


=== inheritance: nothing said inherits, anything said replaces, off ends it
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=1;
    api_throttle_zone $arg_k zone=b:64k rate=1r/m burst=2;
    api_throttle zone=a;
    api_throttle_status 503;
    api_throttle_headers off;
--- config
    location /inherited { empty_gif; }
    location /replaced { api_throttle zone=b before_auth; api_throttle_status 420; api_throttle_headers draft; empty_gif; location /replaced/in { empty_gif; } }
    location /off { api_throttle off; empty_gif; location /off/in { empty_gif; } location /off/again { api_throttle zone=a; empty_gif; } }
--- request eval
["GET /inherited?k=1", "GET /inherited?k=1", "GET /replaced?k=1", "GET /replaced/in?k=1", "GET /replaced/in?k=1", "GET /off?k=1", "GET /off/in?k=1", "GET /off/again?k=1"]
--- error_code eval
[200, 503, 200, 200, 420, 200, 200, 503]
--- response_headers_like eval
["",
"",
"RateLimit: \"b\";r=1;t=(?:60|59|58|57)",
"RateLimit: \"b\";r=0;t=(?:120|119|118|117)",
"Retry-After: (?:60|59|58|57)",
"",
"",
""]
--- raw_response_headers_unlike eval
[qr/\nRateLimit:/, qr/\nRateLimit:/, qr/\nNothing:/, qr/\nNothing:/, qr/\nNothing:/, qr/\nRateLimit:/, qr/\nRateLimit:/, qr/\nRateLimit:/]


=== behind an upstream: the request is not sent, its fields are not mixed up
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=1;
--- config
    location /p { api_throttle zone=a; proxy_pass http://127.0.0.1:$server_port/back; }
    location /back { return 429 "from the back end"; }
--- request eval
["GET /p?k=1", "GET /p?k=1"]
--- error_code eval
[429, 429]
--- response_body_like eval
[qr/^from the back end$/, "quota-exceeded"]
--- response_headers_like eval
["RateLimit: \"a\";r=0;t=(?:60|59|58|57)",
"Retry-After: (?:60|59|58|57)"]
--- raw_response_headers_unlike eval
[qr/\nRetry-After:/, qr/\nNothing:/]


=== legacy fields of a back end: those of the tighter limit, once
--- http_config
    api_throttle_zone $arg_k zone=a:64k rate=1r/m burst=5;
    api_throttle_headers legacy;
--- config
    location /p { api_throttle zone=a; proxy_pass http://127.0.0.1:$server_port/back?$args; }
    location /back {
        add_header x-ratelimit-limit 100;
        add_header x-ratelimit-remaining $arg_r;
        add_header X-RateLimit-Remaining $arg_s;
        add_header X-RateLimit-Reset $arg_t;
        add_header X-RateLimit-Policy kept;
        empty_gif;
    }
--- request eval
["GET /p?k=1&r=9&t=9", "GET /p?k=1&r=2&t=9", "GET /p?k=1&r=2&t=999", "GET /p?k=1&r=9&s=8&t=x", "GET /p?k=1&r=-1"]
--- response_headers_like eval
["X-RateLimit-Limit: 5
X-RateLimit-Remaining: 4
X-RateLimit-Reset: 60
X-RateLimit-Policy: kept",
"X-RateLimit-Limit: 100
X-RateLimit-Remaining: 2
X-RateLimit-Reset: 9",
"X-RateLimit-Limit: 100
X-RateLimit-Remaining: 2
X-RateLimit-Reset: 999",
"X-RateLimit-Limit: 5
X-RateLimit-Remaining: 1
X-RateLimit-Reset: (?:240|239|238|237)",
"X-RateLimit-Limit: 5
X-RateLimit-Remaining: 0
X-RateLimit-Reset: (?:300|299|298|297)"]


=== what "return" answers is answered before any throttle
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /early?k=1", "GET /early?k=1", "GET /early?k=1", "GET /a?k=1"]
--- error_code eval
[204, 204, 204, 200]
--- response_headers eval
["! RateLimit
! X-Reset", "! RateLimit", "! RateLimit", "X-T: PASSED 2 1"]
