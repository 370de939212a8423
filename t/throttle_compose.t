# Throttles beside the other modules: a rate of each caller's own from the
# record of its key.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http => '
        auth_api_key_zone zone=keys:64k store=logs/keys;
        api_throttle_zone $api_key_consumer zone=caller:64k rate=$api_key_rate
                          burst=2 default=7r/h;',
    server => '
        location /record { auth_api_key zone=keys; api_throttle zone=caller;
                           empty_gif; }

        api_throttle_headers legacy;
        api_usage_headers legacy;',
);


# rates from records

sub key {
    my ($consumer, @more) = @_;

    my ($status, $key, $err) = cli($gw, 'key', 'create', '--consumer',
                                   $consumer, '--store',
                                   $gw->root . '/logs/keys', @more);
    die $err if $status;

    return $key =~ s/\s+\z//r;
}

for my $case (['60r/m', 1], ['10r/m', 6], ['4r/h', 900], ['100r/hour', 36],
              [undef, 515])
{
    my ($rate, $seconds) = @$case;
    my $name = $rate // 'no rate';
    my $key = key($name, $rate ? ('--rate', $rate) : ());
    my @answers = map { $gw->get('/record', 'X-API-Key' => $key) } 1 .. 3;

    is(join(' ', map { $_->code } @answers), '200 200 429', "$name: two");
    cmp_ok(abs(($answers[2]->header('X-RateLimit-Reset') // 9999) - $seconds),
           '<=', 3, "$name: the next in $seconds s");
}

is($gw->get('/record', 'X-API-Key' => 'wrong')->code, 401,
   'who is nobody is turned away');

done_testing;
