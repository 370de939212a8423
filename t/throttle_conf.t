# Every mistake in the directives is refused with nginx's wording, naming
# directive and value, and what is right is not.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

my $ZONE = 'api_throttle_zone $arg_k zone=z:64k rate=5r/s burst=5;';
my $USE = 'api_throttle zone=z;';
my $TOO_LONG = 'takes more than ten years to fill';

# [name, http, server, what nginx -t says; undef: it is right]

my @cases = (

    ['minimal', 'api_throttle_zone $arg_k zone=z:32k rate=1r/s;', $USE],
    ['use before zone', "$USE $ZONE", ''],
    ['a zone without a use', $ZONE, ''],
    ['everything', $ZONE,
     'api_throttle zone=z burst=9 cost=3 delay=2 dry_run before_auth;
      api_throttle_status 503; api_throttle_log_level error;
      api_throttle_headers legacy;'],
    ['nodelay', $ZONE, 'api_throttle zone=z nodelay;'],
    ['all levels', "$ZONE $USE", "$USE location /x { $USE }"
     . ' location /y { api_throttle off; }'],
    ['constant key', 'api_throttle_zone all zone=z:32k rate=1r/s;', $USE],
    ['every form of a rate', join('', map {
        "api_throttle_zone \$arg_k zone=z$_->[0]:32k rate=$_->[1];"
     } [1, '5r/s'], [2, '90r/m'], [3, '1000r/h'], [4, '10000r/d'],
       [5, '0.5r/s'], [6, '1r/d'], [7, '1000000r/s']), ''],
    ['rate by variable',
     'api_throttle_zone $arg_k zone=z:32k rate=$arg_r default=5r/m;', $USE],
    ['rate with a variable', join('', map {
        "api_throttle_zone \$arg_k zone=z$_->[0]:32k rate=$_->[1];"
     } [1, '${arg_r}r/s'], [2, '$arg_r/m'], [3, '${arg_r}.5r/$arg_s'],
       [4, '1${arg_r}'], [5, '$arg_a$arg_b']), ''],
    ['unlimited by default',
     'api_throttle_zone $arg_k zone=z:32k rate=$arg_r default=unlimited;',
     $USE],
    ['cost by variable, of any size', $ZONE,
     'api_throttle zone=z cost=$arg_c;'],
    ['levels and headers',
     join(' ', map { "server { listen 127.0.0.1:%%PORT_5%%; server_name $_;"
                     . " api_throttle_log_level $_; }" }
               qw(info notice warn error)),
     join ' ', map { "location /$_ { api_throttle_headers $_; }" }
               qw(draft legacy off)],

    ['zone: no arguments', 'api_throttle_zone;', '',
     'invalid number of arguments in "api_throttle_zone" directive'],
    ['zone: no zone', 'api_throttle_zone $arg_k rate=1r/s burst=1;', '',
     '"api_throttle_zone" must have "zone" parameter'],
    ['zone: no rate', 'api_throttle_zone $arg_k zone=z:32k burst=1;', '',
     '"api_throttle_zone" must have "rate" parameter'],
    ['zone: no size', 'api_throttle_zone $arg_k zone=z rate=1r/s;', '',
     'invalid zone "z"'],
    ['zone: empty name', 'api_throttle_zone $arg_k zone=:32k rate=1r/s;', '',
     'invalid zone ":32k"'],
    ['zone: bad size', 'api_throttle_zone $arg_k zone=z:1x rate=1r/s;', '',
     'invalid zone size "z:1x"'],
    ['zone: empty key', 'api_throttle_zone "" zone=z:32k rate=1r/s;', '',
     'empty key in "api_throttle_zone"'],
    ['zone: too small', 'api_throttle_zone $arg_k zone=z:31k rate=1r/s;', '',
     'zone "z:31k" is too small, the least is 32k'],
    ['zone: a name no header field can have',
     'api_throttle_zone $arg_k "zone=z\"z:32k" rate=1r/s;', '',
     'invalid zone name "z"z"'],
    ['zone: unknown variable', 'api_throttle_zone $nope zone=z:32k rate=1r/s;',
     '', 'unknown "nope" variable'],
    ['zone: twice', "$ZONE $ZONE", '',
     'api_throttle_zone "z" is already bound to key "$arg_k"'],
    ['zone: of another module',
     "limit_req_zone \$arg_k zone=z:64k rate=1r/s; $ZONE", '',
     'the shared memory zone "z" is already declared for a different use'],
    ['zone: unknown parameter',
     'api_throttle_zone $arg_k zone=z:32k rate=1r/s sync;', '',
     'invalid parameter "sync"'],
    ['zone: in a server', '', $ZONE,
     '"api_throttle_zone" directive is not allowed here'],

    (map { ["zone: rate=$_",
            "api_throttle_zone \$arg_k zone=z:32k rate=$_;", '',
            "invalid rate \"rate=$_\""] }
         '', '5', '0r/s', '-1r/s', '5r/w', '1000001r/s', '0.0001r/d', '5r/s5',
         'unlimited', '1.5.5r/s', '99999999999999999999r/s'),
    (map { ["zone: rate=$_",
            "api_throttle_zone \$arg_k zone=z:32k rate=$_;", '',
            "invalid rate \"rate=$_\""] }
         '${arg_r}r/w', '$arg_r,r/s', '-$arg_r', '${arg_r}rps'),
    (map { ["zone: default=$_",
            "api_throttle_zone \$arg_k zone=z:32k rate=\$arg_r default=$_;",
            '', "invalid rate \"default=$_\""] }
         '', '5', '0r/s'),
    (map { ["zone: burst=$_",
            "api_throttle_zone \$arg_k zone=z:32k rate=1r/s burst=$_;", '',
            "invalid burst value \"burst=$_\""] }
         '', '0', '-1', 'x', '1000000001', '99999999999999999999'),

    ['zone: default without a variable',
     'api_throttle_zone $arg_k zone=z:32k rate=1r/s default=2r/s;', '',
     '"default=2r/s" needs a rate with variables'],
    ['zone: a burst that never fills',
     'api_throttle_zone $arg_k zone=z:32k rate=1r/d burst=3651;', '',
     "burst of 3651 $TOO_LONG at \"rate=1r/d\""],
    ['zone: neither by default',
     'api_throttle_zone $arg_k zone=z:32k rate=$arg_r default=1r/d burst=3651;',
     '', "burst of 3651 $TOO_LONG at \"default=1r/d\""],
    ['zone: zone twice',
     'api_throttle_zone $arg_k zone=z:32k zone=y:32k rate=1r/s;', '',
     'duplicate parameter "zone=y:32k"'],
    ['zone: rate twice',
     'api_throttle_zone $arg_k zone=z:32k rate=1r/s rate=2r/s;', '',
     'duplicate parameter "rate=2r/s"'],
    ['zone: burst twice',
     'api_throttle_zone $arg_k zone=z:32k rate=1r/s burst=1 burst=2;', '',
     'duplicate parameter "burst=2"'],
    ['zone: default twice', 'api_throttle_zone $arg_k zone=z:32k rate=$arg_r'
     . ' default=1r/s default=2r/s;', '',
     'duplicate parameter "default=2r/s"'],

    ['no arguments', $ZONE, 'api_throttle;',
     'invalid number of arguments in "api_throttle" directive'],
    ['no zone', $ZONE, 'api_throttle burst=1;',
     '"api_throttle" must have "zone" parameter'],
    ['empty zone', $ZONE, 'api_throttle zone=;',
     'invalid parameter "zone="'],
    ['unknown zone', $ZONE, 'api_throttle zone=nope;',
     qr/unknown api_throttle_zone "nope" in \S+:\d+$/m],
    ['zone of another module',
     'limit_req_zone $arg_k zone=r:64k rate=1r/s;', 'api_throttle zone=r;',
     'the shared memory zone "r" is already declared for a different use'],
    ['unknown parameter', $ZONE, 'api_throttle zone=z sync;',
     'invalid parameter "sync"'],
    ['off and more', $ZONE, 'api_throttle off zone=z;',
     'invalid parameter "off"'],
    ['twice', $ZONE, "$USE $USE", '"api_throttle" directive is duplicate'],
    ['twice, in both phases', $ZONE, "$USE api_throttle zone=z before_auth;",
     '"api_throttle" directive is duplicate'],
    ['after off', $ZONE, "api_throttle off; $USE",
     '"api_throttle" directive is duplicate'],
    ['before off', $ZONE, "$USE api_throttle off;",
     '"api_throttle" directive is duplicate'],
    ['too many', join('', map {
        "api_throttle_zone \$arg_k zone=z$_:32k rate=1r/s;" } 1 .. 17),
     join('', map { "api_throttle zone=z$_;" } 1 .. 17),
     '"api_throttle" directive is used more than 16 times at this level'],
    ['in an if', $ZONE, "location /x { if (\$arg_x) { $USE } }",
     '"api_throttle" directive is not allowed here'],

    (map { ["burst=$_", $ZONE, "api_throttle zone=z burst=$_;",
            "invalid burst value \"burst=$_\""] }
         '', '0', '-1', 'x', '$arg_b', '1000000001'),
    (map { ["cost=$_", $ZONE, "api_throttle zone=z cost=$_;",
            "invalid cost value \"cost=$_\""] }
         '', '0', '-1', 'x', '1.5', '1000000001'),
    (map { ["delay=$_", $ZONE, "api_throttle zone=z delay=$_;",
            "invalid delay value \"delay=$_\""] }
         '', '-1', 'x', '1000000001'),

    ['zone twice in one', $ZONE, 'api_throttle zone=z zone=z;',
     'duplicate parameter "zone=z"'],
    ['burst twice', $ZONE, 'api_throttle zone=z burst=1 burst=2;',
     'duplicate parameter "burst=2"'],
    ['cost twice', $ZONE, 'api_throttle zone=z cost=$arg_c cost=2;',
     'duplicate parameter "cost=2"'],
    ['delay twice', $ZONE, 'api_throttle zone=z nodelay delay=2;',
     'duplicate parameter "delay=2"'],
    ['nodelay twice', $ZONE, 'api_throttle zone=z delay=2 nodelay;',
     'duplicate parameter "nodelay"'],
    ['dry_run twice', $ZONE, 'api_throttle zone=z dry_run dry_run;',
     'duplicate parameter "dry_run"'],
    ['before_auth twice', $ZONE, 'api_throttle zone=z before_auth before_auth;',
     'duplicate parameter "before_auth"'],

    ['a cost above the burst', $ZONE, 'api_throttle zone=z cost=6;',
     'cost of 6 is larger than the burst of 5 of api_throttle_zone "z" in '],
    ['a cost above its own burst', $ZONE, 'api_throttle zone=z burst=2 cost=3;',
     'cost of 3 is larger than the burst of 2 of api_throttle_zone "z" in '],
    ['a burst of its own that never fills',
     'api_throttle_zone $arg_k zone=z:64k rate=1r/d;',
     'api_throttle zone=z burst=3651;',
     "burst of 3651 $TOO_LONG at the rate of api_throttle_zone \"z\" in "],

    (map { ["status $_", '', "api_throttle_status $_;",
            'value must be '] } 399, 600),
    ['status x', '', 'api_throttle_status x;', 'invalid number'],
    ['status twice', '', 'api_throttle_status 429; api_throttle_status 503;',
     '"api_throttle_status" directive is duplicate'],
    ['level', '', 'api_throttle_log_level crit;', 'invalid value "crit"'],
    ['level twice', '',
     'api_throttle_log_level info; api_throttle_log_level info;',
     '"api_throttle_log_level" directive is duplicate'],
    ['headers', '', 'api_throttle_headers on;', 'invalid value "on"'],
    ['headers twice', '',
     'api_throttle_headers off; api_throttle_headers off;',
     '"api_throttle_headers" directive is duplicate'],
);

my $gw = Apigw::Scenario->new;

for my $case (@cases) {
    my ($name, $http, $server, $wanted) = @$case;

    my ($status, $text) = $gw->test_config(http => $http, server => $server);

    if (defined $wanted) {
        $wanted = qr/\Q$wanted\E/ if !ref $wanted;

        ok($status != 0 && $text =~ $wanted, $name)
            or diag("status $status, wanted \"$wanted\", got: $text");

    } else {
        ok($status == 0 && $text !~ /\[\w+\]/, $name) or diag($text);
    }
}

my ($status, $text) = $gw->test_config(http => $ZONE, server =>
    'location /a { api_throttle zone=z delay=5; }
     location /b { api_throttle zone=z burst=6 delay=5; }');
is($status, 0, 'a delay that delays nothing: accepted');
is_deeply([$text =~ /\[warn\] .*?(nothing .* in )\S+:\d+/g],
          ['nothing is delayed by a delay of 5 with a burst of 5 of'
           . ' api_throttle_zone "z" in '], 'with one warning')
    or diag($text);

($status, $text) = $gw->test_config(
    http => 'api_throttle_zone $arg_k zone=z:32k rate=5000r/s burst=4;',
    server => $USE);
is($status, 0, 'a rate that a burst does not let through: accepted');
like($text, qr/\[warn\]\ .*the\ rate\ of\ api_throttle_zone\ "z"\ cannot\ be
              \ reached\ with\ a\ burst\ of\ 4\ in\ \S+:\d+,
              \ a\ millisecond\ brings\ more/x,
     'with a warning');

done_testing;
