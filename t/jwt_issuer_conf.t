# auth_jwt_zone and auth_jwt_issuer: nonsense is refused with a message that
# names it; a zone lives through a reload unless it is another one.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks);

my $key = Apigw::Token->new('HS256', kid => 'k');

my $gw = Apigw::Scenario->new(
    default_location => 0,
    files => { 'conf/keys.json' => jwks($key), 'conf/ca.pem' => '',
               'conf/lines' => "refresh 2h;\n" },
);

my $zone = 'auth_jwt_zone zone=j:1m;';
my $url = 'url https://idp.example;';


sub in_block { return "$zone auth_jwt_issuer i { $url $_[0] }" }


my @wrong = (
    ['auth_jwt_zone;', qr/invalid number of arguments in "auth_jwt_zone"/],
    ['auth_jwt_zone zone=j:1m store=a b;', qr/invalid number of arguments/],
    ['auth_jwt_zone store=a;',
     qr/"auth_jwt_zone" must have "zone" parameter/],
    ['auth_jwt_zone zone=;', qr/invalid zone "", it must be "name:size"/],
    ['auth_jwt_zone zone=j;', qr/invalid zone "j", it must be "name:size"/],
    ['auth_jwt_zone zone=:1m;', qr/invalid zone ":1m"/],
    ['auth_jwt_zone zone=j:x;', qr/invalid zone size "j:x"/],
    ['auth_jwt_zone zone=j:16k;',
     qr/zone "j:16k" is too small, the least is \d+k/],
    ['auth_jwt_zone zone=j:124k;',
     qr/zone "j:124k" is too small, the least is 128k/],
    ['auth_jwt_zone zone=j:1m foo;', qr/invalid parameter "foo"/],
    ['auth_jwt_zone zone=j:1m store=;', qr/invalid parameter "store="/],
    ['auth_jwt_zone zone=j:1m zone=k:1m;', qr/invalid parameter "zone=k:1m"/],
    ["$zone $zone", qr/duplicate zone "j"/],
    ['auth_jwt_zone zone=j:1m store=%%ROOT%%/logs/a;'
     . ' auth_jwt_zone zone=k:1m store=%%ROOT%%/logs/a/;',
     qr{logs/a"? .*(?:already|same|used)}],

    ['auth_jwt_issuer;', qr/has no opening "\{"|invalid number/],
    ["auth_jwt_issuer { $url }", qr/invalid number of arguments/],
    ["$zone auth_jwt_issuer '' { $url }", qr/invalid name ""/],
    ["$zone auth_jwt_issuer i { }",
     qr/issuer "i" must have "url" directive/],
    [in_block('') . " auth_jwt_issuer i { $url }", qr/duplicate issuer "i"/],
    ["auth_jwt_issuer i { $url }",
     qr/issuer "i" needs "auth_jwt_zone" in \S+:\d+/],
    ["auth_jwt_zone zone=k:1m; " . in_block(''),
     qr/issuer "i" needs "zone" as there are several in \S+:\d+/],
    [in_block('zone k;'), qr/unknown zone "k" in issuer "i" in \S+:\d+/],
    [in_block('foo bar;'),
     qr/unknown directive "foo" in "auth_jwt_issuer"/],
    [in_block('a { }'), qr/unexpected "\{"/],
    [in_block('include none;'), qr/open\(\) ".*none" failed/],

    (map { [in_block("$_;"), qr/invalid number of arguments in "$_"/] }
         qw(jwks audience algorithms type consumer plan max_age leeway refresh
            cooldown stale timeout ca proxy zone)),

    (map { my ($name, $value) = @$_;
           [in_block("$name $value; $name $value;"),
            qr/"$name" directive is duplicate/] }
         [url => 'a'], [jwks => 'https://a/k'], [audience => 'a'],
         [algorithms => 'RS256'], [type => 'at+jwt'], [consumer => 'a'],
         [plan => 'a'], [max_age => '1h'], [leeway => '1s'],
         [refresh => '1h'], [cooldown => '1s'], [stale => '1h'],
         [timeout => '1s'], [ca => 'ca.pem'], [proxy => 'http://p:3128'],
         [zone => 'j']),

    (map { my $name = $_;
           map { [in_block("$name $_;"),
                  qr/invalid value "\Q$_\E" in "$name" directive/] }
               'x', '-1', '3651d' }
         qw(max_age leeway refresh cooldown stale timeout)),

    (map { [in_block("$_ 0;"), qr/invalid value "0" in "$_" directive/] }
         qw(max_age refresh cooldown timeout)),

    (map { [in_block("jwks '$_';"),
            qr/invalid value "\Q$_\E" in "jwks" .* must be an https URL/] }
         '', 'http://a/k', 'a/k', 'https://', 'https:///k', 'file:///k',
         'https://u:p@a/k', 'https://a/k#f', 'https://a/ k'),

    (map { ["$zone auth_jwt_issuer i { url '$_'; }",
            qr/invalid value "\Q$_\E" in "url" .* https URL for discovery/] }
         'http://a', 'accounts.example', 'https://u@a', 'https://a/?b=c'),

    (map { [in_block("algorithms $_;"),
            qr/invalid value "\w+" in "algorithms" directive/] }
         'none', 'rs256', 'HS256', 'RS256 HS512', 'RS256 RS256'),

    (map { [in_block("$_ '';"), qr/invalid value "" in "$_" directive/] }
         qw(audience type consumer plan ca proxy zone)),

    (map { [in_block("\n$_ " . join(' ', 1 .. 17) . ";\n"),
            qr/the path in "$_" directive is too long in \S+:\d+$/m] }
         qw(consumer plan)),

    [in_block('ca none.pem;'), qr/stat\(\) ".*none\.pem" failed/],
    [in_block('proxy socks5://p;'), qr/invalid value "socks5:\/\/p"/],
    [in_block('refresh 10s;'),
     qr/"cooldown" of issuer "i" is longer than its "refresh"/],
    ["$zone " . join(' ', map { "auth_jwt_issuer i$_ { $url }" } 0 .. 64),
     qr/more than 64 issuers in zone "j"/],
);

for my $case (@wrong) {
    my ($http, $like) = @$case;

    my ($status, $text) = $gw->test_config(http => $http);

    is($status, 1, 'refused: ' . substr $http, 0, 100);
    like($text, qr/\[emerg\] .*$like/, 'why');
}

my @right = (
    $zone,
    'auth_jwt_zone store=%%ROOT%%/logs/a zone=j:128k;',
    'auth_jwt_zone zone=j:1m; auth_jwt_zone zone=k:1m; '
    . "auth_jwt_issuer a { $url zone k; } auth_jwt_issuer b { $url zone j; }",
    "auth_jwt_issuer i { $url } $zone",
    in_block(''),
    in_block('include lines;'),
    in_block('jwks https://keys.example:8443/a?b=c;'),
    in_block('audience a b; algorithms RS256 ES256 EdDSA; type at+jwt;'
             . ' consumer realm_access id; plan plan; max_age 1d; leeway 0;'
             . ' refresh 30m; cooldown 1m; stale 0; timeout 5s; ca ca.pem;'
             . ' proxy http://user:secret@proxy.example:3128; zone j;'),
    in_block('consumer ' . join(' ', 1 .. 16) . ';'),
    "$zone auth_jwt_issuer i { url accounts.example; jwks https://a/k; }",
    "$zone " . join(' ', map { "auth_jwt_issuer i$_ { $url }" } 0 .. 63),
);

for my $http (@right) {
    my ($status, $text) = $gw->test_config(http => $http);

    is($status, 0, 'right: ' . substr $http, 0, 100) or diag($text);
}


# Reloads

my $serve = 'auth_jwt_key_file keys.json;';
my $server = <<'END';
location / { auth_jwt j; auth_jwt_cache zone=j; empty_gif; }
location = /status { api_status; }
END

my $token = $key->sign({ sub => 'joe', exp => time + 3600 });


sub hits {
    $gw->get('/', { Authorization => "Bearer $token" })->code == 200
        or return 'refused';

    my ($n) = $gw->get('/status?format=prometheus')->body
              =~ /^apigw_jwt_accepted_total\{zone="j"\} (\d+)/m;

    return $n // 'unknown';
}


sub misses {
    my ($n) = $gw->get('/status?format=prometheus')->body
              =~ /^apigw_jwt_cache_misses_total\{zone="j"\} (\d+)/m;

    return $n;
}


$gw->conf(http => "$zone $serve", server => $server);

SKIP: {
    if (!$gw->load_modules || $gw->load_modules !~ /apigw_status/) {
        skip 'no status module', 1;
    }

    $gw->start;

    is(hits(), 1, 'the first');
    is(hits(), 2, 'the second');
    is(misses(), 1, 'which was known');

    $gw->reload;
    is(hits(), 3, 'a reload keeps the zone');
    is(misses(), 2, 'but not what another configuration has found');

    $gw->reload(http => "auth_jwt_zone zone=j:2m; $serve");
    is(hits(), 1, 'a zone of another size is a new one');

    my $why = $gw->reload_fails(
        http => "auth_jwt_zone zone=j:2m store=%%ROOT%%/logs/s; $serve");

    like($why, qr/auth_jwt_zone "j" uses the store "\S+\/logs\/s" while /,
         'the store may not change');
    $gw->expect_log(qr/while previously it used/);
    is(hits(), 2, 'and all is as before');

    $gw->reload(http => "auth_jwt_zone zone=k:2m; $serve",
                server => $server =~ s/zone=j/zone=k/r);
    is(hits(), 'unknown', 'a zone of another name');
    $gw->reload(http => "auth_jwt_zone zone=j:2m; $serve",
                server => $server);
    is(hits(), 1, 'and back: nothing is left');

    # the last reload may have left no issuers, the next brings them back

    $gw->reload(http => in_block('') . $serve);
    ok($gw->wait_log(qr/"i": cannot fetch its keys: .*; there are none/),
       'an issuer that came by a reload is fetched');
}

done_testing;
