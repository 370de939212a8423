# "apigw token keygen", "issue" and "inspect": every algorithm, keys as JWK and
# PEM, every claim, files of secrets, and what is refused.

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 qw(encode_base64url decode_base64url);
use POSIX ();
use Test::More;

use lib 't/lib';
use Apigw::Command;
use Apigw::Token qw(jwks);

my $apigw = Apigw::Command->new;
my $dir = $apigw->{dir};

my $json = JSON::PP->new->canonical;


sub run {
    my $how = ref $_[0] ? shift : {};

    return $apigw->run({ %$how, nostore => 1 }, 'token', @_);
}


sub done {
    my ($name, @args) = @_;

    my $r = run(@args);

    is($r->{status}, 0, $name) or diag($r->{err});

    return $r->{out};
}


sub refused {
    my ($name, $status, $text, @args) = @_;

    my $r = run(@args);

    is($r->{status}, $status, "$name: status");
    like($r->{err}, $text, "$name: text");
    like($r->{err}, qr/\Aapigw: [^\n]+\n\z/, "$name: one line");
    is($r->{out}, '', "$name: nothing on standard output");
}


sub mode_of { return sprintf '%04o', (stat shift)[2] & 07777 }

sub part { return $json->decode(decode_base64url((split /\./, $_[0])[$_[1]])) }


# a key and its public set; the file of the set, or of the secret

sub keygen {
    my ($name, @args) = @_;

    my $out = done("keygen $name", 'keygen', '--out', "$dir/$name.jwk", @args);

    Apigw::Command::spew("$dir/$name.jwks", $out);

    return $out ne '' ? "$dir/$name.jwks" : "$dir/$name.jwk";
}


# every algorithm; some of RSA further down

my %private = (oct => 'k', RSA => 'd p q dp dq qi', EC => 'd', OKP => 'd');

for my $alg (qw(HS256 HS384 HS512 RS256 PS256 ES256 ES384 ES512 ES256K
                EdDSA Ed25519 Ed448))
{
    my $keys = keygen($alg, '--alg', $alg);
    my $file = "$dir/$alg.jwk";
    my $jwk = $json->decode(Apigw::Command::slurp($file));

    is(mode_of($file), '0600', "$alg: nobody else may read it");
    is("$jwk->{alg} $jwk->{use}", "$alg sig", "$alg: alg and use");
    ok(!grep({ !defined $jwk->{$_} } split / /, $private{$jwk->{kty}}),
       "$alg: all of the private key");

    if ($jwk->{kty} ne 'oct') {
        my $set = $json->decode(Apigw::Command::slurp($keys));
        my %public = %$jwk;

        delete @public{split / /, $private{$jwk->{kty}}};
        is_deeply($set, { keys => [\%public] }, "$alg: and the public half");
    }

    my $token = done("$alg: issue", 'issue', '--key', $file, '--sub', 'joe');

    like($token, qr/\A[\w-]+\.[\w-]+\.[\w-]+\n\z/, "$alg: one line");
    is_deeply(part($token, 0),
              { alg => $alg, kid => $jwk->{kid}, typ => 'JWT' },
              "$alg: header");

    my $r = run({ stdin => $token }, 'inspect', '--jwks', $keys, '--json');
    my $seen = $json->decode($r->{out});

    is($r->{status}, 0, "$alg: is valid");
    is("$seen->{signature} $seen->{claims}{sub}", 'right joe',
       "$alg: is right");

    # not with its first digit changed

    my $wrong = $token =~ s/\.([\w-])([\w-]+)$/'.' . ($1 eq 'A' ? 'B' : 'A')
                                               . $2/er;

    $r = run({ stdin => $wrong }, 'inspect', '--jwks', $keys);
    is($r->{status}, 1, "$alg: another signature");
    like($r->{out}, qr/^signature  wrong\nvalid      no: the signature is/,
         "$alg: is wrong");
}


# the thumbprint of the example in RFC 7638, 3.1, is computed the same way

my $ec = $json->decode(Apigw::Command::slurp("$dir/ES256.jwk"));
my $members = qq({"crv":"P-256","kty":"EC","x":"$ec->{x}","y":"$ec->{y}"});

require Digest::SHA;
is($ec->{kid}, encode_base64url(Digest::SHA::sha256($members)),
   'the kid is the thumbprint');


# keygen

refused('no --out', 2, qr/"--out FILE" is missing/, 'keygen');
refused('the file is there', 1, qr/cannot write ".*ES256\.jwk": File exists/,
        'keygen', '--out', "$dir/ES256.jwk");
refused('no directory', 1, qr/cannot write .*No such file/, 'keygen', '--out',
        "$dir/none/x");
refused('unknown algorithm', 2, qr/"--alg none": no such algorithm/, 'keygen',
        '--out', "$dir/x", '--alg', 'none');
refused('bits of EC', 2, qr/"--bits" is for RSA only/, 'keygen', '--out',
        "$dir/x", '--bits', 2048);
refused('few bits', 2, qr/"--bits": not 2048 to 8192/, 'keygen', '--out',
        "$dir/x", '--alg', 'RS256', '--bits', 1024);
refused('a public secret', 2, qr/a secret is not public/, 'keygen', '--out',
        "$dir/x", '--alg', 'HS256', '--jwks', "$dir/y");
ok(!-e "$dir/x", 'no file of all that');

keygen('mine', '--kid', 'my-key');
is($json->decode(Apigw::Command::slurp("$dir/mine.jwk"))->{kid}, 'my-key',
   'a kid of ours');

my $size = length decode_base64url($json->decode(
    Apigw::Command::slurp(keygen('big', qw(--alg PS256 --bits 3072))))
    ->{keys}[0]{n});
is($size, 384, '3072 bits');


# a set that grows

my $set = "$dir/set.json";

is(done('a new set', 'keygen', '--out', "$dir/a.jwk", '--kid', 'a', '--jwks',
        $set), '', 'nothing is printed');
chmod 0640, $set;
done('one more', 'keygen', '--out', "$dir/b.jwk", '--kid', 'b', '--jwks',
     $set);

is(join(' ', map { $_->{kid} }
             @{ $json->decode(Apigw::Command::slurp($set))->{keys} }), 'a b',
   'both are in it');
is(mode_of($set), '0640', 'its mode stays');

refused('a kid twice', 1, qr/has a key "b"/, 'keygen', '--out', "$dir/c.jwk",
        '--kid', 'b', '--jwks', $set);
ok(!-e "$dir/c.jwk", 'and no private key is left');

Apigw::Command::spew("$dir/broken", '{"keys":7}');
refused('no set', 1, qr/broken" is no set of keys/, 'keygen', '--out',
        "$dir/c.jwk", '--jwks', "$dir/broken");
is(Apigw::Command::slurp("$dir/broken"), '{"keys":7}', 'it is as it was');
ok(!-e "$dir/c.jwk", 'nor here');

for my $kid (qw(a b)) {
    my $token = done("by $kid", 'issue', '--key', "$dir/$kid.jwk");
    my $r = run({ stdin => $token }, 'inspect', '--jwks', $set);

    is($r->{status}, 0, "the set verifies $kid") or diag($r->{out});
}


# claims

my @key = ('issue', '--key', "$dir/ES256.jwk");

sub claims { return part(done(@_), 1) }

my $now = time;
my $got = claims('defaults', @key);

is(join(' ', sort keys %$got), 'exp iat jti', 'iat, jti, exp');
cmp_ok(abs($got->{iat} - $now), '<=', 5, 'iat is now');
is($got->{exp} - $got->{iat}, 3600, 'an hour');
like($got->{jti}, qr/\A[\w-]{22}\z/, 'a random jti');
isnt(claims('again', @key)->{jti}, $got->{jti}, 'and another one');

$got = claims('all options', @key, qw(--iss i --sub s --aud a --scope x --jti j
              --expires 2030-01-02T03:04:05Z --not-before 2029-01-01
              --typ at+jwt --claim plan=pro --claim note=a=b --claim empty=
              --claim-json), 'list=[1,"a",null]');
delete $got->{iat};

is_deeply($got, { iss => 'i', sub => 's', aud => 'a', scope => 'x',
                  jti => 'j', exp => 1893553445, nbf => 1861920000,
                  plan => 'pro', note => 'a=b', empty => '',
                  list => [1, 'a', undef] }, 'all options');

$got = claims('repeated', @key, qw(--aud a --aud b --aud c --scope x --scope y
              --scope z));
is("@{$got->{aud}} / $got->{scope}", 'a b c / x y z', 'arrays and spaces');

$got = claims('no end', @key, '--no-expires');
ok(!exists $got->{exp}, 'without exp');

for my $alg (qw(HS384 RS256 PS256 ES512 EdDSA)) {
    my $token = done("$alg: typ", 'issue', '--key', "$dir/$alg.jwk", '--typ',
                     'at+jwt');

    is(part($token, 0)->{typ}, 'at+jwt', "$alg: typ");
}

is(part(done('kid', @key, '--kid', 'other'), 0)->{kid}, 'other', 'kid');

Apigw::Command::spew("$dir/claims", '{"sub":"f","exp":7,"jti":"f","iat":1.5,'
                     . '"aud":["f"],"deep":{"a":[true]}}');
$got = claims('a file', @key, '--claims', "$dir/claims", qw(--sub s --aud b));
is_deeply($got, { sub => 's', exp => 7, jti => 'f', iat => 1.5,
                  aud => ['f', 'b'], deep => { a => [JSON::PP::true] } },
          'a file, and what replaces it');

$got = claims('standard input', { stdin => '{"x":1}' }, @key, '--claims', '-');
is($got->{x}, 1, 'from standard input');

my $r = run(@key, '--expires', '2020-01-01');
is("$r->{status} $r->{err}", "0 apigw: the token has expired already\n",
   'one of the past is told');

for (map({ my $name = $_; map { [$name, '--claim', "$name=$_", 1] } 1, 'x' }
         qw(exp nbf iat)),
     map({ my $name = $_; map { [$name, '--claim-json', "$name=$_", 0] }
           'null', 'true', '-1', '[1]', '9007199254740993', '1e300' }
         qw(exp nbf iat)),
     ['exp', '--claim-json', 'exp="9"', 1])
{
    my ($claim, $option, $value, $hint) = @$_;

    refused("$option $value", 1, $hint
            ? qr/the claim "$claim" is no number .*refuse.*; use --claim-json$/
            : qr/the claim "$claim" is no number .* refuse the token$/,
            @key, $option, $value);
}

refused("$_ is no string", 1, qr/the claim "$_" is no string: nginx would/,
        @key, '--claim-json', "$_=1") for qw(iss sub jti);
refused("aud is $_", 1, qr/the claim "aud" is neither .* audience$/,
        @key, '--claim-json', "aud=$_") for '1', '[1]', '{}', 'null';
is(claims('a right number', @key, '--claim-json', 'exp=9000000000.5')->{exp},
   9000000000.5, 'a time with a fraction');

refused('no key', 2, qr/"--key FILE" is missing/, 'issue');
refused('no such key', 1, qr/cannot open ".*none": No such file/, 'issue',
        '--key', "$dir/none");
refused('both', 2, qr/do not go together/, @key, '--expires', '1h',
        '--no-expires');
refused('no value', 2, qr/not of the form NAME=VALUE/, @key, '--claim', 'x');
refused('no name', 2, qr/not of the form NAME=VALUE/, @key, '--claim', '=x');
refused('no JSON', 1, qr/the claim "x" is no JSON/, @key, '--claim-json',
        'x={');
refused('no UTF-8', 1, qr/the claim "x" is no UTF-8/, @key, '--claim',
        "x=\xff");
refused('no object', 1, qr/"-": the claims are no JSON object/,
        { stdin => '[]' }, @key, '--claims', '-');
refused('twice', 1, qr/no JSON object/, { stdin => '{"a":1,"a":2}' }, @key,
        '--claims', '-');


# keys

refused('a set', 1, qr/a single private JWK is needed/, 'issue', '--key',
        $set);
refused('public', 1, qr/no private key, or one that is damaged/, 'issue',
        '--key', sub {
            my $jwk = $json->decode(Apigw::Command::slurp("$dir/a.jwk"));
            delete $jwk->{d};
            Apigw::Command::spew("$dir/public", $json->encode($jwk));
            return "$dir/public";
        }->());
refused('of another key', 1, qr/no private key, or one that is damaged/,
        'issue', '--key', sub {
            my $jwk = $json->decode(Apigw::Command::slurp("$dir/a.jwk"));
            my $other = $json->decode(Apigw::Command::slurp("$dir/b.jwk"));
            $jwk->{d} = $other->{d};
            Apigw::Command::spew("$dir/mixed", $json->encode($jwk));
            return "$dir/mixed";
        }->());
refused('another algorithm', 1, qr/it is for another algorithm/, @key,
        '--alg', 'ES384');

Apigw::Command::spew("$dir/nothing", '');
refused('empty', 1, qr/neither a private JWK nor a PEM text/, 'issue',
        '--key', "$dir/nothing");
Apigw::Command::spew("$dir/large", '{' . ' ' x 70000);
refused('large', 1, qr/it is too large/, 'issue', '--key', "$dir/large");

my $secret = encode_base64url('x' x 31);
Apigw::Command::spew("$dir/short", qq({"kty":"oct","k":"$secret"}));
refused('31 bytes', 1, qr/shorter than the hash/, 'issue', '--key',
        "$dir/short");


# PEM, made by openssl

sub pem {
    my ($name, @args) = @_;

    system("openssl genpkey -out $dir/$name.pem @args 2>/dev/null") == 0
        or die "openssl genpkey\n";
    system("openssl pkey -in $dir/$name.pem -pubout -out $dir/$name.pub") == 0
        or die "openssl pkey\n";
}

SKIP: {
    skip 'no openssl', 1 if system('openssl version >/dev/null 2>&1') != 0;

    pem('rsa', qw(-algorithm RSA -pkeyopt rsa_keygen_bits:2048));
    pem('ec', qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-384));
    pem('ed', qw(-algorithm ED25519));
    pem('weak', qw(-algorithm RSA -pkeyopt rsa_keygen_bits:1024));
    pem('x', qw(-algorithm X25519));

    my @rsa = map { [rsa => $_, '--alg', $_] } qw(RS384 RS512 PS384 PS512);

    for ([rsa => 'RS256'], @rsa, [ec => 'ES384'], [ed => 'EdDSA'],
         [ed => 'Ed25519', '--alg', 'Ed25519'])
    {
        my ($name, $alg, @args) = @$_;

        my $token = done("PEM, $alg", 'issue', '--key', "$dir/$name.pem",
                         @args);

        is_deeply(part($token, 0), { alg => $alg, typ => 'JWT' },
                  "PEM, $alg: header");

        my $r = run({ stdin => $token }, 'inspect', '--jwks',
                    "$dir/$name.pub");
        is($r->{status}, 0, "PEM, $alg: valid") or diag($r->{out});
    }

    refused('1024 bits', 1, qr/cannot sign a token that nginx would accept/,
            'issue', '--key', "$dir/weak.pem");
    refused('X25519', 1, qr/it does not fit the algorithm/, 'issue', '--key',
            "$dir/x.pem");
    refused('EC for RS256', 1, qr/it does not fit the algorithm/, 'issue',
            '--key', "$dir/ec.pem", '--alg', 'RS256');
    refused('a public key', 1, qr/neither a private JWK nor a PEM text/,
            'issue', '--key', "$dir/rsa.pub");
}


# inspect

my $token = done('a token', @key, '--claim', "bell=a\a\x7f\xc2\x9b31m");
$r = run({ stdin => $token }, 'inspect');

is($r->{status}, 0, 'inspect');
like($r->{out}, qr/\Asignature  unchecked\nvalid      yes\nissued     \d{4}-/,
     'the signature is not checked without keys');
like($r->{out}, qr/^expires    [-\dT:]+Z\nheader     \{"\S+\}\nclaims     \{$/m,
     'header and claims');
unlike($r->{out}, qr/[^\n -~]/, 'nothing that a terminal obeys');
like($r->{out}, qr/"bell": "a\\u0007\?\\u009B31m"/, 'but as text');

$r = run({ stdin => $token }, 'inspect', '--jwks', $set, '--json');
my $seen = $json->decode($r->{out});
is($r->{status}, 1, 'keys without this one');
is("$seen->{signature}, $seen->{why}", 'unchecked, the key is unknown',
   'the key is unknown');
ok(!$seen->{valid}, 'and so it is not valid');

my @jwks = ('--jwks', "$dir/ES256.jwks");

for (['it has expired', '--expires', '2020-01-01'],
     ['it is not valid yet', '--not-before', '1d', '--expires', '2d'])
{
    my ($why, @args) = @$_;

    my $r = run({ stdin => done($why, @key, @args) }, 'inspect', @jwks);

    is($r->{status}, 1, "$why: status");
    like($r->{out}, qr/^signature  right\nvalid      no: \Q$why\E$/m, $why);
}

my $others = Apigw::Token->new('HS256');
Apigw::Command::spew("$dir/others", jwks($others));
$r = run({ stdin => $others->sign({ exp => 'soon' }) }, 'inspect', '--jwks',
         "$dir/others");
is($r->{status}, 1, 'a date that is none: status');
like($r->{out}, qr/^signature  right\nvalid      no: "exp", "nbf" or "iat"/m,
     'a date that is none');

refused('nothing', 1, qr/no token that nginx would accept: less than three/,
        { stdin => "\n" }, 'inspect');
refused('two lines', 1, qr/no token that nginx would accept/,
        { stdin => "$token$token" }, 'inspect');
refused('too large', 1, qr/cannot read "-": it is too large/,
        { stdin => 'x' x 70000 }, 'inspect');
refused('no claims', 1, qr/the claims are no JSON object/,
        { stdin => encode_base64url('{"alg":"ES256"}') . '.W10.AA' },
        'inspect');
refused('none', 1, qr/"alg" is unknown/,
        { stdin => encode_base64url('{"alg":"none"}') . '.e30.AA' },
        'inspect');
refused('no keys', 1, qr/the keys in ".*broken" cannot be used: no array/,
        { stdin => $token }, 'inspect', '--jwks', "$dir/broken");

is(run({ stdin => $token =~ s/\n/\r\n/r }, 'inspect')->{status}, 0, 'CR LF');


# a full disk

SKIP: {
    skip 'no /dev/full', 1 if !-c '/dev/full';

    for (['keygen', '--out', "$dir/full.jwk"], [@key], ['inspect']) {
        my $r = run({ out => '/dev/full', stdin => $token }, @$_);

        is($r->{status}, 1, "$_->[0] to a full disk");
        like($r->{err}, qr/cannot write to standard output/, 'is told');
    }

    ok(!-e "$dir/full.jwk", 'no key that nobody knows');
}

done_testing();
