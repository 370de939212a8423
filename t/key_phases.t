# Where in the walk of a request a key is asked for does not change the answer:
# before realip knows the address, in another location after an internal
# redirect, below a level that lets callers without a key pass.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http   => 'auth_api_key_zone zone=k:1m store=logs/k;',
    server => <<'END',
add_header X-Who "$api_key_consumer" always;

location /address {
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Real-IP;
    auth_api_key zone=k;

    location /address/early {
        if ($api_key_plan = none) { return 418; }
        empty_gif;
    }

    empty_gif;
}

location = /header {
    auth_api_key zone=k;
    try_files /nothing /query?$args;
}

location = /query {
    satisfy any;
    allow all;
    auth_api_key zone=k;
    auth_api_key_source query=key;
    empty_gif;
}

location = /query-only {
    auth_api_key zone=k;
    auth_api_key_source query=key;
    empty_gif;
}

location /optional {
    auth_api_key zone=k optional;

    location /optional/scope {
        auth_api_key_require scope=admin;
        empty_gif;
    }

    empty_gif;
}
END
);

my %key;

for (['here', '--allow', '127.0.0.1/32'], ['there', '--allow', '10.9.9.9/32'],
     ['one'], ['two'], ['boss', '--scope', 'admin'])
{
    my ($name, @more) = @$_;
    my ($status, $out, $err) = cli('key', 'create',
                                   '--store', $gw->root . '/logs/k',
                                   '--consumer', $name,
                                   '--id', "phases-$name", @more);
    is($status, 0, "a key for $name") or diag $err;
    chomp($key{$name} = $out);
}

sub code {
    my ($uri, $name, @headers) = @_;

    push @headers, 'X-API-Key' => $key{$name} if defined $name;

    return $gw->get($uri, @headers)->code;
}


# The address is that of realip, whenever the key was first looked at

for my $uri ('/address', '/address/early') {
    is(code($uri, 'here'), 200, "$uri: the peer's own address");
    is(code($uri, 'here', 'X-Real-IP' => '10.9.9.9'), 403,
       "$uri: not the proxy's");
    is(code($uri, 'there', 'X-Real-IP' => '10.9.9.9'), 200,
       "$uri: the caller's");
    is(code($uri, 'there'), 403, "$uri: and no other");
}


# After an internal redirect it is the key that the new location finds

my $answer = $gw->get("/query?key=$key{two}", 'X-API-Key' => $key{one});
is($answer->header('X-Who'), 'two', 'a key of the query');

$answer = $gw->get("/header?key=$key{two}", 'X-API-Key' => $key{one});
is($answer->code, 200, 'redirected to it');
is($answer->header('X-Who'), 'two', 'the same key');


# Who may come without a key has no scope

is(code('/optional'), 200, 'optional: no key');
is(code('/optional/scope'), 401, 'a scope is demanded below: no key');
is(code('/optional/scope', 'one'), 403, 'a key without the scope');
is(code('/optional/scope', 'boss'), 200, 'a key with the scope');


# A key that is known and refused is not in the line that tells so

is((cli('key', 'disable', '--store', $gw->root . '/logs/k',
        'phases-two'))[0], 0, 'disabled');
is($gw->get("/query-only?a=1&key=$key{two}")->code, 401, 'and refused');
ok($gw->wait_log(qr/"phases-two" .* was refused: disabled/), 'with a line');
is(scalar $gw->grep_log(qr/\Q$key{two}\E/), 0, 'that has no key in it');

done_testing;
