package Test::Nginx::Skip;

# Which blocks are left out: skip_nginx, skip_nginx2, skip_openssl, skip_eval
# and todo.  Part of this suite's own Test::Nginx::Socket.

use strict;
use warnings;

use Test::More ();

use Test::Nginx::Request;


# skip_nginx and its kin: so many subtests are reported as skipped.

sub is_skipped {
    my ($block, $settings) = @_;

    my ($count, $reason) = skip_rule($block, $settings->{version});

    return 0 if !defined $count;

    for (1 .. $settings->{repeat}) {
        SKIP: {
            Test::More::skip($block->name . " - $reason", $count);
        }
    }

    return 1;
}


# The same for todo.  Only the requests are left out: nginx has to start.

sub is_to_do {
    my ($block, $settings) = @_;

    my $todo = $block->todo // return 0;

    $todo =~ /^\s*(\d+)\s*:\s*(.*)/s or die "bad --- todo \"$todo\"\n";
    my ($count, $reason) = ($1, $2);

    for (1 .. $settings->{repeat}) {
        TODO: {
            Test::More::todo_skip($block->name . " - $reason", $count);
        }
    }

    return 1;
}


sub skip_rule {
    my ($block, $version) = @_;

    my $compare = qr/([<>]=?)\s*(\d+\.\d+\.\d+[a-z]?)/;
    my $because = qr/(?:\s*:\s*(.*?))?\s*\z/s;

    if (defined(my $rule = $block->skip_eval)) {
        $rule =~ /^\s*(\d+)\s*:\s*(.*)/s or die "bad --- skip_eval\n";

        my ($count, $code) = ($1, $2);
        my $skip = eval $code;
        die "--- skip_eval: $@\n" if $@;

        return ($count, 'skip_eval') if $skip;
    }

    if (defined(my $rule = $block->skip_nginx)) {
        $rule =~ /^\s*(\d+)\s*:\s*$compare$because/
            or die "bad --- skip_nginx \"$rule\"\n";

        return ($1, $4 // "nginx version $2 $3")
            if compare($version->{nginx}, $2, $3);
    }

    if (defined(my $rule = $block->skip_nginx2)) {
        $rule =~ /^\s*(\d+)\s*:\s*$compare\s*(or|and)\s*$compare$because/
            or die "bad --- skip_nginx2 \"$rule\"\n";

        my ($count, $junction, $reason) = ($1, $4, $7);
        my $first = compare($version->{nginx}, $2, $3);
        my $second = compare($version->{nginx}, $5, $6);

        return ($count, $reason // 'nginx version')
            if $junction eq 'or' ? $first || $second : $first && $second;
    }

    if (defined(my $rule = $block->skip_openssl)) {
        $rule =~ /^\s*(\d+)\s*:\s*$compare$because/
            or die "bad --- skip_openssl \"$rule\"\n";

        return ($1, $4 // "OpenSSL version $2 $3")
            if compare($version->{openssl}, $2, $3);
    }

    return;
}


sub compare {
    my ($have, $operator, $want) = @_;

    return 1 if !defined $have;

    my $number = sub {
        my ($numbers, $letter) = $_[0] =~ /^([\d.]+)([a-z]?)/;
        my ($major, $minor, $patch) = split /\./, $numbers;
        return (($major * 1000 + $minor) * 1000 + $patch) * 100
               + ($letter eq '' ? 0 : ord($letter) - ord('a') + 1);
    };

    my $order = $number->($have) <=> $number->($want);

    return $operator eq '<'  ? $order < 0
         : $operator eq '<=' ? $order <= 0
         : $operator eq '>'  ? $order > 0
         :                     $order >= 0;
}


# What nginx -V says: versions, and where temporary files would go.

sub nginx_version {
    my ($binary) = @_;

    my ($status, $out, $err) =
        Test::Nginx::Request::run_command($binary, '-V');

    die "cannot run $binary -V: $err\n" if $status;

    my ($nginx_version) = $err =~ m{^nginx version: \S+?/(\d+\.\d+\.\d+)}m
        or die "cannot understand $binary -V: $err\n";
    my ($openssl) = $err =~ m{built with OpenSSL (\d+\.\d+\.\d+[a-z]?)};

    my %temp = $err =~ m{--http-([a-z-]+-temp-path)=(/\S+)}g;

    return { nginx => $nginx_version, openssl => $openssl,
             temp_paths => [map { tr/-/_/r } sort keys %temp] };
}


1;
