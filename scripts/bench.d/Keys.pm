package Keys;

# Copyright (C) the apigw authors

# API keys that look as "apigw key create" makes them, always the same, so
# that one store serves many rows and runs.

use strict;
use warnings;

use Compress::Raw::Zlib ();
use File::Path qw(make_path remove_tree);

my @DIGITS = ('0' .. '9', 'A' .. 'Z', 'a' .. 'z');
my $BODY = 43;
my $MIX = 6_364_136_223;


# The key number $i, one of 2^32.

sub key {
    my ($i) = @_;

    my ($body, $x) = ('0', $i);

    while (length $body < $BODY) {
        $x = ($x * 1_664_525 + 1_013_904_223 + $MIX) % 4_294_967_296;
        $body .= $DIGITS[($x >> 8) % 62];
    }

    # whatever the generator gives, two numbers are two keys
    substr $body, 1, 6, base62($i);

    return "ak_$body" . base62(Compress::Raw::Zlib::crc32($body));
}


sub base62 {
    my ($n) = @_;

    my $text = '';

    for (1 .. 6) {
        $text = $DIGITS[$n % 62] . $text;
        $n = int($n / 62);
    }

    return $text;
}


# The directory of a store of the keys 0 to $n - 1, made when it is missing.

sub store {
    my ($build, $work, $n) = @_;

    my $dir = "$work/keys-$n";

    # a store of an older version is made anew

    return "$dir/store"
        if -e "$dir/complete"
           && system("'$build/apigw' key list --store '$dir/store' \\
                      --consumer nobody >/dev/null 2>&1") == 0;

    remove_tree($dir);
    make_path("$dir/store");

    open my $out, '>', "$dir/keys.json" or die "$dir/keys.json: $!\n";

    for my $i (0 .. $n - 1) {
        printf $out qq({"key":"%s","consumer":"consumer-%07d","plan":"pro"}\n),
               key($i), $i;
    }

    close $out or die "$dir/keys.json: $!\n";

    my $text = `'$build/apigw' key import --store '$dir/store' \\
                '$dir/keys.json' 2>&1`;
    die "apigw key import failed: ", $text =~ s/\n+\z//r, "\n" if $? != 0;

    unlink "$dir/keys.json";
    open my $mark, '>', "$dir/complete";

    return "$dir/store";
}


1;
