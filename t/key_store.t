# A store that is missing, unreadable, cut short, garbage or another's: 503
# with a clear line a minute at most, and back to work when it is back.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    default_location => 0,
    http    => <<'END',
auth_api_key_zone zone=k:1m store=logs/k flush=200ms;
auth_api_key_zone zone=l:1m store=logs/l;
END
    server  => <<'END',
add_header X-Status "$api_key_status" always;
location / { auth_api_key zone=k; empty_gif; }
location /other { auth_api_key zone=l; empty_gif; }
location /free { empty_gif; }
END
);

my $root = $gw->root . '/logs';
my $store = "$root/k";


sub key {
    my ($verb, $dir, @args) = @_;

    my ($status, $out, $err) = cli($gw, 'key', $verb, '--store', "$root/$dir",
                                   @args);

    die "apigw key $verb: $err" if $status;

    return $out =~ s/\n\z//r;
}


my $key;


sub status {
    my $given = shift // $key // 'x' x 20;

    return $gw->get('/', ['X-API-Key' => $given])->header('X-Status');
}


sub becomes {
    my ($status, $name, @key) = @_;

    ok(wait_for(sub { status(@key) eq $status }, 5), "$name: $status");
}


is(status(), 'unknown', 'nobody has made a key');
$key = key('create', 'k', '--consumer', 'joe', '--id', 'joe');
is(status(), 'ok', 'a key');

my $other = key('create', 'l', '--consumer', 'joe');
my @other = ('X-API-Key' => $other);

# the rest of the keys, so that the file has pages to lose

my ($code, $out, $err) = cli($gw, 'key', 'import', '--store', $store,
    { stdin => join '', map { sprintf qq({"key":"elsewhere-%016d",)
                              . qq("id":"e%d","consumer":"many"}\n), $_, $_ }
                        1 .. 2000 });
is($code, 0, 'import') or diag $err;

# by a copy, since LMDB changes the file in place

sub save { copy("$store/data.mdb", "$root/saved") or die "copy: $!\n" }

sub restore {
    copy("$root/saved", "$store/new") or die "copy: $!\n";
    same_owner("$store/new");
    chmod 0600, "$store/new";
    rename "$store/new", "$store/data.mdb" or die "rename: $!\n";
}


sub overwrite {
    open my $from, '<:raw', "$root/saved" or die "saved: $!\n";
    open my $to, '+<:raw', "$store/data.mdb" or die "data.mdb: $!\n";
    my $data = do { local $/; <$from> };

    syswrite($to, $data) == length $data or die "data.mdb: $!\n";
}


sub same_owner {
    chown((stat $store)[4, 5], $_[0]) if $> == 0;
}


save();


# The directory goes and comes back

rename $store, "$store.away" or die;
becomes('unavailable', 'the directory is missing');

my $answer = $gw->get('/', ['X-API-Key' => $key]);
is($answer->status, 503, 'refused with 503');
is($answer->header('Retry-After'), 1, 'Retry-After');
is($answer->header('Content-Type'), 'application/problem+json', 'problem');
like($answer->body, qr/"detail":"API keys cannot be checked at the moment."/,
     'detail');

is($gw->get('/')->status, 401, 'no key is still 401');
is($gw->get('/other', [@other])->status, 200, 'other zones go on');
is($gw->get('/free')->status, 200, 'other locations go on');
like($gw->error_log,
     qr/\[error\] .*cannot read the store of keys "\Q$store\E": No such file/,
     'logged');

sleep 1.1;
status();
is(() = $gw->error_log =~ /cannot read the store of keys/g, 1, 'once');

rename "$store.away", $store or die;
becomes('ok', 'the directory is back');
like($gw->error_log,
     qr/\[notice\] .*store of keys "\Q$store\E" is readable again/, 'logged');


# A store put back from a copy is read, and written to

key('create', 'k', '--consumer', 'joe', '--id', 'after');
restore();
becomes('ok', 'put back');
key('disable', 'k', 'joe');
becomes('disabled', 'a change after it was put back');
restore();
becomes('ok', 'put back again');


# The lock file beside it tells of the file that was there: of which state of
# the copy, then, depends on how many changes came after it.  What was revoked
# when it was made never comes back, neither here nor there.

my $revoked = key('create', 'k', '--consumer', 'joe', '--id', 'revoked');

key('revoke', 'k', 'revoked');
save();

for my $changes (1 .. 2) {
    for my $how ('renamed', 'copied') {
        my $name = "$changes changes, $how";

        key('update', 'k', 'joe', '--plan', "p$_") for 1 .. $changes;
        is(status(), 'ok', "$name: before");

        $how eq 'renamed' ? restore() : overwrite();

        my @found = cli($gw, 'key', 'show', '--store', $store, 'revoked');
        is($found[0], 1, "$name: the command has no such key");
        key('disable', 'k', 'e1');

        becomes('unknown', "$name: revoked", $revoked);
        becomes('disabled', "$name: changed", 'elsewhere-0000000000000001');
        becomes('ok', "$name: not changed", 'elsewhere-0000000000000002');
    }
}

key('update', 'k', 'joe', '--plan', 'p');
overwrite();
becomes('unknown', 'nobody looks at it before: revoked', $revoked);
becomes('ok', 'nobody looks at it before: others');


# Cut short while it is in use: seen within a second, and at once when a key is
# looked up that is not cached

for my $size (0, 8192) {
    truncate "$store/data.mdb", $size or die;

    if ($size > 4096) {
        is($gw->get('/', ['X-API-Key' => "elsewhere-00000000000000$size"])
              ->status, 503, "cut to $size bytes: another key");
    }

    sleep 1.1;
    is(status(), 'unavailable', "cut to $size bytes");
    restore();
    becomes('ok', "cut to $size bytes: put back");
}


# The data file alone is gone: not a new store

unlink "$store/data.mdb";
becomes('unavailable', 'no data file');
sleep 1.1;
is(status(), 'unavailable', 'no data file: no new one is made');
restore();
becomes('ok', 'no data file: put back');


# Not a store at all

for my $text ('garbage' x 10000) {
    open my $file, '>', "$store/new" or die;
    print $file $text;
    close $file;
    same_owner("$store/new");
    rename "$store/new", "$store/data.mdb" or die;
    becomes('unavailable', 'garbage');
    restore();
    becomes('ok', 'garbage: put back');
}


# A store of another kind, or of a later version: that of another environment

copy("$store/used/data.mdb", "$store/new") or die "used: $!\n";
same_owner("$store/new");
rename "$store/new", "$store/data.mdb" or die;
becomes('unavailable', 'another kind');
restore();
becomes('ok', 'another kind: put back');


# Uses that cannot be written are kept and written later

ok(wait_for(sub { -e "$store/used/data.mdb" }, 5), 'uses are written');

my $before = uses();

rename "$store/used", "$root/used" or die;
open my $file, '>', "$store/used" or die;
close $file;

status() for 1 .. 3;
ok($gw->wait_log(qr/cannot write the uses of keys to "\S+used"/), 'logged');
unlink "$store/used";
rename "$root/used", "$store/used" or die;

ok(wait_for(sub { uses() >= $before + 3 }, 5), 'written later');

$gw->stop;

is(() = $gw->error_log =~ /exited on signal/g, 0, 'no process died');


# Workers that may not read the store

SKIP: {
    skip 'root only', 7 if $> != 0;

    $ENV{TEST_NGINX_WORKER_USER} = 'nobody nogroup';

    for (my $dir = $gw->root; $dir ne '/'; $dir = dirname($dir)) {
        skip "nobody may not enter $dir", 7 if !((stat $dir)[2] & 01);
    }

    my $other = Apigw::Scenario->start(
        default_location => 0,
        http   => 'auth_api_key_zone zone=k:1m store=logs/k;',
        server => <<'END',
add_header X-Status "$api_key_status" always;
location / { auth_api_key zone=k; empty_gif; }
END
    );

    $gw = $other;
    $root = $gw->root . '/logs';
    $store = "$root/k";

    $key = key('create', 'k', '--consumer', 'joe');

    is((stat "$store/data.mdb")[4], (getpwnam('nobody'))[2],
       'root leaves the store to the owner of the directory');
    becomes('ok', 'another user');

    chmod 0000, "$store/data.mdb";
    $gw->reload;
    becomes('unavailable', 'not readable');
    like($gw->error_log, qr/"\Q$store\E": Permission denied/, 'logged');
    chmod 0600, "$store/data.mdb";
    becomes('ok', 'readable again');

    chmod 0000, "$store/lock.mdb";
    $gw->reload;
    becomes('unavailable', 'the lock is not theirs');
    chmod 0600, "$store/lock.mdb";
    becomes('ok', 'theirs again');
    $gw->stop;
}

done_testing;


sub uses {
    return key('show', 'k', 'joe', '--json') =~ /"uses":\s*(\d+)/ ? $1 : 0;
}
