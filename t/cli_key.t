# Every verb of "apigw key" but import and export does what its help says on
# the store, is in the audit log without any secret, and fails with a clear
# line and status.

use strict;
use warnings;

use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;

use lib 't/lib';
use Apigw::Command;

my $KEY = qr/ak_[0-9A-Za-z]{49}/;

my $apigw = Apigw::Command->new;


# what apigw key VERB ... says, as a hash of JSON
sub shown {
    my ($id) = @_;

    my $r = $apigw->run('key', 'show', $id, '--json');

    return $r->{status} == 0 ? decode_json($r->{out}) : undef;
}


sub done {
    my ($name, @args) = @_;

    my $r = $apigw->run('key', @args);

    is($r->{status}, 0, $name) or diag($r->{err});

    return $r;
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

my @read = (['list'], ['list', '--json'], ['show', 'none'], ['export'],
            ['find']);

refused("@$_ without a store", 1, qr/there is no store in "\S+"/, 'key', @$_)
    for @read;

is(() = glob("$apigw->{store}/*"), 0, 'nor is one made');
is(done('purge makes one', 'purge')->{out}, '', 'nothing to purge');

my $r = done('list of an empty store', 'list');
is($r->{out} =~ s/ +/ /gr,
   "ID CONSUMER PLAN STATUS CREATED EXPIRES LAST USED\n",
   'list of an empty store has a head only');

refused('show in an empty store', 1, qr/there is no key "none"/,
        'key', 'show', 'none');



# create

$r = done('create', 'create', '--consumer', 'acme', '--plan', 'pro');
like($r->{out}, qr/\A$KEY\n\z/, 'create prints the key alone');
like($r->{err}, qr/\Aapigw: created the key "[0-9a-z]{16}" for "acme"; /,
     'create tells the id on standard error');

my ($id) = $r->{err} =~ /"([0-9a-z]{16})"/;
chomp(my $text = $r->{out});

my $key = shown($id);
is($key->{consumer}, 'acme', 'consumer');
is($key->{plan}, 'pro', 'plan');
is($key->{status}, 'active', 'status');
like($key->{created}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'created');
ok(!exists $key->{sha256}, 'show has no digest');

done('create with everything', 'create', '--consumer=acme', '--id', 'full',
     '--plan=pro', '--name', "Gr\xc3\xbc\xc3\x9fe", '--description', 'a "text"',
     '--scope', 'orders:write,orders:read', '--scope', 'stock', '--label',
     'env=prod', '--label', 'team=a b', '--allow', '192.0.2.0/24', '--allow',
     '2001:db8::/32', '--not-before', '2020-01-01', '--expires',
     '2031-12-31T23:59:59+02:00', '--rate', '100r/s', '--burst', '1',
     '--quota', '1000/day', '--quota', '20000/month');

$key = shown('full');
is_deeply($key->{scopes}, ['orders:read', 'orders:write', 'stock'], 'scopes');
is_deeply($key->{labels}, { env => 'prod', team => 'a b' }, 'labels');
is_deeply($key->{allow}, ['192.0.2.0/24', '2001:db8::/32'], 'allow');
is($key->{not_before}, '2020-01-01T00:00:00Z', 'not before');
is($key->{expires}, '2031-12-31T21:59:59Z', 'expires, with a zone');
is($key->{rate}, '100r/s', 'rate');
is($key->{burst}, 1, 'burst');
is_deeply($key->{quotas}, { day => 1000, month => 20000 }, 'quotas');
is($key->{name}, "Gr\x{fc}\x{df}e", 'name');
is($key->{description}, 'a "text"', 'description');

$r = done('show as text', 'show', 'full', $id);
like($r->{out}, qr/\Aid:           full\nconsumer:     acme\n/, 'text of show');
like($r->{out}, qr/^scope:        orders:read\nscope:        orders:write\n/m,
     'text of a list');
like($r->{out}, qr/\n\nid:           $id\n/, 'an empty line between two keys');

for my $rate (['5r/day', '5r/d'], ['0.5r/s'], ['100/minute', '100r/m'],
              ['2.250r/h'], ['1r/hour', '1r/h'], ['0.000001r/s'],
              ['1000000r/s'], ['unlimited'], ['100r/s'])
{
    done("rate $rate->[0]", 'update', 'full', '--rate', $rate->[0]);
    is(shown('full')->{rate}, $rate->[-1], "rate $rate->[0]: shown");
}

refused('create with a used id', 1, qr/there is a key "full" already/,
        'key', 'create', '--consumer', 'x', '--id', 'full');

done('create of a decoy', 'create', '--consumer', 'trap', '--id', 'trap',
     '--decoy');
is(shown('trap')->{status}, 'decoy', 'a decoy');

done('create of a disabled key', 'create', '--consumer', 'off', '--id', 'off',
     '--disabled');
is(shown('off')->{status}, 'disabled', 'created disabled');

done('create of a key to come', 'create', '--consumer', 'late', '--id',
     'late', '--not-before', '2d', '--expires', '1w1d');
is(shown('late')->{status}, 'early', 'not valid yet');

$r = done('create with another prefix', 'create', '--consumer', 'p',
          '--prefix', 'live_');
like($r->{out}, qr/\Alive_[0-9A-Za-z]{49}\n\z/, 'the prefix');

$r = $apigw->run({ env => { APIGW_KEY_PREFIX => 'env_' } }, 'key', 'create',
                 '--consumer', 'p');
like($r->{out}, qr/\Aenv_[0-9A-Za-z]{49}\n\z/, 'the prefix, by environment');


# usage errors of create

for my $case (
    ['no consumer', qr/"--consumer" is missing/],
    ['an empty consumer', qr/the value is empty/, '--consumer', ''],
    ['an odd consumer', qr/invalid consumer/, '--consumer', ' x'],
    ['a control character', qr/control characters/, '--consumer', "a\nb"],
    ['not UTF-8', qr/not UTF-8/, '--consumer', "a\xff"],
    ['a long consumer', qr/invalid consumer: it has 1 to 255 bytes/,
     '--consumer', 'x' x 256],
    ['a quota of none', qr/not a quota such as 1000\/day, none\/day takes/,
     '--consumer', 'x', '--quota', '0/day'],
    ['a burst of years', qr/the burst is too large for the rate/,
     '--consumer', 'x', '--rate', '1r/d', '--burst', '4000'],
    ['addresses at once', qr/not an address .*, one at a time/,
     '--consumer', 'x', '--allow', '10.0.0.0/8,::1'],
    ['an odd id', qr/invalid id: it has 1 to 64 of A-Z/,
     '--consumer', 'x', '--id', 'a b'],
    ['a bad scope', qr/not a scope/, '--consumer', 'x', '--scope', 'a"b'],
    ['an empty scope', qr/not a scope/, '--consumer', 'x', '--scope', 'a,,b'],
    ['a bad label', qr/NAME=VALUE/, '--consumer', 'x', '--label', 'a'],
    ['a bad label name', qr/not a label/, '--consumer', 'x', '--label', 'A=b'],
    ['host bits', qr/host bits/, '--consumer', 'x', '--allow', '10.0.0.1/8'],
    ['no network', qr/not an address/, '--consumer', 'x', '--allow', 'x'],
    ['no date', qr/not a time/, '--consumer', 'x', '--expires', 'soon'],
    ['February 30', qr/not a time/, '--consumer', 'x', '--expires',
     '2030-02-30'],
    ['hour 24', qr/not a time/, '--consumer', 'x', '--expires',
     '2030-01-01T24:00:00Z'],
    ['before it is valid', qr/expire before/, '--consumer', 'x', '--expires',
     '1d', '--not-before', '2d'],
    ['in the past', qr/expire before/, '--consumer', 'x', '--expires',
     '2020-01-01'],
    ['no rate', qr/not a rate/, '--consumer', 'x', '--rate', '5'],
    ['rate 0', qr/not a rate/, '--consumer', 'x', '--rate', '0r/s'],
    (map { ["rate $_", qr/not a rate/, '--consumer', 'x', '--rate', $_] }
         '5r/w', '5r/week', '.5r/s', '5.r/s', '1..5r/s', '1.5.5r/s', 'r/s',
         '1r5/s', '-1r/s', '0.0r/s', '0.0000001r/s', '99999999999r/s', '1r/',
         '0.0001r/d', '1000001r/s.'),
    ['no burst', qr/a burst is 1 at least/, '--consumer', 'x', '--burst',
     '0'],
    ['negative burst', qr/not a number/, '--consumer', 'x', '--burst', '-1'],
    ['no quota', qr/not a quota/, '--consumer', 'x', '--quota', '5/second'],
    ['huge quota', qr/not a quota/, '--consumer', 'x', '--quota',
     '1000000000000001/day'],
    ['a prefix without an end', qr/2 to 16/, '--consumer', 'x', '--prefix',
     'ak'],
    ['too many scopes', qr/too many scopes/, '--consumer', 'x',
     map { ('--scope', "scope$_" . 'x' x 100) } 1 .. 12],
    ['an argument', qr/too many arguments \(/, '--consumer', 'x', 'x'],
    ['an unknown option', qr/unknown option "--frob"/, '--frob', 'x'],
    ['a part of an option', qr/unknown option "--cons"/, '--cons', 'x'],
    ['no value', qr/"--consumer" needs a value: NAME/, '--consumer'],
    ['a value for a flag', qr/"--decoy" takes no value/, '--decoy=1'],
)
{
    my ($name, $text, @args) = @$case;

    # the last option has no value, so nothing may come behind it
    my $r = $apigw->run({ nostore => 1,
                          env => { APIGW_STORE => $apigw->{store} } },
                        'key', 'create', @args);

    is($r->{status}, 2, "create with $name: status");
    like($r->{err}, $text, "create with $name: text");
    like($r->{err}, qr/\Aapigw: [^\n]+ \(see apigw key create --help\)\n\z/,
         "create with $name: one line");
    is($r->{out}, '', "create with $name: no key");
}

refused('no verb', 2, qr/a verb is missing after "key"/, { nostore => 1 },
        'key');
refused('an unknown verb', 2, qr/unknown verb "frob"/, 'key', 'frob');
refused('an unknown command', 2, qr/unknown command "frob"/, 'frob');
refused('no command', 2, qr/a command is missing/, { nostore => 1 });
refused('no id', 2, qr/an argument is missing: ID/, 'key', 'show');
refused('no store', 2, qr/no store: /, { nostore => 1 }, 'key', 'list');
refused('an odd prefix', 2, qr/APIGW_KEY_PREFIX "x" cannot/,
        { env => { APIGW_KEY_PREFIX => 'x' } }, 'key', 'create', '--consumer',
        'x');
refused('twice', 2, qr/"--store .*": given twice/, 'key', 'list', '--store',
        '/nowhere');


# the secret: nowhere but on standard output

my $everything = join '', map { Apigw::Command::slurp($_) }
                          glob "$apigw->{store}/*";
unlike($everything, qr/\Q$text\E/, 'the key is not in the store or its log');
unlike($everything, qr/\Q@{[substr $text, 3, 20]}\E/, 'nor is a part of it');


# find

$r = $apigw->run({ stdin => "$text\n" }, 'key', 'find', '--json');
is($r->{status}, 0, 'find');
is(decode_json($r->{out})->{id}, $id, 'find finds the key');

$r = $apigw->run({ stdin => $text }, 'key', 'find');
like($r->{out}, qr/^id: +$id$/m, 'find as text, without a newline');

# a checksum goes wrong with any character

(my $typo = $text) =~ s/(.)\z/$1 eq 'a' ? 'b' : 'a'/e;

for my $case (['a typing error', $typo, qr/this cannot be a key/],
              ['nothing', '', qr/this cannot be a key/],
              ['too long a text', 'x' x 2000, qr/this cannot be a key/],
              ['an unknown key', 'an-imported-key-0001', qr/not in the store/])
{
    my ($name, $stdin, $expected) = @$case;

    $r = $apigw->run({ stdin => $stdin }, 'key', 'find');
    is($r->{status}, 1, "find of $name: status");
    like($r->{err}, $expected, "find of $name: text");
    unlike($r->{err}, qr/\Q$stdin\E/, "find of $name: not repeated")
        if $stdin;
}


# update

done('update', 'update', 'full', '--plan', 'free', '--clear', 'scopes',
     '--scope', 'new', '--label', 'env=', '--label', 'tier=1',
     '--remove-allow', '192.0.2.0/24', '--clear', 'rate', '--clear', 'burst',
     '--quota', 'none/day', '--clear', 'expires', '--name', 'other');

$key = shown('full');
is($key->{plan}, 'free', 'plan updated');
is_deeply($key->{scopes}, ['new'], 'scopes cleared and set');
is_deeply($key->{labels}, { team => 'a b', tier => '1' }, 'labels updated');
is_deeply($key->{allow}, ['2001:db8::/32'], 'a network removed');
is_deeply($key->{quotas}, { month => 20000 }, 'a quota removed');
ok(!exists $key->{$_}, "$_ cleared") for qw(rate burst expires);
is($key->{name}, 'other', 'name updated');
like($key->{updated}, qr/^\d{4}-/, 'the time of the update');

done('update of a scope', 'update', 'full', '--scope', 'more',
     '--remove-scope', 'new');
is_deeply(shown('full')->{scopes}, ['more'], 'a scope added, one removed');

for my $field (qw(plan name description scopes labels allow not-before
                  quotas))
{
    done("clear $field", 'update', 'full', '--clear', $field);
}

is_deeply([sort keys %{ shown('full') }],
          [sort qw(id consumer enabled created updated status)],
          'everything that can be cleared is');

done('update to a decoy', 'update', 'full', '--decoy');
is(shown('full')->{status}, 'decoy', 'a decoy of a key');
done('update to a key', 'update', 'full', '--no-decoy');
is(shown('full')->{status}, 'active', 'a key of a decoy');

refused('both at once', 2, qr/"--decoy" and "--no-decoy" at once/, 'key',
        'update', 'full', '--decoy', '--no-decoy');
refused('update of nothing', 2, qr/nothing to change/, 'key', 'update',
        'full');
refused('clear of a wrong field', 2, qr/not a field that can be cleared/,
        'key', 'update', 'full', '--clear', 'consumer');
refused('remove of a missing scope', 1, qr/"full": the key has no such scope/,
        'key', 'update', 'full', '--remove-scope', 'x');
refused('remove of a missing network', 1, qr/the key has no such network/,
        'key', 'update', 'full', '--remove-allow', '10.0.0.0/8');
refused('update of no key', 1, qr/there is no key "none"/, 'key', 'update',
        'none', '--plan', 'x');
refused('an odd plan', 2, qr/invalid plan: it has 1 to 64/, 'key', 'update',
        'full', '--plan', 'x ');
refused('update of one good and one missing key', 1, qr/no key "none"/,
        'key', 'update', 'full', 'none', '--plan', 'gold');
ok(!exists shown('full')->{plan}, 'all or nothing');

done('no change', 'update', 'full', '--clear', 'plan');


# disable, enable

$r = done('disable', 'disable', 'full', $id);
like($r->{err}, qr/disabled 2 of 2 keys/, 'two disabled');
is(shown('full')->{status}, 'disabled', 'disabled');

$r = done('disable again', 'disable', 'full');
like($r->{err}, qr/was like that already/, 'nothing to disable');

done('enable', 'enable', 'full', $id);
is(shown('full')->{status}, 'active', 'enabled');


# rotate

done('a key to rotate', 'create', '--consumer', 'rot', '--id', 'old',
     '--plan', 'pro', '--scope', 'a', '--expires', '2030-01-01');

$r = done('rotate', 'rotate', 'old', '--overlap', '7d', '--id', 'new');
like($r->{out}, qr/\A$KEY\n\z/, 'rotate prints the new key alone');

my ($old, $new) = (shown('old'), shown('new'));
is($old->{successor}, 'new', 'the successor');
is($old->{status}, 'active', 'the old key goes on');
cmp_ok(abs(epoch($old->{expires}) - time - 7 * 86400), '<', 60,
       'for the overlap');
is($new->{expires}, '2030-01-01T00:00:00Z', 'the new one expires as it did');
is($new->{consumer}, 'rot', 'the same consumer');
is($new->{plan}, 'pro', 'the same plan');
is_deeply($new->{scopes}, ['a'], 'the same scopes');
ok(!exists $new->{successor}, 'no successor of the new one');

refused('rotate again', 1, qr/it was rotated already/, 'key', 'rotate', 'old',
        '--overlap', '1d');

done('rotate of the new one at once', 'rotate', 'new', '--overlap', '0s',
     '--expires', '30d');
is(shown('new')->{status}, 'expired', 'no overlap');

done('a key that expires soon', 'create', '--consumer', 'rot', '--id', 'soon',
     '--expires', '1h');
done('rotate with a longer overlap', 'rotate', 'soon', '--overlap', '7d');
cmp_ok(epoch(shown('soon')->{expires}), '<=', time + 3600,
       'an overlap makes no key live longer');

done('a key for later', 'create', '--consumer', 'rot', '--id', 'early',
     '--not-before', '30d', '--expires', '60d');
done('rotate of a key that is not valid yet', 'rotate', 'early', '--overlap',
     '7d', '--id', 'early2');
is(shown('early2')->{not_before}, shown('early')->{not_before},
   'the new one is valid from the same time');
is(shown('early2')->{status}, 'early', 'and not now');
refused('rotate to one that is never valid', 1,
        qr/the new one would expire before it is valid/, 'key', 'rotate',
        'early2', '--overlap', '7d', '--expires', '20d');

done('a key that has become valid', 'create', '--consumer', 'rot', '--id',
     'begun', '--not-before', '2020-01-01');
done('rotate of it', 'rotate', 'begun', '--overlap', '7d', '--id', 'begun2');
ok(!exists shown('begun2')->{not_before}, 'the new one has no past begin');

refused('rotate without overlap', 2, qr/"--overlap" is missing/, 'key',
        'rotate', 'off');
refused('rotate with a bad overlap', 2, qr/not a duration/, 'key', 'rotate',
        'off', '--overlap', '7');
refused('rotate of a disabled key', 1, qr/it is disabled/, 'key', 'rotate',
        'off', '--overlap', '7d');
refused('rotate of a decoy', 1, qr/it is a decoy/, 'key', 'rotate', 'trap',
        '--overlap', '7d');
refused('rotate to a used id', 1, qr/a key with the new id already/, 'key',
        'rotate', 'late', '--overlap', '7d', '--id', 'full');
refused('rotate of no key', 1, qr/there is no key "none"/, 'key', 'rotate',
        'none', '--overlap', '7d');
refused('rotate to an odd id', 1, qr/invalid id/, 'key', 'rotate', 'late',
        '--overlap', '7d', '--id', 'a/b');


# list

sub listed {
    my (@args) = @_;

    my $r = $apigw->run('key', 'list', '--json', @args);

    is($r->{status}, 0, "list @args") or diag($r->{err});

    return join ' ', map { decode_json($_)->{id} } split /\n/, $r->{out};
}

$apigw = Apigw::Command->new;

for my $case (['a1', 'acme', '--plan', 'free', '--scope', 'read'],
              ['a2', 'acme', '--plan', 'pro', '--label', 'env=prod'],
              ['b1', 'b', '--plan', 'pro', '--scope', 'read,write',
               '--expires', '10d'],
              ['b2', 'b', '--label', 'env=test', '--disabled'],
              ['c1', "\xc3\xa9t\xc3\xa9", '--decoy'],
              ['c2', 'c', '--not-before', '5d', '--expires', '50d'])
{
    my ($id, $consumer, @args) = @$case;

    done("create $id", 'create', '--id', $id, '--consumer', $consumer, @args);
}

is(listed(), 'a1 a2 b1 b2 c1 c2', 'all, in the order of ids');
is(listed('--consumer', 'acme'), 'a1 a2', 'by consumer');
is(listed('--consumer', 'nobody'), '', 'of nobody');
is(listed('--plan', 'pro'), 'a2 b1', 'by plan');
is(listed('--scope', 'read'), 'a1 b1', 'by scope');
is(listed('--label', 'env'), 'a2 b2', 'by label');
is(listed('--label', 'env=prod'), 'a2', 'by label and value');
is(listed('--status', 'active'), 'a1 a2 b1', 'active');
is(listed('--status', 'disabled'), 'b2', 'disabled');
is(listed('--status', 'decoy'), 'c1', 'decoy');
is(listed('--status', 'early'), 'c2', 'early');
is(listed('--expires-before', '30d'), 'b1', 'by expiry');
is(listed('--plan', 'pro', '--scope', 'write'), 'b1', 'both hold');
is(listed('--unused', '1d'), '', 'too young to be called unused');

refused('a wrong status', 2, qr/not active, early/, 'key', 'list',
        '--status', 'gone');
refused('a wrong duration', 2, qr/not a duration/, 'key', 'list', '--unused',
        '90');

$r = done('list as a table', 'list', '--consumer', "\xc3\xa9t\xc3\xa9");
my @lines = split /\n/, $r->{out};
is(scalar @lines, 2, 'a head and a line');
like($lines[1], qr/^c1  \xc3\xa9t\xc3\xa9       -     decoy   \S{20}  - +  -$/,
     'columns are as wide as characters, not bytes');

$r = done('the table', 'list', '--plan', 'pro');
like($r->{out}, qr/\A ID\ \ CONSUMER\ \ PLAN\ \ STATUS\ \ CREATED\ {15}
                   EXPIRES\ {15}LAST\ USED\n
                   a2\ \ acme\ {6}pro\ \ \ active\ \ \S{20}\ \ -\ {21}-\n
                   b1\ \ b\ {9}pro\ \ \ active\ \ \S{20}\ \ \S{20}\ \ -\n
                   \z/x, 'columns are as wide as what is listed');
is($r->{err}, '', 'nothing on standard error');


# purge

done('a key that has expired', 'create', '--id', "x$_", '--consumer', 'x',
     '--expires', '2s') for 1 .. 2;
done('a key to expire later', 'create', '--id', 'y', '--consumer', 'x',
     '--expires', '1h');

# it is there until it is purged, and no test has to wait for it
my $deadline = time + 5;
select undef, undef, undef, 0.2
    while listed('--status', 'expired') ne 'x1 x2' && time < $deadline;

refused('rotate of an expired key', 1, qr/it has expired, .*--expires/, 'key',
        'rotate', 'x1', '--overlap', '7d');

is(done('purge, dry', 'purge', '--dry-run')->{out}, "x1\nx2\n",
   'what would be purged');

SKIP: {
    skip 'no /dev/full', 2 if !-c '/dev/full';

    my $full = $apigw->run({ out => '/dev/full' }, 'key', 'purge',
                           '--dry-run');
    is($full->{status}, 1, 'purge, dry, to a full disk: fails');
    unlike($full->{err}, qr/the store/, 'and it is not the store');
}

like(done('purge of the old', 'purge', '--expired-for', '1d')->{err},
     qr/removed 0 keys/, 'not expired for so long');
like(done('purge', 'purge')->{err}, qr/removed 2 keys/, 'two purged');
is(listed('--consumer', 'x'), 'y', 'the others are there');


# revoke

done('revoke', 'revoke', 'a1');
is(listed('--consumer', 'acme'), 'a2', 'revoked');
refused('revoke again', 1, qr/there is no key "a1"/, 'key', 'revoke', 'a1');
refused('revoke of a good and a missing key', 1, qr/there is no key "a1"/,
        'key', 'revoke', 'a2', 'a1');
is(listed('--consumer', 'acme'), 'a2', 'nothing revoked');
done('a key to be named twice', 'create', '--id', 'a3', '--consumer', 'z');
like(done('revoke the same twice', 'revoke', 'a3', 'a3')->{err},
     qr/revoked 1 of 2 keys/, 'it is one');
is(listed('--consumer', 'z'), '', 'and is gone');
refused('a missing one twice', 1, qr/there is no key "a3"/, 'key', 'revoke',
        'a2', 'a3', 'a3');
done('the id can be used again', 'create', '--id', 'a1', '--consumer', 'z');
is(listed('--consumer', 'acme'), 'a2', 'and is of the other consumer');


# a key that could not be shown is not there

SKIP: {
    skip 'no /dev/full', 4 if !-c '/dev/full';

    $r = $apigw->run({ out => '/dev/full' }, 'key', 'create', '--consumer',
                     'w', '--id', 'w');
    is($r->{status}, 1, 'no room for the output');
    like($r->{err}, qr/cannot write to standard output: No space left/,
         'says so');
    is(listed('--consumer', 'w'), '', 'no key stays');

    $r = $apigw->run({ out => '/dev/full' }, 'key', 'list');
    is($r->{status}, 1, 'list fails if it cannot write');
}


# nor does the key go that it would have replaced

SKIP: {
    skip 'no /dev/full', 14 if !-c '/dev/full';

    done('a key to keep', 'create', '--consumer', 'u', '--id', 'u',
         '--plan', 'pro', '--scope', 'read', '--expires', '2099-01-01');

    my $kept = shown('u');

    for my $overlap ('0s', '7d') {
        $r = $apigw->run({ out => '/dev/full' }, 'key', 'rotate', 'u',
                         '--overlap', $overlap, '--id', 'u2');
        is($r->{status}, 1, "no room for a new key, $overlap");
        is($r->{err}, 'apigw: cannot write to standard output: No space left '
                      . "on device\n", 'says so');
        is_deeply(shown('u'), $kept, 'the old one is as it was');
        is(listed('--consumer', 'u'), 'u', 'no new one stays');
    }

    is_deeply([map { "$_->{action} $_->{id}" } ($apigw->audit)[-2, -1]],
              ['revoke u2', 'unrotate u'], 'both are in the log');
    is(($apigw->audit)[-1]{set}{expires}, $kept->{expires},
       'with what was set back');

    done('rotate after that', 'rotate', 'u', '--overlap', '0s');
}


# a key where an id is to be is not repeated

chomp(my $ours = done('a key', 'create', '--consumer', 's')->{out});
chomp(my $other = done('a key of another prefix', 'create', '--consumer', 's',
                       '--prefix', 'longest-prefix1_')->{out});
my $short = substr $other, 0, -1;

for my $case ([$ours], ["${ours}x"], [substr $ours, 0, 20], [$other],
              [$short, APIGW_KEY_PREFIX => 'longest-prefix1_'])
{
    my ($secret, @env) = @$case;

    for my $verb (['show'], ['revoke'], ['disable'], ['update', '--plan', 'x'],
                  ['rotate', '--overlap', '1d'])
    {
        $r = $apigw->run({ env => { @env } }, 'key', @$verb, $secret);
        is($r->{status}, 1, "$verb->[0] with a key for an id");
        is($r->{err}, 'apigw: this is a key, not an ID; apigw key find tells '
                      . "whose it is\n", 'says so, without the key');
    }
}

$r = $apigw->run('key', 'find', $ours);
is($r->{status}, 2, 'find with the key as an argument');
like($r->{err}, qr/\Aapigw: too many arguments \(/, 'does not repeat it');
unlike($r->{err}, qr/ak_/, 'anywhere');

refused('an id that is like no key', 1,
        qr/there is no key "longest-prefix1_7"/, 'key', 'show',
        'longest-prefix1_7');
refused('a long id', 1, qr/there is no key "x{60}_"/, 'key', 'show',
        'x' x 60 . '_');


# a pipe is full, and somebody changes the old key before the reader goes

{
    pipe my $reader, my $writer or die "pipe: $!\n";

    fcntl $writer, 1031, 4096 or die "F_SETPIPE_SZ: $!\n";
    syswrite $writer, 'x' x 4096;

    done('another key to keep', 'create', '--consumer', 'v', '--id', 'v');

    my $pid = $apigw->start({ before => sub { POSIX::dup2(fileno $writer, 1);
                                              close $reader },
                              err => "$apigw->{dir}/undo" },
                            'key', 'rotate', 'v', '--overlap', '0s', '--id',
                            'v2');

    my $until = time + 10;
    select undef, undef, undef, 0.02
        while !shown('v2') && time < $until;

    done('a change meanwhile', 'update', 'v', '--expires', '2099-01-01');

    close $reader;
    waitpid $pid, 0;

    is($? >> 8, 1, 'the reader of a new key is gone');
    is(Apigw::Command::slurp("$apigw->{dir}/undo"),
       "apigw: cannot write to standard output: Broken pipe\n"
       . 'apigw: the key "v" could not be given its expiry back, see whether '
       . "it goes on\n", 'says what is left to do');
    is(shown('v')->{expires}, '2099-01-01T00:00:00Z',
       'the change of somebody else stays');
    is(listed('--consumer', 'v'), 'v', 'the new key does not');
}


# the audit log

my @audit = $apigw->audit;
my %actions;
push @{ $actions{$_->{action}} }, $_->{id} for @audit;

is_deeply($actions{purge}, ['x1', 'x2'], 'purged keys are in the log');
is_deeply($actions{revoke}, ['a1', 'a3', 'w', 'u2', 'u2', 'v2'],
          'revoked keys are in the log');
is(scalar(grep { $_ eq 'a1' } @{ $actions{create} }), 2,
   'created keys are in the log');
is($audit[0]{set}{consumer}, 'acme', 'with what was set');
is($audit[0]{uid}, $<, 'who, by number');
is($audit[0]{user}, scalar getpwuid($<), 'who, by name');
like($audit[0]{time}, qr/^\d{4}-\d\d-\d\dT/, 'when');
ok(!(grep { $audit[$_]{txn} < $audit[$_ - 1]{txn} } 1 .. $#audit),
   'in the order of transactions');

my $log;
my $before = @audit;
$apigw->run('key', 'revoke', 'none');
$apigw->run('key', 'create', '--consumer', 'x', '--id', 'b1');
$apigw->run('key', 'enable', 'b1');
is(scalar $apigw->audit, $before, 'no line where nothing has changed');

$apigw->run({ env => { SUDO_USER => 'alice' } }, 'key', 'disable', 'b1');
my $last = ($apigw->audit)[-1];
is($last->{sudo_user}, $< == 0 ? 'alice' : undef,
   'who called sudo, if root says so');
delete $last->{set}{updated};
is_deeply($last->{set}, { enabled => JSON::PP::false }, 'what was changed');
is((stat "$apigw->{store}/audit.log")[2] & 0777, 0600,
   'the log is for its owner only');

# a process that was killed left a part of a line, of more than a block

$log = Apigw::Command::slurp("$apigw->{store}/audit.log");
Apigw::Command::spew("$apigw->{store}/audit.log",
                     $log . '{"time":"' . 'x' x 10000);

done('a change after a part of a line', 'enable', 'b1');
like(Apigw::Command::slurp("$apigw->{store}/audit.log"),
     qr/\A\Q$log\E\{"time":[^\n]*"action":"enable"[^\n]*\}\n\z/,
     'the part is gone');

Apigw::Command::spew("$apigw->{store}/audit.log", 'x' x 10000);
done('a change after a part of the first line', 'disable', 'b1');
is(scalar $apigw->audit, 1, 'the part is gone, too');


# help

my $help = $apigw->run('--help');
is($help->{status}, 0, 'help');
is($apigw->run('--version')->{out} =~ /\Aapigw \d+\.\d+\.\d+ \(/, 1,
   'version');

my @verbs = $help->{out} =~ /^  key (\S+)/mg;
is("@verbs", 'create list show find update disable enable rotate revoke '
             . 'purge import export', 'the verbs');

for my $verb (@verbs) {
    $r = $apigw->run('key', $verb, '--help');
    is($r->{status}, 0, "help of $verb");
    like($r->{out}, qr/\AUsage: apigw key $verb /, "usage of $verb");
    like($r->{out}, qr/^  --store DIR /m, "options of $verb");
    is($r->{err}, '', "help of $verb: nothing on standard error");
}

is($apigw->run('key', '--help')->{status}, 0, 'help of key');

done_testing();


sub epoch {
    my ($text) = @_;

    require Time::Local;

    my ($year, $month, @rest) = $text =~ /(\d+)/g;

    my ($day, $hour, $min, $sec) = @rest;

    return Time::Local::timegm($sec, $min, $hour, $day, $month - 1, $year);
}
