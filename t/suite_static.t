# The sources compile without a warning, by gcc and by clang, and neither
# cppcheck nor clang's analyzer finds a fault; scripts/check-static notices
# what each of the four finds.

use strict;
use warnings;

use File::Temp ();
use Test::More;

use Apigw::Check;

my $check = 'scripts/check-static';

passes($check);

my $dir = File::Temp->newdir;
my $file = "$dir/x.c";

# what one of them finds
my %breaks = (
    gcc => <<'END',
#include <string.h>

void copy(char *to, const char *from);

void
copy(char *to, const char *from)
{
    char  text[4];

    strncpy(text, from, 4);
    memcpy(to, text, strlen(text) + (to == NULL) * sizeof(struct none *));
    strncpy(to, from, strlen(from));
}
END

    clang => <<'END',
int order(unsigned n);

int
order(unsigned n)
{
    int  x = 0;

    x = x;

    return n < 0 ? 1 : x;
}
END

    analyzer => <<'END',
#include <stddef.h>

int value(int n);

int
value(int n)
{
    int  *p = n ? &n : NULL;

    return *p;
}
END

    cppcheck => <<'END',
#include <stdio.h>

int size(const char *name);

int
size(const char *name)
{
    FILE  *f = fopen(name, "r");

    return f == NULL ? 0 : 1;
}
END
);

for my $tool (sort keys %breaks) {
    put($file, $breaks{$tool});
    fails(qr/^$tool: /m, $check, $file);
}

put($file, "int  ngx_apigw_x;\n");
passes($check, $file);

done_testing;
