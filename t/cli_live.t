# What the apigw command does to a store holds for the next request of a
# gateway that serves from it: every verb, imports in both formats, an import
# of many keys under load; and the command sees which keys were used.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(time);

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    http    => 'auth_api_key_zone zone=k:1m store=logs/k flush=200ms;',
    server  => <<'END',
add_header X-Status "$api_key_status" always;
add_header X-Id "$api_key_id" always;
add_header X-Plan "$api_key_plan" always;

location / { auth_api_key zone=k; empty_gif; }
END
);

my $store = $gw->root . '/logs/k';


sub apigw {
    my ($verb, @args) = @_;

    my $how = ref $args[-1] ? pop @args : {};
    my ($status, $out, $err) = cli('key', $verb, '--store', $store, @args,
                                   $how);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


# what the gateway says of a key: its status, or "ok" and a header field

sub verdict {
    my ($key, $field) = @_;

    my $answer = $gw->get('/', ['X-API-Key' => $key]);

    return $answer->header($field // 'X-Id') if $answer->code == 200;
    return $answer->header('X-Status');
}


# one key through its life

my $key = apigw('create', '--consumer', 'joe', '--id', 'joe', '--plan', 'a');
is(verdict($key), 'joe', 'created');

apigw('update', 'joe', '--plan', 'b');
is(verdict($key, 'X-Plan'), 'b', 'another plan');

apigw('disable', 'joe');
is(verdict($key), 'disabled', 'disabled');

apigw('enable', 'joe');
is(verdict($key), 'joe', 'enabled');

apigw('update', 'joe', '--allow', '192.0.2.0/24');
is(verdict($key), 'address', 'not from here');

apigw('update', 'joe', '--allow', '127.0.0.0/8');
is(verdict($key), 'joe', 'from here');

my $new = apigw('rotate', 'joe', '--overlap', '1d', '--id', 'joe2');
is(verdict($key), 'joe', 'rotated: the old one goes on');
is(verdict($new), 'joe2', 'and the new one is there');
is(verdict($new, 'X-Plan'), 'b', 'with the plan');

my $next = apigw('rotate', 'joe2', '--overlap', '0s', '--id', 'joe3');
is(verdict($new), 'expired', 'rotated at once');
is(verdict($next), 'joe3', 'the new one');

apigw('update', 'joe', '--expires', '2001-01-01');
is(verdict($key), 'expired', 'expired');

apigw('purge');
is(verdict($key), 'unknown', 'purged');
is(verdict($next), 'joe3', 'and the others not');

apigw('revoke', 'joe3');
is(verdict($next), 'unknown', 'revoked');


# keys made elsewhere

my $text = join "\n",
    encode_json({ key => 'made-elsewhere-0001', id => 'e1', consumer => 'e' }),
    encode_json({ sha256 => sha256_hex('made-elsewhere-0002'), id => 'e2',
                  consumer => 'e' });

apigw('import', { stdin => $text });
is(verdict('made-elsewhere-0001'), 'e1', 'imported in clear');
is(verdict('made-elsewhere-0002'), 'e2', 'imported as a digest');

apigw('import', '--format', 'csv', { stdin => <<'END' });
Name,key,description,Enabled,usageplanIds
First,apikey1234abcdefghij0123456789,An imported key,TRUE,c7y23b
Second,apikey1234abcdefghij9876543210,,FALSE,"c7y23b"
END

is(verdict('apikey1234abcdefghij0123456789', 'X-Plan'), 'c7y23b',
   'imported from CSV');
is(verdict('apikey1234abcdefghij9876543210'), 'disabled',
   'imported and not enabled');


# which keys were used

sub used {
    my ($id) = @_;

    return decode_json(apigw('show', '--json', $id))->{uses};
}

ok(wait_for(sub { (used('e1') // 0) == 1 }, 5), 'a use is known soon');
ok(wait_for(sub { (used('e2') // 0) == 1 }, 5), 'of each key');

verdict('made-elsewhere-0001') for 1 .. 3;
ok(wait_for(sub { used('e1') == 4 }, 5), 'and counted');

like(apigw('show', 'e1'), qr/^last used:    \d{4}-.*Z\nuses:         4$/m,
     'and shown');

my ($old, $unused) = map { encode_json({
    key => "not-used-for-long-$_", id => "old$_", consumer => 'o',
    created => '2020-01-01' }) } 1 .. 2;

apigw('import', { stdin => "$old\n$unused\n" });
is(verdict('not-used-for-long-1'), 'old1', 'one of two old keys is used');
ok(wait_for(sub { (used('old1') // 0) == 1 }, 5), 'its use is known');

my @ids = map { decode_json($_)->{id} }
          split /\n/, apigw('list', '--unused', '90d', '--json');
is("@ids", 'old2', 'the other one is not used');

apigw('revoke', 'old1');
apigw('create', '--id', 'old1', '--consumer', 'o');
is(used('old1'), undef, 'a new key with an old id was never used');


# many keys while the gateway serves: a million with APIGW_LONG=1, in less than
# a minute, which no worker and no reload notices

my $n = $ENV{APIGW_LONG} ? 1_000_000 : 20_000;
my $file = $gw->root . '/many.ndjson';

open my $out, '>', $file or die "$file: $!\n";
printf $out qq({"key":"many-keys-%010d","id":"m%d","consumer":"m%d",)
            . qq("plan":"a"}\n), $_, $_, $_ % 99
    for 1 .. $n;
close $out or die "$file: $!\n";

my @private = map { private($_) } $gw->workers;
my ($test, $reload) = (took(sub { $gw->test_config }),
                       took(sub { $gw->reload }));

my $wait = $gw->load_start(clients => 2, seconds => $ENV{APIGW_LONG} ? 45 : 4,
                           uri => '/',
                           headers => ['X-API-Key' => 'made-elsewhere-0001']);

my $took = took(sub { apigw('import', $file) });

my $load = $wait->();

is($load->{errors}, 0, 'an import under load: no request fails');
is_deeply([keys %{ $load->{status} }], [200], 'and all are accepted');
cmp_ok($load->{requests}, '>', 100, "$load->{requests} of them");
cmp_ok($took, '<', 60, sprintf '%d keys in %.1f seconds', $n, $took);

is(scalar(grep { verdict(sprintf 'many-keys-%010d', $_) ne "m$_" }
          1, 777, $n - 1, $n), 0, 'the keys are there');

if ($ENV{APIGW_LONG}) {
    for my $round (1 .. 10) {
        my $client = $gw->connect;

        $client->get('/', ['X-API-Key' => sprintf 'many-keys-%010d',
                                                  $round * 9000 + $_ * 7])
            for 1 .. 500;
    }

    my @now = map { private($_) } $gw->workers;
    my $more = (sort { $b <=> $a } @now)[0] - (sort { $a <=> $b } @private)[0];

    cmp_ok($more, '<', 4000, "a worker keeps $more KB more for itself");
    cmp_ok(took(sub { $gw->test_config }), '<', 2 * $test + 0.5,
           'nginx -t takes no longer');
    cmp_ok(took(sub { $gw->reload }), '<', 2 * $reload + 1,
           'nor does a reload');
}

done_testing;


sub took {
    my ($what) = @_;

    my $began = time;
    $what->();

    return time - $began;
}


# What a process has for itself, in KB.

sub private {
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/smaps_rollup" or return 0;

    my $sum = 0;
    m{^Private_Dirty:\s+(\d+)} and $sum += $1 while <$in>;

    return $sum;
}
