# The examples for Keycloak, Amazon Cognito, Auth0 and Entra ID, as they are but
# for the provider's address, with key sets and tokens of the shapes that these
# have.

use strict;
use warnings;

use MIME::Base64 qw(encode_base64);
use Test::More;

use Apigw::Nginx;
use Apigw::Provider;
use Apigw::Scenario;
use Apigw::Token qw(base64url json);

my $provider = Apigw::Provider->start;


# the members that a certificate of the key gives

sub certified {
    my ($key, @thumbprints) = @_;

    my $der = Apigw::Token::command('req', '-x509', '-new', '-key',
                                    $key->{file}, '-subj', '/CN=shop',
                                    '-days', 3650, '-outform', 'DER');

    my %members = (x5c => [ encode_base64($der, '') ],
                   x5t => base64url(Digest::SHA::sha1($der)),
                   'x5t#S256' => base64url(Digest::SHA::sha256($der)));

    return { %{$key->jwk}, map { $_ => $members{$_} } 'x5c', @thumbprints };
}


# without "alg" and with the issuer, as in Entra's

sub of_entra {
    my ($key) = @_;

    my %jwk = (%{ certified($key, 'x5t') }, use => 'sig',
               issuer => 'https://login.microsoftonline.com/{tenantid}/v2.0');

    delete $jwk{alg};

    return \%jwk;
}


# one of each provider, and one that no token is signed by

my %key = (next => Apigw::Token->new('RS256', kid => 'next'));

my $signer = Apigw::Token->new('RS256');

$key{$_} = bless { %$signer, members => { kid => $_ } }, ref $signer
    for qw(kUk0qQ9Xh2 jCSnGYUPkfzw1hcqzbZ1Cbiw10tqpTDSM7k2V9BCFoI=
           NEMyQUM4RTk2 -KI3Q9nNR7bRofxmeZoXqbHZGew);

my $cognito = $key{'jCSnGYUPkfzw1hcqzbZ1Cbiw10tqpTDSM7k2V9BCFoI='};

my @cases = (

    { name => 'keycloak', path => '/realms/shop', key => $key{kUk0qQ9Xh2},
      keys => [ { %{ certified($key{next}, 'x5t', 'x5t#S256') },
                  use => 'enc', alg => 'RSA-OAEP' },
                certified($key{kUk0qQ9Xh2}, 'x5t', 'x5t#S256') ],

      claims => { jti => '3f9c', aud => [ 'orders', 'account' ],
                  sub => 'f:1:joe', typ => 'Bearer', azp => 'web',
                  acr => '1', 'allowed-origins' => [ '/*' ],
                  realm_access => { roles => [ 'orders-reader', 'user' ] },
                  resource_access => { account => { roles => [ 'a' ] } },
                  scope => 'openid email', preferred_username => 'joe' },

      tries => [
          [ '/orders/', {}, 200, "web orders-reader,user\n" ],
          [ '/admin/', {}, 401 ],
          [ '/admin/', { realm_access => { roles => [ 'admin' ] } }, 200 ],
          [ '/orders/', { aud => 'account' }, 401 ],
          [ '/orders/', { typ => 'ID' }, 401 ],
          [ '/orders/', { typ => 'Refresh' }, 401 ],
          [ '/orders/', { realm_access => { roles => [] } }, 401 ],
          [ '/orders/', { realm_access => undef }, 401 ],
          [ '/', { typ => 'ID' }, 401 ],
      ] },

    { name => 'cognito', path => '/eu-west-1_Example01', key => $cognito,
      keys => [ $cognito->jwk, $key{next}->jwk ],

      claims => { sub => 'aaaa-bbbb', 'cognito:groups' => [ 'g1', 'g2' ],
                  token_use => 'access', scope => 'openid orders/read',
                  auth_time => time, version => 2, jti => 'x',
                  client_id => 'app1', username => 'joe' },

      tries => [
          [ '/orders/', {}, 200, "app1 g1,g2\n" ],
          [ '/orders/', { client_id => 'app2' }, 200, "app2 g1,g2\n" ],
          [ '/orders/', { client_id => 'app3' }, 401 ],
          [ '/orders/', { token_use => 'id', aud => 'app1',
                          client_id => undef }, 401 ],
          [ '/orders/', { token_use => 'id' }, 401 ],
          [ '/orders/', { scope => 'aws.cognito.signin.user.admin' }, 403 ],
          [ '/orders/', { 'cognito:groups' => undef }, 200, "app1 \n" ],
          [ '/admin/', {}, 401 ],
          [ '/admin/', { 'cognito:groups' => [ 'admins' ] }, 200 ],
          [ '/admin/', { 'cognito:groups' => [ 'admins' ],
                         token_use => 'id' }, 401 ],
          [ '/admin/', { 'cognito:groups' => [ 'admins' ],
                         client_id => 'app2' }, 401 ],
      ] },

    { name => 'auth0', path => '/', key => $key{NEMyQUM4RTk2},
      keys => [ certified($key{NEMyQUM4RTk2}, 'x5t'),
                certified($key{next}, 'x5t') ],

      claims => { sub => 'auth0|5f7c8ec7', azp => 'kzTe',
                  aud => [ 'https://orders.shop.example',
                           'https://shop.eu.auth0.com/userinfo' ],
                  scope => 'openid profile read:orders',
                  permissions => [ 'read:orders' ], gty => 'password',
                  'https://shop.example/plan' => 'pro' },

      tries => [
          [ '/orders/', {}, 200, "kzTe pro\n" ],
          [ '/orders/', { 'https://shop.example/plan' => 'free' }, 200,
            "kzTe free\n" ],
          [ '/orders/', { scope => 'openid profile' }, 403 ],
          [ '/orders/', { aud => 'kzTe' }, 401 ],
          [ '/admin/', {}, 401 ],
          [ '/admin/', { permissions => [ 'admin:orders' ] }, 200 ],
      ] },

    { name => 'entra', path => '/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0',
      key => $key{'-KI3Q9nNR7bRofxmeZoXqbHZGew'},
      keys => [ map { of_entra($_) } $key{next},
                                     $key{'-KI3Q9nNR7bRofxmeZoXqbHZGew'} ],

      claims => { aud => '00001111-aaaa-2222-bbbb-3333cccc4444',
                  nbf => time - 5, azp => 'web', azpacr => '1', ver => '2.0',
                  name => 'Joe', oid => 'o-1', sub => 'pairwise-1',
                  preferred_username => 'joe@shop.example', rh => '0.A',
                  scp => 'Orders.Read User.Read', uti => 'u', aio => 'x',
                  tid => 'aaaabbbb-0000-cccc-1111-dddd2222eeee' },

      tries => [
          [ '/orders/', {}, 200, "web o-1\n" ],
          [ '/orders/', { scp => 'Orders.ReadWrite' }, 200 ],
          [ '/orders/', { scp => 'User.Read' }, 403 ],
          [ '/orders/', { scp => undef }, 403 ],
          [ '/orders/', { aud => 'api://00001111-aaaa-2222-bbbb-3333cccc4444' },
            401 ],
          [ '/orders/', { aud => '00000003-0000-0000-c000-000000000000' },
            401 ],
          [ '/orders/', { ver => '1.0' }, 401 ],
          [ '/orders/', { iss => 'https://sts.windows.net/aaaabbbb/' }, 401 ],
          [ '/jobs/', {}, 401 ],
          [ '/jobs/', { scp => undef, roles => [ 'Orders.Sync' ],
                        idtyp => 'app', azp => 'job', name => undef }, 200,
            "job \n" ],
          [ '/jobs/', { scp => undef, roles => [ 'Orders.Sync' ] }, 401 ],
          [ '/jobs/', { scp => undef, roles => [ 'Other' ], idtyp => 'app' },
            401 ],
          [ '/', { ver => undef }, 401 ],
      ] },
);


my $gw;

for my $case (@cases) {
    my $name = $case->{name};
    my $slash = $case->{path} =~ m{/\z} ? '' : '/';
    my $url = $provider->url($case->{path});
    my $jwks = "$case->{path}${slash}.well-known/jwks.json";

    $provider->set("$case->{path}${slash}.well-known/openid-configuration", {
        headers => [ 'Content-Type' => 'application/json',
                     'Cache-Control' => 'public, max-age=3600' ],
        body => json({ issuer => $url, jwks_uri => $provider->url($jwks),
                       id_token_signing_alg_values_supported => [ 'RS256' ],
                       subject_types_supported => [ 'public' ] }),
    });
    $provider->set($jwks, { body => json({ keys => $case->{keys} }) });

    my $conf = Apigw::Nginx::slurp("examples/$name/nginx.conf");

    next if $conf =~ /api_usage/
            && Apigw::Scenario::load_modules() !~ /apigw_usage/;

    my ($http) = $conf =~ /^http \{\n(.*)^\}\n/ms;
    my $port = 1;

    $http =~ s/127\.0\.0\.1:(\d+)/"127.0.0.1:%%PORT_" . ($1 < 8087 ? 1 : 2)
                                   . '%%'/ge;
    $http =~ s/(\burl\s+)https:\S+;/$1$url; ca ${\ $provider->ca};/
        or die "no url in examples/$name/nginx.conf\n";
    $http =~ s/\bstore=(\w+)/store=%%ROOT%%\/logs\/$1/g;
    $http =~ s/^ *(?:access_log +logs|\w+_temp_path).*\n//mg;

    if ($gw) {
        $gw->reload(http => $http);

    } else {
        $gw = Apigw::Scenario->start(http => $http, default_location => 0);
    }

    for my $try (@{$case->{tries}}) {
        my ($uri, $other, $code, $body) = @$try;

        my %claims = (%{$case->{claims}}, iss => $url, iat => time,
                      exp => time + 300, %$other);

        delete @claims{grep { !defined $claims{$_} } keys %claims};

        my $token = $case->{key}->sign(\%claims);
        my $answer;
        my $get = sub {
            $answer = $gw->request('GET', $uri,
                                   { Authorization => "Bearer $token" },
                                   undef, port => $gw->port(1));
            return $answer->code != 503;
        };

        # the first one may have to wait for the keys
        wait_for(\&$get, 10);

        my $title = "$name: $uri " . json($other);

        is($answer->code, $code, $title);
        is($answer->body, $body, "$title: what is known") if defined $body;
    }
}

done_testing;
