# Reload and restart: other keys, other rules, the zone resized and renamed, a
# configuration that is refused, a module that is not used any more.

use strict;
use warnings;

use Test::More;

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('HS256', kid => 'k');
my $other = Apigw::Token->new('HS256', kid => 'k');

my $server = <<'END';
add_header X-Status $jwt_status always;
auth_jwt_key_file keys.json;
auth_jwt_revocation_list_sub list.json;
auth_jwt_cache zone=j;
auth_jwt shop;
location / { empty_gif; }
location /two { auth_jwt_require_claim a match ^x; auth_jwt_scope s;
                empty_gif; }
END

my $gw = Apigw::Scenario->start(
    default_location => 0,
    files  => { 'conf/keys.json' => jwks($key), 'conf/list.json' => '{}' },
    http   => 'auth_jwt_zone zone=j:1m;',
    server => $server,
);

my $good = { sub => 'joe', a => 'xy', scope => 's' };

sub said {
    my ($uri, $signer, $claims) = @_;

    my $answer = $gw->get($uri, [Authorization => 'Bearer '
                                 . $signer->sign($claims // $good)]);

    return join ' ', $answer->status, $answer->header('X-Status') // '-';
}

sub works {
    my ($name, $signer) = @_;

    is(said('/', $signer // $key), '200 ok', "$name: good");
    is(said('/two', $signer // $key), '200 ok', "$name: rules");
    is(said('/two', $signer // $key, { %$good, a => 'y' }), '401 claim',
       "$name: rules that are not met");
    is(said('/', $other), '401 signature', "$name: forged")
        if !$signer;
}

works('start');

$gw->reload;
works('unchanged');

$gw->reload(http => 'auth_jwt_zone zone=j:2m;');
works('resized');

$gw->reload(http   => 'auth_jwt_zone zone=other:1m;',
            server => $server =~ s/zone=j/zone=other/r);
works('renamed');

$gw->reload(http => '', server => $server =~ s/auth_jwt_cache .*//r);
works('no zone');

$gw->reload(http => 'auth_jwt_zone zone=j:1m;', server => $server);
works('a zone again');

my $client = $gw->connect;
is($client->get('/', [Authorization => 'Bearer ' . $key->sign($good)])
   ->status, 200, 'a connection before');

Apigw::Scenario::write_file($gw->root . '/conf/keys.json', jwks($other));
$gw->reload;
works('other keys', $other);
is(said('/', $key), '401 signature', 'the old key is gone at once');

Apigw::Scenario::write_file($gw->root . '/conf/keys.json', '{');
$gw->expect_log(qr/keys\.json": .* the old ones stay/,
                qr/keys\.json": invalid JSON/, qr/invalid name "\.a\["/);
my $text = $gw->reload_fails;
like($text, qr/JWT keys of "\S+keys\.json": /, 'broken keys: refused');
works('the old configuration goes on', $other);

Apigw::Scenario::write_file($gw->root . '/conf/keys.json', jwks($key));
$text = $gw->reload_fails(server => $server . ' location /x { auth_jwt x;
    auth_jwt_require_claim .a[ eq 1; }');
like($text, qr/invalid name/, 'a broken rule: refused');
ok(Apigw::Scenario::wait_for(sub { said('/', $key) eq '200 ok' }, 5),
   'while new keys are seen nevertheless');

$gw->reload(server => $server =~ s/match \^x/match ^z/r);
is(said('/two', $key), '401 claim', 'another rule');
is(said('/two', $key, { %$good, a => 'zz' }), '200 ok', 'which is met');

$gw->reload(server => 'location / { empty_gif; }');
is(said('/', $other), '200 -', 'no tokens asked for');

$gw->restart(server => $server);
works('restart');

# a user of the workers that may not read the keys: what the master read stays

if ($> == 0) {
    Apigw::Scenario::write_file($gw->root . '/conf/keys.json', jwks($key));
    chmod 0600, $gw->root . '/conf/keys.json';
    $gw->reload;
    $gw->expect_log(qr/keys\.json": cannot be read \(13: .* the old ones stay/,
                    qr/\(13: Permission denied\)/);
    works('keys that only root may read');
}

done_testing();
