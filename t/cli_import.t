# Keys are imported from NDJSON and from the CSV of AWS API Gateway, in clear
# or as digests, all or nothing, as often as one likes; bad lines are reported
# by number and never repeated; what is exported can be imported.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IO::Handle;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use lib 't/lib';
use Apigw::Command;

my $apigw;


sub import_of {
    my ($stdin, @args) = @_;

    return $apigw->run({ stdin => $stdin }, 'key', 'import', @args);
}


sub keys_of {
    my $r = $apigw->run('key', 'export');

    is($r->{status}, 0, 'export') or diag($r->{err});

    return { map { $_->{id} => $_ } map { decode_json($_) }
             split /\n/, $r->{out} };
}


sub fresh { $apigw = Apigw::Command->new }


sub counts {
    my ($r, $added, $changed, $same, $bad, $name) = @_;

    my $text = "$added keys were added, $changed changed, $same were the same,"
               . " $bad lines are bad";

    like($r->{err}, qr/^apigw: \Q$text\E$/m, $name);
    is($r->{status}, $bad ? 1 : 0, "$name: status");
}


# NDJSON

fresh();

my $clear = 'made-elsewhere-0001';
my $digest = sha256_hex('made-elsewhere-0002');

my $file = <<"END";
{"key":"$clear","id":"a","consumer":"acme","plan":"pro"}

{"sha256":"$digest","id":"b","consumer":"acme","name":"n","description":"d",
"enabled":false,"decoy":false,"scopes":["y","x"],"labels":{"env":"prod"},
"allow":["10.0.0.0/8"],"created":"2020-01-01","not_before":"2020-01-02",
"expires":"2030-01-01T00:00:00Z","rate":"5r/m","burst":1,
"quotas":{"day":10},"successor":"a","status":"x","uses":1,"plan":null}
END

# a record is a line
$file =~ s/,\n"/,"/g;

counts(import_of($file), 2, 0, 0, 0, 'two keys');

my $keys = keys_of();
is($keys->{a}{sha256}, sha256_hex($clear), 'a key in clear is hashed');
is($keys->{b}{sha256}, $digest, 'a digest stays');
is_deeply([@{ $keys->{b} }{qw(name description successor rate burst)}],
          ['n', 'd', 'a', '5r/m', 1], 'fields');
is_deeply($keys->{b}{scopes}, ['x', 'y'], 'scopes');
is_deeply($keys->{b}{labels}, { env => 'prod' }, 'labels');
is_deeply($keys->{b}{quotas}, { day => 10 }, 'quotas');
is($keys->{b}{created}, '2020-01-01T00:00:00Z', 'created');
ok(!$keys->{b}{enabled}, 'disabled');

my $everything = join '', map { Apigw::Command::slurp($_) }
                          glob "$apigw->{store}/*";
unlike($everything, qr/made-elsewhere/, 'no key in clear is in the store');

my $r = $apigw->run({ stdin => $clear }, 'key', 'find');
like($r->{out}, qr/^id: +a$/m, 'the key works');

counts(import_of($file), 0, 0, 2, 0, 'again: nothing changes');
is(scalar $apigw->audit, 2, 'and nothing is in the log');

(my $other = $file) =~ s/"pro"/"free"/;
counts(import_of($other), 0, 1, 1, 0, 'another plan');
is(keys_of()->{a}{plan}, 'free', 'is overwritten');
is_deeply(($apigw->audit)[-1]{set}{plan}, 'free', 'and is in the log');

# without an id a key is known by itself

counts(import_of(qq({"key":"$clear","consumer":"acme"}\n), '--plan', 'basic'),
       0, 0, 1, 0, 'a key without an id');
is(keys_of()->{a}{sha256}, sha256_hex($clear), 'keeps its id');
is(keys_of()->{a}{plan}, 'free', 'and what the line does not say');

counts(import_of(qq({"key":"$clear","consumer":"acme"}\n), '--replace'),
       0, 1, 0, 0, 'with --replace');
is(keys_of()->{a}{plan}, undef, 'it is what the line says');
counts(import_of(qq({"key":"$clear","consumer":"acme"}\n), '--plan', 'basic'),
       0, 1, 0, 0, 'a plan for keys without');
is(keys_of()->{a}{plan}, 'basic', 'is for one in the store as well');

# what was said of a key since it came stays, field by field

sub set_of { return [map { $_ // '' } @{ keys_of()->{$_[0]} }{@{ $_[1] }}] }

{
    my @fields = qw(plan name description enabled decoy scopes labels allow
                    not_before expires rate burst quotas successor created);
    my %line = (key => 'kept-key-000000001', consumer => 'c');
    my %first = (%line, id => 'k', map { $_ => decode_json($file =~
                 /("b".*)/ ? "{\"id\":$1" : die)->{$_} } @fields);

    $first{plan} = 'pro';
    $first{burst} = 7;
    $first{decoy} = JSON::PP::true;

    counts(import_of(encode_json(\%first) . "\n"), 1, 0, 0, 0,
           'a key with all there is');

    my $before = set_of('k', \@fields);
    is(scalar(grep { $_ eq '' } @$before), 0, 'all of it');

    counts(import_of(encode_json(\%line) . "\n"), 0, 0, 1, 0,
           'a line that says nothing of it');
    is_deeply(set_of('k', \@fields), $before, 'all is left');

    my %other = (plan => 'gold', name => 'o', description => 'o',
                 enabled => JSON::PP::true, decoy => JSON::PP::false,
                 scopes => [], labels => {}, allow => ['::1/128'],
                 not_before => '2021-01-01', expires => '2031-01-01',
                 rate => '0.5r/h', burst => 9, quotas => { week => 2 },
                 successor => 'o');

    for my $field (sort keys %other) {
        import_of(encode_json({ %line, $field => $other{$field} }) . "\n");

        my $after = set_of('k', \@fields);
        is_deeply([grep { JSON::PP->new->canonical->allow_nonref->encode(
                              $before->[$_])
                          ne JSON::PP->new->canonical->allow_nonref->encode(
                              $after->[$_]) } 0 .. $#fields],
                  [grep { $fields[$_] eq $field } 0 .. $#fields],
                  "only $field is changed");
        $before = $after;
    }

    counts(import_of(encode_json({ %line, expires => '2020-06-01' }) . "\n"),
           0, 0, 0, 1, 'it expires before it is valid');
}

# a CSV cannot say what a leaked key is now, and does not bring it back

fresh();

my $aws = "Name,key,Enabled\nleak,apikey1234abcdefghij0001,TRUE\n"
          . "trap,apikey1234abcdefghij0002,TRUE\n";

counts(import_of($aws, '--format', 'csv'), 2, 0, 0, 0, 'two keys of CSV');

my %id = map { $_->{consumer} => $_->{id} } values %{ keys_of() };

is($apigw->run('key', 'rotate', $id{leak}, '--overlap', '0s', '--id', 'new')
   ->{status}, 0, 'one has leaked');
is($apigw->run('key', 'update', $id{trap}, '--decoy', '--scope', 's',
               '--allow', '10.0.0.0/8')->{status}, 0, 'one is a decoy');
counts(import_of($aws, '--format', 'csv'), 0, 0, 2, 0, 'the CSV once more');
ok(keys_of()->{$id{leak}}{expires}, 'it stays expired');
is_deeply([@{ keys_of()->{$id{trap}} }{qw(decoy scopes allow)}],
          [JSON::PP::true, ['s'], ['10.0.0.0/8']], 'it stays a decoy');

# the columns that are there count, what is empty in them does not

my $trap = 'apikey1234abcdefghij0002';
import_of("name,key,enabled,description\ntrap,$trap,false,d\n",
          '--format', 'csv');
is_deeply([@{ keys_of()->{$id{trap}} }{qw(enabled description)}],
          [JSON::PP::false, 'd'], 'a column');
counts(import_of("name,key,enabled,description\ntrap,$trap,,\n",
                 '--format', 'csv'), 0, 0, 1, 0, 'an empty field');

# a file without a newline at the end, with a BOM, with CR LF

fresh();
counts(import_of("\xef\xbb\xbf"
                 . qq({"key":"k234567890123456","consumer":"a"}\r\n)
                 . qq({"key":"k234567890123457","consumer":"a"})),
       2, 0, 0, 0, 'BOM, CR LF and no newline');

# our own keys

my $own = $apigw->run('key', 'create', '--consumer', 'o', '--id', 'own')->{out};
chomp $own;

counts(import_of(encode_json({ key => $own, consumer => 'o', plan => 'x' })),
       0, 1, 0, 0, 'a key of ours');

(my $typo = $own) =~ s/(.)\z/$1 eq 'a' ? 'b' : 'a'/e;
$r = import_of(encode_json({ key => $typo, consumer => 'o' }));
counts($r, 0, 0, 0, 1, 'a key of ours with a wrong checksum');
like($r->{err}, qr/line 1: "key": the key begins as ours do, but its/,
     'and the reason');
unlike($r->{err}, qr/\Q$typo\E/, 'and not the key');


# bad lines

my $long = 'L' x 70000;
my $secret = 'SECRET0123456789';

for my $case (
    ['no JSON', qq({"key":"$secret"), qr/not valid JSON/],
    ['no JSON at all', qq($secret), qr/not valid JSON/],
    ['an array', qq(["$secret"]), qr/not a JSON object/],
    ['garbage behind', qq({"key":"$secret","consumer":"a"} $secret),
     qr/not valid JSON/],
    ['a member twice', qq({"key":"$secret","key":"$secret"}),
     qr/not valid JSON, or a member that is there twice/],
    ['an unknown member', qq({"key":"$secret","consumer":"a","frob":1}),
     qr/"frob": unknown member/],
    ['a key as a name', qq({"$secret":"key","consumer":"a"}),
     qr/line 1: unknown member/],
    ['no key', qq({"consumer":"a"}), qr/"key" or "sha256" is missing/],
    ['both', qq({"key":"$secret","sha256":"$digest","consumer":"a"}),
     qr/"key" and "sha256" at once/],
    ['no consumer', qq({"key":"$secret"}), qr/no consumer/],
    ['a short key', qq({"key":"SECRET012345678","consumer":"a"}),
     qr/"key": a key has 16 to 512 bytes/],
    ['a long key', qq({"key":"$secret) . 'x' x 500 . qq(","consumer":"a"}),
     qr/"key": a key has 16 to 512 bytes/],
    ['a key with a blank', qq({"key":"$secret x","consumer":"a"}),
     qr/other characters than printable ASCII/],
    ['a key that is no string', qq({"key":1234567890123456,"consumer":"a"}),
     qr/"key": not a string/],
    ['a short digest', qq({"sha256":"abcd","consumer":"a"}),
     qr/"sha256": not 64 hexadecimal digits/],
    ['a digest that is none', qq({"sha256":") . 'g' x 64
     . qq(","consumer":"a"}), qr/"sha256": not 64 hexadecimal digits/],
    ['an odd id', qq({"key":"$secret","consumer":"a","id":"a b"}),
     qr/invalid id/],
    ['an odd date', qq({"key":"$secret","consumer":"a","expires":"soon"}),
     qr/"expires": not a time/],
    ['wrong scopes', qq({"key":"$secret","consumer":"a","scopes":"x"}),
     qr/"scopes": not an array/],
    ['a wrong scope', qq({"key":"$secret","consumer":"a","scopes":[1]}),
     qr/"scopes": not an array of strings/],
    ['wrong labels', qq({"key":"$secret","consumer":"a","labels":{"A":"x"}}),
     qr/"labels": not a label/],
    ['wrong networks', qq({"key":"$secret","consumer":"a","allow":["x"]}),
     qr/"allow": not an address/],
    ['a wrong flag', qq({"key":"$secret","consumer":"a","enabled":1}),
     qr/"enabled": neither true nor false/],
    ['a wrong rate', qq({"key":"$secret","consumer":"a","rate":"5"}),
     qr/"rate": not a rate/],
    ['a wrong burst', qq({"key":"$secret","consumer":"a","burst":-1}),
     qr/"burst": not a number/],
    ['no burst', qq({"key":"$secret","consumer":"a","burst":0}),
     qr/"burst": a burst is 1 at least/],
    ['a huge burst',
     qq({"key":"$secret","consumer":"a","burst":1000000000000001}),
     qr/invalid burst/],
    ['wrong quotas', qq({"key":"$secret","consumer":"a","quotas":{"x":1}}),
     qr/"quotas": not quotas such as/],
    ['a wrong life', qq({"key":"$secret","consumer":"a","not_before":)
     . qq("2030-01-01","expires":"2029-01-01"}), qr/expires before it becomes/],
    ['control characters', qq({"key":"$secret","consumer":"a\\u0007"}),
     qr/"consumer": control characters/],
    ['NUL', qq({"key":"$secret","consumer":"a\\u0000"}), qr/not valid JSON/],
    ['not UTF-8', qq({"key":"$secret","consumer":"\xff"}), qr/not valid JSON/],
    ['deep nesting', '[' x 10000, qr/not valid JSON/],
    ['a long line', qq({"key":"$secret","consumer":"$long"}),
     qr/line 1: (?:the line is too long|longer than 65536 bytes)/],
)
{
    my ($name, $line, $expected) = @$case;

    fresh();
    my $r = import_of("$line\n");

    is($r->{status}, 1, "$name: status");
    like($r->{err}, qr/^apigw: standard input: line 1: /, "$name: line");
    like($r->{err}, $expected, "$name: reason");
    unlike($r->{err}, qr/SECRET/, "$name: no secret");
    is($r->{out}, '', "$name: nothing on standard output");
    ok(!-s "$apigw->{store}/audit.log", "$name: nothing in the log");
}


# all or nothing

fresh();

my @lines = map { encode_json({ key => sprintf('key-number-%08d', $_),
                                id => "k$_", consumer => 'c' }) } 1 .. 100;

$r = import_of(join("\n", @lines[0 .. 49], 'bad', @lines[50 .. 98], '{}')
               . "\n");
counts($r, 0, 0, 0, 2, 'two bad lines of a hundred');
is(join(' ', $r->{err} =~ /^apigw: standard input: line (\d+): /mg), '51 101',
   'by their numbers');
is_deeply(keys_of(), {}, 'nothing is imported');
is(-s "$apigw->{store}/audit.log", 0, 'nothing is in the log');

$r = import_of(join("\n", @lines[0 .. 49], 'bad', @lines[50 .. 98]),
               '--skip-bad');
counts($r, 99, 0, 0, 1, 'good lines if asked for');
is(scalar keys %{ keys_of() }, 99, 'are imported');
is(scalar $apigw->audit, 99, 'and in the log');

$r = import_of(join("\n", @lines), '--dry-run');
like($r->{err}, qr/ 1 keys would be added, 0 changed, 99 were the same, 0 /,
     'a dry run tells');
is($r->{status}, 0, 'a dry run: status');
is(scalar keys %{ keys_of() }, 99, 'and changes nothing');
is(scalar $apigw->audit, 99, 'and logs nothing');

counts(import_of(join("\n", @lines), '--batch', '7'), 1, 0, 99, 0,
       'in batches');

# the store knows what the file cannot

for my $case (['an id of another key',
               { key => 'another-key-0001', id => 'k5', consumer => 'c' },
               qr/line 2: the id is that of another key/],
              ['another id for a key',
               { key => 'key-number-00000005', id => 'x5', consumer => 'c' },
               qr/line 2: the key is in the store under another id/])
{
    my ($name, $object, $expected) = @$case;

    my $line = encode_json({ key => 'good-key-00000001', id => 'good',
                             consumer => 'c' })
               . "\n" . encode_json($object) . "\n";

    my $r = import_of($line);

    counts($r, 0, 0, 0, 1, $name);
    like($r->{err}, $expected, "$name: reason");
    ok(!keys_of()->{good}, "$name: the good line is not imported either");
    is(scalar $apigw->audit, 100, "$name: nothing in the log");
}

$r = import_of(join("\n", @lines[0, 1, 0]));
counts($r, 0, 0, 0, 1, 'a key twice in a file');
like($r->{err}, qr/line 3: the same key as in line 1/, 'both are named');

fresh();
$r = import_of(join("\n", map { 'bad' } 1 .. 100));
is(scalar(() = $r->{err} =~ /not valid JSON/g), 20, 'twenty bad lines');
like($r->{err}, qr/: and 80 more bad lines$/m, 'and how many more');


# CSV of AWS API Gateway

sub csv { import_of($_[0], '--format', 'csv', @_[1 .. $#_]) }

fresh();
counts(csv("Key,name\napikey1234abcdefghij0123456789,MyFirstApiKey\n"),
       1, 0, 0, 0, 'CSV with the least of columns');

my ($key) = values %{ keys_of() };
is($key->{name}, 'MyFirstApiKey', 'the name');
is($key->{consumer}, 'MyFirstApiKey', 'is the consumer');
is($key->{sha256}, sha256_hex('apikey1234abcdefghij0123456789'), 'the key');
ok($key->{enabled}, 'enabled');

counts(csv("Name,key,description,Enabled,usageplanIds\r\n"
           . "MyFirstApiKey,apikey1234abcdefghij0123456789,"
           . "An imported key,TRUE,c7y23b\r\n"),
       0, 1, 0, 0, 'the same key again, with more columns');
($key) = values %{ keys_of() };
is($key->{description}, 'An imported key', 'the description');
is($key->{plan}, 'c7y23b', 'the plan');

fresh();
counts(csv(<<'END'), 5, 0, 0, 0, 'CSV as RFC 4180 has it');
Enabled,Name,key,UsageplanIds,description,frob
true,one,apikey1234abcdefghij0001,"c7y23b",,x
False,"two, ""quoted""",apikey1234abcdefghij0002,'c7y23b',"a, b",
,three,"apikey1234abcdefghij0003",,,""
TRUE,four,apikey1234abcdefghij0004,"c7y23b,c7y23b",,x

true,it's five,apikey1234abcdefghij0005,c7y23b,,
END

my %named = map { $_->{name} => $_ } values %{ keys_of() };
is_deeply([sort keys %named],
          [sort 'one', 'two, "quoted"', 'three', 'four', "it's five"],
          'names');
ok(!$named{'two, "quoted"'}{enabled}, 'disabled');
is($named{'two, "quoted"'}{plan}, 'c7y23b', 'single quotes');
is($named{'two, "quoted"'}{description}, 'a, b', 'a comma in quotes');
is($named{three}{plan}, undef, 'no plan');
is($named{four}{plan}, 'c7y23b', 'the same plan twice');

fresh();
my $several = "name,key,usageplanids\n"
              . qq(x,apikey1234abcdefghij0001,"aaa,bbb"\n)
              . qq(y,apikey1234abcdefghij0002,\n);
$r = csv($several);
counts($r, 0, 0, 0, 1, 'several plans');
like($r->{err}, qr/line 2: several usage plans/, 'the reason');

counts(csv($several, '--map-plan', 'aaa=pro', '--map-plan', 'bbb=pro',
           '--plan', 'free'), 2, 0, 0, 0, 'several plans that are one here');
is_deeply([sort map { $_->{plan} } values %{ keys_of() }], ['free', 'pro'],
          'plans are mapped, and there is one for keys without');

$r = csv("name,key,usageplanids\nz,apikey1234abcdefghij0003,zz99\n",
         '--map-plan', 'aaa=pro');
counts($r, 0, 0, 0, 1, 'a plan that is not in the map');
like($r->{err}, qr/line 2: a usage plan that no --map-plan names/, 'says so');

counts(csv("name,key,usageplanids\nz,apikey1234abcdefghij0003,pro\n",
           '--map-plan', 'aaa=pro'), 1, 0, 0, 0, 'a plan of ours');

$r = csv("name,key,usageplanids\nz,apikey1234abcdefghij0004,zz99\n");
counts($r, 1, 0, 0, 0, 'without a map');
like($r->{err}, qr/names of plans in 1 lines: see --map-plan/, 'it is told');

for my $case (
    ['an empty file', '', qr/the file is empty/],
    ['no columns', "a,b\nx,y\n", qr/line 1: the first line must name/],
    ['no key column', "name,frob\n", qr/line 1: the first line must name/],
    ['a column twice', "name,key,NAME\n", qr/line 1: the column "name" is/],
    ['too few fields', "name,key\nx\n", qr/line 2: 1 fields where the first/],
    ['too many fields', "name,key\nx,SECRETkey1234567,z\n", qr/line 2: 3 /],
    ['a quote within', "name,key\nx\"y,SECRETkey1234567\n",
     qr/line 2: not a line of CSV/],
    ['text behind a quote', "name,key\n\"x\"y,SECRETkey1234567\n",
     qr/line 2: not a line of CSV/],
    ['a quote that is never closed',
     "name,key\n\"x,SECRETkey1234567\ny,SECRETkey1234568\n",
     qr/line 2: not a line of CSV/],
    ['no name', "name,key\n,SECRETkey1234567\n", qr/line 2: no consumer/],
    ['no key', "name,key\nx,\n", qr/line 2: no key/],
    ['a bad key', "name,key\nx,SECRET\n", qr/line 2: a key has 16 to 512/],
    ['a bad flag', "name,key,enabled\nx,SECRETkey1234567,yes\n",
     qr/line 2: "enabled" is neither/],
    ['a name in two lines', "name,key\n\"x\ny\",SECRETkey1234567\n"
     . "z,SECRET\n", qr/line 2: control characters.*\n.*line 4: a key has/],
)
{
    my ($name, $text, $expected) = @$case;

    fresh();
    my $r = csv($text);

    is($r->{status}, 1, "CSV with $name: status");
    like($r->{err}, $expected, "CSV with $name: reason");
    unlike($r->{err}, qr/SECRET/, "CSV with $name: no secret");
    is_deeply(keys_of(), {}, "CSV with $name: nothing is imported");
}


# export, and back

fresh();

for my $args (['--id', 'one', '--consumer', 'a"b,c', '--name', "q'\"",
               '--plan', 'p', '--description', 'x, y'],
              ['--id', 'two', '--consumer', "\xc3\xa9", '--scope', 'a,b',
               '--label', 'k=v=w', '--allow', '192.0.2.1', '--rate',
               '1r/hour', '--burst', '7', '--quota', '5/lifetime',
               '--expires', '90d', '--disabled'],
              ['--id', 'three', '--consumer', 'c', '--decoy'])
{
    is($apigw->run('key', 'create', @$args)->{status}, 0, "create @$args");
}

$apigw->run('key', 'rotate', 'one', '--overlap', '1d', '--id', 'four');
$apigw->run('key', 'update', 'two', '--plan', 'x');

my $out = $apigw->run('key', 'export')->{out};
my $before = keys_of();
my $csv = $apigw->run('key', 'export', '--format', 'csv')->{out};

counts(import_of($out), 0, 0, 4, 0, 'import of an export');
unlike($out, qr/ak_/, 'an export has digests only');

my $source = $apigw;
fresh();
counts(import_of($out), 4, 0, 0, 0, 'import into another store');
is_deeply(keys_of(), $before, 'is a copy');

fresh();
counts(csv($csv), 4, 0, 0, 0, 'CSV into another store');
my $after = keys_of();

for my $id (qw(one two three four)) {
    is_deeply([map { $_ // '' } @{ $after->{$id} }{qw(id consumer plan name
                                        description enabled sha256)}],
              [map { $_ // '' } @{ $before->{$id} }{qw(id consumer plan name
                                        description enabled sha256)}],
              "CSV keeps what it has columns for: $id");
}


# the file

fresh();
Apigw::Command::spew("$apigw->{dir}/keys.CSV",
                     "name,key\nx,apikey1234abcdefghij\n");
counts($apigw->run('key', 'import', "$apigw->{dir}/keys.CSV"), 1, 0, 0, 0,
       'CSV by the name of the file');

for my $case (['a missing file', 1, qr/cannot open ".*none": No such file/,
               "$apigw->{dir}/none"],
              ['a directory', 1, qr/cannot read ".*": Is a directory/,
               $apigw->{dir}],
              ['a wrong format', 2, qr/neither ndjson nor csv/, '--format',
               'xml', '-'],
              ['a wrong map', 2, qr/not of the form ID=PLAN/, '--map-plan',
               'x'],
              ['a batch of none', 2, qr/not a number of 1/, '--batch', '0'])
{
    my ($name, $status, $expected, @args) = @$case;

    my $r = $apigw->run('key', 'import', @args);

    is($r->{status}, $status, "$name: status");
    like($r->{err}, $expected, "$name: text");
}

$r = $apigw->run('key', 'export', '--format', 'xml');
is($r->{status}, 2, 'export in a wrong format');

counts(import_of(''), 0, 0, 0, 0, 'an empty file of NDJSON');


# what an import that waits for more of its file has in its memory

SKIP: {
    skip 'no /proc/PID/mem', 1 if !-e "/proc/$$/mem";

    for my $format ('ndjson', 'csv') {
        fresh();

        my $pipe = "$apigw->{dir}/pipe";
        POSIX::mkfifo($pipe, 0600) or die "mkfifo: $!\n";

        my $pid = $apigw->start('key', 'import', '--format', $format, $pipe);
        open my $out, '>', $pipe or die "$pipe: $!\n";
        $out->autoflush(1);

        print $out "name,key\n" if $format eq 'csv';
        print $out $format eq 'csv'
                   ? sprintf("n,wiped-key-%010d\n", $_)
                   : encode_json({ key => sprintf('wiped-key-%010d', $_),
                                   consumer => 'n' }) . "\n"
            for 1 .. 2000;

        # the process has read it all when it waits for the rest
        my $sleeps = 0;

        for (1 .. 500) {
            my $state = Apigw::Command::slurp("/proc/$pid/stat");
            $sleeps = $state =~ /\) S / ? $sleeps + 1 : 0;
            last if $sleeps == 20;
            sleep 0.01;
        }

        my $found = memory_has($pid, qr/wiped-key-\d{10}/);

        if (!defined $found) {
            kill 'KILL', $pid;
            waitpid $pid, 0;
            skip 'may not read the memory of another process', 1;
        }

        is($found, 0, "$format: no key is left in memory");

        close $out;
        waitpid $pid, 0;
        is($?, 0, "$format: the import ends well");
        is(scalar keys %{ keys_of() }, 2000, "$format: all keys are there");
    }
}


# many: more than the first map of the store holds

fresh();

my $many = join '', map { encode_json({ key => sprintf('many-keys-%010d', $_),
                                        consumer => 'c' . $_ % 1000,
                                        description => 'd' x 900 }) . "\n" }
                    1 .. 20000;

counts(import_of($many), 20000, 0, 0, 0, 'twenty thousand keys');
cmp_ok(-s "$apigw->{store}/data.mdb", '>', 16 * 1024 * 1024,
       'take more than the first map');
is(scalar(() = $apigw->run('key', 'list', '--consumer', 'c7')->{out} =~ /\n/g),
   21, 'and are listed by consumer');
is(scalar(() = $apigw->run('key', 'export')->{out} =~ /\n/g), 20000,
   'and exported');
counts(import_of($many), 0, 0, 20000, 0, 'and are the same again');

done_testing();


# How often a text is in the memory of a process; undefined if nobody knows.

sub memory_has {
    my ($pid, $text) = @_;

    open my $mem, '<:raw', "/proc/$pid/mem" or return;

    my $n = 0;
    my @regions = Apigw::Command::slurp("/proc/$pid/maps")
                  =~ /^([0-9a-f]+)-([0-9a-f]+) rw/mg;

    while (my ($from, $to) = splice @regions, 0, 2) {
        no warnings 'portable';
        $_ = hex for $from, $to;

        # a sanitizer's shadow has terabytes of nothing
        next if $to - $from > 1 << 30;

        seek $mem, $from, 0 or next;
        read $mem, my $data, $to - $from or next;

        $n++ while $data =~ /$text/g;
    }

    return $n;
}
