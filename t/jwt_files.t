# Files of keys that clients name: they are gone when they are removed, what
# cannot be used after a change leaves the old keys, and names that clients
# make up push nothing out and do not fill the log.

use strict;
use warnings;

use MIME::Base64 qw(encode_base64url);
use Test::More;
use Time::HiRes qw(sleep);

use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $key = Apigw::Token->new('HS256', kid => 'k');

my @many = map { "many$_" } 1 .. 70;
my %jwk = map { $_ => json({ %{$key->jwk}, kid => $_ }) }
          qw(a b broken stays), @many;

my $gw = Apigw::Scenario->start(
    workers => 1,
    default_location => 0,
    files => {
        (map { ("conf/keys/$_.jwk" => $jwk{$_}) } keys %jwk),
        'conf/keys/bad.jwk' => '{"kty":',
        'conf/of/tenant/b.jwk' => $jwk{b},
    },
    http   => 'auth_jwt_zone zone=j:1m;',
    server => <<'END',
add_header X-Status $jwt_status always;
auth_jwt shop;
auth_jwt_cache zone=j;
location = /kid { auth_jwt_key_file keys/$jwt_header_kid.jwk; empty_gif; }
location = /tenant { auth_jwt_key_file of/$arg_t/b.jwk; empty_gif; }
location = /safe { auth_jwt_key_file keys/$jwt_header_kid.jwk jwks;
                   empty_gif; }
END
);

my $keys = $gw->root . '/conf/keys';


sub ask {
    my ($kid, $uri) = @_;

    my $answer = $gw->get($uri // '/kid', [Authorization => 'Bearer '
                          . $key->sign({ sub => 'joe' }, { kid => $kid })]);

    return join ' ', $answer->status, $answer->header('X-Status') // '-';
}

sub comes_to {
    my ($said, @ask) = @_;

    return Apigw::Scenario::wait_for(sub { ask(@ask) eq $said }, 5);
}

# What is said to so many tokens of nobody.

sub made_up {
    my ($n, $prefix, $uri) = @_;

    my %said;

    for (1 .. $n) {
        my $token = join '.', encode_base64url(json({
            alg => 'HS256', kid => $prefix . int(rand(1e9)) })),
            encode_base64url('{}'), 'AAAA';

        $said{$gw->get($uri, [Authorization => "Bearer $token"])->status}++;
    }

    return join ' ', map { "$_: $said{$_}" } sort keys %said;
}

sub lines { my ($pattern) = @_; return scalar(my @l = $gw->grep_log($pattern)) }


# What is removed is gone, for tokens too that were seen before.

is(ask($_), '200 ok', "$_: accepted") for qw(a b b);
is(ask('b', '/tenant?t=tenant'), '200 ok', 'a tenant');
is(ask('stays'), '200 ok', 'a key that stays');

$gw->expect_log(qr/JWT keys of "\S+": /);

rename "$keys/b.jwk", "$keys/b.away" or die "rename: $!\n";
rename "$keys/../of/tenant", "$keys/../of/gone" or die "rename: $!\n";
Apigw::Scenario::write_file("$keys/../of/tenant", 'a file');
Apigw::Scenario::write_file("$keys/stays.jwk", '{"kty":');

ok(comes_to('500 unavailable', 'b'), 'a file that was removed');
ok(comes_to('500 unavailable', 'b', '/tenant?t=tenant'),
   'a directory that was');
is(ask('b'), '500 unavailable', 'it stays away');
is(ask('a'), '200 ok', 'another one does not mind');
ok(Apigw::Scenario::wait_for(sub {
    ask('stays') eq '200 ok' && lines(qr/stays\.jwk": .*the old ones stay/)
}, 5), 'a file that is broken now');
is(ask('stays'), '200 ok', 'leaves the old key');

rename "$keys/b.away", "$keys/b.jwk" or die "rename: $!\n";
is(ask('b'), '200 ok', 'a file that is back');


# Names that clients make up: the old key stays only as long as it is held.

my $before = lines(qr/cannot be read/);

is(made_up(100, 'x', '/kid'), '500: 100', 'keys that are none');
is(ask('stays'), '200 ok', 'push nothing out');
cmp_ok(lines(qr/cannot be read/) - $before, '<=', 1, 'one line for all');

is(made_up(20, 'y/../', '/safe'), '500: 20', 'names that are none');
is(lines(qr/do not make the name of a file/), 1, 'and one for these');
is(made_up(20, 'z', '/safe'), '500: 20', 'from another source');
is(lines(qr/keys\/z\d+\.jwk": cannot be read/), 1,
   'each has a line of its own');

is(ask('bad'), '500 unavailable', 'a broken file') for 1, 2;
is(lines(qr/keys\/bad\.jwk": /), 1, 'is said, once');

$gw->expect_log(qr/do not make the name of a file/);


# More files than are held

for my $round (1, 2) {
    is(join(' ', grep { ask($_) ne '200 ok' } @many), '',
       "more than can be held: $round");
}

is(ask('a'), '200 ok', 'the first of all');
is(ask('stays'), '500 unavailable', 'what had to go is read again');

done_testing();
