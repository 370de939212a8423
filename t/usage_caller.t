# Who calls is told by other modules: limits that a key's record has in place of
# those of its plan, and a consumer that auth_request names.

use strict;
use warnings;

use FindBin;
use Test::More;
use Time::HiRes qw(sleep);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    modules => ['key', 'usage'],
    http    => <<'END',
auth_api_key_zone zone=keys:64k store=logs/keys;
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan gold { rate 1000r/s burst=1000; quota 2 per=month; }
api_plan apis { quota 3 per=day; api search { quota 1 per=hour; } }
api_plan n3 { quota 3 per=lifetime; }
api_plan own { rate 100r/s burst=50; quota 7 per=day; quota 70 per=month; }
END
    server  => <<'END',
add_header X-Limits "$api_key_rate $api_key_burst $api_key_quota" always;
location /key {
    auth_api_key zone=keys;
    api_usage zone=usage plan=$api_key_plan consumer=$api_key_consumer
              key=$api_key_id rate=$api_key_rate burst=$api_key_burst
              quota=$api_key_quota;
    empty_gif;
}
location /own {
    api_usage zone=usage plan=own consumer=$arg_c rate=$arg_r burst=$arg_b
              quota=$arg_q;
    empty_gif;
}
location /api {
    api_usage zone=usage plan=apis consumer=$arg_c api=$arg_a;
    empty_gif;
}
location /asked {
    auth_request /who;
    auth_request_set $who $upstream_http_x_who;
    api_usage zone=usage plan=n3 consumer=$who;
    empty_gif;
}
location = /who {
    internal;
    proxy_pass http://127.0.0.1:$server_port/answer;
    proxy_pass_request_body off;
}
location = /answer {
    add_header X-Who $http_x_c always;
    if ($http_x_c = "nobody") { return 403; }
    empty_gif;
}
END
);

my $store = $gw->root . '/logs/keys';

sub key_of {
    my ($consumer, @fields) = @_;

    my ($status, $out, $err) = cli('key', 'create', '--store', $store,
                                   '--consumer', $consumer, '--plan', 'gold',
                                   @fields);
    is($status, 0, "a key of $consumer") or diag($err);
    chomp $out;

    return $out;
}

sub get { return $gw->get('/key', 'X-API-Key' => $_[0]) }

sub codes { return join ' ', map { get($_[0])->code } 1 .. $_[1] }


my $plain = key_of('plain');
is(codes($plain, 3), '200 200 429', 'a key without limits: those of the plan');

my $rate = key_of('rate', '--rate', '1r/s', '--burst', '2');
like(get($rate)->header('X-Limits'), qr{^1r/s 2\s*$},
     'a rate, as the key has it');
like(get($rate)->header('RateLimit-Policy'), qr/^"rate";q=2;w=2, "month";q=2;/,
     'and as the plan applies it');

my $quota = key_of('quota', '--quota', '4/month', '--quota', '3/day');
my $answer = get($quota);
like($answer->header('X-Limits'), qr{^\s*3/day,4/month$},
     'quotas, as the key has them');
like($answer->header('RateLimit-Policy'),
     qr/^"rate";q=1000;w=1, "month";q=4;w=\d+, "day";q=3;w=86400$/,
     'and as the plan applies them: one replaced, one added');
is(codes($quota, 3), '200 200 429', 'they hold');
like(get($quota)->body, qr/"violated-policies":\["day"\]/, 'the day');

my ($id) = (cli('key', 'list', '--store', $store, '--consumer', 'quota',
                '--json'))[1] =~ /"id":"([^"]+)"/;
is((cli('key', 'update', '--store', $store, '--quota', '4/month', '--quota',
        '9/day', $id))[0], 0, 'the key gets more');
is(codes($quota, 2), '200 429', 'which holds for what was counted before');


# What applies of limits of the consumer's own: rate, burst, quota; the policies
# of rate, day, month, hour; what the log names

my $own = 0;

for my $case (
    ['',           '',    '',             '50/1 7 70'],
    ['200r/s',     '',    '',             '50/1 7 70'],
    ['10r/s',      '',    '',             '50/5 7 70'],
    ['100000r/s',  '',    '',             '100/1 7 70'],
    ['1r/d',       '9',   '',             '9/777600 7 70'],
    ['unlimited',  '',    '',             '- 7 70'],
    ['',           '5',   '',             '5/1 7 70'],
    ['2000000r/s', '',    '1/day',        '50/1 1 70', 'rate'],
    ['5',          '4',   '',             '4/1 7 70', 'rate'],
    ['10r/s',      '0',   '',             '50/5 7 70', 'burst'],
    ['10r/s',      'x',   '2/day',        '50/5 2 70', 'burst'],
    ['1r/d',       '9999', '',            '50/4320000 7 70', 'burst'],
    ['',           '',    '0/day',        '50/1 7 70', 'quota "0/day"'],
    ['',           '',    '0/day,5/month', '50/1 7 5', 'quota "0/day"'],
    ['',           '',    '5/month,6/year,4/hour', '50/1 7 5 4',
     'quota "6/year"'],
    ['',           '',    '5/month,',     '50/1 7 5', 'quota ""'],
    ['',           '',    ',,3/day',      '50/1 3 70', 'quota ""'],
    ['-1r/s',      '-1',  '-1/day',       '50/1 7 70', 'rate'],
) {
    my ($r, $b, $q, $expected) = @$case;
    my $policy = $gw->get("/own?c=own" . $own++ . "&r=$r&b=$b&q=$q")
                 ->header('RateLimit-Policy');
    my %q = $policy =~ /"(\w+)";q=(\d+)/g;
    my ($w) = $policy =~ /"rate";q=\d+;w=(\d+)/;

    is(join(' ', $q{rate} ? "$q{rate}/$w" : '-', @q{qw(day month)},
            $q{hour} // ()),
       $expected, "limits of the consumer's own: $r|$b|$q");
}

my @invalid = $gw->error_log
              =~ /usage: invalid (.*), that of the plan applies/g;
is_deeply(\@invalid, ['rate "2000000r/s" of consumer "own7"'],
          'the first invalid one is logged, and none for a minute');


# The log tells whose limit refused

$gw->get("/api?c=logged&a=$_") for 'search', 'search', 'other', 'other',
    'other';
my %refusals = map { $_ => 1 }
               $gw->error_log =~ /usage: (\S+ .*?plan "apis".*?), client/g;
is_deeply([sort keys %refusals],
          ['quota per day of plan "apis" exceeded by "logged"',
           'quota per hour of plan "apis" for the API "search" exceeded by'
           . ' "logged"'],
          'whose quota was exceeded');


# auth_request

is($gw->get('/asked', 'X-C' => 'nobody')->code, 403, 'auth_request refuses');
is(join(' ', map { $gw->get('/asked', 'X-C' => 'ann')->code } 1 .. 4),
   '200 200 200 429', 'auth_request names a consumer, charged once');
is($gw->get('/asked', 'X-C' => 'joe')->code, 200, 'and another one');

sleep 0.4;
my ($report) = (cli('usage', 'report', '--store', $gw->root . '/logs/usage',
                    '--csv', '--detail', '--consumer', 'quota'))[1];
like($report, qr/^[-\d]+,quota,\Q$id\E,gold,,,4,/m, 'the ledger has the key');

done_testing;
