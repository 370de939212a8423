# What "apigw usage" says and accepts: quotas shown, granted and reset, the
# audit of that, wrong command lines; files of days that are over.

use strict;
use warnings;

use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

# not over midnight

sleep 1 while time % 86400 > 86340;

my $gw = Apigw::Scenario->start(
    http   => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan n3 { quota 3 per=lifetime; quota 100 per=day; }
api_plan q {
    family fam;
    quota  10 per=month;
    api    orders { quota 5 per=day; }
}
api_plan open { quota unlimited per=day; }
END
    server => <<'END',
location /u {
    api_usage zone=usage plan=$arg_p consumer=$arg_c api=$arg_a cost=$arg_n;
    empty_gif;
}
END
);

my $store = $gw->root . '/logs/usage';

sub usage { return cli('usage', shift, '--store', $store, @_) }

sub json {
    my ($status, $out, $err) = usage(@_);

    diag($err) if $err;

    return map { decode_json($_) } split /\n/, $out;
}

sub refused {
    my ($name, $expected, $re, @args) = @_;

    my ($status, $out, $err) = usage(@args);

    is("$status|$out", "$expected|", "$name: refused");
    like($err, $re, "$name: message");
}


$gw->get("/u?$_") for qw(p=n3&c=acme p=n3&c=acme p=q&c=acme&a=orders&n=4
                         p=open&c=free&n=7);

# what was counted is in the store

for (['acme', '2 2 4 4'], ['free', '7']) {
    my ($consumer, $used) = @$_;
    my $found;

    wait_for {
        my ($status, $out) = usage('show', '--json', $consumer);
        $found = join ' ', sort map { decode_json($_)->{used} }
                                    split /\n/, $out;
        $found eq $used;
    };
    is($found, $used, "counted: $consumer");
}


# Shown

my %quota = map { ("$_->{family} $_->{per}" => $_) } json('show', '--json',
                                                          'acme');
my $day = $quota{'n3 day'};

is_deeply($quota{'n3 lifetime'},
          { family => 'n3', per => 'lifetime', used => 2, limit => 3,
            granted => 0, remaining => 1, shadow => 0 }, 'show: lifetime');
is_deeply($quota{'fam/orders day'},
          { family => 'fam/orders', api => 'orders', per => 'day',
            start => $day->{start}, end => $day->{end}, used => 4, limit => 5,
            granted => 0, remaining => 1, shadow => 0 }, 'show: of an API');
is_deeply([map { [@$_{qw(used limit remaining)}] } json('show', '--json',
                                                        'free')],
          [[7, undef, undef]], 'show: without a limit');
like((usage('show', 'acme'))[1],
     qr{^FAMILY +PER .*^fam/orders +day +4 +5 +1 +0 }ms, 'show: table');


# Arguments of which one is wrong are named

refused('a date', 2, qr/--to: "x" is not a date like 2026-01-31/, 'report',
        '--to', 'x');
refused('another', 2, qr/--from: "2026-02-30" is not a date /, 'report',
        '--from', '2026-02-30');
refused('two dates', 2,
        qr/--from \(2026-02-02\) is after --to \(2026-02-01\)/, 'report',
        '--from', '2026-02-02', '--to', '2026-02-01');
refused('a sum', 2, qr/--by is "day" or "month", not "week"/, 'report',
        '--by', 'week');
refused('a period', 2, qr/--per is hour, .*, not "year"/, 'reset', '--per',
        'year', 'acme');


# Granted and reset: which counter it was is told and kept

refused('several', 2,
        qr/ 2 such counters, .*--since: n3 per day from \Q$day->{start}\E, n3/,
        'grant', '--family', 'n3', 'acme', '+1');
refused('the name of a plan that has a family', 1,
        qr/no such counter; it has: .*\bfam per month from \d{4}-/,
        'grant', '--plan', 'q', 'acme', '+1');
refused('no window of this kind', 1, qr/"free" has no such counter; it has: /,
        'reset', '--per', 'week', 'free');

is((usage('grant', '--family', 'fam/orders', 'acme', '+2'))[1],
   "granted 2 units to acme, family fam/orders, per day\n", 'grant');
is((usage('grant', '--plan', 'fam/orders', 'acme', '+3'))[0], 0,
   'grant: once more, as --plan');
is((usage('reset', '--per', 'lifetime', 'acme'))[1],
   "reset 2 units of acme, family n3, per lifetime\n", 'reset');

my @audit = json('audit');
my @who = map { [delete @$_{qw(user uid)}] } @audit;

is_deeply([grep { $_->[0] ne getpwuid($<) || $_->[1] != $< } @who], [],
          'audit: who');
is_deeply([grep { !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ }
           map { delete $_->{time} } @audit], [], 'audit: when');

my %orders = (action => 'grant', consumer => 'acme', family => 'fam/orders',
              api => 'orders', per => 'day', start => $day->{start},
              end => $day->{end});

is_deeply(\@audit, [
    { %orders, units => 2, granted_before => 0, granted => 2 },
    { %orders, units => 3, granted_before => 2, granted => 5 },
    { action => 'reset', consumer => 'acme', family => 'n3',
      per => 'lifetime', units => 2, used_before => 2, used => 0 },
], 'audit: which counter, before and after');



# Files of days: there are none yet, which is not the same as that they are
# lost

my $dir = $gw->root . '/export_temp';
mkdir $dir or die "$dir: $!";

sub verify { return cli('usage', 'verify', '--dir', $dir) }

is((verify())[0], 1, 'verify: before an export');
like((verify())[2], qr/chain" is missing: it was lost, or nothing was ever/,
     'verify: before an export: message');

is_deeply([usage('export', '--dir', $dir)], [0, '', ''], 'export: no day')
    for 1, 2;
is_deeply([verify()], [0, '', "apigw: no day was exported yet\n"],
          'verify: no day');

my $file = "$dir/usage-2026-01-31.ndjson";

open my $out, '>', $file or die "$file: $!";
close $out;

for (['export', usage('export', '--dir', $dir)], ['verify', verify()]) {
    is($_->[1], 1, "$_->[0]: a file that the chain does not know");
    like($_->[3], qr/"\Q$file\E" is not in the chain, which has no day yet/,
         "$_->[0]: and says so");
}

unlink $file, "$dir/chain";
is((verify())[0], 1, 'verify: all was lost');

done_testing;
