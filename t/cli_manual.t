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


# the options of each verb, "key create" => { "--id" => 1, ... }

sub options_of_help {
    my %options;

    my @verbs = $apigw->run('--help')->{out} =~ /^  ([a-z]+ \S+)/mg;

    for my $verb (@verbs) {
        my $help = $apigw->run(split(/ /, $verb), '--help')->{out};

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
        my ($group, $verbs) = $part =~ /^\.Cm ([a-z]+) (.*)/m or next;
        my @options = map { "--$_" } $part =~ /(?:Fl|\|) -(\S+)/g;

        push @options, grep { $_ ne '--consumer' } @fields
            if $part =~ /^\.Op Ar field/m;

        $options{"$group $_"} = { map { $_ => 1 } @options }
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

my @verbs = sort keys %{ options_of_help() };

my %lists = $text =~ /^The verbs of\n\.Cm ([a-z]+)\nare:\n(.*?)^\.El/msg;
my @explained;

for my $group (keys %lists) {
    push @explained, map { "$group $_" }
                     map { /([a-z]+)/g } $lists{$group} =~ /^\.It Cm (.*)/mg;
}

is_deeply([sort @explained], \@verbs, 'each verb is explained');

my $readme = Apigw::Command::slurp('modules/cli/README.md');
my %tables = $readme =~ /^\| `apigw ([a-z]+)` \| .*\n\|---.*\n((?:\|.*\n)+)/mg;
my @rows;

for my $group (keys %tables) {
    push @rows, map { "$group $_" }
                map { /`([a-z]+)`/g } $tables{$group} =~ /^\| (`.*?) \|/mg;
}

is_deeply([sort @rows], \@verbs, 'each verb is in the README');

done_testing();
