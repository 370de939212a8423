# Copyright (C) the apigw authors

package Apigw::Token;

=head1 NAME

Apigw::Token - an issuer of JSON Web Tokens, independent of the suite

=head1 SYNOPSIS

    my $key = Apigw::Token->new('RS256', kid => 'one');

    my $text  = Apigw::Token::jwks($key);      # a JWK Set
    my $pem   = $key->pem;                     # the public key
    my $token = $key->sign({ sub => 'joe' });
    my $odd   = $key->sign({ sub => 'joe' }, { crit => [] });
    my $raw   = $key->sign_text('{"alg":"RS256"}', '{"a":1,"a":2}');

Keys are made, and signatures are, by Perl's Digest::SHA and the command
openssl.  Algorithms: HS, RS, PS, ES 256 to 512, ES256K, Ed25519, Ed448.

=cut

use strict;
use warnings;

use Digest::SHA ();
use Exporter qw(import);
use File::Temp ();
use JSON::PP ();
use MIME::Base64 ();

our @EXPORT_OK = qw(base64url json jwks);

my $DIR = File::Temp::tempdir(CLEANUP => 1);
my $COUNT = 0;

my %CURVES = (
    ES256  => [prime256v1 => 'P-256', 32],
    ES384  => [secp384r1 => 'P-384', 48],
    ES512  => [secp521r1 => 'P-521', 66],
    ES256K => [secp256k1 => 'secp256k1', 32],
);


=head1 FUNCTIONS

=head2 base64url(bytes), json(value), jwks(key, ...)

Base64url without padding; JSON with sorted members; the JWK Set of some keys,
each an object of this class or a hash of members.

=cut

sub base64url {
    my ($bytes) = @_;

    return MIME::Base64::encode_base64($bytes, '') =~ tr{+/=}{-_}dr;
}


sub json {
    my ($value) = @_;

    return JSON::PP->new->canonical->utf8->allow_nonref->encode($value);
}


sub jwks {
    my (@keys) = @_;

    return json({ keys => [map { ref $_ eq 'HASH' ? $_ : $_->jwk } @keys] });
}


=head1 METHODS

=head2 new(alg, member => value, ...)

Makes a key for an algorithm; C<kid> and others become members of its JWK,
C<bits> the size of an RSA key, C<secret> the one of HS, C<of> another object
whose key is taken.

=cut

sub new {
    my ($class, $alg, %members) = @_;

    my $bits = delete $members{bits} // 2048;
    my $secret = delete $members{secret};
    my $of = delete $members{of};

    my $self = bless { alg => $alg, members => \%members }, $class;

    if ($alg =~ /^HS(\d+)/) {
        $self->{secret} = $secret // random($1 / 8);
        return $self;
    }

    if ($of) {
        $self->{file} = $of->{file};
        return $self;
    }

    my @how = $alg =~ /^[RP]S/
              ? ('RSA', '-pkeyopt', "rsa_keygen_bits:$bits")
              : $CURVES{$alg}
              ? ('EC', '-pkeyopt', "ec_paramgen_curve:$CURVES{$alg}[0]",
                 '-pkeyopt', 'ec_param_enc:named_curve')
              : ($alg);

    $self->{file} = "$DIR/" . ++$COUNT . '.pem';

    command('genpkey', '-algorithm', @how, '-out', $self->{file});

    return $self;
}


=head2 pem, jwk, alg

The public key as PEM; its JWK as a hash; the algorithm.

=cut

sub alg { return $_[0]{alg} }


sub pem {
    my ($self) = @_;

    return command('pkey', '-in', $self->{file}, '-pubout');
}


sub jwk {
    my ($self) = @_;

    my $alg = $self->{alg};
    my %jwk = (alg => $alg, use => 'sig', %{$self->{members}});

    delete @jwk{grep { !defined $jwk{$_} } keys %jwk};

    return { %jwk, kty => 'oct', k => base64url($self->{secret}) }
        if $self->{secret};

    my $der = command('pkey', '-in', $self->{file}, '-pubout', '-outform',
                      'DER');

    if ($alg =~ /^[RP]S/) {
        my $text = command('pkey', '-in', $self->{file}, '-noout', '-text');
        my ($n) = $text =~ /modulus:\s*((?:[0-9a-f]{2}:?\s*)+)/;
        my ($e) = $text =~ /publicExponent: (\d+)/;
        my $hex = sprintf '%x', $e;

        return { %jwk, kty => 'RSA',
                 n => base64url(pack('H*', $n =~ s/[:\s]//gr) =~ s/^\0+//r),
                 e => base64url(pack('H*', length($hex) % 2 ? "0$hex"
                                                            : $hex)) };
    }

    if (my $curve = $CURVES{$alg}) {
        my $size = $curve->[2];

        return { %jwk, kty => 'EC', crv => $curve->[1],
                 x => base64url(substr $der, -2 * $size, $size),
                 y => base64url(substr $der, -$size) };
    }

    $jwk{alg} = 'EdDSA' if ($jwk{alg} // '') eq $alg;

    return { %jwk, kty => 'OKP', crv => $alg,
             x => base64url(substr $der, $alg eq 'Ed448' ? -57 : -32) };
}


=head2 sign(claims, header), sign_text(header, payload)

A token.  Members of the second argument of C<sign> are added to the header,
and those that are undefined are left out of it; C<sign_text> takes the two
parts as they are.

=cut

sub sign {
    my ($self, $claims, $header) = @_;

    my $alg = $self->{alg} =~ /^Ed/ ? 'EdDSA' : $self->{alg};

    my %header = (alg => $alg, typ => 'JWT', kid => $self->{members}{kid},
                  %{$header // {}});

    delete @header{grep { !defined $header{$_} } keys %header};

    return $self->sign_text(json(\%header), json($claims));
}


sub sign_text {
    my ($self, $header, $payload) = @_;

    my $text = base64url($header) . '.' . base64url($payload);

    return "$text." . base64url($self->signature($text));
}


=head2 signature(text)

The signature of a text, as bytes.

=cut

sub signature {
    my ($self, $text) = @_;

    my $alg = $self->{alg};

    if ($alg =~ /^HS(\d+)/) {
        my $hmac = Digest::SHA->can("hmac_sha$1");
        return $hmac->($text, $self->{secret});
    }

    my ($in, $out) = ("$DIR/text", "$DIR/signature");

    open my $file, '>', $in or die "$in: $!\n";
    print $file $text;
    close $file or die "$in: $!\n";

    if ($alg =~ /^Ed/) {
        command('pkeyutl', '-sign', '-inkey', $self->{file}, '-rawin',
                '-in', $in, '-out', $out);
        return slurp($out);
    }

    my ($bits) = $alg =~ /(\d+)/;
    my @how = $alg =~ /^PS/ ? ('-sigopt', 'rsa_padding_mode:pss', '-sigopt',
                               'rsa_pss_saltlen:digest')
              : ();

    command('dgst', "-sha$bits", '-sign', $self->{file}, @how, '-out', $out,
            $in);

    my $signature = slurp($out);

    return $CURVES{$alg} ? plain($signature, $CURVES{$alg}[2]) : $signature;
}


# r and s of fixed length, from DER

sub plain {
    my ($der, $size) = @_;

    my $pos = ord(substr $der, 1, 1) & 0x80 ? 3 : 2;
    my $plain = '';

    for (1, 2) {
        my $len = ord substr $der, $pos + 1, 1;
        my $n = substr($der, $pos + 2, $len) =~ s/^\0+//r;

        $plain .= ("\0" x ($size - length $n)) . $n;
        $pos += 2 + $len;
    }

    return $plain;
}


sub random {
    my ($n) = @_;

    open my $file, '<', '/dev/urandom' or die "/dev/urandom: $!\n";
    read($file, my $bytes, $n) == $n or die "/dev/urandom: $!\n";

    return $bytes;
}


sub command {
    my (@args) = @_;

    open my $out, '-|', 'sh', '-c', 'exec openssl "$@" 2>/dev/null', 'sh',
                        @args
        or die "openssl: $!\n";

    local $/;
    my $text = <$out>;

    close $out or die "openssl @args failed\n";

    return $text;
}


sub slurp {
    my ($name) = @_;

    open my $in, '<', $name or die "$name: $!\n";
    binmode $in;
    local $/;

    return scalar <$in>;
}


1;
