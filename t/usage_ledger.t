# The ledger has every admitted request exactly once, with its status, units,
# bytes and names; over restarts, reloads, evictions and killed processes.  The
# apigw command reports it, shows and changes quotas, exports and verifies.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Fcntl qw(:flock);
use File::Path qw(make_path);
use FindBin;
use JSON::PP qw(decode_json);
use POSIX qw(mkfifo strftime);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

sleep 1 while time % 86400 > 86300;

my $gw = Apigw::Scenario->start(
    workers => 2,
    http    => <<'END',
api_usage_zone zone=usage:256k store=logs/usage flush=100ms;
api_plan p { quota 100 per=lifetime overage=unlimited; }
api_plan n3 { quota 3 per=lifetime; quota 100 per=day; }
api_plan n50 { quota 50 per=lifetime; }
api_plan slow { rate 1r/h burst=2; }
api_plan big { quota 1000000 per=month; }
END
    server  => <<'END',
location /u {
    api_usage zone=usage plan=$arg_p consumer=$arg_c key=$arg_k api=$arg_a
              version=$arg_v cost=$arg_n;
    empty_gif;
}
location /u/404 {
    api_usage zone=usage plan=$arg_p consumer=$arg_c;
    root html;
}
location /u/500 {
    api_usage zone=usage plan=$arg_p consumer=$arg_c;
    proxy_pass http://127.0.0.1:1;
}
END
);

my $store = $gw->root . '/logs/usage';

sub report {
    my (@args) = @_;

    my ($status, $out, $err) = cli('usage', 'report', '--store', $store,
                                   '--json', @args);

    is($status, 0, "report @args") or diag($err);

    return map { decode_json($_) } split /\n/, $out;
}

sub charge {
    my ($n, $uri) = @_;

    my $client = $gw->connect;
    $client->get($uri) for 1 .. $n;
}

# the report once it has what was counted

sub wait_report {
    my ($field, $value, @args) = @_;

    my @rows;

    wait_for {
        my ($status, $out) = cli('usage', 'report', '--store', $store,
                                 '--json', @args);
        @rows = map { decode_json($_) } split /\n/, $out;
        @rows && $rows[0]{$field} == $value;
    } 3;

    return @rows;
}


# Entries

charge(5, '/u?p=p&c=acme&k=k1&a=orders&v=v1');
charge(2, '/u?p=p&c=acme&k=k2&a=orders&v=v2&n=60');
$gw->get('/u/404?p=p&c=acme');
$gw->get('/u/500?p=p&c=acme');
$gw->expect_log(qr/connect\(\) failed/);

# a flush may come in the middle

wait_report('requests', 7, '--consumer', 'acme', '--api', 'orders');
my @rows = wait_report('requests', 2, '--consumer', 'acme');

is(scalar @rows, 2, 'rows of two APIs');

my ($none, $orders) = @rows;

is($none->{api}, '', 'without an API');
is($none->{status_4xx}, 1, 'one 404');
is($none->{status_5xx}, 1, 'one 502');
is($orders->{api}, 'orders', 'an API');
is($orders->{requests}, 7, 'requests');
is($orders->{status_2xx}, 7, 'status');
is($orders->{units_included} + $orders->{units_overage}, 125, 'units');
is($orders->{units_overage}, 25, 'overage: 125 of 100');
is($none->{units_overage}, 2, 'overage: all of what follows');
cmp_ok($orders->{bytes_in}, '>', 7 * 40, 'bytes in');
cmp_ok($orders->{bytes_out}, '>', 7 * 43, 'bytes out');

@rows = report('--consumer', 'acme', '--api', 'orders', '--detail');
is_deeply([map { "$_->{key} $_->{version} $_->{requests}" } @rows],
          ['k1 v1 5', 'k2 v2 2'], 'by key and version');

# long names that begin alike

my ($x, $y) = map { 'n' x 60 . $_ } 1, 2;

for (1 .. 3) {
    charge(2, "/u?p=big&c=long&$_") for map { "k=$_" } $x, $y;
    charge(1, "/u?p=big&c=long&$_") for map { "a=$_" } $x, $y;
    charge(1, "/u?p=big&c=long&$_") for map { "v=$_" } $x, $y;
    charge(1, '/u?p=big&c=long');
    sleep 0.25;
}

my $detail = sub { report('--consumer', 'long', '--detail') };

wait_for { my $n = 0; $n += $_->{requests} for $detail->(); $n == 27 } 3;

is_deeply([sort map { $_->{requests} } $detail->()], [3, 3, 3, 3, 3, 6, 6],
          'long names that begin alike: nothing is overwritten');

# a long consumer has one name, whatever else is in an entry

my $long = 'c' x 160;

charge(2, "/u?p=big&c=$long");
charge(3, "/u?p=big&c=$long&k=$x&a=$x&v=$x");
charge(1, "/u?p=big&c=${long}2");

wait_report('requests', 2, '--consumer', $long);
wait_report('requests', 3, '--consumer', $long, '--api', $x);
wait_report('requests', 1, '--consumer', "${long}2");

my %named = map { $_->{consumer} => 1 } report();
is(scalar(grep { /^ccc/ } keys %named), 2, 'a long consumer: one name');
is((report('--consumer', $long))[0]{consumer},
   (report('--consumer', $long, '--detail'))[1]{consumer},
   'the same with other names');
is(scalar(report('--consumer', $long, '--api', $x)), 1, 'and long others');


charge(5, '/u?p=n3&c=limited');
charge(4, '/u?p=slow&c=fast');

wait_report('refused_quota', 2, '--consumer', 'limited');

my ($limited) = report('--consumer', 'limited');
is($limited->{requests}, 3, 'refused by quota: admitted');
is($limited->{refused_quota}, 2, 'refused by quota');

wait_report('refused_rate', 2, '--consumer', 'fast');

my ($fast) = report('--consumer', 'fast');
is("$fast->{requests} $fast->{refused_rate}", '2 2', 'refused by rate');

my ($status, $out) = cli('usage', 'report', '--store', $store, '--csv',
                         '--by', 'month', '--plan', 'n3');
my $month = strftime('%Y-%m', gmtime);
like($out, qr/^period,consumer,key,plan,api,version,requests,/,
     'CSV: names');
like($out, qr/^\Q$month\E,limited,,n3,,,3,/m, 'CSV by month');

($status, $out) = cli('usage', 'report', '--store', $store);
like($out, qr/^PERIOD .*OVERAGE.*\n.*acme +p /, 'table');
unlike($out, qr/KEY/, 'table: no keys');

my $reports = (cli('usage', 'report', '--store', $store, '--detail'))[1];
like($reports, qr/^PERIOD .* API +KEY +VERSION +REQUESTS/, 'table of details');
like($reports, qr/^\S+ +acme +p +orders +k2 +v2 +2 /m,
     'table of details: key and version');


# Months: whole ones, or the one so far

my $today = strftime('%Y-%m-%d', gmtime);

for my $case (
    [['--from', '2026-01-02', '--to', '2026-01-31'],
     '"2026-01-02" is not the first day'],
    [['--from', '2026-01-01', '--to', '2026-01-30'],
     '"2026-01-30" is not the last day'],
    [['--to', '2024-02-28'], '"2024-02-28" is not the last day'],
    [['--to', '2024-02-29']],
    [['--from', '2026-01-01', '--to', '2026-02-28']],
    [['--from', "$month-01"]],
    [['--from', "$month-01", '--to', $today]],
) {
    my ($args, $message) = @$case;
    my ($failed, undef, $err) = cli('usage', 'report', '--store', $store,
                                    '--by', 'month', @$args);

    is($failed, $message ? 2 : 0, "by month: @$args");
    like($err, qr/\Q$message\E/, "by month: @$args: message") if $message;
}


# Quotas

($status, $out) = cli('usage', 'show', '--store', $store, '--json', 'limited');
my ($quota) = grep { $_->{per} eq 'lifetime' }
              map { decode_json($_) } split /\n/, $out;
is("$quota->{family} $quota->{used} $quota->{limit} $quota->{granted}",
   'n3 3 3 0', 'show');

($status, $out) = cli('usage', 'show', '--store', $store, 'limited');
like($out, qr/^n3 +lifetime +3 +3 +0 +0 +- +-$/m, 'show: table');
like($out, qr/^n3 +day +3 +100 +97 +0 +\S+T00:00:00Z +\S+T00:00:00Z$/m,
     'show: since and until');

for (['show', 'nobody'], ['grant', 'nobody', '+1'], ['reset', 'nobody']) {
    my ($status, undef, $err) = cli('usage', $_->[0], '--store', $store,
                                    @$_[1 .. $#$_]);
    is($status, 1, "$_->[0]: nobody");
    like($err, qr/"nobody" is unknown/, "$_->[0]: says so");
}

($status, undef, my $err) = cli('usage', 'grant', '--store', $store, '--per',
                                'week', 'limited', '+2');
is($status, 1, 'grant: a quota that is not there');
like($err, qr/"limited" has no such counter/, 'grant: says so');

($status, undef, $err) = cli('usage', 'grant', '--store', $store, '--since',
                             'noon', 'limited', '+2');
is($status, 2, 'grant: not a time');

my @grant = cli('usage', 'grant', '--store', $store, 'limited', '+2');
isnt($grant[0], 0, 'grant: two quotas');
like($grant[2], qr/2 such counters/, 'grant: says so');

is_deeply([cli('usage', 'grant', '--store', $store, '--per', 'lifetime',
               'limited', '+2')],
          [0, "granted 2 units to limited, family n3, per lifetime\n", ''],
          'grant');

my $works = wait_for { $gw->get('/u?p=n3&c=limited')->code == 200 } 3;
ok($works, 'grant: works without a reload');

is($gw->get('/u?p=n3&c=limited')->code, 200, 'grant: both units');
is($gw->get('/u?p=n3&c=limited')->code, 429, 'grant: and not more');

$gw->restart;
is($gw->get('/u?p=n3&c=limited')->code, 429, 'grant: kept over a restart');

is_deeply([cli('usage', 'reset', '--store', $store, '--per', 'lifetime',
               'limited')],
          [0, "reset 5 units of limited, family n3, per lifetime\n", ''],
          'reset');
$works = wait_for { $gw->get('/u?p=n3&c=limited')->code == 200 } 3;
ok($works, 'reset: works');

($status, $out) = cli('usage', 'audit', '--store', $store);
my @audit = map { decode_json($_) } split /\n/, $out;
is_deeply([map { "$_->{action} $_->{consumer} $_->{units}" } @audit],
          ['grant limited 2', 'reset limited 5'], 'audit');

my ($day) = map { $_->{start} } grep { $_->{per} eq 'day' }
            map { decode_json($_) }
            split /\n/, (cli('usage', 'show', '--store', $store, '--json',
                             'limited'))[1];
is((cli('usage', 'grant', '--store', $store, '--since', $day, 'limited',
        '+5'))[0], 0, 'grant: by the start of the window');
like((cli('usage', 'show', '--store', $store, 'limited'))[1],
     qr/^n3 +day +\d+ +105 +\d+ +5 /m, 'grant: that window');


# Completeness under load: reloads and killed workers; what clients were
# answered is in the ledger, but for requests that were under way when their
# worker died.

my $wait = $gw->load_start(clients => 4, seconds => 2.5,
                           uri => sub { "/u?p=big&c=load" . $_[1] % 40 });

for (1 .. 3) {
    sleep 0.3;
    $gw->reload;
    sleep 0.2;
    $gw->kill_helper if $gw->helper;
}

my $load = $wait->();
$gw->restart;

my $sum = 0;
$sum += $_->{requests} for grep { $_->{consumer} =~ /^load/ } report();

is($load->{errors}, 0, 'load: no errors');
is($sum, $load->{status}{200}, 'reloads, killed helpers: all is in the ledger');

$wait = $gw->load_start(clients => 4, seconds => 1.5,
                        uri => '/u?p=big&c=killed');
for (1 .. 4) {
    sleep 0.25;
    $gw->kill_worker;
}

$load = $wait->();
$gw->restart;

my ($killed) = report('--consumer', 'killed');

cmp_ok(abs($killed->{requests} - $load->{status}{200}), '<=',
       $load->{errors} + 4 * 4, 'killed workers: but for what was under way');


# Many more entries than the zone has room for

$load = $gw->load(clients => 3, requests => 500, keepalive => 1,
                  uri => sub { "/u?p=n50&c=many" . ($_[1] * 3 + $_[0]) });

$gw->restart;

my %count;
$count{$_->{consumer}} += $_->{requests}
    for grep { $_->{consumer} =~ /^many/ } report();

# An entry is clean from the admission of its first request to the log phase;
# if it is evicted in between and the zone is full of dirty ones then, the
# request waits for room in the worker.

is(scalar keys %count, $load->{status}{200} // 0,
   'more entries than fit: all that were admitted and no other');
is_deeply([grep { $count{$_} != 1 } keys %count], [], 'each once');
cmp_ok($load->{status}{200}, '>', 300, 'most were');


# Export and verification

my $dir = $gw->root . '/export';
make_path($dir);

is((cli('usage', 'export', '--store', $store, '--dir', $dir))[0], 0,
   'export: nothing is over yet');
is_deeply([glob "$dir/*"], ["$dir/chain"], 'export: no files');

SKIP: {
    my $maker = Apigw::Scenario::built('unit/counter');

    skip 'the unit tests are not built', 1 if !$maker || !-x $maker;

    my $past = $gw->root . '/past_temp';
    make_path($past);
    is(system($maker, '--make', $past), 0, 'a store of the past');

    my @export = ('usage', 'export', '--store', $past, '--dir', $dir);
    my @verify = ('usage', 'verify', '--dir', $dir);

    my ($days, $whole) = map { requests('--store', $past, @$_) }
        ['--from', "$month-01"], ['--by', 'month'];
    is_deeply($whole, $days, 'by month: all of its days, unasked');
    cmp_ok($whole->{$month}, '>', 5, 'by month: more than one')
        if strftime('%d', gmtime) > 5;

    my ($status, $out) = cli(@export);
    is($status, 0, 'export');
    my @files = sort glob "$dir/usage-*.ndjson";
    cmp_ok(scalar @files, '>=', 4, 'a file for each day');
    is((cli(@verify))[0], 0, 'verify');
    is((cli(@export))[1], '', 'export: nothing is written twice');

    my $text = Apigw::Nginx::slurp($files[1]);

    unlink $files[1];
    like((cli(@verify))[2], qr/is missing/, 'verify: a missing file');

    write_file($files[1], $text . ' ');
    like((cli(@verify))[2], qr/altered/, 'verify: an altered file');

    write_file($files[1], $text);
    is((cli(@verify))[0], 0, 'verify: as before');

    my $last = Apigw::Nginx::slurp($files[-1]);
    write_file($files[-1], $last =~ s/"day"/"Day"/r);
    isnt((cli(@verify))[0], 0, 'verify: an altered last file');

    unlink $files[-1];
    isnt((cli(@verify))[0], 0, 'verify: a missing last file');

    for my $what ('is missing', 'was altered') {
        write_file($files[-1], "$last ") if $what ne 'is missing';
        my ($failed, $written, $err) = cli(@export);

        is("$failed|$written", '1|', "export: the last file $what");
        like($err, qr/^apigw: "\Q$files[-1]\E" $what: nothing is exported/,
             "export: the last file $what: message");
    }

    write_file($files[-1], $last);
    is((cli(@export))[0], 0, 'export: the last file was put back');

    make_path("$dir/new");
    is((cli(@export[0 .. 4], "$dir/new"))[0], 0,
       'export: the days anew, elsewhere');
    is((cli(@verify[0 .. 2], "$dir/new"))[0], 0, 'verify: a chain of its own');

    # what the chain does not know is not overwritten, and nothing waits

    my $proof = Apigw::Nginx::slurp("$dir/chain");
    my %before = map { $_ => Apigw::Nginx::slurp($_) } @files;
    my $refused = sub {
        my ($what, $re, $command) = @_;
        my ($failed, $written, $err) = cli(@{$command || \@export});

        is("$failed|$written", '1|', "$what: refused");
        like($err, $re, "$what: message");
        is_deeply({ map { $_ => Apigw::Nginx::slurp($_) } @files }, \%before,
                  "$what: nothing was altered") unless $command;
    };

    unlink "$dir/chain";
    $refused->('no chain', qr/chain" is missing, and there are files/);
    mkfifo("$dir/chain", 0666);
    local $SIG{ALRM} = sub { die "it hangs\n" };
    alarm 10;
    $refused->('chain: a fifo', qr/chain": is not a regular file/, $_)
        for \@export, \@verify;
    unlink "$dir/chain";

    # as it was with a file less, and with another that it never had

    my $shorter = sub {
        my ($day) = $files[-2] =~ /usage-(.*)\.ndjson/;

        write_file("$dir/chain", "$day " . sha256_hex($before{$files[-2]})
                                 . "\n");
    };

    $shorter->();
    $refused->('beyond the chain', qr/^apigw: "\Q$files[-1]\E" is not in/, $_)
        for \@export, \@verify;

    write_file("$dir/chain", $proof);
    write_file("$dir/usage-2026-1.ndjson", '');
    $refused->('a stray file', qr/usage-2026-1.ndjson" is not in the/, $_)
        for \@export, \@verify;
    unlink "$dir/usage-2026-1.ndjson";

    unlink $files[1];
    mkfifo($files[1], 0666);
    $refused->('a day: a fifo', qr/" is not a regular file/, \@verify);
    unlink $files[1];
    write_file($files[1], $text);
    alarm 0;

    # killed between the chain and the name of the file

    rename $files[-1], "$files[-1].tmp" or die "rename: $!";
    is((cli(@verify))[0], 0, 'killed: verify reads it');
    is((cli(@export))[0], 0, 'killed: export goes on');
    ok(-f $files[-1], 'killed: it has its name');

    # two at once

    open my $lock, '<', $dir or die "$dir: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    my $pid = fork // die "fork: $!";

    if (!$pid) {
        sleep 1.3;
        POSIX::_exit(0);
    }

    close $lock;
    my ($done, undef, $waited) = cli(@export);
    waitpid $pid, 0;
    is($done, 0, 'two at once: in the end');
    like($waited, qr/^apigw: another process works in .*, waiting/,
         'two at once: one waits');

    # another store, and a store of before that had no number

    my $other = $gw->root . '/other_temp';
    make_path($other);
    is(system($maker, '--make', $other), 0, 'another store');
    make_path("$dir/other");
    is((cli('usage', 'export', '--store', $other, '--dir', "$dir/other"))[0],
       0, 'another store: its own files');
    unlink $files[-1];
    $shorter->();
    $refused->('another store', qr/" are of another store: export each/,
               ['usage', 'export', '--store', $other, '--dir', $dir]);

    # what came late: the store counts all of it once more

    is(system($maker, '--make', $past), 0, 'late requests');
    is((cli(@export))[0], 0, 'late: export');
    is((cli(@verify))[0], 0, 'late: verify');

    my (%sum, @amends);

    for my $file (@files) {
        my ($head, @rows) = map { decode_json($_) }
            split /\n/, Apigw::Nginx::slurp($file);

        $sum{$_->{amends} // $head->{day}} += $_->{requests} for @rows;
        push @amends, map { $_->{amends} // () } @rows;
        like($head->{store}, qr/^[0-9a-f]{16}$/, 'files tell the store');
    }

    my %ledger = map { $_->{period} => $_->{requests} }
        map { decode_json($_) } split /\n/,
        (cli('usage', 'report', '--json', '--store', $past, '--from',
             strftime('%Y-%m-%d', gmtime(time - 6 * 86400))))[1];

    is_deeply(\%sum, \%ledger, 'late: all files are the ledger');

    my @old = map { /usage-(.*)\.ndjson/ } @files[0 .. $#files - 1];
    my @amended = grep { $ledger{$_} } @old;

    is_deeply([sort @amends], \@amended, 'late: these days were amended');
    cmp_ok(scalar @amends, '>=', 2, 'late: several');

    # once; a day that the store lost is no difference; not unless wanted

    my $again = sub {
        my (@late) = @_;
        unlink $files[-1];
        $shorter->();
        is((cli(@export, @late))[0], 0, "late @late: again");
        return scalar grep { /"amends"/ }
            split /\n/, Apigw::Nginx::slurp($files[-1]);
    };

    is($again->(), scalar @amends, 'late: the same anew');
    is($again->('--late', '0'), 0, 'late: not wanted');
    is($again->('--late', '2'), scalar(grep { $ledger{$_} } @old[-2, -1]),
       'late: two days');
    is((cli(@export, '--late', $_))[0], 2, "late: $_") for '367', '-1', 'x';

    unlink $files[0];
    isnt((cli(@verify))[0], 0, 'verify: a missing first file');

    # damaged records stop nothing, and are told

    is(system($maker, '--damage', $past), 0, 'a damaged store');

    my @from = ('--from', strftime('%Y-%m-%d', gmtime(time - 6 * 86400)));
    my ($failed, $text2, $err) = cli('usage', 'report', '--store', $past,
                                     '--json', @from);

    is_deeply([map { decode_json($_)->{requests} } split /\n/, $text2],
              [10, 6, 4], 'report: what is not damaged');
    is($failed, 1, 'report: the status tells');
    like($err, qr/^apigw: 2 records are damaged/, 'report: and the message');
    is((cli('usage', 'report', '--store', $past))[0], 0,
       'report: not of other days');

    unlink glob "$dir/*.ndjson $dir/chain";
    ($failed, undef, $err) = cli(@export);
    is($failed, 1, 'export: the status tells');
    like($err, qr/^apigw: 2 records are damaged/m, 'export: and the message');
    like(join('', map { Apigw::Nginx::slurp($_) } glob "$dir/usage-*"),
         qr/^\{"consumer":"broken",.*"damaged":1\}\n/m, 'export: and the file');
    is((cli(@verify))[0], 0, 'verify: that file too');
}

# by month, of a report that may be by day

sub requests {
    my %sum;

    $sum{substr $_->{period}, 0, 7} += $_->{requests}
        for map { decode_json($_) } split /\n/,
            (cli('usage', 'report', '--json', @_))[1];

    return \%sum;
}

sub write_file {
    my ($path, $text) = @_;

    open my $out, '>', $path or die "$path: $!";
    print $out $text;
    close $out;
}

done_testing;
