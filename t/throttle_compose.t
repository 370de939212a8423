# Throttles beside the other modules: a rate of each caller's own from the
# record of its key; one set of legacy fields beside a plan's.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $gw = Apigw::Scenario->start(
    http => '
        auth_api_key_zone zone=keys:64k store=logs/keys;
        api_usage_zone zone=ledger:1m store=logs/usage;
        api_throttle_zone $api_key_consumer zone=caller:64k rate=$api_key_rate
                          burst=2 default=7r/h;
        api_throttle_zone $arg_k zone=few:64k rate=1r/h burst=2;
        api_throttle_zone $arg_k zone=many:64k rate=1r/h burst=9;
        api_plan five { quota 5 per=day; }
        api_plan two { quota 2 per=lifetime; }',
    server => '
        location /record { auth_api_key zone=keys; api_throttle zone=caller;
                           empty_gif; }

        api_throttle_headers legacy;
        api_usage_headers legacy;

        location /few { api_throttle zone=few;
                        api_usage zone=ledger plan=five consumer=$arg_k;
                        empty_gif; }
        location /many { api_throttle zone=many;
                         api_usage zone=ledger plan=five consumer=$arg_k;
                         empty_gif; }
        location /equal { api_throttle zone=few;
                          api_usage zone=ledger plan=two consumer=$arg_k;
                          empty_gif; }',
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


# one set of legacy fields

sub fields {
    my ($uri) = @_;

    my $answer = $gw->get($uri);

    return join ' ', $answer->code, map {
        my @values = $answer->header_list("X-RateLimit-$_");
        @values ? join ',', @values : '-'
    } qw(Limit Remaining);
}

is(fields('/few?k=a'), '200 2 1', 'the throttle has less left');
is(fields('/few?k=a'), '200 2 0', 'and none');
is(fields('/few?k=a'), '429 2 0', 'and refuses');
is(fields('/many?k=b'), '200 5 4', 'the plan has less left');
is(fields('/many?k=b'), "200 5 $_", "$_ left") for 3, 2, 1, 0;
is(fields('/many?k=b'), '429 5 0', 'and refuses');

is($gw->get('/equal?k=c')->header('X-RateLimit-Reset') // '-', '-',
   'of equal ones the one that ends for good');

done_testing;
