# "apigw token revoke", "unrevoke" and "revocations" do what their help says on
# the store, are in the audit log, and fail with a clear line and status.

use strict;
use warnings;

use JSON::PP qw(decode_json);
use Test::More;

use lib 't/lib';
use Apigw::Command;

my $apigw = Apigw::Command->new;


sub listed {
    my $r = $apigw->run('token', 'revocations', '--json');

    is($r->{status}, 0, 'revocations: status') or diag($r->{err});

    return [ map { decode_json($_) } split /\n/, $r->{out} ];
}


sub done {
    my ($name, $text, @args) = @_;

    my $r = $apigw->run('token', @args);

    is($r->{status}, 0, "$name: status") or diag($r->{err});
    is($r->{out}, '', "$name: nothing on standard output");
    is($r->{err}, $text, "$name: what was done");
}


sub refused {
    my ($name, $status, $text, @args) = @_;

    my $r = $apigw->run(@args);

    is($r->{status}, $status, "$name: status");
    like($r->{err}, $text, "$name: text");
    like($r->{err}, qr/\Aapigw: [^\n]+\n\z/, "$name: one line");
    is($r->{out}, '', "$name: nothing on standard output");
}


# an empty store

is_deeply(listed(), [], 'nothing is revoked');

my $r = $apigw->run('token', 'revocations');
is($r->{out}, "BY  MADE  UNTIL  VALUE\n", 'an empty table has its head');

refused('unrevoke in an empty store', 1, qr/jti "a" is not revoked/,
        'token', 'unrevoke', '--jti', 'a');


# revoke

my $before = time;

done('by jti', qq{apigw: revoked jti "7f3a"\n}, 'revoke', '--jti', '7f3a');

done('several at once', <<'', 'revoke', '--sub=alice', '--kid', 'k 1',
apigw: revoked sub "alice"
apigw: revoked kid "k 1"
apigw: revoked jti "second"

     '--jti', 'second', '--until', '2031-12-31T12:00:00Z');

my $all = listed();

is_deeply([ map { my %h = %$_; delete $h{made}; \%h } @$all ], [
    { jti => '7f3a' },
    { jti => 'second', until => '2031-12-31T12:00:00Z' },
    { kid => 'k 1', until => '2031-12-31T12:00:00Z' },
    { sub => 'alice', until => '2031-12-31T12:00:00Z' },
], 'all are listed');

like($all->[0]{made}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'when');

$r = $apigw->run('token', 'revocations');
like($r->{out}, qr/^BY   MADE                  UNTIL                 VALUE\n/,
     'a head');
like($r->{out}, qr/^jti  \S{20}  -                     7f3a\n/m,
     'without an end');
like($r->{out}, qr/^kid  \S{20}  2031-12-31T12:00:00Z  k 1\n/m, 'with an end');

done('once more', qq{apigw: revoked jti "second"\n},
     'revoke', '--jti', 'second');
is((grep { ($_->{jti} // '') eq 'second' } @{ listed() })[0]{until}, undef,
   'the last one counts');


# values of every kind; a value of one kind is none of another

my $long = 'x' x 1024;

for my $value ("\xc3\xa9t\xc3\xa9", '"quoted"', 'y' x 256, 'z' x 257, $long,
               "${\ substr($long, 1)}y", '-')
{
    my $name = length $value > 40 ? length($value) . ' bytes' : $value;

    $r = $apigw->run('token', 'revoke', "--sub=$value");
    is($r->{status}, 0, "$name: revoked") or diag($r->{err});

    is($apigw->run('token', 'unrevoke', "--jti=$value")->{status}, 1,
       "$name: not by another claim");

    utf8::decode(my $text = $value);
    is(scalar(grep { ($_->{sub} // '') eq $text } @{ listed() }), 1,
       "$name: listed");

    is($apigw->run('token', 'unrevoke', "--sub=$value")->{status}, 0,
       "$name: taken back");
}


# unrevoke

refused('all or none', 1, qr/sub "bob" is not revoked/,
        'token', 'unrevoke', '--jti', '7f3a', '--sub', 'bob');
is(scalar @{ listed() }, 4, 'none');

done('taken back', <<'', 'unrevoke', '--jti', '7f3a', '--kid', 'k 1');
apigw: no longer revoked: jti "7f3a"
apigw: no longer revoked: kid "k 1"

is_deeply([ map { my %h = %$_; delete @h{qw(made until)}; \%h }
            @{ listed() } ],
          [ { jti => 'second' }, { sub => 'alice' } ], 'the others stay');


# the audit log

my @audit = $apigw->audit;

is_deeply([ map { $_->{action} } @audit[0 .. 4] ], [ ('revoke') x 5 ],
          'a line for each');
is($audit[0]{jti}, '7f3a', 'what');
is($audit[1]{until}, '2031-12-31T12:00:00Z', 'until when');
is($audit[1]{txn}, $audit[3]{txn}, 'several in a transaction');
is($audit[4]{was_until}, '2031-12-31T12:00:00Z', 'and what it was before');
ok(exists $audit[4]{revoked} && !exists $audit[4]{until}, 'and when');
is($audit[0]{uid}, $<, 'who');
is($audit[-1]{action}, 'unrevoke', 'the last one');
is($audit[-1]{kid}, 'k 1', 'what was taken back');
is(scalar(grep { ($_->{sub} // '') eq 'bob' } @audit), 0,
   'nothing of what failed');


# faults

refused('nothing to revoke', 2, qr/--jti, --sub or --kid is missing/,
        'token', 'revoke');
refused('an empty value', 2, qr/the value is empty/,
        'token', 'revoke', '--jti', '');
refused('a long value', 2, qr/longer than 1024 bytes/,
        'token', 'revoke', '--jti', 'x' x 1025);
refused('a control character', 2, qr/not printable UTF-8/,
        'token', 'revoke', '--sub', "a\nb");
refused('not UTF-8', 2, qr/not printable UTF-8/,
        'token', 'revoke', '--sub', "a\xff");
refused('a time that is over', 2, qr/--until is in the past/,
        'token', 'revoke', '--jti', 'a', '--until', '2020-01-01');
refused('not a time', 2, qr/not a time/,
        'token', 'revoke', '--jti', 'a', '--until', 'soon');
refused('unknown option', 2, qr/unknown option "--iss"/,
        'token', 'revoke', '--iss', 'a');
refused('too many', 2, qr/too many options/,
        'token', 'revoke', map { ('--jti', $_) } 0 .. 256);
refused('no directory', 1, qr/there is no directory/, { nostore => 1 },
        'token', 'revocations', '--store', "$apigw->{dir}/none");

{
    my $other = Apigw::Command->new;

    is($other->run('key', 'create', '--consumer', 'x')->{status}, 0,
       'a store of keys');

    for my $verb (['revocations'], ['revoke', '--jti', 'a']) {
        $r = $other->run('token', @$verb);
        is($r->{status}, 1, "$verb->[0]: another kind of store");
        like($r->{err}, qr/this is a store of another kind or version/,
             "$verb->[0]: text");
    }
}

# a revocation that cannot be listed is not passed over in silence

$r = $apigw->run({ out => '/dev/full' }, 'token', 'revocations', '--json');
is($r->{status}, 1, 'no room for the list');

done_testing();
