# The manuals agree with the tables of commands and variables, and what they
# describe is tested and has an example; scripts/check-docs notices every
# difference in a small suite of its own.

use strict;
use warnings;

use File::Temp ();
use Test::More;

use Apigw::Check;

my $check = 'scripts/check-docs';

passes($check);

my $source = 'modules/x/ngx_http_apigw_x_module.c';
my $manual = 'modules/x/README.md';

passes($check, suite());

my @breaks = (
    ['no block about api_x', $manual,
     sub { s/^### api_x$/### An interlude/m }],

    ['api_other, which no table has', $manual,
     sub { $_ .= "\n### api_other\n\n```\nSyntax:  api_other;\n```\n\nNo.\n" }],

    ['api_x is described twice', $manual,
     sub { s/^### api_x$/### api_x\n\n### api_x/m }],

    ['api_x: Context is "http", the source has "http, location"', $manual,
     sub { s/http, location/http/ }],

    ['api_x: Context is "http, location", the source has "location"', $source,
     sub { s/NGX_HTTP_MAIN_CONF\|(?=NGX_HTTP_LOC)// }],

    ['api_x: Default is "off", the source has "on"', $source,
     sub { s/prev->on, 0/prev->on, 1/ }],

    ['api_x_time: Default is "60s", the source has "61000"', $source,
     sub { s/60000/61000/ }],

    ['api_x_level: Default is "info", the source has "error"', $source,
     sub { s/prev->level, NGX_LOG_INFO/prev->level, NGX_LOG_ERR/ }],

    ['api_x_status: Default is "429", the source has "503"', $source,
     sub { s/TOO_MANY_REQUESTS/SERVICE_UNAVAILABLE/ }],

    ['api_x: Default is neither', $manual,
     sub { s/api_x off;/off/ }],

    ['api_x: Syntax is not "api_x on | off;"', $manual,
     sub { s/api_x on \| off;/api_x yes | no;/ }],

    ['api_x_zone: Syntax is not', $manual,
     sub { s/zone=name:size;/zone=name:size/ }],

    ['api_plan_x: a block in the manual or the source only', $manual,
     sub { s/api_plan_x name \{ ... \}/api_plan_x name;/ }],

    ['no phase "LUNCH"', $manual,
     sub { s/PREACCESS/LUNCH/ }],

    ['api_x_zone: no Phase', $manual,
     sub { s/^Phase:.*\n//m }],

    ['api_x_zone: no text', $manual,
     sub { s/^Names a zone.*\n//m }],

    ['describes rate in api_plan_x, which the source lacks', $source,
     sub { s/"rate"/"pace"/ }],

    ['no block about $api_x_name', $manual,
     sub { s/^### \$api_x_name$//m }],

    ['describes $api_x_name, which no table has', $source,
     sub { s/"api_x_name"/"api_x_title"/ }],

    ['no block about $api_x_label_NAME', $manual,
     sub { s/^### \$api_x_label_name$//m }],

    ['no test in t/*.t uses api_x_zone', 't/x_basic.t',
     sub { s/api_x_zone// }],

    ['no test in t/*.t uses $api_x_name', 't/x_basic.t',
     sub { s/\$api_x_name// }],

    ['no examples/*/*.conf uses api_x_time', 'examples/x/nginx.conf',
     sub { s/api_x_time/# api_x_time/ }],
);

for my $break (@breaks) {
    my ($pattern, $file, $change) = @$break;

    my $tree = suite();
    edit($tree, $file, $change);
    fails(qr/\Q$pattern\E/, $check, $tree);
}

my $tree = suite();
unlink "$tree/$manual";
fails(qr/there is no manual/, $check, $tree);

done_testing;


# A suite of one module, all of it right.

sub suite {
    my $tree = File::Temp->newdir('apigw-docs.XXXXXX', TMPDIR => 1);

    put("$tree/$source", <<'END');
static ngx_conf_enum_t  ngx_http_apigw_x_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};

static ngx_command_t  ngx_http_apigw_x_commands[] = {

    { ngx_string("api_x_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_apigw_x_zone,
      0,
      0,
      NULL },

    { ngx_string("api_plan_x"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_apigw_x_plan,
      0,
      0,
      NULL },

    { ngx_string("api_x"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_x_loc_conf_t, on),
      NULL },

    { ngx_string("api_x_time"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_x_loc_conf_t, time),
      NULL },

    { ngx_string("api_x_level"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_x_loc_conf_t, level),
      &ngx_http_apigw_x_levels },

    { ngx_string("api_x_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_apigw_x_loc_conf_t, status),
      &ngx_http_apigw_x_status_bounds },

      ngx_null_command
};

static ngx_http_variable_t  ngx_http_apigw_x_vars[] = {

    { ngx_string("api_x_name"), NULL,
      ngx_http_apigw_x_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("api_x_label_"), NULL,
      ngx_http_apigw_x_label, 0, NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};

    if (ngx_strcmp(value[0].data, "rate") == 0) {

    ngx_conf_merge_value(conf->on, prev->on, 0);
    ngx_conf_merge_msec_value(conf->time, prev->time, 60000);
    ngx_conf_merge_uint_value(conf->level, prev->level, NGX_LOG_INFO);
    ngx_conf_merge_uint_value(conf->status, prev->status,
                              NGX_HTTP_TOO_MANY_REQUESTS);
END

    put("$tree/$manual", <<'END');
# x

### api_x_zone

```
Syntax:  api_x_zone zone=name:size;
Default: -
Context: http
Phase:   -
```

Names a zone.

### api_plan_x

```
Syntax:  api_plan_x name { ... }
Default: -
Context: http
Phase:   -
```

Describes a plan.

### rate

```
Syntax:  rate number;
Default: -
Context: api_plan_x
Phase:   -
```

How fast.

### api_x

```
Syntax:  api_x on | off;
Default: api_x off;
Context: http, location
Phase:   PREACCESS
```

Switches it on.

### api_x_time

```
Syntax:  api_x_time time;
Default: api_x_time 60s;
Context: location
Phase:   PREACCESS
```

How long.

### api_x_level

```
Syntax:  api_x_level info | error;
Default: api_x_level info;
Context: location
Phase:   PREACCESS
```

How loud.

### api_x_status

```
Syntax:  api_x_status code;
Default: api_x_status 429;
Context: location
Phase:   PREACCESS
```

What to answer.

### $api_x_name

The name.

### $api_x_label_name

The label of this name.
END

    put("$tree/t/x_basic.t", <<'END');
# api_x_zone api_plan_x api_x api_x_time api_x_level api_x_status
# $api_x_name $api_x_label_color
END

    put("$tree/examples/x/nginx.conf", <<'END');
api_x_zone zone=one:1m;
api_plan_x free { rate 1; }
api_x on;
api_x_time 1s;
api_x_level error;
api_x_status 503;
END

    return $tree;
}
