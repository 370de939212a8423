# Copyright (C) the apigw authors

package Apigw::Provider;

=head1 NAME

Apigw::Provider - publishes key sets over HTTPS, well or badly

=head1 SYNOPSIS

    my $provider = Apigw::Provider->start;

    my $url = $provider->url('/good');     # https://127.0.0.1:PORT/good
    my $ca = $provider->ca;                # the file to trust

    $provider->discovery('/good');         # with its key set at /good/jwks
    $provider->set('/good/jwks', { body => jwks(@keys) });
    $provider->set('/slow/jwks', { delay => 5 });

    is($provider->count('/good/jwks'), 1);
    $provider->stop;

An nginx that speaks TLS with a certificate for 127.0.0.1, made by a test
authority, in front of an Apigw::Upstream.  Answers are those of
Apigw::Upstream, one for each path; what is not set is answered with 404.

=cut

use strict;
use warnings;

use File::Temp ();
use Storable ();

use Apigw::Scenario;
use Apigw::Token qw(json);


sub start {
    my ($class, %args) = @_;

    my $dir = File::Temp->newdir('apigw-provider.XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, answers => {} }, $class;

    $self->certificates;
    $self->write;

    my $answers = "$dir/answers";

    $self->{upstream} = Apigw::Scenario->upstream(answer => sub {
        my ($request) = @_;

        return Storable::retrieve($answers)->{$request->{uri}}
               // { status => 404 };
    });

    $self->{nginx} = Apigw::Scenario->new(
        modules => 0,
        http => <<"END",
server {
    listen 127.0.0.1:%%PORT_1%% ssl;
    ssl_certificate $dir/server.pem;
    ssl_certificate_key $dir/server.key;

    location / {
        proxy_pass http://127.0.0.1:$self->{upstream}{port};
        proxy_read_timeout 60s;
    }
}
END
    );

    $self->{port} = $self->{nginx}->port(1);
    $self->{nginx}->start;

    return $self;
}


=head1 METHODS

=head2 url(path), ca, other_ca

The address of an issuer; the file of the authority, and of one that has
signed nothing here.

=cut

sub url {
    my ($self, $path, $host) = @_;

    $host //= '127.0.0.1';

    return "https://$host:$self->{port}$path";
}


sub ca { return "$_[0]{dir}/ca.pem" }

sub other_ca { return "$_[0]{dir}/other.pem" }


=head2 set(path, answer), discovery(path, member => value, ...)

What is answered from now on.  The discovery document of an issuer is right if
no members are given.

=cut

sub set {
    my ($self, $path, $answer) = @_;

    $self->{answers}{$path} = $answer;
    $self->write;
}


sub discovery {
    my ($self, $path, %members) = @_;

    $self->set("$path/.well-known/openid-configuration", {
        body => json({ issuer => $self->url($path),
                       jwks_uri => $self->url("$path/jwks"), %members }),
    });
}


sub write {
    my ($self) = @_;

    my $file = "$self->{dir}/answers";

    Storable::nstore($self->{answers}, "$file.new");
    rename "$file.new", $file or die "cannot rename $file.new: $!\n";
}


=head2 count(path), stop, start_again

How often a path was asked for; the end of the provider, and its return.

=cut

sub count {
    my ($self, $path) = @_;

    return scalar grep { $_->{uri} eq $path } $self->{upstream}->requests;
}


sub stop { $_[0]{nginx}->stop }

sub start_again { $_[0]{nginx}->start }


sub certificates {
    my ($self) = @_;

    my $dir = $self->{dir};

    for my $name (qw(ca other)) {
        Apigw::Token::command(
            'req', '-x509', '-newkey', 'ec', '-pkeyopt',
            'ec_paramgen_curve:prime256v1', '-nodes', '-days', 2,
            '-subj', "/CN=Test $name", '-keyout', "$dir/$name.key",
            '-out', "$dir/$name.pem");
    }

    Apigw::Token::command(
        'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:prime256v1', '-nodes', '-days', 2,
        '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-subj', '/CN=provider',
        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/server.key",
        '-out', "$dir/server.pem");
}


1;
