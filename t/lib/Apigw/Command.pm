package Apigw::Command;

# Runs the apigw command on stores of a test.
#
#     my $apigw = Apigw::Command->new;            # with a new, empty store
#     my $r = $apigw->run('key', 'create', '--consumer', 'acme');
#     is($r->{status}, 0);  $r->{out}, $r->{err}
#     $apigw->run({ stdin => $text, env => { ... } }, 'key', 'import');
#     my $pid = $apigw->start({ out => $file }, @arguments);
#
# Every run is judged: the command must not die from a signal and a sanitizer
# must have nothing to say; that fails the test that is running.

use strict;
use warnings;

use File::Temp ();
use Test::More ();


sub new {
    my ($class) = @_;

    # with its group's and others' rights, for commands under another user
    my $dir = File::Temp->newdir('apigw-cli.XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, store => "$dir/store" }, $class;

    mkdir $self->{store} or die "mkdir: $!\n";

    return $self;
}


sub binary {
    return $ENV{APIGW_CLI} if $ENV{APIGW_CLI};

    my @found = sort { -M $a <=> -M $b } glob 'build/*/apigw';

    return $found[0] // die "no apigw command, see scripts/build\n";
}


sub start {
    my ($self, @args) = @_;

    my $how = ref $args[0] ? shift @args : {};

    if (!grep { $_ eq '--help' || $_ eq '--version' } @args
        and !$how->{nostore})
    {
        push @args, '--store', $self->{store};
    }

    my $in = '/dev/null';

    if (defined $how->{stdin}) {
        $in = "$self->{dir}/stdin";
        spew($in, $how->{stdin});
    }

    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;

    delete @ENV{qw(APIGW_STORE APIGW_KEY_PREFIX SUDO_USER)};

    my %env = %{ $how->{env} // {} };
    @ENV{keys %env} = values %env;

    open STDIN, '<', $in or POSIX::_exit(126);
    open STDOUT, '>', $how->{out} // "$self->{dir}/out"
        or POSIX::_exit(126);
    open STDERR, '>', $how->{err} // "$self->{dir}/err"
        or POSIX::_exit(126);

    $how->{before}->() if $how->{before};

    exec @{ $how->{through} // [] }, binary(), @args or POSIX::_exit(127);
}


sub run {
    my ($self, @args) = @_;

    my $pid = $self->start(@args);
    my $how = ref $args[0] ? $args[0] : {};

    waitpid $pid, 0;
    my $status = $?;

    my $out = $how->{out} ? '' : slurp("$self->{dir}/out");
    my $err = $how->{err} ? '' : slurp("$self->{dir}/err");

    if ($status & 127 || $err =~ /Sanitizer|runtime error:/) {
        Test::More::fail("apigw @args: signal " . ($status & 127));
        Test::More::diag($err);
    }

    return { status => $status >> 8, out => $out, err => $err };
}


# The lines of the audit log, decoded.  A part of a line is none.

sub audit {
    my ($self) = @_;

    require JSON::PP;

    return map { JSON::PP::decode_json($_) }
           slurp("$self->{store}/audit.log") =~ /^(.*)\n/mg;
}


sub slurp {
    my ($file) = @_;

    open my $in, '<:raw', $file or return '';
    local $/;

    return scalar(<$in>) // '';
}


sub spew {
    my ($file, $text) = @_;

    open my $out, '>:raw', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}


1;
