# nginx accepts every configuration in examples, and they stay in their
# prefix; scripts/check-examples notices one that does not.

use strict;
use warnings;

use Test::More;

use Apigw::Check;

my $check = 'scripts/check-examples';
my $example = 'examples/quickstart/nginx.conf';

passes($check);

my @breaks = (
    ['unknown directive "api_unheard"',
     sub { s/^http \{/http {\n    api_unheard on;/m }],

    ['names a place outside',
     sub { s/^http \{/http {\n    root \/usr\/share\/doc;/m }],

    ['has to set proxy_temp_path',
     sub { s/^ *proxy_temp_path.*\n//m }],

    ['has to set pid',
     sub { s/^pid .*\n//m }],

    ['has to set access_log',
     sub { s/^ *access_log .*\n//mg }],
);

for my $break (@breaks) {
    my ($pattern, $change) = @$break;

    my $tree = copy();
    edit($tree, $example, $change);
    fails(qr/\Q$pattern\E/, $check, "$tree/$example");
}

done_testing;
