# nginx -t: what is refused, with which words, what is warned of, and how
# api_publish is inherited.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->new;

my $ups =
    "upstream one { server 127.0.0.1:1; } upstream two { server 127.0.0.1:1;"
        . " }\n";


sub verdict {
    my ($text, %parts) = @_;

    my ($status, $out) = $gw->test_config(
        http   => $parts{http} // "$ups api a {\n$text\n}\n",
        server => $parts{server} // 'api_publish a;');

    my $line = $out =~ /(\[(?:emerg|warn)\]) \d+#\d+: (?!"user")(.*)/
               ? "$1 $2" : '';

    $line =~ s/ in \S+:\d+\z//;

    return ($status, $line);
}

sub refuses {
    my ($text, $message, %parts) = @_;

    my ($status, $line) = verdict($text, %parts);

    $text = $parts{http} if $text eq '' && $parts{http};

    ref $message
        ? like("$status $line", qr/^1 \[emerg\] $message/, $text =~ s/\s+/ /gr)
        : is("$status $line", "1 [emerg] $message", $text =~ s/\s+/ /gr);
}

sub accepts {
    my ($text, $message, %parts) = @_;

    my ($status, $line) = verdict($text, %parts);

    is("$status $line", '0 ' . ($message ? "[warn] $message" : ''),
        $text =~ s/\s+/ /gr);
}

my $v1 = 'version v1 upstream=one;';
my $v2 = 'version v2 upstream=two default;';


# the block

refuses('', 'no versions are inside api "a"');
refuses('listen 80;', '"listen" directive is not allowed here');
refuses('', 'duplicate api "a"', http => "$ups api a { $v1 } api a { $v1 }");
refuses('', 'invalid api name "a/b"', http => "$ups api a/b { $v1 }");
refuses('', 'invalid api name "off"', http => "$ups api off { $v1 }");
refuses('', 'unknown api "b"', http => "$ups api a { $v1 }",
    server => 'api_publish b;');
refuses('', '"api_publish" directive is duplicate',
    http => "$ups api a { $v1 }",
        server => 'api_publish a; api_publish a;');
refuses('', '"api_publish" directive is not allowed here',
        http => "$ups api a { $v1 } api_publish a;");
refuses('', '"version" directive is not allowed here', http => "$ups $v1");
refuses('', '"api" directive is not allowed here', http => "$ups",
    server => "api a { $v1 }");
refuses('', '"api_catalog" directive is duplicate',
    http => "$ups api a { $v1 }",
        server => 'api_publish a; location /c { api_catalog; api_catalog; }');
refuses('', 'invalid number of arguments in "api" directive',
    http => "$ups api { $v1 }");

my $answers = 'conflicts with another directive that answers';

refuses('', qr/"api_catalog" directive $answers here/,
    http => "$ups api a { $v1 }", server => 'api_publish a;'
        . ' location /c { proxy_pass http://one; api_catalog; }');
refuses('', qr{"api_catalog" $answers in location "/c"},
    http => "$ups api a { $v1 }", server => 'api_publish a;'
        . " location /c { api_catalog; $_ }")
    for 'proxy_pass http://one;', 'empty_gif;';

sub aliased {
    my ($text, $verdict) = @_;

    $verdict->('', $verdict == \&refuses
        ? qr{"alias"\ cannot\ be\ used\ in\ location\ "/c/"\ since\ api\ "a"
             \ in\ \S+\ changes\ the\ URI,\ use\ "root"}x : '',
        http => "$ups api a { $text }", server => 'api_publish a;'
            . ' location /c/ { alias /tmp/; }');
}

aliased($_, \&refuses) for $v1, "$v1 select package path=3;",
    'version v1 upstream=one uri=/x; select header=V;';
aliased($_, \&accepts) for "$v1 strip off;", "$v1 select header=V query=v;";

accepts($v1);
accepts('', 'api "a" is not published', http => "$ups api a { $v1 }",
    server => '');
accepts('', '', http => "server { listen 127.0.0.1:25099; api_publish a; }"
                         . " api a { $v1 } $ups", server => '');

# version

refuses('version v1;', 'invalid number of arguments in "version" directive');
refuses('version v1 default;', '"version" must have "upstream" parameter');
refuses('version "v 1" upstream=one;', 'invalid version "v 1"');
refuses('version v/1 upstream=one;', 'invalid version "v/1"');
refuses('version .. upstream=one;', 'invalid version ".."');
refuses("$v1 $v1", 'duplicate version "v1" in api "a"');
refuses("$v1 version V1 upstream=one;", 'duplicate version "V1" in api "a"');
refuses("$v1 version 1 upstream=one;", 'duplicate version "1" in api "a"');
refuses("version v1 upstream=one default; $v2",
    'two default versions, "v1" and "v2", in api "a"');
refuses('version v1 upstream=one foo;', 'invalid parameter "foo"');
refuses('version v1 upstream=one foo=1;', 'invalid parameter "foo=1"');
refuses('version v1 upstream=;', 'invalid upstream ""');
refuses('version v1 upstream=none;', 'unknown upstream "none"');
refuses('version v1 upstream=$foo;', 'invalid upstream "$foo"');
refuses('version v1 upstream=one/x;', 'invalid upstream "one/x"');
refuses('version v1 upstream=ftp://one;', 'invalid upstream "ftp://one"');
refuses('version v1 upstream=http://;', 'invalid upstream "http://"');
refuses('version v1 upstream=http://127.0.0.1:80/x;',
        'upstream "http://127.0.0.1:80/x" cannot have a URI, use "uri"'
            . ' parameter');
refuses('version v1 upstream=127.0.0.1:99999;',
    'invalid port in upstream "127.0.0.1:99999"');
refuses('version v1 upstream=one; version v2 upstream=http://two;',
        'upstreams with and without a scheme in api "a"');
refuses('version v1 upstream=http://does.not.exist.invalid;',
        'host not found in upstream "does.not.exist.invalid"');
accepts('version v1 upstream=http://one; version v2 upstream=https://two;');
accepts('version v1 upstream=grpc://one; version v2 upstream=grpcs://two;');
accepts('version v1 upstream=127.0.0.1:80; version v2 upstream=unix:/tmp/x;');

# dates

refuses("version v1 upstream=one deprecated=$_;", qq(invalid date "$_"))
    for '2026-02-30', '2026-13-01', 'soon', '2026-06-01T25:00:00Z',
        '1970-01-01';
refuses('version v1 upstream=one deprecated=;', 'invalid date ""');
refuses('version v1 upstream=one sunset=2026-04-31;',
    'invalid date "2026-04-31"');
refuses('version v1 upstream=one since=2026-04-31;',
    'invalid date "2026-04-31"');
refuses('version 2026-02-30 upstream=one;', 'invalid date "2026-02-30"');
refuses('version v1 upstream=one deprecated=2027-01-02 sunset=2027-01-01;',
        'sunset before the deprecation in version "v1"');
refuses('version v1 upstream=one since=2027-01-02 sunset=2027-01-01;',
        '"since" after the end of version "v1"');
refuses('version v1 upstream=one since=2027-01-02 deprecated=2027-01-01;',
        '"since" after the end of version "v1"');
accepts('version v1 upstream=one deprecated=2027-01-01'
    . ' sunset=2027-01-01T00:00:01Z;');
refuses('version v1 upstream=one deprecated=2027-01-01T01:00:01+01:00'
    . ' sunset=2027-01-01;',
        'sunset before the deprecation in version "v1"');
accepts('version v1 upstream=one deprecated=2027-01-01T01:00:00+01:00'
    . ' sunset=2027-01-01;');
accepts('version v1 upstream=one default sunset=2020-01-01;',
        'default version "v1" in api "a" is past its sunset');

refuses('version v1 upstream=one default since=2098-01-01;',
        'default version "v1" in api "a" is before its "since"');

# successor, link, uri

refuses('version v1 upstream=one sunset=2027-01-01 successor=v2;'
    . ' version v2 upstream=two sunset=2026-12-31;',
        'successor "v2" of version "v1" in api "a" ends before it');
accepts('version v1 upstream=one deprecated=2019-01-01 successor=v2;'
    . ' version v2 upstream=two sunset=2020-01-01;',
        'successor "v2" of version "v1" in api "a" is past its sunset');
accepts('version v1 upstream=one sunset=2020-01-01 successor=v2;'
    . ' version v2 upstream=two sunset=2020-01-01;');

refuses("version v1 upstream=one successor=v9; $v2",
        'unknown successor "v9" of version "v1" in api "a"');
refuses('version v1 upstream=one successor=v1;',
        'version "v1" in api "a" is a successor of itself');
refuses('version v1 upstream=one successor=v2; version v2 upstream=two'
    . ' successor=v1;',
        'version "v1" in api "a" is a successor of itself');
refuses("version v1 upstream=one $_->[0]; $v2",
        qq(duplicate parameter "$_->[1]"))
    for ['upstream=two', 'upstream=two'],
        ['sunset=2099-01-01 link=x sunset=2098-01-01', 'sunset=2098-01-01'],
        ['status=preview uri=/a uri=/b', 'uri=/b'];
refuses('version v1 upstream=one default default;',
        'duplicate parameter "default"');
refuses('version v1 upstream=one successor=;',
    'invalid parameter "successor="');
refuses('version v1 upstream=one "link=https://x/>;rel=x";',
        'invalid parameter "link=https://x/>;rel=x"');
refuses('version v1 upstream=one link=;', 'invalid parameter "link="');
refuses("version v1 upstream=one uri=$_;", qq(invalid path "$_"))
    for 'x', '/a//b', '/../b', '/a/./b', '/a%20b', '/a?b';
accepts('version v1 upstream=one uri=/; version v2 upstream=two'
    . ' uri=/a/b.c-d_e~f/;');

# canary

refuses("$v2 version v3 upstream=one canary=$_;",
    qq(invalid share "canary=$_", it must be "0%" to "100%" in steps of)
        . ' "0.01%"')
    for '5', '101%', '-1%', '1.234%', '%', 'x%';
refuses("$v2 version v3 upstream=one canary=60%; version v4 upstream=one"
    . " canary=40.01%;",
        'canary shares in api "a" exceed 100%');
refuses("$v2 version v3 upstream=one canary=5% by=foo;",
    'invalid variable name "foo"');
refuses("$v2 version v3 upstream=one canary=5% by=;",
    'invalid variable name ""');
refuses("$v2 version v3 upstream=one canary=5% by=\$nothing_known;",
        'unknown "nothing_known" variable');
refuses('version v3 upstream=one by=$remote_addr;',
    '"by" needs "canary" in version "v3"');
refuses('version v3 upstream=one canary_optin=on;',
    '"canary_optin" needs "canary" in version "v3"');
refuses("$v2 version v3 upstream=one canary=5% canary_optin=yes;",
        'invalid parameter "canary_optin=yes"');
refuses("$v2 version v3 upstream=one canary=5% canary_optin=on;"
    . " version_header off;",
        '"canary_optin=on" needs "version_header" in api "a"');
refuses('version v3 upstream=one canary=5%;',
        'canary "v3" in api "a" needs a default version that requests fall'
            . ' back to');
refuses("$v2 version v3 upstream=one canary=5%; fallback reject;",
        'canary "v3" in api "a" needs a default version that requests fall'
            . ' back to');
refuses('version v3 upstream=one canary=5% default;',
        'default version "v3" in api "a" cannot be a canary');
refuses('version v3 upstream=one status=preview default;',
        'default version "v3" in api "a" cannot be a preview');
refuses("$v2 version v3 upstream=one status=preview canary=5%;",
        'canary "v3" in api "a" cannot be a preview');
refuses('version v3 upstream=one status=beta;',
    'invalid parameter "status=beta"');
accepts("$v2 version v3 upstream=one canary=60%; version v4 upstream=one"
    . " canary=40%;");
accepts("$v2 version v3 upstream=one canary=0% canary_optin=off;");

# select

refuses("$v1 select;", 'invalid number of arguments in "select" directive');
refuses("$v1 select path; select path;", '"select" directive is duplicate');
refuses("$v1 select on_conflict=first;",
    '"select" must name a place of the version');
refuses("$v1 select $_;", qq(invalid parameter "$_"))
    for 'cookie=x', 'path=0', 'path=x', 'path=33', 'path=', 'header=',
        'header=a:b',
        'header=a.b', 'accept=', 'accept=application',
            'accept=application/a+json',
        'accept=a/b/c', 'query=', 'query=a&b', 'host=api.test', 'host=*.*',
            'host=*',
        'host=*.test/x', '$', 'on_conflict=last';
refuses("$v1 select \$nothing_known;", 'unknown "nothing_known" variable');
refuses("$v1 select path path=2;", 'duplicate "path=2"');
refuses("$v1 select path on_conflict=$_->[0] on_conflict=$_->[1];",
    qq(duplicate parameter "on_conflict=$_->[1]"))
    for ['first', 'reject'], ['reject', 'first'], ['first', 'first'];
refuses("$v1 select header=A header=a;", 'duplicate "header=a"');
refuses("$v1 select query=a query=a;", 'duplicate "query=a"');
refuses("$v1 select " . join(' ', map { "query=q$_" } 1 .. 9) . ';',
    'too many places');
accepts("$v1 select path header=A header=B accept=a/b query=q host=*.test"
    . " package \$host"
        . " on_conflict=reject;");

# headers that nginx ignores, once for all servers and locations

my $ignored = 'is ignored by nginx, see "underscores_in_headers" and'
              . ' "ignore_invalid_headers",';

sub ignored {
    my ($text, $expected, $server) = @_;

    my ($status, $out) = $gw->test_config(http => "$ups api a { $text }",
        server => "$server api_publish a; location /b/ { empty_gif; }");

    is($status . join(' ', '', $out =~ /(header "\S+ of "\S+ $ignored)/g),
        join(' ', $status, $expected || ()), "$text $server");
}

ignored("$v1 select header=X_A;", qq(header "X_A" of "select" $ignored), '');
ignored("$v1 select header=X_A;", '', $_)
    for 'underscores_in_headers on;', 'ignore_invalid_headers off;';
ignored("$v1 select header=X-A;", '', '');
ignored("$v2 version v3 upstream=one canary=5% canary_optin=on;"
    . ' version_header X_B;', qq(header "X_B" of "canary_optin" $ignored), '');
ignored("$v2 version_header X_B;", '', '');

# fallback, base, strip, version_header

refuses("$v1 fallback last;", 'invalid value "last"');
refuses("$v1 fallback reject; fallback reject;",
    '"fallback" directive is duplicate');
refuses("$v1 fallback default;",
    '"fallback default" needs a default version in api "a"');
refuses("$v1 version beta upstream=two; fallback nearest;",
        '"fallback nearest" needs versions that are all numbers or all'
            . ' dates, api "a" has "beta"');
refuses("$v1 version 2026-01-01 upstream=two; fallback nearest;",
        '"fallback nearest" needs versions that are all numbers or all'
            . ' dates, api "a" has "2026-01-01"');
refuses("$v1 version v1.0 upstream=two; fallback nearest;",
        '"fallback nearest" cannot tell "v1.0" from "v1" in api "a"');
refuses("$v1 base api;", 'invalid path "api"');
refuses("$v1 base /a//b;", 'invalid path "/a//b"');
refuses("$v1 base /a; base /a;", '"base" directive is duplicate');
refuses("$v1 strip maybe;",
    'invalid value "maybe" in "strip" directive, it must be "on" or "off"');
refuses("$v1 strip on; strip on;", '"strip" directive is duplicate');
refuses("$v1 version_header a:b;", 'invalid value "a:b"');
refuses("$v1 version_header $_;", qq(invalid value "$_"))
    for 'Content-Length', 'connection', 'Sunset', 'Cache-Control';
refuses("$v1 version_header on; version_header off;",
    '"version_header" directive is duplicate');
accepts("$v1 version 2 upstream=two; fallback nearest; base /; strip off;"
    . " version_header on;");

# brownout

my $old = 'version v1 upstream=one sunset=2099-01-01;';
my $form = '"brownout" must be "percent% from date [for=minutes/hour]"';

refuses("$old brownout $_->[0];", $_->[1]) for
    ['5%', '"brownout" must have a share and "from" with a date'],
    ['from 2098-01-01', '"brownout" must have a share and "from" with a date'],
    ['5% from', '"brownout" must have a share and "from" with a date'],
    ['5% from 2098-02-30', 'invalid date "2098-02-30"'],
    ['0% from 2098-01-01', qq(invalid parameter "0%", $form)],
    ['10 from 2098-01-01', qq(invalid parameter "10", $form)],
    ['5% from 2098-01-01 for=5', qq(invalid parameter "for=5", $form)],
    ['101% from 2098-01-01', qq(invalid parameter "101%", $form)],
    ['5% 6% from 2098-01-01', 'duplicate parameter "6%"'],
    ['5% from 2098-01-01 from', 'duplicate parameter "from"'],
    (map { ["5% from 2098-01-01 $_ \"$_\"", qq(duplicate parameter "$_")] }
        'for=5/hour', 'by=$uri', 'exempt=$uri', 'version=v1'),
    ['5% from 2098-01-01 for=61/hour',
        qq(invalid parameter "for=61/hour", $form)],
    ['5% from 2098-01-01 for=0/hour',
        qq(invalid parameter "for=0/hour", $form)],
    ['5% from 2098-01-01 for=5/day',
        qq(invalid parameter "for=5/day", $form)],
    ['5% from 2098-01-01 exempt=x', 'invalid variable name "x"'],
    ['5% from 2098-01-01 by=x', 'invalid variable name "x"'],
    ['5% from 2098-01-01 version=v9',
        'unknown version "v9" in "brownout" of api "a"'],
    ['5% from 2098-01-01 now', qq(invalid parameter "now", $form)],
    ['5% from 2099-01-01',
        '"brownout" of version "v1" in api "a" needs a later sunset'],
    ['5% from 2098-01-01; brownout 6% from 2098-01-01',
     'duplicate "brownout" of version "v1" in api "a"'];
refuses("$v1 brownout 5% from 2098-01-01;",
        '"brownout" in api "a" needs a version with a sunset');
refuses("$v1 brownout 5% from 2098-01-01 version=v1;",
        '"brownout" of version "v1" in api "a" needs a later sunset');
accepts("$old brownout \"5% from 2098-01-01 for=10/hour\" exempt=\$arg_x"
    . " by=\$arg_y;");
accepts("$old brownout 5% from 2098-01-01T00:00:00Z version=v1;");

# the zone

sub zone { return "$ups api_version_zone $_[0]; api a { $v1 }" }

refuses('', $_->[1], http => zone($_->[0])) for
    ['zone=z:1m', '"api_version_zone" must have "store" parameter'],
    ['store=logs/z', '"api_version_zone" must have "zone" parameter'],
    ['zone=z store=logs/z', 'invalid zone "z", it must be "name:size"'],
    ['zone=z:x store=logs/z', 'invalid zone size "z:x"'],
    ['zone=z:8k store=logs/z',
        'zone "z:8k" is too small, the least is 32k'],
    ['zone=z:1m store=', 'invalid parameter "store="'],
    ['zone=z:1m store=logs/z foo=1', 'invalid parameter "foo=1"'],
    ['zone=z:1m store=logs/z by=x', 'invalid variable name "x"'],
    ['zone=z:1m store=logs/z by=$nothing_known',
        'unknown "nothing_known" variable'],
    (map { ["zone=z:1m store=logs/z flush=$_",
        qq(invalid parameter "flush=$_", it must be a time from 100ms to 60s)] }
     '0', '99ms', '61s', 'x', '-1s'),
    (map { ["zone=z:1m store=logs/z retention=$_",
        qq(invalid parameter "retention=$_", it must be a time )
        . ($_ eq '70y' ? 'from 1d to 2147483647s' : 'of at least 1d')] }
     '0', '23h', '70y', 'x'),
    (map { ["zone=z:1m store=logs/z by=\$uri flush=1s retention=2d $_",
        qq(duplicate parameter "$_")] }
        'zone=y:1m', 'store=logs/y', 'by=$uri', 'flush=1s', 'retention=1d'),
    ['zone=z:1m store=logs/z; api_version_zone zone=y:1m store=logs/y',
        '"api_version_zone" directive is duplicate'],
    ['zone=z:1m store=logs/z; limit_req_zone $uri zone=z:1m rate=1r/s',
        qr/the shared memory zone "z" is already declared for a different/];
refuses('', '"api_version_zone" directive is not allowed here',
    server => 'api_publish a; api_version_zone zone=z:1m store=logs/z;',
    http => "$ups api a { $v1 }");
accepts('', '', http => zone('zone=z:32k store=logs/z'));
accepts('', '', http => zone('zone=z:1m store=logs/z by=$http_x flush=100ms'
    . ' retention=1d'));


# Locations that a version in the path leads past

for (
    ['location /o/ { api_publish a; } location /o/admin/ { deny all; }',
     '/o/admin/', '/o/'],
    ['location /o/ { api_publish a; location = /o/in { deny all; } }',
     '/o/in', '/o/'],
    ['location /o { api_publish a; } location ^~ /o/p/ { api_publish a; }',
     '/o/p/', '/o'],
    ['api_publish a; location /x/ { }', '/x/', '/'],
    ['api_publish a; location /v3/x/ { }', '/v3/x/', '/'],
    ['api_publish a; location /v1/x/ { }'],
    ['api_publish a; location /x/ { internal; }'],
    ['api_publish a; location ~ ^/(v1/)?x/ { }'],
    ['location /o/ { api_publish a; } location /off/ { deny all; }'],
    ['location /o/ { api_publish a; } location /o/x { }', '/o/x', '/o/',
     'select path=2;', ''],
    ['location /o/ { api_publish a; } location /o/x/y { }', '/o/x/y', '/o/',
     'select path=2;'],
    ['location /o/ { api_publish a; } location /o/x/ { }', '', '',
     'select header=V;'],
    ['location /o/ { api_publish a; } location /o/x/ { }', '', '',
     'strip off;'],
    ['location /o/ { api_publish a; } location /o/x/ { }',
     '/o/x/', '/o/', 'base /o;'],
    ['location /p/x/ { api_publish a; } location /p/y/ { }',
     '', '', 'base /p;'],
)
{
    my ($server, $past, $to, $text, $silent) = @$_;
    $text //= '';

    accepts($text, defined $silent || !$past ? '' : 'a version in the path of '
            . qq{api "a" leads past location "$past" to location "$to": what }
            . 'is required there only is not required with a version, use '
            . '"strip off" or a regular expression',
            http => "$ups api a { $v1 $v2 $text }", server => $server);
}


# A level that says nothing inherits, a level that says something replaces

my $run = Apigw::Scenario->start(
    http   =>
        "$ups api a { $v1 $v2 } api b { version v7 upstream=one default; }",
    server => <<'END',
api_publish a;
add_header X-Api "$api_name $api_version";

location /same/ { empty_gif; }
location /other/ { api_publish b; empty_gif; location /other/in/ { empty_gif;
    } }
location /off/ { api_publish off; empty_gif; }
location /if/ { if ($arg_x) { add_header X-Api "$api_name $api_version";
    } empty_gif; }
END
);

is($run->get($_->[0])->header('X-Api'), $_->[1], $_->[0]) for
    ['/same/x', 'a v2'], ['/v1/x/../../same/x', 'a v2'], ['/other/x', 'b v7'],
    ['/other/in/x', 'b v7'], ['/off/x', ''], ['/if/x?x=1', 'a v2'];

is($run->get('/off/x')->header('X-API-Version'), undef, 'off');
is($run->get('/v1/')->status, 200, 'location / of the server, stripped');

done_testing;
