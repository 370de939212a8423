# The manual page of apigw is free of faults, and has every verb and option
# that the command has, and no other; the README has every verb.

use strict;
use warnings;

use Test::More;

use lib 't/lib';
use Apigw::Command;

my $page = 'modules/cli/apigw.1';
my $apigw = Apigw::Command->new;


# what mandoc finds, "" if nothing

sub lint { my ($file) = @_; return scalar `mandoc -Tlint -W all $file 2>&1` }


# the options of each verb, "create" => { "--id" => 1, ... }

sub options_of_help {
    my %options;

    my @verbs = $apigw->run('key', '--help')->{out} =~ /^  (\S+)/mg;

    for my $verb (@verbs) {
        my $help = $apigw->run('key', $verb, '--help')->{out};

        $options{$verb} = { map { $_ => 1 } grep { $_ ne '--help' }
                            $help =~ /^  (--\S+)/mg };
    }

    return \%options;
}


# the same of the synopsis; fields of a record are explained further down

sub options_of_page {
    my ($text) = @_;

    my ($synopsis) = $text =~ /^\.Sh SYNOPSIS\n(.*?)^\.Sh /ms;
    my ($fields) = $text =~ /^The fields of a key are:\n(.*?)^\.El/ms;
    my @fields = map { "--$_" } map { /Fl -(\S+)/g } $fields =~ /^\.It (.*)/mg;
    my %options;

    for my $part (split /^\.Nm\n/m, $synopsis) {
        my ($verbs) = $part =~ /^\.Cm key (.*)/m or next;
        my @options = map { "--$_" } $part =~ /(?:Fl|\|) -(\S+)/g;

        push @options, grep { $_ ne '--consumer' } @fields
            if $part =~ /^\.Op Ar field/m;

        $options{$_} = { map { $_ => 1 } @options }
            for $verbs =~ /([a-z]+)/g;
    }

    return \%options;
}


my $text = Apigw::Command::slurp($page);

SKIP: {
    skip 'no mandoc', 2 if !grep { -x "$_/mandoc" } split /:/, $ENV{PATH};

    is(lint($page), '', 'mandoc finds nothing');

    Apigw::Command::spew("$apigw->{dir}/broken.1", $text =~ s/^\.El\n//mr);
    like(lint("$apigw->{dir}/broken.1"), qr/broken\.1/,
         'and would find a list without its end');
}

is_deeply(options_of_page($text), options_of_help(),
          'verbs and options of the page are those of the command');

my ($verbs) = $text =~ /^The verbs are:\n(.*?)^\.El/ms;
is_deeply([sort map { /([a-z]+)/g } $verbs =~ /^\.It Cm (.*)/mg],
          [sort keys %{ options_of_help() }],
          'each verb is explained');

my $readme = Apigw::Command::slurp('modules/cli/README.md');
my @rows = $readme =~ /^\| (`.*?) \|/mg;
is_deeply([sort map { /`([a-z]+)`/g } @rows],
          [sort keys %{ options_of_help() }],
          'each verb is in the README');

done_testing();
