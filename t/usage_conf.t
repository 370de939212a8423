# Every mistake in the directives is refused with nginx's wording, and what is
# right is not.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $ZONE = 'api_usage_zone zone=u:1m store=logs/usage;';
my $PLAN = 'api_plan p { quota 1 per=day; }';
my $USE = 'api_usage zone=u plan=p consumer=c;';

# [name, http, server, what nginx -t says, or warns of; undef: it is right]

my @cases = (

    ['minimal', "$ZONE $PLAN", $USE],
    ['all of a zone',
     'api_usage_zone zone=u:1m store=logs/usage flush=250ms retention=30d'
     . " on_full=admit; $PLAN", $USE],
    ['plan after its use', "api_plan p { } $ZONE", $USE],
    ['server and location', "$ZONE $PLAN $USE",
     "$USE location /x { api_usage off; } location /y { $USE }"],
    ['everything of a plan', "$ZONE api_plan p { family f.1-x_Y; rate 5r/s"
     . ' burst=10; quota 1 per=hour; quota 2 per=day; quota 3 per=week;'
     . ' quota 4 per=month; quota unlimited per=lifetime; }', $USE],
    ['two zones', "$ZONE api_usage_zone zone=v:1m store=logs/other; $PLAN",
     $USE],

    ['usage: an unknown plan', "$ZONE $PLAN",
     'api_usage zone=u plan=q consumer=c;',
     'unknown plan "q" in "api_usage" in '],
    ['usage: a default plan for it', "$ZONE $PLAN api_usage_default_plan p;",
     'api_usage zone=u plan=q consumer=c;'],
    ['shadow: an unknown plan', "$ZONE $PLAN", "$USE api_usage_shadow plan=q;",
     'unknown plan "q" in "api_usage_shadow" in '],
    (map { ["usage: $_", "$ZONE $PLAN", "$USE" =~ s/;/ $_;/r,
            qq(invalid value in parameter "$_")] }
     'rate=5', 'rate=5r/x', 'burst=0', 'burst=x', 'quota=5/year', 'quota=5',
     'cost=-1', 'cost=x', 'cost=.5', 'cost=1000000000001'),
    (map { ["usage: $_", "$ZONE $PLAN", "$USE" =~ s/;/ $_;/r] }
     'rate=5r/s', 'rate=unlimited', 'burst=3', 'quota=5/day,7/month',
     'cost=0', 'cost=1.5', 'cost=1000000000000', 'cost=$arg_c'),
    ['charge: an estimate', "$ZONE $PLAN",
     "$USE api_usage_charge on=response estimate=x;",
     'invalid value in parameter "estimate=x"'],
    ['self without usage', "$ZONE $PLAN", 'location /s { api_usage_self; }',
     '"api_usage_self" without "api_usage" has nobody to tell about in '],
    ['self, and usage above it', "$ZONE $PLAN",
     "$USE location /s { api_usage_self; }"],

    ['zone: no arguments', 'api_usage_zone;', '',
     'invalid number of arguments in "api_usage_zone" directive'],
    ['zone: no zone', 'api_usage_zone store=logs/usage;', '',
     '"api_usage_zone" must have "zone" parameter'],
    ['zone: no store', 'api_usage_zone zone=u:1m;', '',
     '"api_usage_zone" must have "store" parameter'],
    ['zone: empty store', 'api_usage_zone zone=u:1m store=;', '',
     'invalid parameter "store="'],
    ['zone: no size', 'api_usage_zone zone=u store=logs/usage;', '',
     'invalid zone "u"'],
    ['zone: no name', 'api_usage_zone zone=:1m store=logs/usage;', '',
     'invalid zone ":1m"'],
    ['zone: bad size', 'api_usage_zone zone=u:1x store=logs/usage;', '',
     'invalid zone size "u:1x"'],
    ['zone: too small', 'api_usage_zone zone=u:16k store=logs/usage;', '',
     'zone "u:16k" is too small'],
    ['zone: twice', "$ZONE api_usage_zone zone=u:1m store=logs/other;", '',
     'zone "u" is already bound to store "'],
    ['zone: store twice', "$ZONE api_usage_zone zone=v:1m store=logs/usage;",
     '', 'logs/usage"'],
    ['zone: duplicate zone',
     'api_usage_zone zone=u:1m zone=u:1m store=logs/usage;', '',
     'duplicate parameter "zone=u:1m"'],
    ['zone: duplicate store',
     'api_usage_zone zone=u:1m store=logs/usage store=x;', '',
     'duplicate parameter "store=x"'],
    ['zone: duplicate flush',
     'api_usage_zone zone=u:1m store=logs/usage flush=1s flush=1s;', '',
     'duplicate parameter "flush=1s"'],
    ['zone: flush of nothing',
     'api_usage_zone zone=u:1m store=logs/usage flush=0;', '',
     'invalid parameter "flush=0", it must be a time from 100ms to 60s'],
    ['zone: flush too rare',
     'api_usage_zone zone=u:1m store=logs/usage flush=2m;', '',
     'invalid parameter "flush=2m"'],
    ['zone: retention too short',
     'api_usage_zone zone=u:1m store=logs/usage retention=1h;', '',
     'invalid parameter "retention=1h", it must be a time of at least 1d'],
    ['zone: duplicate retention',
     'api_usage_zone zone=u:1m store=logs/usage retention=9d retention=9d;',
     '', 'duplicate parameter "retention=9d"'],
    ['zone: on_full', 'api_usage_zone zone=u:1m store=logs/usage on_full=x;',
     '', 'invalid parameter "on_full=x", it must be admit or refuse'],
    ['zone: duplicate on_full',
     'api_usage_zone zone=u:1m store=logs/usage on_full=admit on_full=admit;',
     '', 'duplicate parameter "on_full=admit"'],
    ['zone: unknown parameter',
     'api_usage_zone zone=u:1m store=logs/usage foo=1;', '',
     'invalid parameter "foo=1"'],
    ['zone: in a server', '', $ZONE,
     '"api_usage_zone" directive is not allowed here'],

    ['plan: no name', 'api_plan { }', '',
     'invalid number of arguments in "api_plan" directive'],
    ['plan: empty name', 'api_plan "" { }', '', 'empty name of a plan'],
    ['plan: bad name', 'api_plan a/b { }', '',
     'invalid name of a plan "a/b"'],
    ['plan: long name', 'api_plan ' . 'x' x 33 . ' { }', '',
     'is longer than 32 bytes'],
    ['plan: twice', "$PLAN $PLAN", '', 'duplicate plan "p"'],
    ['plan: in a server', '', $PLAN,
     '"api_plan" directive is not allowed here'],
    ['plan: unknown directive', 'api_plan p { foo 1; }', '',
     'unknown directive "foo"'],
    ['plan: foreign directive', 'api_plan p { root x; }', '',
     '"root" directive is not allowed here'],
    ['rate outside', 'rate 1r/s;', '',
     '"rate" directive is not allowed here'],
    ['quota outside', '', 'quota 1 per=day;',
     '"quota" directive is not allowed here'],
    ['family outside', 'family x;', '',
     '"family" directive is not allowed here'],

    ['rate: twice', 'api_plan p { rate 1r/s; rate 2r/s; }', '',
     '"rate" directive is duplicate'],
    ['rate: zero', 'api_plan p { rate 0r/s; }', '', 'invalid rate "0r/s"'],
    ['rate: negative', 'api_plan p { rate -1r/s; }', '',
     'invalid rate "-1r/s"'],
    ['rate: no unit', 'api_plan p { rate 5; }', '', 'invalid rate "5"'],
    ['rate: huge', 'api_plan p { rate 99999999999r/s; }', '',
     'invalid rate "99999999999r/s"'],
    ['rate: burst 0', 'api_plan p { rate 1r/s burst=0; }', '',
     'invalid burst "burst=0"'],
    ['rate: negative burst', 'api_plan p { rate 1r/s burst=-1; }', '',
     'invalid burst "burst=-1"'],
    ['rate: huge burst', 'api_plan p { rate 1r/d burst=1000000; }', '',
     'burst 1000000 is too large for the rate "1r/d"'],
    ['rate: unlimited with burst', 'api_plan p { rate unlimited burst=1; }',
     '', '"burst" needs a limited rate'],
    ['rate: unknown parameter', 'api_plan p { rate 1r/s foo=1; }', '',
     'invalid parameter "foo=1"'],

    ['quota: no period', 'api_plan p { quota 1; }', '',
     '"quota" must have "per" parameter'],
    ['quota: bad period', 'api_plan p { quota 1 per=year; }', '',
     'invalid period "year"'],
    ['quota: duplicate period', 'api_plan p { quota 1 per=day per=day; }', '',
     'duplicate parameter "per=day"'],
    ['quota: zero', 'api_plan p { quota 0 per=day; }', '',
     'invalid quota "0"'],
    ['quota: negative', 'api_plan p { quota -5 per=day; }', '',
     'invalid quota "-5"'],
    ['quota: huge', 'api_plan p { quota 99999999999999999999 per=day; }', '',
     'invalid quota "99999999999999999999"'],
    ['quota: largest', "$ZONE api_plan p { quota 999999999999999 per=day; }",
     $USE],
    ['quota: too large', 'api_plan p { quota 1000000000000000 per=day; }', '',
     'invalid quota "1000000000000000", the largest is 999999999999999'],
    ['quota: text', 'api_plan p { quota many per=day; }', '',
     'invalid quota "many"'],
    ['quota: twice', 'api_plan p { quota 1 per=day; quota 2 per=day; }', '',
     'duplicate quota per day in plan "p"'],
    ['quota: unknown parameter', 'api_plan p { quota 1 per=day foo=1; }', '',
     'invalid parameter "foo=1"'],

    ['family: twice', 'api_plan p { family a; family b; }', '',
     '"family" directive is duplicate'],
    ['family: bad name', 'api_plan p { family a/b; }', '',
     'invalid name of a family "a/b"'],
    ['api: bad name', 'api_plan p { api a/b { } }', '',
     'invalid name of an api "a/b"'],
    ['family: name of another plan',
     'api_plan p { } api_plan q { family p; }', '',
     qr/family "p" of plan "q" is the name of another plan,.* in \S+:\d+$/m],

    ['quota: all of it', "$ZONE api_plan p { quota 5 per=month anchor=31"
     . ' tz=Europe/Berlin overage=10% mode=enforce; quota 1 per=week'
     . ' anchor=sunday mode=soft; quota 1 per=day mode=shadow;'
     . ' quota 1 per=hour overage=unlimited; }', $USE],
    ['quota: anchor before per', 'api_plan p { quota 1 anchor=31 per=month; }'],
    ['quota: anchor of a day', 'api_plan p { quota 1 per=day anchor=1; }', '',
     'invalid parameter "anchor=1", only months and weeks have one'],
    ['quota: anchor 32', 'api_plan p { quota 1 per=month anchor=32; }', '',
     'invalid parameter "anchor=32", that of a month must be 1 to 31'],
    ['quota: anchor 0', 'api_plan p { quota 1 per=month anchor=0; }', '',
     'invalid parameter "anchor=0"'],
    ['quota: weekday', 'api_plan p { quota 1 per=week anchor=noday; }', '',
     'invalid parameter "anchor=noday", that of a week must be monday to'
     . ' sunday'],
    ['quota: duplicate anchor',
     'api_plan p { quota 1 per=month anchor=1 anchor=1; }', '',
     'duplicate parameter "anchor=1"'],
    ['quota: zone that is none', 'api_plan p { quota 1 per=day tz=Mars/X; }',
     '', 'Mars/X" failed (2: No such file or directory)'],
    ['quota: zone elsewhere',
     'api_plan p { quota 1 per=day tz=../../etc/passwd; }', '',
     'invalid time zone "../../etc/passwd"'],
    ['quota: no zone file', 'api_plan p { quota 1 per=day tz=tzdata/x; }', '',
     'failed'],
    ['quota: directory', 'api_plan p { quota 1 per=day tz=Europe; }', '',
     'is not a usable time zone'],
    ['quota: leap seconds', 'api_plan p { quota 1 per=day tz=right/UTC; }',
     '', 'right/UTC"'],
    ['quota: zone of a lifetime',
     'api_plan p { quota 1 per=lifetime tz=UTC; }', '',
     'invalid parameter "tz=UTC", a lifetime has no time zone'],
    ['quota: overage', 'api_plan p { quota 1 per=day overage=10; }', '',
     'invalid parameter "overage=10", it must be 1% to 1000% or unlimited'],
    ['quota: overage of nothing', 'api_plan p { quota 1 per=day overage=0%; }',
     '', 'invalid parameter "overage=0%"'],
    ['quota: mode', 'api_plan p { quota 1 per=day mode=x; }', '',
     'invalid parameter "mode=x", it must be enforce, soft or shadow'],
    ['quota: unlimited with overage',
     'api_plan p { quota unlimited per=day overage=1%; }', '',
     'an unlimited quota takes neither'],

    ['api', 'api_plan p { api a { rate 1r/s; quota 1 per=day; } api b { } }'],
    ['api: twice', 'api_plan p { api a { } api a { } }', '',
     'duplicate api "a"'],
    ['api: two quotas', 'api_plan p { api a { quota 1 per=day;'
     . ' quota 2 per=day; } }', '', 'duplicate quota per day in plan "a"'],
    ['api: inside of itself', 'api_plan p { api a { api b { } } }', '',
     '"api" directive is not allowed here'],
    ['api: family inside', 'api_plan p { api a { family b; } }', '',
     '"family" directive is not allowed here'],
    ['api: long names', 'api_plan ' . 'p' x 20 . ' { api ' . 'a' x 16
     . ' { } }', '', 'have more than 35 bytes together'],

    # what cannot do what it says, and what can

    (map { ["warn: overage with mode=$_",
            "api_plan p { quota 1 per=day overage=10% mode=$_; }", '', undef,
            '"overage" of "quota" has no effect, with "mode=' . $_
            . '" nothing is refused in '] } 'soft', 'shadow'),
    ['warn: not of what is enforced',
     'api_plan p { quota 1 per=day overage=10% mode=enforce; }'],
    ['warn: an API that no plan knows', "$ZONE api_plan p { api orders { } }"
     . ' api_plan q { }', "\n$USE" =~ s/;/ api=ordres;/r,
     undef, 'no plan has an "api ordres", so "api_usage" applies none of their'
     . ' limits for APIs in '],
    ['warn: not of one that a plan knows', "$ZONE api_plan p { api orders { } }"
     . ' api_plan q { }', "$USE" =~ s/;/ api=orders;/r],
    ['warn: not of a variable', "$ZONE api_plan p { api orders { } }",
     "$USE" =~ s/;/ api=\$arg_x;/r],
    ['warn: not without limits for APIs', "$ZONE $PLAN",
     "$USE" =~ s/;/ api=ordres;/r],
    (map { ["warn: a cost of the answer, $_", "$ZONE $PLAN",
            "$USE" =~ s/;/ cost=$_;/r, undef,
            '"cost" is known with the answer, and without "api_usage_charge'
            . ' on=response" looked up before: it is 1 in '] }
     '$upstream_http_x_cost', '1${bytes_sent}', '$body_bytes_sent',
     '$arg_a$sent_http_x', '$status'),
    ['warn: not if it is charged then', "$ZONE $PLAN "
     . ($USE =~ s/;/ cost=\$bytes_sent;/r),
     'location /x { api_usage_charge on=response; }'],
    ['warn: not of a cost of the request', "$ZONE $PLAN",
     "$USE" =~ s/;/ cost=\$arg_bytes_sent;/r],
    (map { my ($name) = /^(\w+)/;
           (["warn: $name alone", "$ZONE $PLAN", "$_;"
             . ' location /x { api_usage off; }', undef,
             qq("$name" has no effect without "api_usage" in )],
            ["warn: not of $name above it", "$ZONE $PLAN $_;",
             "location /x { $USE }"],
            ["warn: not of $name below it", "$ZONE $PLAN $USE",
             "location /x { $_; }"]) }
     'api_usage_shadow plan=p', 'api_usage_charge on=response',
     'api_usage_refund 5xx'),
    ['warn: not of what is switched off', "$ZONE $PLAN", 'api_usage_shadow off;'
     . ' api_usage_refund off; api_usage_charge on=request;'],

    ['inherit', 'api_plan a { quota 1 per=day; api x { } }'
     . ' api_plan b inherit=a { quota 2 per=day; api x { } }'],
    ['inherit: unknown', 'api_plan b inherit=a { }', '',
     'unknown plan "a" to inherit from'],
    ['inherit: itself', 'api_plan b inherit=b { }', '',
     'unknown plan "b" to inherit from'],
    ['inherit: other parameter', 'api_plan b foo=a { }', '',
     'invalid parameter "foo=a"'],
    ['default plan', "$ZONE $PLAN api_usage_default_plan p;", $USE],
    ['default plan: unknown', 'api_usage_default_plan p;', '',
     'unknown plan "p" in "api_usage_default_plan" in '],
    ['default plan: twice', "$PLAN api_usage_default_plan p;"
     . ' api_usage_default_plan p;', '',
     '"api_usage_default_plan" directive is duplicate'],

    ['use: everything', "$ZONE $PLAN", 'api_usage zone=u plan=$arg_a'
     . ' consumer=$arg_b key=$arg_c api=$arg_d version=$arg_e rate=$arg_f'
     . ' burst=$arg_g quota=$arg_h cost=x$arg_i;'],
    ['shadow', "$ZONE $PLAN", "$USE api_usage_shadow plan=p;"
     . ' location /x { api_usage_shadow off; }'],
    ['shadow: twice', '', 'api_usage_shadow plan=p; api_usage_shadow plan=q;',
     '"api_usage_shadow" directive is duplicate'],
    ['shadow: parameter', '', 'api_usage_shadow foo=p;',
     'invalid parameter "foo=p"'],
    ['shadow: empty', '', 'api_usage_shadow plan=;',
     'invalid parameter "plan="'],
    ['charge', '', 'api_usage_charge on=response estimate=$arg_e;'
     . ' location /x { api_usage_charge on=request; }'],
    ['charge: no on', '', 'api_usage_charge estimate=5;',
     '"api_usage_charge" must have "on" parameter'],
    ['charge: bad', '', 'api_usage_charge on=never;',
     'invalid parameter "on=never", it must be request or response'],
    ['charge: two words', '', 'api_usage_charge on=request on=response;',
     'duplicate parameter "on=response"'],
    ['charge: estimate of nothing', '',
     'api_usage_charge on=request estimate=5;',
     '"estimate" needs "on=response"'],
    ['charge: twice', '', 'api_usage_charge on=request;'
     . ' api_usage_charge on=request;',
     '"api_usage_charge" directive is duplicate'],
    ['refund', '', 'api_usage_refund 499 5xx;'
     . ' location /x { api_usage_refund off; }'],
    ['refund: bad', '', 'api_usage_refund 6xx;', 'invalid status "6xx"'],
    ['refund: bad number', '', 'api_usage_refund 99;',
     'invalid status "99"'],
    ['refund: twice', '', 'api_usage_refund 500; api_usage_refund 501;',
     '"api_usage_refund" directive is duplicate'],
    ['headers', '', 'api_usage_headers legacy;'],
    ['headers: bad', '', 'api_usage_headers x;', 'invalid value "x"'],
    ['status', '', 'api_usage_status 402;'],
    ['status: bad', '', 'api_usage_status 200;',
     'value must be between 400 and 599'],
    ['self: twice', '', 'location /x { api_usage_self; api_usage_self; }',
     '"api_usage_self" directive is duplicate'],
    ['self: in a server', '', 'api_usage_self;',
     '"api_usage_self" directive is not allowed here'],

    ['use: twice', "$ZONE $PLAN", "$USE $USE",
     '"api_usage" directive is duplicate'],
    ['use: no zone', "$ZONE $PLAN", 'api_usage plan=p consumer=c;',
     '"api_usage" must have "zone" parameter'],
    ['use: no plan', "$ZONE $PLAN", 'api_usage zone=u consumer=c;',
     '"api_usage" must have "plan" parameter'],
    ['use: no consumer', "$ZONE $PLAN", 'api_usage zone=u plan=p;',
     '"api_usage" must have "consumer" parameter'],
    ['use: duplicate', "$ZONE $PLAN",
     'api_usage zone=u plan=p plan=q consumer=c;',
     'duplicate parameter "plan=q"'],
    ['use: duplicate zone', "$ZONE $PLAN",
     'api_usage zone=u zone=v plan=p consumer=c;',
     'duplicate parameter "zone=v"'],
    ['use: empty zone', "$ZONE $PLAN", 'api_usage zone= plan=p consumer=c;',
     'invalid parameter "zone="'],
    ['use: empty', "$ZONE $PLAN", 'api_usage zone=u plan= consumer=c;',
     'invalid parameter "plan="'],
    ['use: unknown parameter', "$ZONE $PLAN",
     'api_usage zone=u plan=p consumer=c foo=1;',
     'invalid parameter "foo=1"'],
    ['use: unknown zone', $PLAN, $USE,
     'unknown api_usage_zone "u" in '],
    ['use: unknown variable', "$ZONE $PLAN",
     'api_usage zone=u plan=$nothing consumer=c;',
     'unknown "nothing" variable'],
);

my $gw = Apigw::Scenario->new;

for my $case (@cases) {
    my ($name, $http, $server, $message, $warning) = @$case;

    $gw->conf(http => $http, server => $server // '');

    my ($status, $text) = $gw->test_config;

    if (defined $message) {
        isnt($status, 0, "$name: refused");
        $message = qr/\Q$message\E/ if !ref $message;
        like($text, qr/\[emerg\].*$message/, "$name: message");

    } else {
        is($status, 0, "$name: accepted") or diag($text);
        like($text, qr/\[warn\].*\Q$warning\E\S+\.conf:\d+$/m, "$name: told")
            if $warning;
        unlike($text, qr/\[warn\]/, $name) if $name =~ /^warn: not/;
    }
}

ok(!-e $gw->root . '/logs/usage/data.mdb', 'nginx -t writes no store');
is_deeply([glob $gw->root . '/logs/usage/instance.*'], [],
          'nginx -t makes no instance');

done_testing;
