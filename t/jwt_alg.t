# Attacks on tokens, end to end: each gets 401 and nothing else happens; no
# address in a token is ever connected to.

use strict;
use warnings;

use Test::More;

use IO::Socket::INET;
use Time::HiRes qw(time);

use Apigw::Scenario;
use Apigw::Token qw(jwks json base64url);

my $rs = Apigw::Token->new('RS256', kid => 'rs');
my $rs512 = Apigw::Token->new('RS512', kid => 'rs512');
my $es = Apigw::Token->new('ES256', kid => 'es');
my $es384 = Apigw::Token->new('ES384', kid => 'es384');
my $ed = Apigw::Token->new('Ed25519', kid => 'ed');
my $hs = Apigw::Token->new('HS256', kid => 'hs');
my $free = Apigw::Token->new('RS256', kid => 'free', alg => undef);
my $anonymous = Apigw::Token->new('HS384');
my $enemy = Apigw::Token->new('RS256', kid => 'rs');

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5)
    or die "cannot listen: $@\n";
my $trap = 'http://127.0.0.1:' . $listener->sockport . '/';

my $gw = Apigw::Scenario->start(
    default_location => 0,
    files => {
        'conf/keys.json' => jwks($rs, $rs512, $es, $es384, $ed, $hs, $free,
                                 $anonymous),
        'conf/es.json'   => jwks($es),
        'conf/rs.pem'    => $rs->pem,
    },
    http   => 'large_client_header_buffers 4 128k;',
    server => <<'END',
add_header X-Status $jwt_status always;
add_header X-Who "$jwt_consumer$jwt_claim_sub$jwt_header_kid$jwt_claims"
           always;
auth_jwt shop;
auth_jwt_key_file keys.json;

location / { empty_gif; }
location /es { auth_jwt_key_file es.json; empty_gif; }
location /pem { auth_jwt_key_file rs.pem; empty_gif; }
location /rs512 { auth_jwt_algorithms RS512 ES256; empty_gif; }
END
);


# A token whose parts are given as they are.

sub parts {
    my ($header, $payload, $signature) = @_;

    return join '.', base64url($header), base64url($payload),
                     base64url($signature);
}

sub flip {
    my ($text, $at) = @_;

    substr $text, $at, 1, substr($text, $at, 1) eq 'A' ? 'B' : 'A';

    return $text;
}

# Signs as HMAC with a text that is no secret.

sub confused {
    my ($secret, $kid, $alg) = @_;

    return Apigw::Token->new($alg // 'HS256', kid => $kid, secret => $secret)
           ->sign({ sub => 'x' });
}

my $claims = { sub => 'x' };
my $good = $rs->sign($claims);
my ($h, $p, $s) = split /\./, $good;
my $es_good = $es->sign($claims);
my ($eh, $ep, $es_sig) = split /\./, $es_good;
my $ec = MIME::Base64::decode_base64($es_sig =~ tr{-_}{+/}r . '==');
my ($r_part, $s_part) = (substr($ec, 0, 32), substr($ec, 32));
my $n = pack 'H*', 'ffffffff00000000ffffffffffffffff'
                   . 'bce6faada7179e84f3b9cac2fc632551';
my $der = $rs->pem =~ s/-----[^-]+-----|\n//gr;

# The certificate of a key, by itself.

my $x509 = MIME::Base64::encode_base64(
    Apigw::Token::command('req', '-x509', '-new', '-key', $enemy->{file},
                          '-subj', '/CN=rs', '-days', 9, '-outform', 'DER'),
    '');

sub es_sig { return "$eh.$ep." . base64url($_[0]) }

sub der_of {
    my @n = map { s/^\0+//r } @_;
    my $body = join '', map { my $x = ord >= 0x80 ? "\0$_" : $_;
                              "\x02" . chr(length $x) . $x } @n;
    return "\x30" . chr(length $body) . $body;
}

my @attacks = (

    # alg

    (map { ["alg $_", parts(qq({"alg":$_,"kid":"rs"}), '{}', ''),
            qr/algorithm|malformed/] }
         '"none"', '"None"', '"NONE"', '"nOnE"', '""', '1', 'null', '[]',
         '["RS256"]', '{}', 'true', '"ES521"', '"HS1"', '"RS256 "', '"rs256"'),
    ['no alg', parts('{"kid":"rs"}', '{}', 'x'), qr/algorithm|malformed/],
    ['alg none with a signature', "$h.$p.$s" =~ s/^[^.]+/base64url(
         '{"alg":"none","kid":"rs"}')/er, qr/algorithm/],
    ['HS256 with the PEM', confused($rs->pem, 'rs'), qr/algorithm|key/],
    ['HS256 with the DER', confused(MIME::Base64::decode_base64($der), 'rs'),
     qr/algorithm|key/],
    ['HS256 with the modulus',
     confused(MIME::Base64::decode_base64($rs->jwk->{n} =~ tr{-_}{+/}r),
              'rs'), qr/algorithm|key/],
    ['HS256 with the PEM, a key without alg', confused($free->pem, 'free'),
     qr/algorithm|key/],
    ['HS256 with a point of EC',
     confused("\4" . MIME::Base64::decode_base64(
                  ($es->jwk->{x} . '=' . $es->jwk->{y}) =~ tr{-_}{+/}r), 'es'),
     qr/algorithm|key/],
    ['HS256 with the PEM, a PEM file', confused($rs->pem, undef),
     qr/algorithm|key/, '/pem'],
    ['HS256 with an empty secret', confused('', 'hs'), qr/signature/],
    ['RS512 by the key of RS256', $rs->sign($claims, { alg => 'RS512' }),
     qr/algorithm|key/],
    ['RS256 by the key of RS512',
     bless({ %$rs512, alg => 'RS256' }, 'Apigw::Token')->sign($claims),
     qr/algorithm|key/],
    ['PS256 by the key of RS256', bless({ %$rs, alg => 'PS256' },
         'Apigw::Token')->sign($claims), qr/algorithm|key/],
    ['an algorithm that is not allowed', $good, qr/algorithm/, '/rs512'],
    ['a curve that is not the key\'s', $es384->sign($claims, { kid => 'es' }),
     qr/algorithm|key|signature/],
    ['ES256 of another curve', $es384->sign($claims,
         { alg => 'ES256', kid => 'es' }), qr/signature|malformed/],
    ['Ed448 by a key of Ed25519', $ed->sign($claims, { alg => 'Ed448' }),
     qr/algorithm|key/],

    # keys in the header

    ['jwk', $enemy->sign($claims, { jwk => $enemy->jwk }),
     qr/signature|malformed/],
    ['jwk, no kid', $enemy->sign($claims, { jwk => $enemy->jwk, kid => undef }),
     qr/signature|malformed|key/],
    (map { ["$_ ", $enemy->sign($claims, { $_ => $trap, kid => 'new' }),
            qr/key|malformed/] } qw(jku x5u)),
    ['x5c', $enemy->sign($claims, { x5c => [MIME::Base64::encode_base64(
         'not a certificate', '')] }), qr/signature|malformed/],
    ['x5c, self-signed', $enemy->sign($claims, { x5c => [$x509] }),
     qr/signature/],
    ['x5c, self-signed, no kid', $enemy->sign($claims, { x5c => [$x509],
                                                         kid => undef }),
     qr/signature|key/],
    (map { my $name = substr "kid $_", 0, 40;
           [$name, $enemy->sign($claims, { kid => $_ }), qr/key|malformed/] }
         '../../etc/passwd', "a\0b", q(' or 1=1), '"', 'k' x 4096, 'unknown',
         '/dev/null'),
    (map { ['kid is ' . json($_), $rs->sign($claims, { kid => $_ }),
            qr/malformed/] } 1, [], {}, JSON::PP::true),
    ['empty kid', $enemy->sign($claims, { kid => '' }),
     qr/key|malformed|signature/],
    ['no kid, an unknown key', $enemy->sign($claims, { kid => undef }),
     qr/signature|key/],
    ['the kid of another key', $rs->sign($claims, { kid => 'free' }),
     qr/signature/],

    # structure

    (map { ["crit $_", $rs->sign_text(qq({"alg":"RS256","kid":"rs","crit":$_}),
                                      '{}'), qr/malformed/] }
         '["exp"]', '[]', '"exp"', '["alg"]', 'null', '["b64"]', '[1]',
         '["unknown"]', '{}', 'false'),
    ['b64 false', $rs->sign($claims, { b64 => JSON::PP::false,
                                       crit => ['b64'] }), qr/malformed/],
    ['b64 false, not critical', $rs->sign($claims, { b64 => JSON::PP::false }),
     qr/malformed/],
    (map { ["$_->{alg} of encryption",
            join('.', base64url(json($_)), ('AAAA') x 4), qr/malformed/],
           ["$_->{alg} of encryption, three parts",
            join('.', base64url(json($_)), ('AAAA') x 2),
            qr/malformed|algorithm/] }
         { alg => 'RSA-OAEP', enc => 'A256GCM', kid => 'rs' },
         { alg => 'dir', enc => 'A128CBC-HS256', zip => 'DEF' },
         { alg => 'PBES2-HS256+A128KW', p2c => 2_147_483_647, p2s => 'AAAA',
           kid => 'hs', enc => 'A128GCM' }),
    ['huge p2c', $hs->sign($claims, { alg => 'PBES2-HS256+A128KW',
                                      p2c => 2_147_483_647 }), qr/algorithm/],
    ['zip', $rs->sign($claims, { zip => 'DEF' }), qr/malformed/],
    ['nested', $rs->sign($claims, { cty => 'JWT' }), qr/malformed/],
    ['alg twice', $rs->sign_text('{"alg":"none","alg":"RS256","kid":"rs"}',
                                 '{}'), qr/malformed/],
    ['sub twice', $rs->sign_text('{"alg":"RS256","kid":"rs"}',
                                 '{"sub":"a","sub":"b"}'), qr/malformed/],
    ['a member of a member twice',
     $rs->sign_text('{"alg":"RS256","kid":"rs"}', '{"a":{"b":1,"b":2}}'),
     qr/malformed/],
    ['header is no object', $rs->sign_text('["RS256"]', '{}'), qr/malformed/],
    (map { ["claims are $_", $rs->sign_text('{"alg":"RS256","kid":"rs"}', $_),
            qr/malformed/] }
         '[]', '"x"', '1', 'null', '', '{', '{}x', "{}\0", '{"a":}',
         "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}", '{"a":"\ud800"}',
         '{"a":1e400}'),
    ['claims that are deep', $rs->sign_text('{"alg":"RS256","kid":"rs"}',
         '{"a":' . '[' x 10_000 . ']' x 10_000 . '}'), qr/malformed/],
    ['claims that go down 45,000 levels', $rs->sign_text(
         '{"alg":"RS256","kid":"rs"}', '{"a":' . '[' x 45_000),
     qr/malformed/],
    ['objects that go down 7,500 levels', $rs->sign_text(
         '{"alg":"RS256","kid":"rs"}', '{"a":' x 7_500), qr/malformed/],
    ['a header that is deep', $rs->sign_text(
         '{"alg":"RS256","kid":"rs","a":' . '[' x 3000 . ']' x 3000 . '}',
         '{}'), qr/malformed/],
    ['two parts', "$h.$p", qr/malformed/],
    ['two parts and a dot', "$h.$p.", qr/malformed|signature/],
    ['one part', $h, qr/malformed/],
    ['four parts', "$good.$s", qr/malformed/],
    ['five parts', "$h.$p.$s.$p.$s", qr/malformed/],
    ['six parts', join('.', ($h) x 6), qr/malformed/],
    ['a leading dot', ".$good", qr/malformed/],
    ['a trailing dot', "$good.", qr/malformed/],
    ['dots', '..', qr/malformed/],
    ['empty header', ".$p.$s", qr/malformed/],
    ['empty claims', "$h..$s", qr/malformed|signature/],
    ['JSON serialization', json({ payload => $p, protected => $h,
                                  signature => $s }), qr/malformed/],
    ['white space in it', "$h. $p.$s", qr/malformed/],
    ['a tab in it', "$h.$p\t.$s", qr/malformed/],

    # encoding

    ['padding', "$h.$p.$s==", qr/malformed/],
    ['padding of the header', "$h=.$p.$s", qr/malformed/],
    ['base64 that is not for URLs', "$h.$p." . ('+/' x 171), qr/malformed/],
    ['length 1 mod 4', "$h.$p.${s}AAA" , qr/malformed|signature/],
    ['trailing bits', "$h.$p." . ($s =~ s/(.)\z/chr(ord($1) ^ 1)/er),
     qr/malformed|signature/],
    ['a bit of the claims', "$h." . flip($p, 3) . ".$s",
     qr/malformed|signature/],
    ['a bit of the signature', "$h.$p." . flip($s, 30), qr/signature/],
    ['not ASCII', "$h.$p.\xc3\xa4$s", qr/malformed/],

    # signature

    ['no signature', "$h.$p.", qr/malformed|signature/],
    ['one byte short', "$h.$p." . substr($s, 0, -2), qr/signature|malformed/],
    ['signature of another token',
     join('.', $h, $p, (split /\./, $rs->sign({ sub => 'y' }))[2]),
     qr/signature/],
    ['EC: DER', es_sig(der_of($r_part, $s_part)), qr/signature|malformed/],
    ['EC: r of 0', es_sig("\0" x 32 . $s_part), qr/signature/],
    ['EC: s of 0', es_sig($r_part . "\0" x 32), qr/signature/],
    ['EC: both 0', es_sig("\0" x 64), qr/signature/],
    ['EC: r of n', es_sig($n . $s_part), qr/signature/],
    ['EC: s of n', es_sig($r_part . $n), qr/signature/],
    ['EC: short', es_sig(substr $ec, 1), qr/signature|malformed/],
    ['EC: long', es_sig("$ec\0"), qr/signature|malformed/],
    ['EC: long in front', es_sig("\0$ec"), qr/signature|malformed/],
    ['Ed: S of L and more', do {
        my ($a, $b, $c) = split /\./, $ed->sign($claims);
        my $x = MIME::Base64::decode_base64($c =~ tr{-_}{+/}r . '==');
        "$a.$b." . base64url(substr($x, 0, 32) . "\xff" x 32);
    }, qr/signature/],
    ['a token of somebody else', $enemy->sign($claims), qr/signature/],
    ['a key of another location', $good, qr/key/, '/es'],

    # claims

    (map { ["exp $_", $rs->sign_text('{"alg":"RS256","kid":"rs"}',
                                     qq({"exp":$_})),
            qr/malformed|expired/] }
         '"9999999999"', 'null', 'true', '-1', '0', '-0', '[]', '{}',
         '1e400', '9007199254740993', '9223372036854775808',
         '1e300', '-1.5', '0.5'),
    (map { ["nbf $_", $rs->sign_text('{"alg":"RS256","kid":"rs"}',
                                     qq({"nbf":$_})),
            qr/malformed|early/] }
         '"1"', 'null', 'false', '9007199254740991', '1e300', '99999999999'),
    (map { ["iat $_", $rs->sign_text('{"alg":"RS256","kid":"rs"}',
                                     qq({"iat":$_})), qr/malformed/] }
         '"1"', 'null', 'true', '[]'),
    ['nbf after exp', $rs->sign({ nbf => time() + 50, exp => time() + 40 }),
     qr/early|malformed/],
    ['sub is a number', $rs->sign({ sub => 1 }), qr/malformed/],

    # size

    (map { ["$_ bytes of nothing", 'A' x $_, qr/malformed/] } 8192, 65000),
    ['66000 bytes', "$h." . ('A' x 66000) . ".$s", qr/malformed/],
    ['a header of 60 KB', $rs->sign($claims, { x => 'y' x 45000 }),
     qr/malformed/],
);

my $began = time;

for my $attack (@attacks) {
    my ($name, $token, $verdict, $uri) = @$attack;

    my $answer = $gw->get($uri // '/', [Authorization => "Bearer $token"]);

    is($answer->status, 401, $name)
        or diag($answer->header('X-Status') // '');
    like($answer->header('X-Status'), qr/^(?:$verdict)$/, "$name: verdict");
    is($answer->header('X-Who') // '', '', "$name: nothing is known");
}

cmp_ok(time - $began, '<', 30, 'in bounded time');

$listener->blocking(0);
ok(!$listener->accept, 'no address in a token was connected to');

# what is right beside all that

for my $case (
    ['good', $good], ['EC', $es_good], ['no kid, many keys',
                                        $rs->sign($claims, { kid => undef })],
    ['a key without kid', $anonymous->sign($claims)],
    ['Ed25519 by its name', $ed->sign($claims, { alg => 'Ed25519' })],
    ['a key without alg', $free->sign($claims)],
    ['a large token', $rs->sign({ sub => 'x', big => 'y' x 30000 })],
    ['x5t and other members', $rs->sign($claims, { x5t => 'abc', foo => [1] })],
)
{
    is($gw->get('/', [Authorization => "Bearer $case->[1]"])->status, 200,
       "right: $case->[0]");
}

is($gw->get('/', [Authorization => 'Bearer ' . 'A' x 140_000])->status, 400,
   'larger than nginx reads');

# what cannot be in a header at all

for my $octets ("\0", "\r", "\r\n ", "\n\t") {
    my $text = $gw->raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        . "Authorization: Bearer $h.$octets$p.$s\r\n\r\n");

    like($text, qr{\AHTTP/1\.1 40[01] }, 'octets ' . unpack 'H*', $octets);
}

like($gw->raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              . "Authorization: Bearer $h.$p.$s\r\n\r\n"),
     qr{\AHTTP/1\.1 200 }, 'none of them');

done_testing();
