# scripts/build makes what it says, does nothing twice, notices every change,
# bears a second one at its side and blanks in its path.

use strict;
use warnings;

use File::Temp ();
use Test::More;

use Apigw::Check;

my $dir = File::Temp->newdir('apigw build.XXXXXX', TMPDIR => 1);
my $root = "$dir/a tree";
my $out = "$root/build/one";
my $module = "$out/ngx_http_apigw_throttle_module.so";
my @build = ("$root/scripts/build", '--modules', 'throttle', '--name', 'one');

mkdir $root or die "mkdir: $!\n";
system('cp', '-R', qw(config modules scripts), $root) == 0
    or die "cannot copy the tree\n";

delete @ENV{qw(NGINX_SRC CC CFLAGS LDFLAGS)};

my ($status, $text) = output(@build);

is($status, 0, 'it builds') or diag($text);
ok(-f $module, 'the module');
ok(!-e "$out/ngx_http_apigw_key_module.so", 'and no other');
ok(!-e "$out/apigw", 'nor the command, which is about keys and usage');
like(slurp("$out/load_modules.conf"), qr/^load_module "\Q$module\E";$/m,
     'load_modules.conf');

my ($configured, $built) = times_of();

passes(@build);
is_deeply([times_of()], [$configured, $built], 'nothing is done twice');

# a header: no need to configure
edit($root, 'modules/common/ngx_apigw_zone.h', sub {
    s/(#define NGX_APIGW_ZONE_ABI +)1/${1}7/
});

passes(@build);
my ($again, $changed) = times_of();
is($again, $configured, 'a changed header is not configured');
isnt($changed, $built, 'but compiled');

# a source that is not right
edit($root, 'modules/throttle/ngx_http_apigw_throttle_module.c', sub {
    $_ .= "\nnot C at all\n"
});

fails(qr/error: the build in .* failed/, @build);

edit($root, 'modules/throttle/ngx_http_apigw_throttle_module.c', sub {
    s/\nnot C at all\n//
});

# a new file, and two at once
put("$root/modules/throttle/ngx_apigw_new.c", <<'END');
static int  ngx_apigw_new __attribute__((used)) = 1;
END

my @pids = map { start() } 1 .. 2;
my @statuses = map { waitpid $_, 0; $? } @pids;

is("@statuses", '0 0', 'two at once');
isnt((times_of())[0], $configured, 'a new file is configured');
like(join(' ', output('nm', $module)), qr/ngx_apigw_new/, 'and in the module');
passes('scripts/check-symbols', $module);

fails(qr/error: no module "nobody", there are: key/,
      $build[0], '--modules', 'nobody');
fails(qr/error: the module "key" twice/,
      $build[0], '--modules', 'key throttle key');
fails(qr/error: one variant at a time/, $build[0], '--static', '--debug');
fails(qr{error: invalid folder name "\.\./x"}, $build[0], '--name', '../x');

{
    local $ENV{CC} = 'no-such-cc';
    fails(qr/no-such-cc/, @build);
}

{
    local $ENV{CC} = 'gcc';
    fails(qr/error: --sanitize needs clang/, $build[0], '--sanitize');
}

# the name without blanks under which it was built
unlink grep { (readlink($_) // '') eq $root } glob "/tmp/apigw-$>/*";

done_testing;


sub times_of {
    return map { join '.', (stat)[1, 9] } "$out/objs/Makefile", $module;
}


sub start {
    my $pid = fork;
    die "fork() failed: $!\n" if !defined $pid;

    return $pid if $pid;

    open STDOUT, '>', '/dev/null';
    exec @build or die "exec: $!\n";
}
