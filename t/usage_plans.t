# What plans can have: time zones and anchors, overage, soft and shadow quotas,
# limits for one API, inheritance, a default plan, limits of a consumer's own,
# costs, refunds, a shadow plan, headers, a caller's own usage.

use Test::Nginx::Socket 'no_plan';

repeat_each(1);
no_shuffle();
log_level('info');

our $http = <<'_EOC_';
    api_usage_zone zone=usage:1m store=logs/usage flush=200ms;

    api_plan zones {
        quota 5 per=month tz=Europe/Berlin anchor=31;
        quota 5 per=week anchor=sunday tz=America/New_York;
        quota 5 per=day tz=Asia/Kolkata;
        quota 5 per=hour tz=Australia/Lord_Howe;
    }

    api_plan over  { quota 10 per=lifetime overage=25%; }
    api_plan more  { quota 1 per=lifetime overage=unlimited; }
    api_plan soft  { quota 1 per=lifetime mode=soft; }
    api_plan quiet { quota 1 per=lifetime mode=shadow; }

    api_plan base {
        quota 3 per=lifetime;
        quota 100 per=day;
        rate  1000r/s burst=100;

        api search { quota 1 per=lifetime; }
        api slow   { rate 1r/h burst=1; }
    }

    api_plan child inherit=base {
        quota 2 per=lifetime;
    }

    api_plan fast  { rate 2r/m burst=2; }
    api_plan fastq { rate 2r/m; quota 9 per=lifetime; }

    api_plan money { quota 100 per=lifetime; }
    api_plan big   { quota 1000 per=lifetime; }
_EOC_

our $config = <<'_EOC_';
    add_header X-Usage "$api_usage_status $api_usage_shadow_status" always;
    add_header X-Quota "$api_quota_limit $api_quota_used $api_quota_remaining" always;

    location /u {
        api_usage zone=usage plan=$arg_p consumer=$arg_c api=$arg_a
                  version=$arg_v key=$arg_k;
        empty_gif;
    }

    location /own {
        api_usage zone=usage plan=$arg_p consumer=$arg_c rate=$arg_rate
                  burst=$arg_burst quota=$arg_quota;
        empty_gif;
    }

    location /cost {
        api_usage zone=usage plan=money consumer=$arg_c cost=$arg_n;
        empty_gif;
    }

    location /answer {
        api_usage zone=usage plan=money consumer=$arg_c
                  cost=$upstream_http_x_cost;
        api_usage_charge on=response estimate=10;
        proxy_pass http://127.0.0.1:$server_port/backend?n=$arg_n;
    }

    location /backend {
        add_header X-Cost $arg_n;
        empty_gif;
    }

    location /refund {
        api_usage zone=usage plan=money consumer=$arg_c cost=7;
        api_usage_charge on=request;
        api_usage_refund 404 5xx;
        empty_gif;
        if ($arg_n) { set $limit_rate 1; }
    }

    location /refund/missing {
        api_usage zone=usage plan=money consumer=$arg_c cost=7;
        api_usage_refund 404 5xx;
        root html;
    }

    location /shadow {
        api_usage zone=usage plan=big consumer=$arg_c;
        api_usage_shadow plan=$arg_s;
        empty_gif;
    }

    location /status {
        api_usage zone=usage plan=over consumer=$arg_c cost=13;
        api_usage_status 402;
        empty_gif;
    }

    location /legacy {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        api_usage_headers legacy;
        empty_gif;
    }

    location /off {
        api_usage zone=usage plan=$arg_p consumer=$arg_c;
        api_usage_headers off;
        empty_gif;
    }

    location /self {
        api_usage zone=usage plan=$arg_p consumer=$arg_c api=$arg_a;
        api_usage_self;
    }

    location /bytes {
        api_usage zone=usage plan=money consumer=$arg_c cost=$bytes_sent;
        api_usage_charge on=response;
        empty_gif;
    }
_EOC_

$config .= qq{
    location /self8 {
        set \$strange "a\xff\\"\xc3(b";
        api_usage zone=usage plan=\$arg_n consumer=\$strange;
        api_usage_self;
    }
};

run_tests();

__DATA__

=== quotas in time zones count
--- http_config eval: $::http
--- config eval: $::config
--- request eval
[map { "GET /u?p=zones&c=z" } 1 .. 6]
--- error_code eval
[200, 200, 200, 200, 200, 429]


=== overage admits a share more, the remaining is that of the limit
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /cost?c=none&n=1", map { "GET /u?p=over&c=o" } 1 .. 13]
--- error_code eval
[200, (200) x 12, 429]
--- response_headers eval
["", (map { "X-Quota: 10 $_ " . (10 - $_) } 1 .. 10), "X-Quota: 10 11 0", "X-Quota: 10 12 0", ""]
--- response_body_like eval
[(map { "" } 1 .. 13), qr!"Plan \\"over\\" allows 10 per \w+ and an overage of 2\."!]


=== overage without end and soft quotas refuse nothing
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=more&c=x", "GET /u?p=more&c=x", "GET /u?p=soft&c=x", "GET /u?p=soft&c=x"]
--- error_code eval
[200, 200, 200, 200]
--- response_headers eval
["X-Quota: 1 1 0", "X-Quota: 1 2 0", "X-Quota: 1 1 0", "X-Quota: 1 2 0"]


=== a shadow quota refuses nothing and tells clients nothing
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=quiet&c=x", "GET /u?p=quiet&c=x"]
--- error_code eval
[200, 200]
--- response_headers eval
["! RateLimit", "! RateLimit"]
--- raw_response_headers_like eval
["X-Quota: +\r\n", "X-Quota: +\r\n"]


=== limits for one API stand beside those of the plan
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=base&c=a&a=search", "GET /u?p=base&c=a&a=search", "GET /u?p=base&c=a&a=slow", "GET /u?p=base&c=a&a=slow", "GET /u?p=base&c=a&a=other", "GET /u?p=base&c=a"]
--- error_code eval
[200, 429, 200, 429, 200, 429]
--- response_body_like eval
["GIF", qr!"Plan \\"base\\" allows 1 per lifetime for the API \\"search\\"\."!, "GIF", qr!"Plan \\"base\\" allows 1r/h for the API \\"slow\\"\."!, "GIF", qr!"Plan \\"base\\" allows 3 per lifetime\."!]


=== a plan inherits what it does not say, with counters of its own
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=child&c=a&a=search", "GET /u?p=child&c=a&a=search", "GET /u?p=child&c=a", "GET /u?p=child&c=a"]
--- error_code eval
[200, 429, 200, 429]
--- response_headers eval
["X-Quota: 1 1 0", "", "X-Quota: 2 2 0", "X-Quota: 2 2 0"]


=== a default plan for unknown ones
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_usage_default_plan small;
    api_plan small { quota 1 per=lifetime; }
--- config
    location /u { api_usage zone=usage plan=$arg_p consumer=x; empty_gif; add_header X-Plan $api_plan always; }
--- request eval
["GET /u?p=nix", "GET /u"]
--- error_code eval
[200, 429]
--- response_headers eval
["X-Plan: small", "X-Plan: small"]


=== limits of a consumer's own
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /own?p=money&c=own&quota=2/lifetime", "GET /own?p=money&c=own&quota=2/lifetime,9/day", "GET /own?p=money&c=own&quota=2/lifetime", "GET /own?p=money&c=own", "GET /own?p=money&c=own&rate=1r/h&burst=2", "GET /own?p=money&c=own&rate=1r/h&burst=2", "GET /own?p=money&c=own&rate=1r/h&burst=2", "GET /own?p=money&c=bad&quota=x"]
--- error_code eval
[200, 200, 429, 200, 200, 200, 429, 200]
--- response_body_like eval
["GIF", "GIF", qr!"The caller's own quota is 2 per lifetime\."!, "GIF", "GIF", "GIF", qr!"The caller's own rate is 1r/h\."!, "GIF"]


=== a bad limit of a consumer's own is logged, the plan's applies
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /own?p=money&c=bad&quota=1/year
--- response_headers
X-Quota: 100 1 99
--- error_log
invalid quota "1/year" of consumer "bad", that of the plan applies


=== a cost in units
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /cost?c=c&n=60", "GET /cost?c=c&n=41", "GET /cost?c=c&n=40", "GET /cost?c=c&n=0", "GET /cost?c=d&n=x", "GET /cost?c=d"]
--- error_code eval
[200, 429, 200, 200, 200, 200]
--- response_headers eval
["X-Quota: 100 60 40", "X-Quota: 100 60 40", "X-Quota: 100 100 0", "X-Quota: 100 100 0", "X-Quota: 100 1 99", "X-Quota: 100 2 98"]


=== a cost that the answer tells, settled after an estimate
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /answer?c=a&n=3", "GET /answer?c=a&n=50", "GET /answer?c=a&n=", "GET /answer?c=a&n=28", "GET /answer?c=a&n=1", "GET /cost?c=a&n=9", "GET /cost?c=a&n=9"]
--- error_code eval
[200, 200, 200, 200, 429, 200, 429]
--- response_headers eval
["X-Quota: 100 10 90", "X-Quota: 100 13 87", "X-Quota: 100 63 37", "X-Quota: 100 73 27", "X-Quota: 100 91 9", "X-Quota: 100 100 0", ""]


=== refunds by status
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /refund?c=r", "GET /refund/missing?c=r", "GET /refund?c=r"]
--- error_code eval
[200, 404, 200]
--- response_headers eval
["X-Quota: 100 7 93", "X-Quota: 100 14 86", "X-Quota: 100 14 86"]


=== a shadow plan counts on its own and refuses nothing
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /shadow?c=s&s=base", "GET /shadow?c=s&s=base", "GET /shadow?c=s&s=base", "GET /shadow?c=s&s=base", "GET /u?p=base&c=s", "GET /shadow?c=s&s=nix"]
--- error_code eval
[200, 200, 200, 200, 200, 200]
--- response_headers eval
["X-Usage: PASSED PASSED", "X-Usage: PASSED PASSED", "X-Usage: PASSED PASSED", "X-Usage: PASSED REJECTED_QUOTA", "X-Quota: 3 1 2", "X-Usage: PASSED REJECTED_PLAN"]


=== the consumer in the line of a threshold is escaped
--- http_config
    api_usage_zone zone=usage:1m store=logs/usage;
    api_plan one { quota 1 per=lifetime; }
--- config
    location /u {
        set $c "a\" plan=\"x\\\\y\n\n";
        api_usage zone=usage plan=one consumer=$c;
        empty_gif;
    }
--- request
GET /u
--- error_log
threshold=100% consumer="a\" plan=\"x\\\\y\n\n" plan="one" quota=lifetime used=1 limit=1


=== another status, one line for each threshold
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /status?c=s
--- error_code: 402
--- response_body_like: "status":402


=== the lines for 80 % and 100 %
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /cost?c=t&n=80
--- error_log
usage: threshold=80% consumer="t" plan="money" quota=lifetime used=80 limit=100


=== the line for 100 % of a quota at once
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /cost?c=t2&n=100
--- error_log
usage: threshold=100% consumer="t2" plan="money" quota=lifetime used=100 limit=100


=== the line for what the answer has told beyond the estimate
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /answer?c=t3&n=85
--- wait: 0.2
--- error_log
usage: threshold=80% consumer="t3" plan="money" quota=lifetime used=85 limit=100


=== headers of the draft
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=base&c=h", "GET /u?p=base&c=h", "GET /off?p=base&c=h"]
--- response_headers_like eval
['RateLimit-Policy: "rate";q=100;w=1, "lifetime";q=3, "day";q=100;w=86400
RateLimit: "rate";r=99;t=1, "lifetime";r=2, "day";r=99;t=\d+',
'RateLimit: "rate";r=9\d;t=1, "lifetime";r=1, "day";r=98;t=\d+',
""]


=== no headers
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /off?p=base&c=h
--- response_headers
! RateLimit
! RateLimit-Policy
! X-RateLimit-Limit


=== legacy headers
--- http_config eval: $::http
--- config eval: $::config
--- request
GET /legacy?p=zones&c=h
--- response_headers_like
X-RateLimit-Limit: 5
X-RateLimit-Remaining: 4
X-RateLimit-Reset: \d+


=== legacy headers of a rate: without a quota, or when it refuses
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /legacy?p=fast&c=h", "GET /legacy?p=fast&c=h", "GET /legacy?p=fast&c=h", "GET /legacy?p=fastq&c=h", "GET /legacy?p=fastq&c=h"]
--- error_code eval
[200, 200, 429, 200, 429]
--- response_headers_like eval
["X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1
X-RateLimit-Reset: 30",
"X-RateLimit-Remaining: 0
X-RateLimit-Reset: (59|60)",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: (29|30)",
"X-RateLimit-Limit: 9
X-RateLimit-Remaining: 8",
"X-RateLimit-Limit: 1
X-RateLimit-Remaining: 0
X-RateLimit-Reset: (29|30)"]


=== fields of limits that change: policies are not those of the request before
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=money&c=f1", "GET /own?p=money&c=f2&quota=7/lifetime", "GET /u?p=money&c=f3", "GET /u?p=base&c=f4&a=search", "GET /u?p=base&c=f4&a=search", "GET /u?p=base&c=f5", "GET /u?p=over&c=f6"]
--- error_code eval
[200, 200, 200, 200, 429, 200, 200]
--- response_headers eval
["RateLimit-Policy: \"lifetime\";q=100
RateLimit: \"lifetime\";r=99",
"RateLimit-Policy: \"lifetime\";q=7
RateLimit: \"lifetime\";r=6",
"RateLimit-Policy: \"lifetime\";q=100
RateLimit: \"lifetime\";r=99",
"RateLimit-Policy: \"rate\";q=100;w=1, \"lifetime\";q=3, \"day\";q=100;w=86400, \"search:lifetime\";q=1",
"RateLimit-Policy: \"lifetime\";q=3, \"day\";q=100;w=86400, \"search:lifetime\";q=1",
"RateLimit-Policy: \"rate\";q=100;w=1, \"lifetime\";q=3, \"day\";q=100;w=86400",
"RateLimit-Policy: \"lifetime\";q=10
RateLimit: \"lifetime\";r=9"]


=== bytes of the answer as cost
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /bytes?c=b", "GET /cost?c=b&n=1", "GET /bytes?c=b"]
--- error_code eval
[200, 429, 429]
--- response_headers_like eval
["", "X-Quota: 100 \\d{3} 0", ""]


=== what a caller reads of itself: limits for an API, names that are no UTF-8
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=base&c=%22%ff&a=search", "GET /self?p=base&c=own&a=search", "GET /self?p=base&c=own&a=other", "GET /self8?n=base", "HEAD /self?p=base&c=own"]
--- error_code eval
[200, 200, 200, 200, 200]
--- response_body_like eval
["GIF", qr!^\{"consumer":"own","plan":"base","quotas":\[\{"per":"lifetime","used":0,"limit":3,"remaining":3\},\{"per":"day".*\},\{"api":"search","per":"lifetime","used":0,"limit":1,"remaining":1\}\]\}$!, qr!"per":"day",[^}]*\}\]\}$!, qr!^\{"consumer":"a\?\\"\?\(b","plan":!, ""]


=== a caller's own usage, not charged
--- http_config eval: $::http
--- config eval: $::config
--- request eval
["GET /u?p=base&c=self", "GET /self?p=base&c=self", "GET /self?p=base&c=self", "GET /self?p=nix&c=self", "POST /self?p=base&c=self
x"]
--- error_code eval
[200, 200, 200, 403, 405]
--- response_body_like eval
["GIF", qr!^\{"consumer":"self","plan":"base","quotas":\[\{"per":"lifetime","used":1,"limit":3,"remaining":2\},\{"per":"day","used":1,"limit":100,"remaining":99,"reset":\d+\}\]\}$!, qr!"used":1,"limit":3!, qr!no valid plan!, "405"]
