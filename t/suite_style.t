# The sources keep the rules of style that a machine can judge;
# scripts/check-style notices when they do not.

use strict;
use warnings;

use Test::More;

use Apigw::Check;

my $check = 'scripts/check-style';
my $source = 'modules/common/ngx_apigw_store.c';

passes($check);

my @breaks = (
    ['longer than 80 columns', $source,
     sub { s{^\n}{"/* " . 'x' x 80 . " */\n"}me }],

    ['longer than 80 columns', 't/suite_style.t',
     sub { s{^use strict;}{'# ' . 'x' x 80 . "\n\nuse strict;"}me }],

    ['a tab', $source, sub { s/^    /\t/m }],

    ['blanks at the end', $source, sub { s/;$/; /m }],

    ['no newline at the end', $source, sub { s/\n\z// }],

    ['longer than 1,200 lines', $source, sub { $_ .= "/**/\n" x 1200 }],

    ['no copyright', $source, sub { s/Copyright/Copied/ }],

    ['a path of one machine', 'scripts/test',
     sub { my $home = '/ho' . 'me'; s{^set }{cd $home/me\nset }m }],

    ['unfinished work', $source,
     sub { my $word = 'TO' . 'DO'; s{^\n}{/* $word: the rest */\n}m }],

    ['nginx_version outside', $source,
     sub { my $word = 'nginx_' . 'version';
           $_ .= "#if ($word >= 1023000)\n#endif\n" }],

    [qr/ngx_apigw_loud\(\) is not static/, $source,
     sub { $_ .= "\n\nint\nngx_apigw_loud(void)\n{\n    return 1;\n}\n" }],

    [qr/loud\(\) is not called/, $source,
     sub { $_ .= "\n\nint\nloud(void)\n{\n    return 1;\n}\n" }],

    ['does not begin with a comment', 't/suite_style.t',
     sub { s/\A(?:#.*\n)+\n// }],
);

for my $break (@breaks) {
    my ($pattern, $file, $change) = @$break;

    my $tree = copy();
    edit($tree, $file, $change);
    fails(qr/\Q$file\E.*$pattern/, $check, $tree);
}

my $tree = copy();
put("$tree/t/Wrong-Name.t", "# nothing\n");
fails(qr/Wrong-Name.t: is not called/, $check, $tree);

done_testing;
