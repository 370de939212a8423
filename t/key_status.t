# What the zones of keys count, as the status shows it: every request once,
# under the reason of its refusal, whatever way it takes; the work of the
# helper, and its failures.

use strict;
use warnings;

use JSON::PP qw(decode_json);
use Test::More;

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    workers => 2,
    default_location => 0,
    http   => <<'END',
auth_api_key_zone zone=k:32k store=logs/k flush=100ms;
auth_api_key_zone zone=l:1m store=logs/l;
END
    server => <<'END',
auth_api_key_source header=X-API-Key query=key;

location / { auth_api_key zone=k; empty_gif; }
location /scope { auth_api_key zone=k; auth_api_key_require any=x; empty_gif; }
location /optional { auth_api_key zone=k optional; empty_gif; }
location /twice { auth_api_key zone=k; try_files /none /again; }
location /again { auth_api_key zone=k; empty_gif; }
location /page { auth_api_key zone=k; error_page 401 /again; empty_gif; }
location /two { auth_api_key zone=k; try_files /none /l; }
location /l { auth_api_key zone=l; empty_gif; }
location /any { satisfy any; allow all; auth_api_key zone=k; empty_gif; }
location /all { deny all; auth_api_key zone=k; empty_gif; }
location /log { set $x $api_key_id; empty_gif; }
location = /status { auth_api_key off; api_status; }
END
);

my $store = $gw->root . '/logs/k';


sub key {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', $store, @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


sub numbers {
    my ($zone) = @_;

    return decode_json($gw->get('/status')->body)->{zones}{key}{$zone};
}


my %last = (k => numbers('k'), l => numbers('l'));


# What a number of requests has added, all that is not about the helper.

sub counted {
    my ($name, $expect, $requests, @l) = @_;

    $requests->();

    for my $zone ('k', 'l') {
        my $now = numbers($zone);
        my %added = map { $_ => $now->{$_} - $last{$zone}{$_} }
                    grep { !/^flush/ && $now->{$_} != $last{$zone}{$_} }
                    keys %$now;

        $last{$zone} = $now;

        is_deeply(\%added, $zone eq 'k' ? $expect : $l[0] // {},
                  "$name: zone $zone");
    }
}


my %key = map {
    my ($id, @args) = @$_;
    $id => key('create', '--consumer', 'joe', '--id', $id, @args)
} ['good'], ['other'], ['decoy', '--decoy'], ['off', '--disabled'],
  ['early', '--not-before', '2099-01-01'], ['far', '--allow', '192.0.2.0/24'],
  ['old', '--expires', '2098-01-01'];

key('update', 'old', '--expires', '2001-01-01');


sub get {
    my ($uri, $id, $n) = @_;

    $gw->get($uri, [$id ? ('X-API-Key' => $key{$id}) : ()]) for 1 .. $n // 1;
}


counted('valid keys', { accepted => 20 }, sub { get('/', 'good', 20) });
counted('no keys', { missing => 3 }, sub { get('/', undef, 3) });
counted('what cannot be a key', { malformed => 2 }, sub {
    $gw->get('/', ['X-API-Key' => $_]) for 'short', $key{good} . 'x';
});
counted('two keys', { conflict => 1 },
        sub { get("/?key=$key{other}", 'good') });
counted('one key twice', { accepted => 1 },
        sub { get("/?key=$key{good}", 'good') });
counted('unknown keys', { unknown => 4 }, sub {
    $gw->get('/', ['X-API-Key' => 'x' x (20 + $_)]) for 1 .. 4;
});
counted('a decoy', { decoy => 2 }, sub { get('/', 'decoy', 2) });
counted('a disabled key', { disabled => 1 }, sub { get('/', 'off') });
counted('an early key', { early => 1 }, sub { get('/', 'early') });
counted('an expired key', { expired => 2 }, sub { get('/', 'old', 2) });
counted('another address', { address => 1 }, sub { get('/', 'far') });
counted('a scope that is missing', { scope => 2 },
        sub { get('/scope', 'good', 2) });

counted('optional', { accepted => 1, missing => 1, disabled => 1 }, sub {
    get('/optional', $_) for 'good', undef, 'off';
});
counted('an internal redirect', { accepted => 1 },
        sub { get('/twice', 'good') });
counted('a page for a refusal', { missing => 1 }, sub { get('/page') });
counted('into another zone', { accepted => 1 }, sub { get('/two', 'good') },
        { unknown => 1 });
counted('passed by another module', {}, sub { get('/any') });
counted('refused by another module', {}, sub { get('/all', 'good') });
counted('a variable alone, where no zone is', {}, sub { get('/log', 'good') });

counted('over reloads', { accepted => 4 }, sub {
    for (1 .. 2) {
        get('/', 'good', 2);
        $gw->reload;
    }
});


# The helper

my $flushes = numbers('k')->{flushes};

get('/', 'good');
ok(wait_for(sub { numbers('k')->{flushes} > $flushes }, 5), 'flushes');
is(numbers('k')->{flush_errors}, 0, 'none has failed');

rename "$store/used", "$store.used" or die "rename: $!\n";
open my $file, '>', "$store/used" or die "$store/used: $!\n";
get('/', 'good');
ok(wait_for(sub { numbers('k')->{flush_errors} > 0 }, 5), 'a flush fails');
unlink "$store/used";
rename "$store.used", "$store/used" or die "rename: $!\n";

$last{k} = numbers('k');


# A zone that is full, and a store that is gone

my ($status, $out, $err) = cli($gw, 'key', 'import', '--store', $store,
    { stdin => join '', map { qq({"key":"elsewhere-$_","consumer":"many"}\n) }
                        100_000 .. 100_299 });
is($status, 0, 'many keys') or diag $err;

$gw->reload(http   => 'auth_api_key_zone zone=small:32k store=logs/k flush=1h;',
            server => <<'END');
location / { auth_api_key zone=small; empty_gif; }
location = /status { api_status; }
END

my $client = $gw->connect;
$client->get('/', ['X-API-Key' => "elsewhere-$_"]) for 100_000 .. 100_299;

my $small = numbers('small');

is($small->{accepted}, 300, 'a full zone: all are accepted');
ok($small->{uncounted} > 50 && $small->{uncounted} < 300,
   "a full zone: $small->{uncounted} uses have no place");

rename $store, "$store.away" or die "rename: $!\n";
ok(wait_for(sub { get('/', 'good'); numbers('small')->{unavailable} > 0 }, 5),
   'a store that is gone: unavailable');
rename "$store.away", $store or die "rename: $!\n";

done_testing;
