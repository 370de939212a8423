# What "apigw token revoke" says holds from the next request on, in all
# workers, for tokens that were seen before and others, until it is taken back;
# what cannot be looked up is refused.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Scenario;
use Apigw::Token qw(jwks);

my $key = Apigw::Token->new('ES256', kid => 'one');
my $other = Apigw::Token->new('ES256', kid => 'two');
my $nameless = Apigw::Token->new('HS256');

my %conf = (
    default_location => 0,
    workers => 2,
    files => { 'conf/keys.json' => jwks($key, $other, $nameless) },
    http => <<'END',
auth_jwt_zone zone=jwt:1m store=%%ROOT%%/logs/jwt;
auth_jwt_key_file keys.json;
END
    server => <<'END',
add_header X-Status $jwt_status always;
location = /cached { auth_jwt r; auth_jwt_cache zone=jwt; empty_gif; }
location = /plain  { auth_jwt r; empty_gif; }
location = /status { api_status; }
END
);

my $gw = Apigw::Scenario->start(%conf);
my @store = ('--store', $gw->root . '/logs/jwt');


sub token {
    my ($signer, %claims) = @_;

    return $signer->sign({ exp => time + 3600, %claims });
}


my %token = (
    joe      => token($key, sub => 'joe', jti => 'j1'),
    joes     => token($key, sub => 'joe', jti => 'j2'),
    ann      => token($other, sub => 'ann', jti => 'j3'),
    nobody   => token($key),
    nameless => token($nameless, sub => 'x'),
    crossed  => token($key, sub => 'j1', jti => 'joe'),
    silent   => $other->sign({ exp => time + 3600 }, { kid => undef }),
);


# "name status": of some requests, on connections of their own

sub asked {
    my ($name, $uri) = @_;

    my %seen;

    for (1 .. 4) {
        my $answer = $gw->get($uri, { Authorization =>
                                      "Bearer $token{$name}" });

        $seen{$answer->code . ' '
              . ($answer->header('X-Status') // '-')}++;
    }

    return join ', ', sort keys %seen;
}


# who of them all is refused

sub revoked {
    my %by;

    for my $uri ('/cached', '/plain') {
        for my $name (sort keys %token) {
            my $said = asked($name, $uri);

            next if $said eq '200 ok';
            $said = "$name: $said" if $said ne '401 revoked';

            push @{$by{$uri}}, $said eq '401 revoked' ? $name : $said;
        }
    }

    my ($cached, $plain) = map { join ' ', @{$by{$_} // []} }
                           '/cached', '/plain';

    return $cached eq $plain ? $cached : "cached: $cached, plain: $plain";
}


sub apigw {
    my ($verb, @args) = @_;

    my ($status, $out, $err) = cli('token', $verb, @args, @store);

    is($status, 0, "apigw token $verb @args") or diag($err);
}


is(asked('joe', '/plain') =~ s/200 \K-/ok/r, '200 ok', 'a token');
is(revoked(), '', 'nothing is revoked');

apigw('revoke', '--jti', 'j1');
is(revoked(), 'joe', 'one token');

my $answer = $gw->get('/plain', { Authorization => "Bearer $token{joe}" });
like($answer->header('WWW-Authenticate'), qr/error="invalid_token"/,
     'WWW-Authenticate');

apigw('revoke', '--sub', 'joe');
is(revoked(), 'joe joes', 'all tokens of a subject');

apigw('revoke', '--kid', 'two');
is(revoked(), 'ann joe joes silent',
   'all tokens of a key, those too that do not say so');

apigw('unrevoke', '--sub', 'joe', '--kid', 'two');
is(revoked(), 'joe', 'taken back');

apigw('revoke', '--sub', 'ann', '--until', '2s');
is(revoked(), 'ann joe', 'for some time');

{
    my ($n) = $gw->get('/status?format=prometheus')->body
              =~ /^apigw_jwt_revoked_total\{[^}]*\} (\d+)/m;

    SKIP: {
        skip 'no status module', 1 if !defined $n;
        cmp_ok($n, '>=', 16, 'they are counted');
    }
}


# Under load: not one request is accepted that came afterwards.

my $load = $gw->load_start(clients => 3, seconds => 1.2, uri => '/cached',
                           keepalive => 1,
                           headers => { Authorization =>
                                        "Bearer $token{nobody}" });
my $bad = 0;

for my $n (1 .. 12) {
    my $name = "load$n";
    $token{$name} = token($key, jti => $name);

    my @get = ('/cached', { Authorization => "Bearer $token{$name}" });

    $bad += $gw->get(@get)->code != 200 for 1 .. 2;
    $bad += (cli('token', 'revoke', '--jti', $name, @store))[0] != 0;
    $bad += $gw->get(@get)->code != 401 for 1 .. 4;

    delete $token{$name};
}

is($bad, 0, 'revoked under load, at the next request');

my $result = $load->();
is_deeply([ keys %{$result->{status}} ], [ 200 ], 'others noticed nothing');
is($result->{errors}, 0, 'no request failed');

ok(wait_for(sub { revoked() eq 'joe' }, 5), 'what was for some time is over');


# Over reload, restart and kill -9

$gw->reload;
is(revoked(), 'joe', 'after a reload');

$gw->kill_worker(($gw->workers)[0]);
is(revoked(), 'joe', 'after the death of a worker');

$gw->kill_master(signal => 'KILL');
$gw->start;
is(revoked(), 'joe', 'after kill -9 of all');


# A store that cannot be read refuses, and tells why once a minute.

my $store = $gw->root . '/logs/jwt';

rename "$store/data.mdb", "$store/away" or die "rename: $!\n";

ok(wait_for(sub { asked('ann', '/cached') eq '503 unavailable' }, 4),
   'without the store nobody is let in: seen before');
is(asked('ann', '/plain'), '503 unavailable', 'nor others');
is(scalar(my @lines = $gw->grep_log(qr/the store ".*" cannot be/)), 1,
   'one line in the log');

rename "$store/away", "$store/data.mdb" or die "rename: $!\n";

ok(wait_for(sub { revoked() eq 'joe' }, 4), 'it is back');
ok($gw->wait_log(qr/the store ".*" is readable again/), 'which is logged');
$gw->stop;


# A file with the same number of transactions is another one all the same.

sub has_put {
    my ($name) = @_;

    rename "$store/$name", "$store/data.mdb" or die "rename: $!\n";

    return wait_for(sub { revoked() ne 'joe' }, 4);
}

sub copied {
    my ($name) = @_;

    system('cp', '-p', "$store/data.mdb", "$store/$name") == 0
        or die "cp: $?\n";
}

$gw->start;
copied('gold');
apigw('revoke', '--sub', 'ann');
copied('ann');
copied('cut');
$gw->stop;
rename "$store/gold", "$store/data.mdb" or die "rename: $!\n";
apigw('revoke', '--kid', 'none');
copied('gold');
$gw->start;
is(revoked(), 'joe', 'a store');
ok(has_put('ann'), 'another one in its place');
is(revoked(), 'ann joe', 'is heard in all workers');

# cut short while it is open: nothing is found there any more, by nobody

my $size = -s "$store/data.mdb";
truncate "$store/data.mdb", $size / 2 or die "truncate: $!\n";
my %said = map { $_ => 1 } map { asked($_, '/cached'), asked($_, '/plain') }
           ('ann', 'joe') x 3;
delete @said{'401 revoked', '503 unavailable'};
is(join('; ', %said), '', 'half a file lets nobody in');
ok(wait_for(sub { asked('nobody', '/cached') eq '503 unavailable' }, 4),
   'nor others');
rename "$store/cut", "$store/data.mdb" or die "rename: $!\n";
ok(wait_for(sub { revoked() eq 'ann joe' }, 4), 'put back');
rename "$store/gold", "$store/data.mdb" or die "rename: $!\n";
ok(wait_for(sub { revoked() eq 'joe' }, 4), 'and the first one');
$gw->stop;


# What is empty but had data was lost, and stays so until there is data again.

sub lose {
    my @owner = (stat $store)[4, 5];

    rename $store, "$store.gone" or die "rename: $!\n";
    mkdir $store or die "mkdir: $!\n";
    chown @owner, $store or die "chown: $!\n";
}

sub all_are {
    my ($expected) = @_;

    return wait_for(sub {
        join(',', map { asked('ann', $_) } '/cached', '/plain')
        eq "$expected,$expected";
    }, 4);
}

my $lost = qr/the store ".*" cannot be read: it is empty, but had data/;

$gw->start;
is(revoked(), 'joe', 'before the store is lost');
lose();
ok(all_are('503 unavailable'), 'an empty one in its place is not believed');
sleep 1.1;
is(asked($_, '/cached'), '503 unavailable', "nor later: $_") for 'ann', 'joe';
is(asked('nobody', '/plain'), '503 unavailable', 'nor by one never seen');
is(scalar(my @said = $gw->grep_log($lost)), 1, 'said once a minute');

is((cli(qw(token revocations), @store))[1] =~ tr/\n//, 1, 'a look at it');
is(asked('ann', '/plain'), '503 unavailable', 'changes nothing');

$gw->reload;
sleep 1.1;
is(asked($_, '/plain'), '503 unavailable', "nor after a reload: $_")
    for 'ann', 'joe';

apigw('revoke', '--sub', 'ann');
ok(wait_for(sub { revoked() eq 'ann' }, 4), 'until there is data again');

system('rm', '-r', $store) == 0 or die "rm: $?\n";
rename "$store.gone", $store or die "rename: $!\n";
ok(wait_for(sub { revoked() eq 'joe' }, 4), 'or it is put back');

lose();
ok(all_are('503 unavailable'), 'it is lost again');
$gw->stop;
$gw->start;
ok(all_are('200 ok'), 'to begin anew, nginx is restarted');
apigw('revoke', '--sub', 'ann');
is(revoked(), 'ann', 'a new one');
$gw->stop;


# Without a store there is nothing to be revoked by; without a master all is
# the same.

delete @token{grep { $_ ne 'joe' && $_ ne 'ann' } keys %token};

$gw = Apigw::Scenario->start(%conf, http => $conf{http} =~ s/ store=\S+;/;/r);
is(revoked(), '', 'without a store');
$gw->stop;

$gw = Apigw::Scenario->start(%conf, master => 0, workers => 1);
@store = ('--store', $gw->root . '/logs/jwt');
is(revoked(), '', 'without a master: not yet');
apigw('revoke', '--sub', 'ann');
is(revoked(), 'ann', 'without a master');
apigw('unrevoke', '--sub', 'ann');
is(revoked(), '', 'without a master: taken back');

done_testing;
