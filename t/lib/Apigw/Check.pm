package Apigw::Check;

# For the tests of scripts/check-*: runs a check on the suite, and on copies of
# the suite with one thing broken, which the check has to notice.
#
#     passes('scripts/check-style');
#
#     my $tree = copy();
#     edit($tree, 'modules/key/README.md', sub { s/^### auth_api_key$//m });
#     fails(qr/no block about auth_api_key/, 'scripts/check-docs', $tree);

use strict;
use warnings;

use Cwd qw(getcwd);
use Exporter qw(import);
use File::Path qw(make_path);
use File::Basename qw(dirname);
use File::Temp ();
use POSIX ();
use Test::More ();

our @EXPORT = qw(copy edit fails output passes put slurp);

my $root = getcwd();


# The parts of the suite that checks look at, in a directory that goes away;
# the build is that of the suite.

sub copy {
    my @parts = grep { -e } qw(modules t scripts examples config README.md
                               .ci .gitignore .editorconfig);

    my $tree = File::Temp->newdir('apigw-check.XXXXXX', TMPDIR => 1);

    system('cp', '-R', @parts, "$tree/") == 0 or die "cannot copy the tree\n";
    system('rm', '-rf', "$tree/t/servroot");
    mkdir "$tree/build" or die "mkdir: $!\n";
    symlink "$root/build/dynamic", "$tree/build/dynamic"
        or die "symlink: $!\n";

    return $tree;
}


sub slurp {
    my ($file) = @_;

    open my $in, '<', $file or die "$file: $!\n";
    local $/;

    return scalar(<$in>) // '';
}


sub put {
    my ($file, $text) = @_;

    make_path(dirname($file));

    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}


# Changes a file of a copy; no change is a mistake of the test.

sub edit {
    my ($tree, $file, $change) = @_;

    local $_ = slurp("$tree/$file");
    my $before = $_;

    $change->();

    die "nothing changed in $file\n" if $_ eq $before;

    put("$tree/$file", $_);
}


# (exit status, what it printed)

sub output {
    my @command = @_;

    my $pid = open my $out, '-|';
    die "fork() failed: $!\n" if !defined $pid;

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        no warnings 'exec';
        exec { $command[0] } map { "$_" } @command;
        print "cannot execute $command[0]: $!\n";
        POSIX::_exit(127);
    }

    local $/;
    my $text = <$out> // '';
    close $out;

    return ($?, $text);
}


sub passes {
    my @command = @_;

    my ($status, $text) = output(@command);

    Test::More::is($status, 0, "$command[0] passes")
        or Test::More::diag($text);
}


sub fails {
    my ($pattern, @command) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($status, $text) = output(@command);

    my $name = $command[0] =~ s{.*/}{}r . " notices: $pattern";

    Test::More::ok($status != 0 && $text =~ $pattern, $name)
        or Test::More::diag("status $status\n$text");
}


1;
