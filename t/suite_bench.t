# scripts/bench counts instructions, and fails where it cannot.

# Copyright (C) the apigw authors

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use JSON::PP;
use Test::More;

my $root = "$FindBin::Bin/..";
my $bench = "$root/scripts/bench.d";
my $work = tempdir('apigw-bench.XXXXXX', TMPDIR => 1, CLEANUP => 1);

chmod 0755, $work;

$ENV{PATH} .= ':/usr/sbin';

$ENV{BENCH_BUILD} = $work;
$ENV{BENCH_WORK} = $work;
$ENV{BENCH_JOBS} = 2;
$ENV{BENCH_PORT} = ($ENV{TEST_NGINX_PORT} // 19840) + 40;


# bench($rows, arguments): exit status, what was printed, the file it made.

sub bench {
    my ($rows, @arguments) = @_;

    write_file("$work/rows.pl", <<END);
my \$request = sub { return ('/', "X-Caller: one\\r\\n") };
return map { { shape => 'caller', request => \$request, %\$_ } } (
$rows
);
END

    unlink "$work/out.json";

    my $command = join ' ', map { "'$_'" }
        'perl', '-I', $bench, "$bench/main.pl", '--rows', "$work/rows.pl",
        '--json', "$work/out.json", '--short', 20, '--long', 60, @arguments;

    my $text = `$command 2>&1`;
    my $status = $? >> 8;

    my $json = -e "$work/out.json"
        ? decode_json(read_file("$work/out.json")) : undef;

    return ($status, $text, $json);
}


sub read_file {
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return scalar <$in>;
}


sub write_file {
    my ($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}


my $limit = <<'END';
    http   => 'limit_req_zone $http_x_caller zone=r:1m rate=100000r/s;',
    config => 'limit_req zone=r burst=2000 nodelay;',
END


# one measurement for what succeeds, another for what does not

my ($status, $text, $json) = bench(<<END, '--profile');
{ name => 'a limit', target => 1_000_000, probe => ['\$limit_req_status',
  qr/^PASSED\$/], $limit },
{ name => 'too slow', target => 1, $limit },
{ name => 'filled', single => 1, fill => 500, $limit },
{ name => 'of no module', modules => ['nosuch'] },
END

is($status, 0, 'no failure, without --check') or diag($text);
unlike($text, qr/could not be measured/, 'nor is one told');

my %rows = map { $_->{name} => $_ } @{$json->{rows} // []};
my $row = $rows{'a limit'};

like($text, qr/^a limit +$row->{e} +$row->{p} +1000000  reached$/m,
     'the table has the figures of the file');

# limit_req was measured with 1,000 to 1,300; a count that includes a start or
# misses a request is far from that

cmp_ok($row->{e}, '>', 500, 'a limit needs instructions at e');
cmp_ok($row->{e}, '<', 2500, 'and not too many');
cmp_ok(abs($row->{e} - $row->{p}), '<', 300, 'as many at p');

# the same, but for a count that began after 500 requests

cmp_ok(abs($row->{e} - $rows{filled}{e}), '<', 500, 'a filled zone');

my ($bare) = grep { $_->{kind} eq 'bare' } @{$json->{rows}};

cmp_ok($bare->{e}, '>', 6000, 'bare nginx at e');
cmp_ok($bare->{e}, '<', 16_000, 'bare nginx at e is not too much');
cmp_ok($bare->{p}, '>', $bare->{e} * 1.5, 'a proxied request needs more');

like($text, qr/^a limit: added by function.*?^ +\d+ +ngx_\w+ +\d+ +ngx_\w+$/ms,
     'the functions are shown');

like($text, qr/^of no module .*module nosuch not built: skipped$/m,
     'a missing module is skipped, and that is said');

like($text, qr/^too slow .*OVER$/m, 'a row beyond its target is shown');

($status, $text) = bench(<<END);
{ name => 'another status', status => 404 },
{ name => 'not at work', probe => ['\$limit_req_status', qr/^PASSED\$/] },
{ name => 'no such directive', config => 'nonsense on;' },
END

is($status, 1, 'what cannot be measured is a failure');

like($text, qr/^another status .*FAILED: status 200 instead of 404/m,
     'a row with a wrong status fails');
like($text, qr/^not at work .*FAILED: \$limit_req_status is ""/m,
     'a row whose module is not at work fails');
like($text, qr/^no such directive .*FAILED: .*unknown directive/m,
     'a row with a wrong configuration fails');
like($text, qr/^could not be measured: another status; not at work; no such/m,
     'the failures are named');

($status, $text) = bench(<<END, '--check');
{ name => 'too slow', target => 1, $limit },
END

is($status, 1, 'a row beyond its target is a failure with --check');
like($text, qr/^more than 1\.5 times the target: too slow$/m,
     'and is named');

done_testing();
