# Plans: rate and quotas of a consumer, what a refusal looks like, charged once
# and only for what is admitted, whatever way the request takes.

use Test::Nginx::Socket 'no_plan';

repeat_each(1);
no_shuffle();
log_level('info');

our $http = <<'_EOC_';
    api_usage_zone zone=usage:1m store=logs/usage flush=200ms;

    api_plan one    { quota 1 per=day; }
    api_plan two    { quota 2 per=month; quota 100 per=hour; }
    api_plan slow   { rate 1r/m burst=2; }
    api_plan once   { quota 1 per=lifetime; rate unlimited; }
    api_plan both   { rate 1r/m burst=3; quota 2 per=week; }
    api_plan free   { }
    api_plan endless { quota unlimited per=day; }

    map $arg_k $plan_of { default ""; joe one; ann two; }
    limit_req_zone $arg_c zone=lr:1m rate=1r/m;
_EOC_

our $config = <<'_EOC_';
    add_header X-Usage "$api_plan $api_consumer $api_usage_status" always;
    add_header X-Quota "$api_quota_limit $api_quota_used $api_quota_remaining" always;

    location /u {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location /reset {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
        add_header X-Reset $api_quota_reset;
        add_header X-Left "$api_quota_limit $api_quota_used $api_quota_remaining";
    }

    location /text {
        api_usage zone=usage plan=one consumer="text-$arg_c";
        empty_gif;
    }

    location /map {
        api_usage zone=usage plan=$plan_of consumer=$arg_k;
        empty_gif;
    }

    location /open {
        empty_gif;
    }

    location /again {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        try_files /nothing /again2;
    }

    location /again2 {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        error_page 404 = /again3;
        return 404;
    }

    location /again3 {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        error_page 404 = @again4;
        try_files /nothing =404;
    }

    location @again4 {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location /denied {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        deny all;
        empty_gif;
    }

    location /missing {
        error_page 404 @instead;
        return 404;
    }

    location /forbidden {
        error_page 403 @instead;
        return 403;
    }

    location /limited {
        limit_req zone=lr;
        limit_req_status 509;
        error_page 509 /busy;
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location = /busy {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location /dispatch {
        error_page 418 = @instead;
        return 418;
    }

    location /anonymous {
        auth_basic x;
        auth_basic_user_file none;
        error_page 401 =200 @instead;
        api_usage zone=usage plan=$arg_p consumer=nobody;
        empty_gif;
    }

    location @instead {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location /sub {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        mirror /mirrored;
        empty_gif;
    }

    location /mirrored {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        empty_gif;
    }

    location /page {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        error_page 429 /sorry;
        empty_gif;
    }

    location = /sorry {
        api_usage zone=usage plan=free consumer=sorry;
        empty_gif;
    }
_EOC_

run_tests();

__DATA__

=== a quota admits its limit and not one more
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=one&c=a", "GET /u?p=one&c=a", "GET /u?p=one&c=b"]
--- error_code eval
[200, 429, 200]
--- response_headers eval
["X-Usage: one a PASSED
X-Quota: 1 1 0",
"X-Usage: one a REJECTED_QUOTA
X-Quota: 1 1 0
Content-Type: application/problem+json",
"X-Usage: one b PASSED"]


=== the document of a refusal
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=one&c=d", "GET /u?p=one&c=d"]
--- error_code eval
[200, 429]
--- response_body_like eval
["GIF", qr!^\{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota Exceeded","status":429,"detail":"Plan \\"one\\" allows 1 per day.","violated-policies":\["day"\]\}$!]
--- raw_response_headers_like eval
["", "Retry-After: [1-9][0-9]{0,4}\\r\\n"]


=== a rate with its burst
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=slow&c=a", "GET /u?p=slow&c=a", "GET /u?p=slow&c=a", "GET /u?p=slow&c=b"]
--- error_code eval
[200, 200, 429, 200]
--- raw_response_headers_like eval
["", "", "Retry-After: (?:59|60)\\r\\n", ""]
--- response_body_like eval
["GIF", "GIF", qr!"title":"Too Many Requests".*"Plan \\"slow\\" allows 1r/m\.","violated-policies":\["rate"\]!, "GIF"]


=== the lifetime has no end to wait for
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=once&c=a", "GET /u?p=once&c=a"]
--- error_code eval
[200, 429]
--- response_headers eval
["", "! Retry-After"]


=== Retry-After is the longest wait of all quotas that refuse
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan x { quota 1 per=hour; quota 1 per=lifetime; }
    api_plan y { quota 1 per=hour; quota 1 per=week tz=UTC; quota 9 per=day; }
    api_plan z { quota 1 per=lifetime; quota 1 per=hour; rate 1r/h; }
    api_plan c { quota 5 per=hour; quota 3 per=day; }
--- config
    location /u { api_usage zone=usage plan=$arg_p consumer=a cost=$arg_n; empty_gif; add_header X-Left "$api_quota_limit $api_quota_reset" always; }
--- request eval
["GET /u?p=x", "GET /u?p=x", "GET /u?p=y", "GET /u?p=y", "GET /u?p=z", "GET /u?p=z", "GET /u?p=c&n=4", "GET /u?p=c&n=6", "GET /u?p=c&n=3", "GET /u?p=c&n=3"]
--- error_code eval
[200, 429, 200, 429, 200, 429, 429, 429, 200, 429]
--- response_body_like eval
["GIF", qr/"violated-policies":\["hour","lifetime"\]/, "GIF", qr/"violated-policies":\["hour","week"\]/, "GIF", qr/"violated-policies":\["rate","lifetime","hour"\]/, qr/"violated-policies":\["day"\]/, qr/"violated-policies":\["hour","day"\]/, "GIF", qr/"violated-policies":\["hour","day"\]/]
--- response_headers eval
["", "! Retry-After", "", "", "", "! Retry-After", "! Retry-After", "! Retry-After", "", ""]
--- raw_response_headers_like eval
["", "", "", qr/X-Left: 1 (\d+)\r\n(?=(?s:.*)Retry-After: \1\r)|Retry-After: (\d+)\r\n(?s:.*)X-Left: 1 \2\r/, "", "", "", "", "", map { qr/X-Left: $_ (\d+)\r\n(?=(?s:.*)Retry-After: \1\r)|Retry-After: (\d+)\r\n(?s:.*)X-Left: $_ \2\r/ } (gmtime)[2] == 23 ? "[35]" : 3]


=== RateLimit names the instant of Retry-After, and an API's policies apart
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan slow { rate 1r/m burst=2; quota 9 per=day; api a { rate 1r/h; quota 5 per=day; } }
--- config
    location /u { api_usage zone=usage plan=slow consumer=$arg_c api=$arg_a; empty_gif; }
--- request eval
["GET /u?c=a", "GET /u?c=a", "GET /u?c=a", "GET /u?c=b&a=a", "GET /u?c=b&a=a"]
--- error_code eval
[200, 200, 429, 200, 429]
--- raw_response_headers_like eval
["", "", qr/RateLimit: "rate";r=0;t=(59|60), (?s:.*)Retry-After: \1\r|Retry-After: (59|60)\r(?s:.*)RateLimit: "rate";r=0;t=\2, /,
qr/RateLimit: "rate";r=1;t=\d+, "day";r=8;t=\d+, "a:rate";r=0;t=\d+, "a:day";r=4;t=\d+\r/,
qr/RateLimit-Policy: "rate";q=2;w=120, "day";q=9;w=86400, "a:rate";q=1;w=3600, "a:day";q=5;w=86400\r/]
--- response_body_like eval
["GIF", "GIF", qr/"violated-policies":\["rate"\]/, "GIF", qr/"violated-policies":\["a:rate"\]/]


=== what the quota refuses takes nothing from the rate
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=both&c=a", "GET /u?p=both&c=a", "GET /u?p=both&c=a", "GET /u?p=both&c=a", "GET /u?p=both&c=a"]
--- error_code eval
[200, 200, 429, 429, 429]
--- response_headers eval
["", "", "X-Usage: both a REJECTED_QUOTA", "X-Usage: both a REJECTED_QUOTA", "X-Usage: both a REJECTED_QUOTA"]


=== what the rate refuses takes nothing from the quota
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan x { rate 2r/s burst=1; quota 2 per=lifetime; }
--- config
    location /u { api_usage zone=usage plan=x consumer=a; empty_gif; add_header X-Left $api_quota_remaining always; }
--- request eval
["GET /u", "GET /u", "GET /u", "GET /u"]
--- error_code eval
[200, 429, 429, 429]
--- response_headers eval
["X-Left: 1", "X-Left: 1", "X-Left: 1", "Retry-After: 1"]


=== the variables are of the quota that has the least left
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /reset?p=two&c=v
--- response_headers_like
X-Reset: [1-9][0-9]+
X-Left: 2 1 1


=== text and map as plan and consumer
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /text?c=1", "GET /text?c=1", "GET /text?c=2", "GET /map?k=joe", "GET /map?k=joe", "GET /map?k=ann", "GET /map?k=ann", "GET /map?k=ann"]
--- error_code eval
[200, 429, 200, 200, 429, 200, 200, 429]


=== an unknown plan is refused, an empty one too
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=nix&c=a", "GET /u?c=a", "GET /u?p=ONE&c=a"]
--- error_code eval
[403, 403, 403]
--- response_headers_like eval
["X-Usage: \\s*a REJECTED_PLAN
Content-Type: application/problem\\+json", "", ""]


=== an unknown plan is logged
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /u?p=nix&c=a
--- error_code: 403
--- error_log
usage: unknown plan "nix" of consumer "a"


=== an empty consumer is refused
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /u?p=one
--- error_code: 403
--- response_body_like: "detail":"The caller is not known."
--- error_log
usage: empty consumer


=== locations without api_usage are not concerned, plans without limits admit
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /open", "GET /u?p=free&c=a", "GET /u?p=endless&c=a", "GET /u?p=endless&c=a"]
--- error_code eval
[200, 200, 200, 200]
--- response_headers_like eval
["X-Usage: \\s*", "X-Usage: free a PASSED", "X-Usage: endless a PASSED", "X-Usage: endless a PASSED"]


=== charged once over internal redirects and named locations
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /again?p=two&c=r", "GET /again?p=two&c=r", "GET /again?p=two&c=r"]
--- error_code eval
[404, 404, 429]
--- response_headers eval
["X-Quota: 2 1 1", "X-Quota: 2 2 0", "X-Quota: 2 2 0"]


=== charged once with a mirror, which is a subrequest
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /sub?p=two&c=s", "GET /sub?p=two&c=s", "GET /sub?p=two&c=s"]
--- error_code eval
[200, 200, 429]


=== what the access phase denies is not charged
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /denied?p=one&c=x", "GET /u?p=one&c=x", "GET /u?p=one&c=x"]
--- error_code eval
[403, 200, 429]


=== error_page answers for a refusal, and is not charged itself
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /page?p=one&c=p", "GET /page?p=one&c=p"]
--- error_code eval
[200, 429]
--- response_body_like eval
["GIF", "GIF"]
--- raw_response_headers_like eval
["", "Retry-After: \\d+\\r\\n"]


=== what error_page serves instead of a missing page is charged
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /missing?p=one&c=m", "GET /missing?p=one&c=m", "GET /forbidden?p=one&c=n", "GET /forbidden?p=one&c=n"]
--- error_code eval
[404, 429, 403, 403]
--- response_headers_like eval
["X-Usage: one m PASSED", "X-Usage: one m REJECTED_QUOTA", "X-Usage: \\s*", "X-Usage: \\s*"]


=== the page of a refusal is not charged, whatever its status
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /limited?p=two&c=lim", "GET /limited?p=two&c=lim", "GET /limited?p=two&c=lim", "GET /u?p=two&c=lim", "GET /u?p=two&c=lim"]
--- error_code eval
[200, 509, 509, 200, 429]
--- response_headers_like eval
["X-Quota: 2 1 1", "X-Usage: \\s*", "X-Usage: \\s*", "X-Quota: 2 2 0", ""]


=== what error_page serves in place of a refusal, as an answer, is charged
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /dispatch?p=one&c=dis", "GET /dispatch?p=one&c=dis", "GET /anonymous?p=one&c=ano", "GET /anonymous?p=one&c=ano"]
--- error_code eval
[200, 429, 200, 429]
--- response_headers eval
["X-Usage: one dis PASSED", "X-Usage: one dis REJECTED_QUOTA", "X-Usage: one ano PASSED", "X-Usage: one ano REJECTED_QUOTA"]


=== HEAD is charged like GET, and refused without a body
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["HEAD /u?p=one&c=h", "HEAD /u?p=one&c=h"]
--- error_code eval
[200, 429]
--- response_headers eval
["", "Content-Type: application/problem+json"]


=== pipelined requests are charged each
--- http_config eval: $::http
--- config eval: $::config
--- pipelined_requests eval
["GET /u?p=two&c=l", "GET /u?p=two&c=l", "GET /u?p=two&c=l"]
--- error_code eval
[200, 200, 429]


=== a long name of a consumer is told from a like one
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=one&c=" . "x" x 300 . "1", "GET /u?p=one&c=" . "x" x 300 . "2", "GET /u?p=one&c=" . "x" x 300 . "1"]
--- error_code eval
[200, 200, 429]


=== inheritance: a location may have its own, or none
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan one { quota 1 per=lifetime; }
    api_usage zone=usage plan=one consumer=http;
--- config
    location /u { empty_gif; }
    location /own { api_usage zone=usage plan=one consumer=own; empty_gif; }
    location /off { api_usage off; empty_gif; }
--- request eval
["GET /u", "GET /u", "GET /own", "GET /own", "GET /off"]
--- error_code eval
[200, 429, 200, 429, 200]


=== plans of one family share their counters
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan a { family f; quota 2 per=month; }
    api_plan b { quota 3 per=month; family f; }
--- config
    location /u { api_usage zone=usage plan=$arg_p consumer=x; empty_gif; }
--- request eval
["GET /u?p=a", "GET /u?p=a", "GET /u?p=a", "GET /u?p=b", "GET /u?p=b"]
--- error_code eval
[200, 200, 429, 200, 429]
