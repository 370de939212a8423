# Every module exports nginx's four symbols and nothing else, and calls into
# no other module; scripts/check-symbols notices what does not.

use strict;
use warnings;

use File::Temp ();
use Test::More;

use Apigw::Check;

my @modules = glob "$ENV{TEST_NGINX_BUILD}/ngx_http_apigw_*_module.so";

ok(@modules > 0, 'there are modules');
passes('scripts/check-symbols', @modules);

my $dir = File::Temp->newdir;
my $file = "$dir/ngx_http_apigw_x_module.so";
my $right = <<'END';
int ngx_http_apigw_x_module, ngx_modules, ngx_module_names, ngx_module_order;
END

compile($right);
passes('scripts/check-symbols', $file);

compile("$right int ngx_http_apigw_x_helper(void) { return 1; }");
fails(qr/exports .*ngx_http_apigw_x_helper/, 'scripts/check-symbols', $file);

compile("$right static int hidden; int ngx_http_apigw_x_filter_module;");
fails(qr/exports .*ngx_http_apigw_x_filter_module/,
      'scripts/check-symbols', $file);

compile($right =~ s/, ngx_module_order//r);
fails(qr/has to export .*ngx_module_order/, 'scripts/check-symbols', $file);

compile("$right int ngx_apigw_y(void); int *ngx_module_order_;"
        . " static int f(void) __attribute__((used));"
        . " static int f(void) { return ngx_apigw_y(); }");
fails(qr/needs from elsewhere ngx_apigw_y/, 'scripts/check-symbols', $file);

done_testing;


sub compile {
    my ($source) = @_;

    put("$dir/x.c", $source);

    system('gcc', '-shared', '-fPIC', '-o', $file, "$dir/x.c") == 0
        or die "cannot compile\n";
}
