# A request is decided once, whatever way it takes: error pages, internal
# redirects, named locations, subrequests, early variables; the headers go out
# on every response; the version reaches every kind of upstream.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $up = Apigw::Scenario->upstream(answer => sub {
    my ($request) = @_;
    my $uri = $request->{uri};

    return { raw =>
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    . "Connection: upgrade\r\n\r\nsocket $uri", close => 1 }
        if $request->{headers}{upgrade};

    return { status => 500, body => 'broken',
             delay => $uri =~ /slow/ ? 0.1 : 0 } if $uri =~ /broken/;

    return { headers => [map { ("X-Some-$_" => $_) } 1 .. $1] }
        if $uri =~ /many(\d+)/;

    return { body    => "$request->{headers}{host} $uri "
                        . ($request->{headers}{'x-version'} // ''),
             headers => ['X-API-Version' => 'back', 'Sunset' => 'never',
                 'sunSET' => 'ever',
                         'Deprecation' => '@1', 'Link' => '</back>; rel="x"',
                         'Vary' => 'X-Back', 'ETag' => '"tag"',
                         'Cache-Control' => 'max-age=60'] };
});
my $port = $up->port;


# A server of octets: what comes is answered by code, once a connection.

sub octets {
    my ($answer) = @_;

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Proto => 'tcp',
                                         Listen => 8) or die "listen: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);

        while (my $client = $listener->accept) {
            sysread $client, my $request, 65536;
            print $client $answer->($request);
            close $client;
        }

        POSIX::_exit(0);
    }

    return ($listener->sockport, $pid);
}

my ($uwsgi, $uwsgi_pid) = octets(sub {
    my ($path) = $_[0] =~ m{REQUEST_URI..(/\S*?)\x09}s;
    my ($version) = $_[0] =~ m{API_VERSION..(v\d)}s;
    return "Status: 200\r\n\r\nuwsgi $version";
});

my ($scgi, $scgi_pid) = octets(sub {
    my ($version) = $_[0] =~ m{API_VERSION\0(v\d)}s;
    my ($path) = $_[0] =~ m{DOCUMENT_URI\0(\S*?)\0}s;
    return "Status: 200\r\n\r\nscgi $version $path";
});

my ($fastcgi, $fastcgi_pid) = octets(sub {
    my ($version) = $_[0] =~ m{API_VERSION(v\d)};
    my $text = "Status: 200\r\n\r\nfastcgi $version";
    return pack('CCnnCC a*', 1, 6, 1, length $text, 0, 0, $text)
           . pack('CCnnCC NCa3', 1, 3, 1, 8, 0, 0, 0, 0, '');
});

END { kill 'TERM', grep { defined } $uwsgi_pid, $scgi_pid,
    $fastcgi_pid }


my $gw = Apigw::Scenario->start(
    http2 => 1,
    files => { 'html/files/a.txt' => "a file\n",
               'html/call' => "\0\0\0\0\3who",
               'html/users' => "anna:{PLAIN}x\n",
               'html/message' => "\0\0\0\0\5hello",
               'html/ssi.html' => '<!--# include virtual="/web/v1/sub" -->'
                                  . ',<!--# include virtual="/web/sub" -->',
               'html/raw/v2/a.txt' => "a file\n",
               'html/late.html' =>
                   '<!--# include virtual="/late/v1/broken/slow" -->,'
                   . '<!--# include virtual="/late2/x1/a" -->,'
                   . '<!--# include virtual="/late/v2/broken/slow" -->,'
                   . '<!--# include virtual="/late/broken?version=1" -->',
               'html/include/a.html' =>
                   '<!--# include virtual="/web/v1/sub" -->'
                   . ',<!--# include virtual="/web/sub" -->'
                   . ',<!--# include virtual="/late2/a" -->'
                   . ',<!--# include virtual="/check" -->'
                   . ',<!--# echo var="api_version" -->',
               'html/ssi2.html' => '<!--# include virtual="/web/v0/sub" -->.'
                   },
    http  => <<"END",
upstream one { server 127.0.0.1:$port; keepalive 4; }
upstream two { server 127.0.0.1:$port; }
upstream grpc { server 127.0.0.1:%%PORT_1%%; }
upstream fast { server 127.0.0.1:$fastcgi; }
upstream uw { server 127.0.0.1:$uwsgi; }
upstream sc { server 127.0.0.1:$scgi; }

proxy_cache_path %%ROOT%%/cache_temp keys_zone=cache:1m;
proxy_set_header Host \$proxy_host;

log_format versions
    'log "\$request_uri" "\$api_name" "\$api_version" "\$api_version_source"';
access_log %%ROOT%%/logs/versions.log versions;

api web {
    version v0 upstream=one deprecated=2019-01-01 sunset=2020-01-01
        successor=v1;
    version v1 upstream=one deprecated=2026-06-01 sunset=2099-06-01
        successor=v2;
    version v2 upstream=two default;
    select path header=X-API-Version;
}

api other { version x1 upstream=one default sunset=2099-01-01;
    version_header off; }
api calls { version v1 upstream=grpc; version v2 upstream=grpc default;
    select package header=X-API-Version; }
api fast  { version v1 upstream=fast; version v2 upstream=fast default; }
api uw    { version v1 upstream=uw; version v2 upstream=uw default; }
api sc    { version v1 upstream=sc; version v2 upstream=sc default; }
api near  { version v1 upstream=one; version v1.5 upstream=one default;
    version v3 upstream=two;
            version v4 upstream=two status=preview;
                version v5 upstream=two canary=0%;
            version v6 upstream=two since=2099-01-01;
            version v0.5 upstream=one sunset=2020-01-01;
                version v1.2 upstream=one sunset=2020-01-01;
                version v0.3 upstream=one sunset=2019-01-01;
            select path header=V; fallback nearest; }
api days  { version 2025-01-01 upstream=one; version 2026-01-01 upstream=two
    default;
            select header=V; fallback nearest; }
api loose { version v1 upstream=one; version v2 upstream=two default;
    fallback default; }
api strict { version v1 upstream=one; version v2 upstream=two default;
    fallback reject; }
api hosts { version v1 upstream=one sunset=2099-01-01 successor=v2;
    version v2 upstream=two default;
    select host=*.api.test query=v header=V; }
api mixed { version v1 upstream=one sunset=2099-01-01 successor=v2;
    version v2 upstream=two default; select path query=v query=w query=W
        header=V; }
api old   { version v0 upstream=grpc sunset=2020-01-01 successor=v1;
    version v1 upstream=grpc sunset=2099-01-01 successor=v2;
    version v2 upstream=grpc default; select package header=V; }
api query { version v1 upstream=one sunset=2099-01-01 successor=v2;
    version v2 upstream=two default; select header=V query=v; }

map \$api_version \$circle { default ""; v1 v1; }
upstream self { server 127.0.0.1:%%PORT%%; }
api slices { version v1 upstream=self; version v2 upstream=two default;
    base /; }
api circle { version v1 upstream=one default; select \$circle; }

server {
    listen 127.0.0.1:%%PORT_1%% http2;
    location / { empty_gif; add_header X-Path \$uri; }

    # as a service answers: a message of a prefix of five bytes and its text,
    # the status behind it
    location ~ /Say\$ {
        default_type application/grpc;
        add_header X-Meta "\$http_x_api_version/\$http_te/\$http_meta";
        add_trailer grpc-status 0;
        add_trailer grpc-message "\$http_x_version";
        alias %%ROOT%%/html/message;
        error_page 405 =200 \$uri;
    }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name early.test;
    api_publish web;
    set \$early "\$api_version/\$api_path";
    if (\$api_version = v1) { set \$early "\$early/if"; }
    rewrite ^/legacy/(.*) /v1/\$1;
    add_header X-Api "\$api_version \$api_path \$early" always;
    location / { empty_gif; }
    location /return/ { return 202; }
    location /plain/ { api_publish off; empty_gif; }
    location /inner/ { api_publish other; empty_gif; }
    location /below/ { api_publish web; empty_gif; }
    location /aside/v1 { api_publish off; auth_request /v1/a; empty_gif; }
    location /aside/v0 { api_publish off; auth_request /v0/a; empty_gif; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name pages.test;
    api_publish web;
    error_page 410 404 = /page;
    location = /page { empty_gif; }
    location / { proxy_pass http://\$api_upstream; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name aside.test;
    api_publish web;
    set \$asked \$api_version;
    location / { mirror /m; auth_request /check; empty_gif; }
    location = /m { internal; proxy_pass http://\$api_upstream/m/\$api_version; }
    location = /check { internal; proxy_pass
        http://\$api_upstream/\$asked/\$api_version; }
    location = /v1/m { internal; proxy_pass http://\$api_upstream; }
    location /twice { mirror /m; mirror /v1/m; mirror /inner; empty_gif; }
    location = /inner { internal; api_publish other;
        proxy_pass http://\$api_upstream/i/\$api_version/\$asked; }
}

server {
    listen 127.0.0.1:%%PORT%%;
    server_name *.api.test api.other;
    api_publish hosts;
    location / { empty_gif; }
}
END
    server => <<'END',
add_header X-Api "$api_name $api_version $api_version_source $api_path" always;
log_subrequest on;

location /web/ { api_publish web; proxy_pass http://$api_upstream;
    proxy_set_header X-Version $api_version; }

location /cached/ {
    api_publish web;
    proxy_pass http://$api_upstream;
    proxy_cache cache;
    proxy_cache_key $api_version$api_path$is_args$args;
    proxy_ignore_headers Vary Cache-Control;
    proxy_cache_valid 1m;
    add_header X-Cache $upstream_cache_status;
}

location /files/ { api_publish web; root %%ROOT%%/html; }
location /deny/ { api_publish web; deny all; }
location /limit/ { api_publish web; limit_except GET { deny all; } empty_gif; }

location /pages/ {
    api_publish web;
    error_page 410 /page.html;
    error_page 404 = @page;
    error_page 500 502 = @fallback;
    proxy_intercept_errors on;
    proxy_pass http://$api_upstream;
}

location = /page.html { empty_gif; }
location @page { empty_gif; }
location @fallback { api_publish web; proxy_pass
    http://$api_upstream/fallback$api_path; }
location /leak/ { api_publish web; error_page 410 = @leak;
    proxy_pass http://$api_upstream; }
location @leak { proxy_pass http://$api_upstream; }

location /try/ { api_publish web; try_files /nothing /try2/x; empty_gif; }
location /try2/ { api_publish web; empty_gif; }
location /index/ { api_publish web; try_files /nothing /elsewhere/v1/y;
    empty_gif; }
location /elsewhere/ { api_publish other; empty_gif; }

location /auth/ { api_publish web; auth_request /check; empty_gif; }
location = /check { internal; proxy_pass
    http://$api_upstream/check/$api_version; proxy_pass_request_body off; }
location /guard/ { auth_request /checked/v1/x; empty_gif; }
location /checked/ { api_publish web; proxy_pass http://$api_upstream; }
location /closed/ { auth_request /checked/v0/x; empty_gif; }

location /mirror/ { api_publish web; mirror /mirrored; empty_gif; }
location = /mirrored { internal; proxy_pass
    http://$api_upstream/mirror/$api_version; }

location ~ ^/\w+\.html$ { ssi on; root %%ROOT%%/html; }

location /late/ { api_publish web; proxy_pass http://$api_upstream;
    proxy_intercept_errors on; error_page 500 = @late; }
location @late { proxy_pass
    http://$api_upstream/again/$api_name/$api_version; }
location /v1/v2/ { api_publish slices; slice 3; proxy_cache cache;
    proxy_cache_key slice$slice_range; proxy_set_header Range $slice_range;
    proxy_set_header Host localhost;
    proxy_cache_valid 206 1m; proxy_pass http://$api_upstream; }
location /v2/ { root %%ROOT%%/html/raw; }
location /late2/ { api_publish other; proxy_pass http://$api_upstream; }
location /include/ { api_publish web; ssi on; root %%ROOT%%/html; }
location /added { addition_types text/plain;
    add_before_body /late/v1/broken/slow; add_after_body /late2/b;
    root %%ROOT%%/html/files; try_files /a.txt =404; }
location /guarded/ { api_publish other; auth_request /late/v1/broken/slow;
    auth_request_set $checked "$api_name/$api_version";
    add_header X-Checked $checked; proxy_pass http://$api_upstream; }

location /any/ { api_publish web; satisfy any; deny all; auth_basic x;
    auth_basic_user_file none; empty_gif; }

location /some/ { api_publish web; satisfy any; allow 127.0.0.1; deny all;
    auth_basic x; auth_basic_user_file none; empty_gif; }
location /user/ { api_publish web; satisfy any; deny all;
    auth_basic x; auth_basic_user_file %%ROOT%%/html/users; empty_gif; }

location /socket/ {
    api_publish web;
    proxy_pass http://$api_upstream;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
}

location ~ Old/ { api_publish old; empty_gif; }

location ~ ^/(?:acme|v1|v2)\. {
    api_publish calls;
    grpc_pass grpc://$api_upstream;
    grpc_set_header X-Version $api_version;
}

location /mixed/ { api_publish mixed; empty_gif; }
location /fast/ { api_publish fast; fastcgi_pass $api_upstream;
    fastcgi_param API_VERSION $api_version; }
location /uw/ { api_publish uw; uwsgi_pass $api_upstream;
    uwsgi_param API_VERSION $api_version; }

location /sc/ { api_publish sc; scgi_pass $api_upstream;
    scgi_param DOCUMENT_URI $document_uri; scgi_param API_VERSION
        $api_version; }

location /near/ { api_publish near; empty_gif; }
location /days/ { api_publish days; empty_gif; }
location /loose/ { api_publish loose; empty_gif; }
location /strict/ { api_publish strict; empty_gif; }
location /query/ { api_publish query; empty_gif; }
location /circle/ { api_publish circle; empty_gif; }
location /if/ { api_publish web; if ($api_version = v1) { return 204;
    } empty_gif; }
location /return/ { api_publish web; return 202 "$api_version"; }
END
);

sub api { return $gw->get(@_)->header('X-Api') }

sub link_to {
    my $link = $gw->get(@_)->header('Link') // return;
    return $link =~ /<([^>]*)>; rel="successor-version"$/ ? $1 : $link;
}

sub dated {
    my ($answer, $name, $link) = @_;

    is($answer->header('Deprecation'), '@1780272000', "$name: Deprecation");
    is($answer->header('Sunset'), 'Mon, 01 Jun 2099 00:00:00 GMT',
        "$name: Sunset");
    is($answer->header('X-API-Version'), 'v1', "$name: X-API-Version");
    is($answer->header('Link'), qq(<$link>; rel="successor-version"),
        "$name: Link")
        if defined $link;
}


# On every response

dated($gw->request('HEAD', '/files/v1/a.txt'), 'HEAD', '/files/v2/a.txt');
dated($gw->get('/files/v1/a.txt', 'Range' => 'bytes=0-1'), '206',
    '/files/v2/a.txt');

my $file = $gw->get('/files/v1/a.txt');
dated($file, 'file', '/files/v2/a.txt');

my $fresh = $gw->get('/files/v1/a.txt', 'If-None-Match' =>
    $file->header('ETag'));
is($fresh->status, 304, 'not modified');
dated($fresh, '304', '/files/v2/a.txt');

for my $case (['/files/v1/none', 404], ['/deny/v1/', 403], ['/return/v1/',
    202],
              ['/if/v1/', 204]) {
    my $answer = $gw->get($case->[0]);
    is($answer->status, $case->[1], "$case->[0]: status");
    dated($answer, $case->[0]);
}

is($gw->request('PUT', '/limit/v1/')->status, 403, 'limit_except');
dated($gw->request('PUT', '/limit/v1/'), 'limit_except');

my $http2 = $gw->http2('GET', '/web/v1/a');
is($http2->status, 200, 'HTTP/2');
is($http2->header('deprecation'), '@1780272000', 'HTTP/2: Deprecation');
is($gw->http2('GET', '/web/v9/a')->header('content-type'),
    'application/problem+json',
   'HTTP/2: a problem');
is($gw->http2('HEAD', '/web/v0/a')->status, 410, 'HTTP/2: HEAD, 410');

my $client = $gw->connect;
is_deeply([map { $_->status . ($_->header('X-API-Version') // '') }
           $client->pipeline(['GET', '/files/v1/a.txt'], ['GET',
               '/files/v9/a.txt'],
                             ['HEAD', '/files/v0/a.txt'], ['GET',
                                 '/files/a.txt'])],
          ['200v1', '404', '410v0', '200v2'], 'pipelined');

is($client->request('POST', '/web/v0/a', [], 'x' x 100_000)->status, 410,
    'refused with a body');
is($client->get('/files/a.txt')->status, 200, 'the connection lives on');

like($gw->raw("GET /files/v1/a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    qr/\r\nDeprecation: \@1780272000\r\n/, 'HTTP/1.0');
like($gw->raw("GET /v1/a\r\n"), qr/^GIF/, 'HTTP/0.9');


# The gateway's word counts, not the back end's

my $web = $gw->get('/web/v1/a');
dated($web, 'proxied');
is($web->body, 'one /web/a v1', 'proxied: the version in a header');
is_deeply([$web->header_list('Link')],
          ['</back>; rel="x"', '</web/v2/a>; rel="successor-version"'],
              'links add up');
$web = $gw->get('/web/a', 'X-API-Version' => 'v2');
is_deeply([$web->header_list('Vary')], ['X-Back', 'X-API-Version'],
    'so does Vary');
is($web->header('Sunset'), 'never, ever',
    'what the gateway does not say stays');
is(($gw->get('/cached/x/v1')->header_list('X-API-Version'))[0], 'v2',
    'one X-API-Version');


# However many there are before: nginx keeps them twenty by twenty

for my $n (10 .. 22) {
    my $many = $gw->get("/web/v1/many$n");
    dated($many, "$n headers before", "/web/v2/many$n");
    is($many->header("X-Some-$n"), $n, "$n headers before: they stay");
}


# The cache keeps versions apart; what it gives has the headers

is($gw->get('/cached/v1/a')->header('X-Cache'), 'MISS', 'cache: v1');
my $cached = $gw->get('/cached/v1/a');
is($cached->header('X-Cache'), 'HIT', 'cache: v1 again');
dated($cached, 'cached');
is($cached->body, 'one /cached/a ', 'cache: body of v1');
is($gw->get('/cached/v2/a')->header('X-Cache'), 'MISS', 'cache: v2');
is($gw->get('/cached/a')->header('X-Cache'), 'HIT', 'cache: v2 by default');
is($gw->get('/cached/a', 'X-API-Version' => 1)->body, 'one /cached/a ',
    'cache: v1 by header');
is($gw->get('/cached/a', 'X-API-Version' => 1)->header('X-Cache'), 'HIT',
    'cache: one entry');
is($gw->get('/cached/v1/a%3Fb=1')->header('X-Cache'), 'MISS',
    'cache: a "?" in a name');
is($gw->get('/cached/v1/a?b=1')->body, 'one /cached/a?b=1 ',
    'cache: is not that of a query');


# error_page

my $page = $gw->get('/pages/v0/a');
is($page->status, 410, 'error_page keeps the status');
like($page->body, qr/^GIF/, 'error_page: its body');
is($page->header('Sunset'), 'Wed, 01 Jan 2020 00:00:00 GMT',
    'error_page: Sunset');
is($page->header('X-Api'), 'web v0 path /pages/a', 'error_page: variables');

$page = $gw->get('/pages/v9/a');
is($page->status, 200, 'error_page = @named');
is($page->header('X-Api'), 'web  path /pages/a',
    'error_page = @named: variables');

$page = $gw->get('/pages/v1/broken');
is($page->status, 500, 'the fallback is asked');
is(($up->requests)[-1]{uri}, '/fallback/pages/broken',
    'and gets the path without the version');
dated($page, 'fallback');

is($gw->get('/leak/v0/a')->status, 500, 'what was refused has no upstream');
is($gw->grep_log(qr/invalid URL prefix|no host in upstream/) > 0, 1,
    'and the log says so');

my $pages = $gw->connect(host_header => 'pages.test');
is($pages->get('/v0/a')->status, 200,
    'a page in the same API is not refused again');
is($pages->get('/v9/a')->status, 200, 'nor for a version that is unknown');
is($pages->get('/v9/a')->header('X-API-Version'), undef, 'it has no version');


# Internal redirects

is(api('/try/v1/a'), 'web v1 path /try/a',
    'try_files: the first decision holds');
is($gw->get('/try/v0/a')->status, 410, 'try_files: the refusal too');
is(api('/index/v1/a'), 'other x1 default /elsewhere/v1/y',
    'another API decides anew');
my $other = $gw->get('/index/v1/a');
is($other->header('X-API-Version'), undef, 'and its headers take the place');
is($other->header('Sunset'), 'Thu, 01 Jan 2099 00:00:00 GMT',
    'of the first one\'s');


# Subrequests

$up->forget;
is($gw->get('/auth/v1/a')->header('X-API-Version'), 'v1', 'auth_request');
is(($up->requests)[-1]{uri}, '/check/v1',
    'auth_request: the version of the main request');

$up->forget;
my $guard = $gw->get('/guard/');
is($guard->status, 200, 'a subrequest into an API');
is(($up->requests)[-1]{uri}, '/checked/x', 'has its own version');
is($guard->header('X-API-Version'), undef, 'which is not that of the answer');
is($guard->header('Sunset'), undef, 'nor are its dates');
is($gw->get('/closed/')->status, 500, 'auth_request takes 410 for an error');
$gw->expect_log(qr/auth request unexpected status: 410/);

$up->forget;
is($gw->get('/mirror/v1/a')->status, 200, 'mirror');
my ($mirrored) = $up->wait_requests(1);
is($mirrored->{uri}, '/mirror/v1', 'mirror: the version');

is($gw->get('/ssi.html')->body, 'one /web/sub v1,two /web/sub v2',
    'two includes of an API');
is($gw->get('/ssi.html')->header('X-API-Version'), undef,
    'the page has no version');
like($gw->get('/ssi2.html')->body, qr/410 Gone/,
    'an include of a retired version');

is($gw->get('/late.html')->body,
    'one /again/web/v1 ,one /late2/a ,two /again/web/v2 ,two /again/web/v2 ',
    'includes of several APIs, each in its own version to its end');

is($gw->get('/include/v2/a.html')->body =~ s/ ,/,/gr,
    'one /web/sub v1,two /web/sub v2,one /late2/a,two /check/v2,v2',
    'includes of the API of the page: what names no version has the page\'s');

is($gw->get('/added')->body, "one /again/web/v1 a file\none /late2/b ",
    'what is added before and behind');

my $guarded = $gw->get('/guarded/x1/a');
is($guarded->body, 'one /guarded/a ', 'auth_request into another API');
is($guarded->header('X-Checked'), 'web/v1', 'auth_request_set: what it was');
is($guarded->header('Sunset'), 'Thu, 01 Jan 2099 00:00:00 GMT',
    'and the answer has the dates of its own');


is($gw->get('/v1/v2/a.txt')->body, "a file\n",
    'slices: copies of a request are in its version');

my $aside = $gw->connect(host_header => 'aside.test');
$up->forget;
is($aside->get('/v1/a')->status, 200, 'of one server');
is(join(' ', sort map { $_->{uri} } $up->wait_requests(2)), '/m/v1 /v1/v1',
    'a mirror and a check that name no version');
$up->forget;
is($aside->get('/twice/a')->status, 200, 'several mirrors');
is(join(' ', sort map { $_->{uri} } $up->wait_requests(3)), '/i/x1/v2 /m /m/v2',
    'each in its own version');


# Early: variables, if, rewrite of the server

my $early = $gw->connect(host_header => 'early.test');
is($early->get('/v1/a')->header('X-Api'), 'v1 /a v1//a/if',
    'variables before the location');
is($early->get('/v2/a')->header('X-Api'), 'v2 /a v2//a', 'another version');
is($early->get('/legacy/a')->header('X-Api'), 'v1 /a v2//legacy/a',
   'a rewrite of the server comes before the decision');
is($early->get('/v0/a')->status, 410, 'refused');
is($early->get('/return/v1/a')->status, 202, 'return');
is($early->get('/plain/')->header('X-API-Version'), undef,
    'an early decision for a location without an API');
is($early->get('/plain/')->header('X-Api'), 'v2//plain/', 'no longer holds');
is($early->get('/aside/v1')->status, 200,
    'its subrequests are decided for themselves');
is($gw->connect(host_header => 'early.test')->get('/aside/v0')->status, 500,
    'and refused');
is($early->get('/below/v1/a')->header('X-Api'), 'v1 /below/a v2//below/v1/a',
    'another base');
is($early->get('/inner/')->header('X-Api'), 'x1 /inner/ v2//inner/',
    'the location decides anew');
is($gw->get('/if/v1/')->status, 204, 'if in the location');
is($gw->get('/if/v2/')->status, 200, 'if in the location, another version');
is($gw->get('/return/v1/')->body, 'v1', 'return in the location');
is($gw->get('/return/v0/')->status, 410, 'refused before return');
is($gw->get('/circle/')->status, 200, 'a variable that asks for itself');
is($gw->get('/circle/')->header('X-Api'), 'circle v1 default /circle/',
    'has no value');


# satisfy any: refused or not, the version is known

my $any = $gw->get('/any/v1/');
is($any->status, 401, 'satisfy any');
dated($any, 'satisfy any');

is($gw->get('/some/v1/')->status, 200, 'satisfy any: the address will do');
dated($gw->get('/some/v1/'), 'satisfy any, address');
is($gw->get('/some/v0/')->status, 410, 'satisfy any passes no retired version');

my @user = ('Authorization' => 'Basic YW5uYTp4');
is($gw->get('/user/v1/', @user)->status, 200, 'satisfy any: the user will do');
dated($gw->get('/user/v1/', @user), 'satisfy any, user');
is($gw->get('/user/v0/', @user)->status, 410, 'nor does a user');
is($gw->get('/user/v1/')->status, 401, 'satisfy any: neither of them');


# Every kind of upstream

my $socket = $gw->connect;
$socket->send("GET /socket/v1/a HTTP/1.1\r\nHost: localhost\r\nUpgrade:"
    . " websocket\r\n"
              . "Connection: upgrade\r\n\r\n");
like($socket->read_all,
    qr{^HTTP/1.1\ 101\ .*\r\nDeprecation:\ \@1780272000\r\n
       .*\r\n\r\nsocket\ /socket/a$}sx,
     'WebSocket');

sub grpc {
    return $gw->http2('POST', $_[0], [TE => 'trailers',
        'Content-Type' => 'application/grpc',
                                      @_[1 .. $#_]], '')->header('X-Api');
}

is(grpc('/acme.orders.v1.Orders/Get'),
    'calls v1 package /acme.orders.v1.Orders/Get', 'gRPC: package');
is(grpc('/v1.Orders/Get'), 'calls v1 package /v1.Orders/Get',
    'gRPC: package alone');
is(grpc('/acme.v9.Orders/Get'), 'calls  package /acme.v9.Orders/Get',
    'gRPC: unknown version');
is(grpc('/acme.Orders/Get'), 'calls v2 default /acme.Orders/Get',
    'gRPC: no version');
is(grpc('/acme.orders.v1/Get'), 'calls v2 default /acme.orders.v1/Get',
    'gRPC: a service called v1');
is(grpc('/acme.Orders/Get', 'X-API-Version' => '1'),
    'calls v1 header /acme.Orders/Get', 'gRPC: metadata');

# A whole call by another HTTP/2 client: message, metadata and trailers

SKIP: {
    skip 'no nghttp', 6 if !grep { -x "$_/nghttp" } split /:/, $ENV{PATH};

    my @headers = map { "-H '$_'" } ':method: POST', 'te: trailers',
        'content-type: application/grpc', 'meta: data';
    my $url = 'http://127.0.0.1:' . $gw->http2_port . '/acme.v1.Hello/Say';
    my $body = $gw->root . '/html/call';

    my $call = `nghttp -v -d $body @headers $url 2>&1`;

    $call =~ s/\e\[[0-9;]*m//g;

    like($call, qr/\) :status: 200\n/, 'gRPC: a call');
    like($call, qr/\) x-api-version: v1\n/, 'gRPC: the version of the answer');
    like($call, qr{\) x-meta: /trailers/data\n}, 'gRPC: metadata goes through');
    like($call, qr/\x00\x00\x00\x00\x05hello/, 'gRPC: the message comes back');
    like($call, qr/\) grpc-status: 0\n/, 'gRPC: the trailers come back');
    like($call, qr/\) grpc-message: v1\n/, 'gRPC: the service has the version');
}

is($gw->get('/fast/v1/a')->body, 'fastcgi v1', 'FastCGI');
is($gw->get('/uw/v1/a')->body, 'uwsgi v1', 'uwsgi');
is($gw->get('/sc/v1/a')->body, 'scgi v1 /sc/a', 'SCGI');
is($gw->get('/sc/a')->body, 'scgi v2 /sc/a', 'SCGI: no version');


# What a request without a known version falls back to

is(api(@$_[1 .. $#$_]), $_->[0], "@$_[1 .. $#$_]") for
    ['near v1.5 nearest /near/a', '/near/v2/a'],
    ['near v3 nearest /near/a', '/near/v3.1/a'],
    ['near v3 nearest /near/a', '/near/v99999999999/a'],
    ['near v1 nearest /near/a', '/near/v1.4.9/a'],
    ['near v1 nearest /near/a', '/near/v1.3/a'],
    ['near v0.5 nearest /near/a', '/near/v0.9/a'],
    ['near v0.3 nearest /near/a', '/near/v0.4/a'],
    ['near v1 nearest /near/a', '/near/a', 'V' => '1.4'],
    ['near v4 path /near/a', '/near/v4/a'],
    ['near v6 path /near/a', '/near/v6/a'],
    ['near v1.5 default /near/a', '/near/a'],
    ['days 2025-01-01 nearest /days/a', '/days/a', 'V' => '2025-12-31'],
    ['days 2026-01-01 nearest /days/a', '/days/a', 'V' => '2030-01-01'],
    ['loose v2 default /loose/a', '/loose/v9/a'],
    ['loose v1 path /loose/a', '/loose/v1/a'];

is($gw->get(@$_[1 .. $#$_])->status, $_->[0], "@$_[1 .. $#$_]") for
    [404, '/near/v0.1/a'], [410, '/near/v0.9/a'], [404, '/near/a',
        'V' => 'beta'],
    [404, '/near/a', 'V' => '2025-01-01'], [404, '/days/a',
        'V' => '2024-12-31'],
    [404, '/days/a', 'V' => '1'], [400, '/strict/a'], [404, '/strict/v9/a'],
    [200, '/strict/v1/a'];


# Where the successor is

is($gw->get('/query/a b', 'V' => 1)->header('Link'), undef,
    'a space is no URI');
is($gw->get('/query/a%20b%3e?x', 'V' => 1)->header('Link'),
   '</query/a%20b%3E?x&v=v2>; rel="successor-version"', 'by query');

like($gw->get($_->[0], 'X-API-Version' => 'v1')->header('Link'),
     qr(<\Q$_->[1]\E>; rel="successor-version"\z), "$_->[0], by header")
    for ['/web/', '/web/v2/'], ['/web/a', '/web/v2/a'];

is(link_to(@$_[1 .. $#$_]), $_->[0], "link: @$_[1 .. $#$_]") for
    ['/web/v2/a?x=1&y=%26%3E', '/web/v1/a?x=1&y=%26%3E'],
    ['/web/v2/a?%22%3E;%C3%BF%5B', qq(/web/v1/a?">;\xc3\xbf[)],
    ['/web/v2/a?v1', '/web/v1/a?v1'],
    ['/web/v2', '/web/v1?'], ['/web/v2/?a', '/web/?a', 'X-API-Version', 1],
    ['/query/a?v=v2', '/query/a?v=1'],
    ['/query/a?a=v1&v=v2&b', '/query/a?a=v1&v=1&b'],
    ['/query/a?%76=v2&b', '/query/a?%76=1&v=1&b'],
    ['/query/a?v=&vv=1&v=v2', '/query/a?v=&vv=1', V => 1],
    ['/mixed/v2/a?v=v2&w=v2', '/mixed/v1/a?v=1&w=v1&v=1'],
    ['/mixed/a?w=v2', '/mixed/a?w=v1'], ['/mixed/a?W=v2', '/mixed/a?W=v1'],
    ['/mixed/v2/a?x', '/mixed/a?x', V => 1],
    ['/acme.old.v2.Old/Get', '/acme.old.v1.Old/Get'],
    ['/v2.Old/Get?v1', '/v1.Old/Get?v1'],
    ['/acme.Old/Get', '/acme.Old/Get', V => 1];

like($gw->get('/acme.v0.Old/Get')->body,
    qr{"successor_uri":"/acme\.v1\.Old/Get"},
    'link: a package that has ended');

my $host = $gw->connect(host_header => 'V1.api.test:8080')->get('/a');
is($host->header('X-API-Version'), 'v1', 'by host, in any case, with a port');
is($host->header('Link'), '<//v2.api.test:8080/a>; rel="successor-version"',
    'by host, with its port');
is($gw->connect(host_header =>
    'www.api.test')->get('/a')->header('X-API-Version'), 'v2',
   'a host that names no version');
is($gw->connect(host_header => 'v9.api.test')->get('/a')->status, 404,
   'a host that names an unknown one');

is($gw->connect(host_header => $_->[0])->get("/a?$_->[1]")->header('Link'),
    qq(<$_->[2]>; rel="successor-version"), "link: $_->[0] $_->[1]") for
    ['v1.api.test', 'x', '//v2.api.test/a?x'],
    ['v1.api.test.', 'x', '//v2.api.test/a?x'],
    ['v1.api.test:81', 'v=v1', '//v2.api.test:81/a?v=v2'],
    ['www.api.test:81', 'v=v1', '/a?v=v2'];
is($gw->connect(host_header => 'api.other')->get('/a', V => 1)
    ->header('Link'), '<//v2.api.test/a>; rel="successor-version"',
    'link: a host that has no place for it');


# The log, also of what never reached a location

$gw->raw("GET /bad%zz HTTP/1.1\r\nHost: a\r\n\r\n");
$gw->raw("GET / HTTP/1.1\r\nHost: early.test\r\nContent-Length: x\r\n\r\n");
$gw->get('/none');

wait_for { Apigw::Nginx::slurp($gw->root . '/logs/versions.log') =~ m{"/none"}
    } 2;
my $log = Apigw::Nginx::slurp($gw->root . '/logs/versions.log');

like($log, qr{^log "/web/v1/a" "web" "v1" "path"$}m, 'log');
like($log, qr{^log "/web/v9/a" "web" "-" "path"$}m, 'log: refused');
like($log, qr{^log "-" "-" "-" "-"$}m, 'log: a bad request');
like($log, qr{^log "/none" "-" "-" "-"$}m, 'log: no API');
like($log, qr{^log "/guard/" "web" "v1" "path"\nlog "/guard/" "-" "-" "-"$}m,
    'log: a subrequest\'s version is not the main one\'s');

done_testing;
