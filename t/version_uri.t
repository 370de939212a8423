# What the upstream sees of the path: strip, base, uri, encoded and merged
# slashes, positions; locations of every kind; no way around a version.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $up = Apigw::Scenario->upstream(answer => sub {
    return { body => "$_[0]{headers}{host} $_[0]{method} $_[0]{uri}" };
});
my $port = $up->port;

my $http = <<"END";
upstream one { server 127.0.0.1:$port; keepalive 4; }
upstream two { server 127.0.0.1:$port; keepalive 4; }

api bare { version v1 upstream=one; version v2 upstream=two default; }

api keep {
    version v1 upstream=one;
    version v2 upstream=two default;
    select path header=X-API-Version;
    strip off;
}

api moved {
    version v1 upstream=one uri=/old/;
    version v2 upstream=two uri=/new/api default;
    version v3 upstream=one uri=/;
    select path query=v;
}

api third {
    base /api/;
    version v1 upstream=one;
    version v2 upstream=two default;
    select path=2;
}

api low {
    version v1 upstream=one sunset=2020-01-01;
    version v2 upstream=two default;
}

api both {
    version v1 upstream=one successor=v2 sunset=2099-01-01 default;
    version v2 upstream=two;
    select package path;
    fallback default;
}

api addresses {
    version v1 upstream=127.0.0.1:$port;
    version v2 upstream=127.0.0.1:$port default;
}

api urls {
    version v1 upstream=http://127.0.0.1:$port;
    version v2 upstream=http://two default;
}
END

my $gw = Apigw::Scenario->start(
    http   => $http,
    files  => { 'html/files/a.txt'   => "file\n",
                'html/files/index.html' => "index\n" },
    default_location => 0,
    server => <<'END',
proxy_set_header Host $proxy_host;

location /bare/ {
    api_publish bare;
    proxy_pass http://$api_upstream;
}

location /exact-not {
    api_publish bare;
    proxy_pass http://$api_upstream;
}

location = /exact/v1 {
    api_publish bare;
    empty_gif;
    add_header X-Api "$api_version $api_path";
}

location /keep/ {
    api_publish keep;
    proxy_pass http://$api_upstream;
}

location /moved/ {
    api_publish moved;
    proxy_pass http://$api_upstream;
}

location /both/ {
    api_publish both;
    proxy_pass http://$api_upstream;
}

location /api/ {
    api_publish third;
    proxy_pass http://$api_upstream;
}

location ~ ^/(?<word>regex|x)/ {
    api_publish bare;
    proxy_pass http://$api_upstream;
}

location /named/ {
    try_files /nothing @named;
}

location @named {
    api_publish bare;
    proxy_pass http://$api_upstream;
}

location /static/ {
    api_publish bare;
    proxy_pass http://two/prefix/;
}

location /variable/ {
    api_publish bare;
    proxy_pass http://$api_upstream/other$api_path;
}

location /rewrite/ {
    api_publish bare;
    rewrite ^/rewrite/(.*) /rewritten/$1 break;
    proxy_pass http://$api_upstream;
}

location /again/ {
    api_publish bare;
    rewrite ^/again/(.*) /bare/v1/$1 last;
}

location /files/ {
    api_publish bare;
    root %%ROOT%%/html;
}

location /low/ {
    api_publish low;
    proxy_pass http://$api_upstream;
}

location /addresses/ {
    api_publish addresses;
    proxy_pass http://$api_upstream;
}

location /urls/ {
    api_publish urls;
    proxy_pass $api_upstream;
}

location /twice/ {
    api_publish urls;
    proxy_pass http://$api_upstream;
}

location /never/ {
    api_publish addresses;
    proxy_pass $api_upstream;
}

location / {
    api_publish bare;
    proxy_pass http://$api_upstream;
}
END
);

my $number = 0;

sub sees {
    my ($uri, $expected, @headers) = @_;

    my $answer = $gw->get($uri, @headers);
    my $status = $answer->status;

    is($status == 200 ? $answer->body : $status, $expected, "$uri");
}


# The version leaves the path, what follows it stays, escaped

sees('/bare/items',             'two GET /bare/items');
sees('/bare/v1/items',          'one GET /bare/items');
sees('/bare/v1/items?a=%2F&b',  'one GET /bare/items?a=%2F&b');
sees('/bare/v1',                'one GET /bare');
sees('/bare/v1/',               'one GET /bare/');
sees('/bare/v1/v2/x',           'one GET /bare/v2/x');
sees('/bare/v1/a%20b%25%22%3f', 'one GET /bare/a%20b%25%22%3F');
sees('/bare/v1/%c3%a4',         'one GET /bare/%C3%A4');
sees('/bare/a%20b%2fc',         'two GET /bare/a%20b%2fc');
sees('/v1',                     'one GET /');
sees('/v1/',                    'one GET /');
sees('/v1/x',                   'one GET /x');
sees('/',                       'two GET /');

# Other spellings of the same path are the same path

sees('/%761/x',                 'one GET /x');
sees('/bare/%76%31/x',          'one GET /bare/x');
sees('//v1//x',                 'one GET /x');
sees('/bare//v1/x',             'one GET /bare/x');
sees('/bare/v2/../v1/x',        'one GET /bare/x');
sees('/bare/v1/../v2/x',        'two GET /bare/x');
sees('/bare/v2/%2e%2e/v1/x',    'one GET /bare/x');
sees('/bare/./v1/x',            'one GET /bare/x');
sees('/bare%2fv1%2fx',          'one GET /bare/x');
sees('/bare/v1%2fx',            'one GET /bare/x');
sees('/bare/v1/..',             'two GET /bare/');
sees('/bare/v1#x',              'one GET /bare');
sees('/bare/v1?x=/v2/',         'one GET /bare?x=/v2/');
sees('/bare/V1/x',              404);
sees('/bare/v1;a=b/x',          404);
sees('/bare/%76%31%3b/x',       404);
sees('/bare/items;v1/x',        'two GET /bare/items;v1/x');
sees('/bare/v01/x',             404);
sees('/bare/v1%20/x',           'two GET /bare/v1%20/x');
sees('/bare/v1%00/x',           400);
sees('/bare/v1./x',             'two GET /bare/v1./x');

# A version that is refused is refused in every spelling

sees($_, 410) for '/low/v1/x', '/low/%761/x', '/low//v1/x', '/low/./v1/x',
                  '/low/v2/../v1/x', '/low/v1', '/low%2fv1', '//low//v1//x',
                  '/low/x/..%2fv1/x';

# strip off

sees('/keep/v1/a%2fb?c',        'one GET /keep/v1/a%2fb?c');
sees('/keep/%761/a',            'one GET /keep/%761/a');
sees('/keep/a',                 'one GET /keep/a', 'X-API-Version' => 1);

# and what was normalized before the version is not left to the upstream

sees('/keep/v1/%2e%2e/v2/a%2fb', 'two GET /keep/v2/a/b');
sees('/keep/v1/../a',           'two GET /keep/a');
sees('/keep/v1/%2e%2e/',        'two GET /keep/');
sees('/keep/v1z/../v1/a',       'one GET /keep/v1/a');
sees('/keep//v1/a',             'one GET /keep/v1/a');
sees('/x/../keep/v1/a',         'one GET /keep/v1/a');
sees('/keep/v1%2fa/../b',       'one GET /keep/v1%2fa/../b');
sees('/keep/v1/a/../b',         'one GET /keep/v1/a/../b');
sees('/keep/a%20b%2fc?d',       'two GET /keep/a%20b%2fc?d');

# a first segment that is a version, with components that are some, too

is($gw->get('/both/v9.0/a')->header('Link'),
    '</both/v2/a>; rel="successor-version"', 'not a component of a version');
is($gw->get('/both/acme.v9.Orders/Get')->header('Link'),
    '</both/acme.v2.Orders/Get>; rel="successor-version"', 'a component');
is($gw->get('/both/v1/v9.Orders')->header('Link'),
    '</both/v2/v9.Orders>; rel="successor-version"', 'and none elsewhere');

# uri= takes the place of base and version, however the version was named

sees('/moved/v1/a%20b',         'one GET /old/a%20b');
sees('/moved/a?v=1',            'one GET /old/a?v=1');
sees('/moved/a%2fb',            'two GET /new/api/a/b');
sees('/moved/v2',               'two GET /new/api');
sees('/moved/v2/',              'two GET /new/api/');
sees('/moved/v3/a',             'one GET /a');
sees('/moved/v3',               'one GET /');

# base and position

sees('/api/orders/v1/a',        'one GET /api/orders/a');
sees('/api/orders/a',           'two GET /api/orders/a');
sees('/api/v1/orders',          'two GET /api/v1/orders');
sees('/api/orders/v1',          'one GET /api/orders');
sees('/api/orders/v9',          404);

# A location that is a prefix of a word is not the base of other words

sees('/exact-not/v1/a',         'one GET /exact-not/a');
sees('/exact-nothing/v1/a',     'two GET /exact-nothing/v1/a');

is($gw->get('/exact/v1')->header('X-Api'), 'v2 /exact/v1', 'exact location');

# Regex and named locations: the path counts from its beginning

sees('/regex/v1/a',             'two GET /regex/v1/a');
sees('/x/v1/a',                 'two GET /x/v1/a');
sees('/named/v1/a',             'two GET /named/v1/a');

# proxy_pass with a URI of its own, with variables

sees('/static/v1/a',            'two GET /static/a');
sees('/static/a',               'two GET /prefix/a');
sees('/variable/v1/a',          'one GET /other/variable/a');
sees('/variable/v1/a%20b%3f%25%0d%0aX:%20c%c3%a4',
    'one GET /other/variable/a%20b%3F%25%0D%0AX:%20c%C3%A4');

# rewrite works on what was left

sees('/rewrite/v1/a',           'one GET /rewritten/a');
sees('/again/a',                'two GET /bare/v1/a');

# files

is($gw->get('/files/v1/a.txt')->body, "file\n", 'a file');
is($gw->get('/files/v1/a.txt')->header('Content-Type'), 'text/plain',
    'its type');
is($gw->get('/files/v1/')->body, "index\n", 'an index');
is($gw->get('/files/v1/')->header('X-API-Version'), 'v1',
    'the version of an index');

# addresses and URLs

sees('/addresses/v1/a',         "127.0.0.1:$port GET /addresses/a");
sees('/urls/v1/a',              "127.0.0.1:$port GET /urls/a");
sees('/urls/a',                 'two GET /urls/a');

# a scheme twice and not at all

sees('/twice/v1/a',             500);
is(scalar($gw->grep_log(qr/api[ ]"urls":
       [ ]is[ ]\$api_upstream,[ ]which[ ]is[ ]"http:\/\/127.0.0.1:$port",
       [ ]used[ ]as[ ]"proxy_pass[ ]\$api_upstream"\?/x)), 1,
    'the log says what to write');
sees('/never/v1/a',             500);
is(scalar($gw->grep_log(qr/api[ ]"addresses":
       [ ]is[ ]\$api_upstream,[ ]which[ ]is[ ]"127.0.0.1:$port",
       [ ]used[ ]as[ ]"proxy_pass[ ]http:\/\/\$api_upstream"\?/x)), 1,
    'and the other way round');

# methods

is($gw->request('POST', '/bare/v1/a', [], 'body')->body, 'one POST /bare/a',
    'POST');
is($gw->request('OPTIONS', '/bare/v1/a')->body, 'one OPTIONS /bare/a',
    'OPTIONS');
is($gw->request('HEAD', '/bare/v1/a')->header('X-API-Version'), 'v1', 'HEAD');
is($gw->request('GET', "http://localhost/bare/v1/a")->body, 'one GET /bare/a',
    'absolute URI');


# merge_slashes off: an empty segment is a segment

my $raw = Apigw::Scenario->start(
    http   => "merge_slashes off;\n$http\n"
              . "api second { version v1 upstream=one successor=v2"
              . " sunset=2099-01-01;"
              . " version v2 upstream=two default; select path=2 header=V; }"
              . "api sizes { version v9 upstream=one successor=v10"
              . " sunset=2099-01-01;"
              . " version v10 upstream=two successor=v2 sunset=2099-01-01;"
              . " version v2 upstream=two default; select path; }"
              . "api heads { version v1 upstream=one successor=v2"
              . " sunset=2099-01-01;"
              . " version v2 upstream=two default; select header=V; }",
    server => <<'END',
location /bare/ {
    api_publish bare;
    proxy_set_header Host $proxy_host;
    proxy_pass http://$api_upstream;
}

location /heads/ { api_publish heads; empty_gif; }
location //heads/ { api_publish heads; empty_gif; }
location // { api_publish second; empty_gif; }
location /two/ { api_publish second; empty_gif; }
location /sizes/ { api_publish sizes; empty_gif; }
END
);

is($raw->get('/bare/v1//x')->body, 'one GET /bare//x',
    'slashes behind the version');
is($raw->get('/bare//v1/x')->body, 'two GET /bare//v1/x', 'slashes before it');
is($raw->get('//heads/x', 'V' => 1)->header('Link'),
   '</.//heads/x>; rel="successor-version"', 'a link never names a host');

is($raw->get($_->[0], 'V' => 'v1')->header('Link'),
   qq(<$_->[1]>; rel="successor-version"), "$_->[0], second segment")
    for ['/two/', '/two/'], ['/two/eu', '/two/eu/v2'],
        ['/two/eu/', '/two/eu/v2/'];

is($raw->get("/sizes/$_->[0]")->header('Link'),
   qq(</sizes/$_->[1]>; rel="successor-version"), "$_->[0], another length")
    for ['v9/', 'v10/'], ['v9/a', 'v10/a'], ['v9/long/path', 'v10/long/path'],
        ['v10/', 'v2/'], ['v10/a', 'v2/a'], ['v10/long/path', 'v2/long/path'],
        ['v9/a%22b', 'v10/a%22b'], ['v10/a?b', 'v2/a?b'];

done_testing;
