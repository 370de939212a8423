# scripts/test ends with prove's summary, and with a status that tells: what
# fails, dies or cannot be built is never hidden.

use strict;
use warnings;

use Test::More;

use Apigw::Check;

my $tree = copy();
my $test = "$tree/scripts/test";

my %files = (
    passes => "print qq(ok 1\\n1..1\\n);",
    fails  => "print qq(not ok 1\\n1..1\\n);",
    dies   => "print qq(ok 1\\n1..1\\n); die qq(too late\\n);",
    killed => "\$| = 1; print qq(ok 1\\n1..1\\n); kill 9, \$\$;",
    stops  => "print qq(ok 1\\n1..2\\n);",
    empty  => "",
);

put("$tree/t/x_$_.t", "# a test that $_\n\n$files{$_}\n") for keys %files;

{
    local $ENV{APIGW_BUILD} = $ENV{TEST_NGINX_BUILD};

    my ($status, $text) = output($test, 't/x_passes.t');
    is($status, 0, 'a test that passes');
    like($text, qr/^All\ tests\ successful\.\n Files=1,\ Tests=1,.*\n
                   Result:\ PASS\n\z/mx, 'ends with the summary');

    for my $name (sort grep { $_ ne 'passes' } keys %files) {
        ($status, $text) = output($test, 't/x_passes.t', "t/x_$name.t");
        isnt($status, 0, "a test that $name");
        like($text, qr/^Files=2, Tests=\d,.*\nResult: FAIL\n\z/m,
             'ends with the summary');
    }

    # two at a time have ports and server roots of their own

    put("$tree/t/x_$_.t", <<'END') for qw(one two);
# a test that says where it is
print "1..1\nok 1 - $ENV{TEST_NGINX_PORT} $ENV{TEST_NGINX_SERVROOT}\n";
sleep 1;
END

    local $ENV{TEST_JOBS} = 2;
    local $ENV{HARNESS_VERBOSE} = 1;

    ($status, $text) = output($test, 't/x_one.t', 't/x_two.t');
    my @places = $text =~ /^ok 1 - (\d+) (\S+)$/mg;

    is(scalar @places, 4, 'two places');
    cmp_ok(abs($places[0] - $places[2]), '>=', 100, 'far enough apart');
    isnt($places[1], $places[3], 'two server roots');

    fails(qr{error: no test "t/x_none.t"}, $test, 't/x_none.t');
    fails(qr{error: no test "README.md"}, $test, 'README.md');
}

fails(qr/error: unknown argument "--fast"/, $test, '--fast');

# what is wrong is said before anything is built

{
    local $ENV{APIGW_BUILD} = "$tree/none";

    fails(qr{error: no test "t/x_none.t"}, $test, 't/x_none.t');
    fails(qr{error: APIGW_BUILD: no apigw in "\S+none"}, $test,
          't/x_passes.t');
}

{
    local $ENV{TEST_NGINX_PORT} = 'http';

    fails(qr/error: TEST_NGINX_PORT, .* are numbers/, $test, 't/x_passes.t');
}

for my $name (qw(static symbols examples)) {
    fails(qr/error: unknown argument "--fast"/, "$tree/scripts/check-$name",
          '--fast');
    fails(qr/error: no file "x_none"/, "$tree/scripts/check-$name", 'x_none');
}

for my $name (qw(docs style)) {
    fails(qr/usage: scripts\/check-$name/, "$tree/scripts/check-$name",
          '--fast');
}

{
    local $ENV{TEST_RUN} = '';

    fails(qr/error: is for scripts\/test only/, "$tree/scripts/test-file", 'x');
}

{
    local $ENV{NGINX_SRC} = "$tree/none";
    local $ENV{APIGW_BUILD} = '';

    my ($status, $text) = output($test, 't/x_passes.t');
    isnt($status, 0, 'a build that fails');
    like($text, qr/error: NGINX_SRC: no nginx sources/, 'says why');
    unlike($text, qr/Result:/, 'and nothing is tested');
}

done_testing;
