# Canaries: the share is right within statistical bounds, the same callers stay
# in when it grows, in every worker and after a restart; opting in and out.
# Brownouts grow, spare the exempt and end with the sunset, by the clock.

use strict;
use warnings;

use FindBin;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $CALLERS = 2000;

sub date { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $_[0]) }

sub config {
    my ($share, $other) = @_;

    return <<"END";
upstream one { server 127.0.0.1:1; }

api a {
    version v2 upstream=one default;
    version v3 upstream=one canary=$share by=\$arg_c canary_optin=on;
    version v4 upstream=one canary=$other by=\$arg_c;
    select query=v;
}

api address {
    version v2 upstream=one default;
    version v3 upstream=one canary=50%;
}

api gone {
    version v2 upstream=one default;
    version v3 upstream=one canary=100% sunset=2020-01-01;
}

api early {
    version v2 upstream=one default;
    version v3 upstream=one canary=100% since=2099-01-01;
    select query=v;
}
END
}

my $server = <<'END';
location /a/ {
    api_publish a;
    add_header X-Api
        "$api_version $api_version_source $api_version_status $api_upstream";
    empty_gif;
}

location /address/ {
    api_publish address;
    empty_gif;
    set_real_ip_from 127.0.0.0/8;
    real_ip_header X-From;
}

location /gone/ { api_publish gone; empty_gif; }

location /early/ {
    api_publish early;
    add_header X-Api "$api_version $api_version_status";
    empty_gif;
}
END

my $gw = Apigw::Scenario->start(workers => 2, http => config('10%', '5%'),
                                server => $server);


# Which version every caller gets, on several connections at a time.

sub choices {
    my %got;
    my @clients = map { $gw->connect } 1 .. 4;

    for my $i (0 .. $CALLERS / 4 - 1) {
        for my $n (0 .. $#clients) {
            my $caller = "caller-" . ($i * 4 + $n);
            $clients[$n]->send("GET /a/x?c=$caller HTTP/1.1\r\nHost:"
                . " a\r\n\r\n");
        }

        for my $n (0 .. $#clients) {
            $got{"caller-" . ($i * 4 + $n)} =
                $clients[$n]->read_answer->header('X-API-Version');
        }
    }

    return \%got;
}

sub members {
    my ($choices, $version) = @_;

    return grep { $choices->{$_} eq $version } sort keys %$choices;
}

sub is_share {
    my ($choices, $version, $share) = @_;

    my $n = members($choices, $version);
    my $expected = $CALLERS * $share;
    my $bound = 5 * sqrt($expected * (1 - $share));

    cmp_ok(abs($n - $expected), '<=', $bound,
           "$version: $n of $CALLERS are about " . $share * 100 . ' %');
}

my $first = choices();

is_share($first, 'v3', 0.10);
is_share($first, 'v4', 0.05);
is_share($first, 'v2', 0.85);

is_deeply(choices(), $first, 'the same callers once more');

$gw->conf(http => config('30%', '5%'));
$gw->reload;

my $more = choices();

is_share($more, 'v3', 0.30);
is_share($more, 'v4', 0.05);
is(scalar(grep { $more->{$_} ne 'v3' } members($first, 'v3')), 0,
   'who was in stays in when the share grows');
is(scalar(grep { $more->{$_} eq 'v2' } members($first, 'v4')), 0,
   'nobody falls back to the default when another share grows');

$gw->conf(http => config('30%', '25%'));
$gw->restart;

my $second = choices();

is_share($second, 'v4', 0.25);
is(scalar(grep { $second->{$_} ne $more->{$_} } members($more, 'v3'),
    members($more, 'v4')), 0,
   'who was in stays in after a restart and when the second share grows');

$gw->conf(http => config('100%', '0%'));
$gw->reload;
is(scalar(members(choices(), 'v3')), $CALLERS, 'all');

$gw->conf(http => config('0%', '0%'));
$gw->reload;
is(scalar(members(choices(), 'v2')), $CALLERS, 'none');

$gw->conf(http => config('0.01%', '99.99%'));
$gw->reload;
is(scalar(members(choices(), 'v2')), 0, 'two canaries share all');


# Who is asked for, and who is not known

my ($in) = members($second, 'v3');
my ($out) = members($second, 'v2');

$gw->conf(http => config('30%', '25%'));
$gw->reload;

sub api { return $gw->get(@_)->header('X-Api') }

is(api("/a/x?c=$in"), 'v3 canary canary one', 'a member');
is(api("/a/x?c=$out"), 'v2 default current one', 'not a member');
is(api('/a/x'), 'v2 default current one', 'no caller');
is(api("/a/x?c=$out", 'X-API-Version' => 'v3'), 'v3 canary canary one',
    'opted in');
is(api("/a/x?c=$out", 'X-API-Version' => '3'), 'v3 canary canary one',
    'opted in, loosely');
unlike(api("/a/x?c=$in", 'X-API-Version' => 'v2'), qr/^v3/, 'opted out');
is(api("/a/x?c=$out", 'X-API-Version' => 'v4'), 'v2 default current one',
    'v4 has no opt-in');
is(api("/a/x?c=$out&v=3"), 'v3 query canary one', 'named');
is(api("/a/x?c=$in&v=2"), 'v2 query current one', 'another one is named');
is($gw->get("/a/x?c=$out")->header('Vary'), 'X-API-Version',
    'Vary on the opt-in');
is($gw->get("/a/x?c=$out&v=2")->header('Vary'), undef,
    'no Vary when it is named');

is($gw->get('/gone/')->header('X-API-Version'), 'v2',
    'a canary past its sunset takes nobody');
is($gw->get('/early/')->header('X-Api'), 'v2 current',
    'one before its day gets nobody');
is($gw->get('/early/?v=v3')->header('X-Api'), 'v3 preview', 'unless named');

my %from = map { $gw->get('/address/', 'X-From' =>
    "10.0.0.$_")->header('X-API-Version') => 1 }
           1 .. 20;
is(scalar(keys %from), 1, 'the client address, as it is in this phase');

# What a cache has to know: whose answer it is
my $vary = <<'END';
upstream one { server 127.0.0.1:1; }
api none    { version v2 upstream=one default;
    version v3 upstream=one canary=0%; }
api address { version v2 upstream=one default;
    version v3 upstream=one canary=50%; select path header=V; }
api key     { version v2 upstream=one default;
    version v3 upstream=one canary=1% by=$remote_user; }
api header  { version v2 upstream=one default;
    version v3 upstream=one canary=1% by=$http_x_caller_id;
    select path header=V $http_x_version $cookie_v $http_v; }
api cookie  { version v2 upstream=one default;
    version v3 upstream=one canary=1% by=$cookie_who;
    version v4 upstream=one canary=1% by=$cookie_other;
    version v5 upstream=one canary=1% by=$arg_c; }
api uri     { version v2 upstream=one default;
    version v3 upstream=one canary=1% by=$arg_c;
    version v4 upstream=one canary=1% by=$request_uri; }
api known   { version v2 upstream=one default;
    version v3 upstream=one canary=50%; select header=V; fallback default; }
api first   { version v2 upstream=one default;
    version v3 upstream=one canary=1% by=$cookie_who;
    select path header=V header=W on_conflict=first; }
api end     { version v1 upstream=one sunset=2099-01-01;
    version v2 upstream=one default;
    brownout 1% from 2020-01-01 exempt=$http_x_free by=$http_x_caller_id; }
api later   { version v1 upstream=one sunset=2099-01-01;
    select path header=V; brownout 1% from 2098-01-01 by=$http_x_caller_id; }
api map     { version v2 upstream=one default; select $scheme_of header=V; }
map $arg_v $scheme_of { default ''; }
END

my @apis = $vary =~ /^api (\w+)/mg;

$gw->reload(http => $vary, server => join '',
    map { "location /$_/ { api_publish $_; empty_gif; }\n" } @apis);

sub vary { return $gw->get(@_)->header('Vary') }

is(vary(@$_[1 .. $#$_]), $_->[0], "Vary: @$_[1 .. $#$_]") for
    [undef, '/none/'],
    ['*', '/address/'], ['V', '/address/v2/'], ['V', '/address/v3/'],
    ['V', '/address/', V => 'v3'],
    ['V', '/address/', V => 'v9'],
    ['*', '/key/'],
    ['V, X-Version, Cookie, X-Caller-Id', '/header/'],
    ['V, X-Version, Cookie', '/header/', 'X-Version' => 'v2'],
    ['V, X-Version, Cookie', '/header/', 'V' => '1', 'X-Version' => 'v2'],
    [undef, '/first/v2/'], ['V', '/first/', V => 'v3'],
    ['V, W, Cookie', '/first/'],
    ['X-Free, X-Caller-Id', '/end/v1/'], [undef, '/end/v2/'],
    ['V', '/later/v1/', V => 1],
    ['V, X-Version, Cookie', '/header/', 'Cookie' => 'v=v2'],
    ['Cookie', '/cookie/'],
    [undef, '/uri/'],
    ['*', '/known/', V => 'v9'], ['V', '/known/', V => 'v3'],
    ['V', '/map/'];

$gw->reload(http => config('30%', '25%'), server => $server);

$gw->conf(server =>
    "set_real_ip_from 127.0.0.0/8; real_ip_header X-From;\n$server");
$gw->reload;

%from = map { $gw->get('/address/', 'X-From' =>
    "10.0.0.$_")->header('X-API-Version') => 1 }
        1 .. 20;
is_deeply([sort keys %from], ['v2', 'v3'], 'and after realip');


# A sunset comes by the clock, so does the end of a brownout

my $now = int time;
my $sunset = $now + 3;
my $hour = 'for=60/hour';

# minutes of the hour until a rehearsal ends, and that it is over since
my $minute = int($now % 3600 / 60);
my ($open, $shut) = ($minute < 59 ? $minute + 1 : 60, $minute || 1);

$gw->conf(http => <<"END", server => <<'END2');
upstream one { server 127.0.0.1:1; }

api soon {
    version v1 upstream=one deprecated=@{[date($now - 10)]}
        sunset=@{[date($sunset)]} successor=v2;
    version v2 upstream=one default;
    fallback nearest;
}

api half {
    version v1 upstream=one sunset=@{[date($now + 86400 * 365)]} successor=v2;
    version v2 upstream=one default;
    brownout "50% from @{[date($now - 60)]} $hour" by=\$arg_c
        exempt=\$arg_free;
}

api nobody {
    version v1 upstream=one sunset=@{[date($now + 86400 * 365)]};
    brownout "50% from @{[date($now - 60)]}" by=\$arg_c;
}

api grown {
    version v1 upstream=one sunset=@{[date($now + 100)]};
    version v2 upstream=one default;
    brownout 0.01% from @{[date($now - 999900)]} by=\$arg_c;
}

api window {
    version v1 upstream=one sunset=@{[date($now + 86400 * 365)]};
    version v2 upstream=one sunset=@{[date($now + 86400 * 365)]};
    brownout "100% from @{[date($now - 60)]} for=$open/hour" version=v1;
    brownout "100% from @{[date($now - 60)]} for=$shut/hour" version=v2;
}

api early {
    version v1 upstream=one sunset=@{[date($now + 100)]};
    version v2 upstream=one default;
    version v3 upstream=one sunset=@{[date($now + 1000)]};
    brownout 100% from @{[date($now - 100)]} version=v1;
    brownout 100% from @{[date($now + 90)]} version=v3;
}
END
add_header X-Api "$api_version $api_version_status" always;
set_real_ip_from 127.0.0.0/8;
real_ip_header X-From;
location /soon/ { api_publish soon; empty_gif; }
location /half/ { api_publish half; empty_gif; }
location /nobody/ { api_publish nobody; empty_gif; }
location /grown/ { api_publish grown; empty_gif; }
location /early/ { api_publish early; empty_gif; }
location /window/ { api_publish window; empty_gif; }
END2
$gw->reload;

is($gw->get('/soon/v1/')->status, 200, 'before the sunset');
is($gw->get('/soon/v1/')->header('X-Api'), 'v1 deprecated', 'deprecated');

my $refused;
my %browned;

for my $i (1 .. 200) {
    my $answer = $gw->get("/half/v1/?c=$i");
    $browned{$i} = $answer->status == 503;
    $refused = $answer if $browned{$i};
}

my $n = grep { $_ } values %browned;
cmp_ok(abs($n - 100), '<=', 5 * sqrt(50),
    "$n of 200 callers are in a brownout of a half");

is($refused->header('Content-Type'), 'application/problem+json',
    'brownout: a problem');
cmp_ok(abs($refused->header('Retry-After') - 86400 * 365), '<=', 10,
    'brownout: Retry-After without a pause is the sunset');
is($refused->header('X-API-Version'), 'v1', 'brownout: version');
like($refused->body,
    qr/"status":503,
       "detail":"Version[ ]\\"v1\\"[ ]will[ ]be[ ]retired[ ]on[ ]
       \w{3},[ ]\d\d[ ]\w{3}[ ]\d{4}[ ]\d\d:\d\d:\d\d[ ]GMT,
       [ ]this[ ]is[ ]a[ ]rehearsal\.",
       "api":"half","version":"v1","sunset":"\d{4}-.*Z",
       "successor":"v2","successor_uri":"\/half\/v2\/\?c=\d+"\}/x,
     'brownout: the document');
is(scalar($refused->header('Sunset') =~ /GMT$/), 1, 'brownout: Sunset');

my ($hit) = grep { $browned{$_} } sort keys %browned;

is($gw->get("/half/v1/?c=$hit")->status, 503, 'the same caller again');
is($gw->get("/half/v1/?c=$hit&free=1")->status, 200, 'exempt');
is($gw->get("/half/v1/?c=$hit&free=0")->status, 503, 'exempt=0 is not');
is($gw->get("/half/v2/?c=$hit")->status, 200, 'another version');

sub statuses {
    return join ' ', map { $gw->get('/nobody/v1/', 'X-From' =>
        "10.0.0.$_")->status } 1 .. 30;
}

my $statuses = statuses();
like($statuses, qr/200.*503|503.*200/, 'who does not say who he is goes by'
    . ' his address');
is(statuses(), $statuses, 'and stays in or out');

my $grown = grep { $gw->get("/grown/v1/?c=$_")->status == 503 } 1 .. 50;
cmp_ok($grown, '>=', 48,
    "before the sunset the share has grown: $grown of 50");

is($gw->get('/early/v1/')->status, 503, 'all of v1, by address');
is($gw->get('/early/v3/')->status, 200, 'the brownout of v3 has yet to begin');

SKIP: {
    skip 'at the edge of an hour', 3 if $minute == 0 || $minute == 59;

    my $answer = $gw->get('/window/v1/');
    is($answer->status, 503, 'in the minutes of a rehearsal');
    cmp_ok(abs($now % 3600 + $answer->header('Retry-After') - 60 * $open), '<=',
        10, 'Retry-After is their end');
    is($gw->get('/window/v2/')->status, 200, 'and then it is over');
}

wait_for { $gw->get('/soon/v1/')->status == 410 } 5;
cmp_ok(time, '>=', $sunset, 'not before its time');
is($gw->get('/soon/v1/')->status, 410, 'after the sunset, without a reload');
is($gw->get('/soon/v1/')->header('X-Api'), 'v1 sunset', 'sunset');

done_testing;
