# A store that cannot be written: requests go on, counted in memory; when
# nothing can be replaced any more the declared policy holds; when there is
# room again nothing that was counted is lost.

use strict;
use warnings;

use File::Path qw(make_path);
use FindBin;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

plan skip_all => 'needs root to mount a small file system' if $> != 0;

my $probe = Apigw::Scenario->new(http => '', server => '');
my $mount = $probe->root . '/small_temp';
make_path($mount);

plan skip_all => 'cannot mount a small file system'
    if system("mount -t tmpfs -o size=400k,mode=0777 none '$mount' 2>/dev/null")
       != 0;

END { system("umount -l '$mount' 2>/dev/null") if $mount; }

sub conf {
    my ($policy) = @_;

    return (http => <<"END", server => <<'END');
api_usage_zone zone=usage:128k store=$mount/usage_$policy flush=100ms
               on_full=$policy;
api_plan p { quota 20 per=lifetime; }
END
location /u {
    api_usage zone=usage plan=p consumer=$arg_c;
    add_header X-Usage $api_usage_status always;
    empty_gif;
}
END
}

for my $policy (qw(refuse admit)) {
    my $gw = Apigw::Scenario->new(workers => 2, conf($policy));

    $gw->start;

    is($gw->get('/u?c=before')->code, 200, "$policy: with room");
    sleep 0.5;

    # no room from here on

    my $fill = "$mount/fill";
    system("dd if=/dev/zero of='$fill' bs=4k 2>/dev/null");

    my (%status, %passed, %uncounted);

    for my $round (1 .. 3) {
        my $client = $gw->connect;

        for my $n (1 .. 600) {
            my $answer = $client->get("/u?c=full$n");

            $status{$answer->code}++;
            $passed{"full$n"}++ if $answer->header('X-Usage') eq 'PASSED';
            $uncounted{"full$n"}++
                if $answer->header('X-Usage') eq 'PASSED_UNCOUNTED';
        }
    }

    cmp_ok($status{200}, '>', 100, "$policy: those in memory go on");

    if ($policy eq 'refuse') {
        cmp_ok($status{503} // 0, '>', 0, 'refuse: the others get 503');
        is(scalar keys %uncounted, 0, 'refuse: nobody is uncounted');
        is($gw->get('/u?c=other' . $_)->header('Retry-After'), 1,
           'refuse: Retry-After')
            for grep { $gw->get("/u?c=other$_")->code == 503 } 1 .. 1;

    } else {
        is($status{503}, undef, 'admit: nobody is refused');
        cmp_ok(scalar keys %uncounted, '>', 0, 'admit: some are uncounted');
    }

    my ($known) = sort keys %passed;
    is($gw->get("/u?c=$known")->header('X-Usage'), 'PASSED',
       "$policy: known callers go on being counted");
    $passed{$known}++;

    my $lines = () = $gw->error_log =~ /cannot be written/g;
    is($lines, 1, "$policy: one line about the store a minute");

    # room again

    unlink $fill;
    sleep 1;
    $gw->restart;

    my $store = "$mount/usage_$policy";
    my ($status, $out) = cli('usage', 'report', '--store', $store, '--json');
    my %ledger = map { $_->{consumer} => $_->{requests} }
                 map { decode_json($_) } split /\n/, $out;

    # uncounted by quota or ledger is not in both

    is_deeply([grep { !$uncounted{$_}
                      && ($ledger{$_} // 0) != $passed{$_} }
               sort keys %passed],
              [], "$policy: with room again all that was counted is there")
        if $policy eq 'refuse';

    my %left;
    my $again = $gw->connect;

    for my $consumer ((sort keys %passed)[0 .. 20]) {
        my $n = 0;
        for (1 .. 25) {
            my $code = $again->get("/u?c=$consumer")->code;
            $n++ if $code == 200;
            redo if $code == 503 && sleep 0.05;
        }
        $left{$consumer} = $n + $passed{$consumer};
    }

    is_deeply([grep { $left{$_} != 20 } sort keys %left], [],
              "$policy: and the quotas are exact");

    $gw->finish;
    system("rm -rf '$store'");
}

done_testing;
