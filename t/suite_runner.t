# The runner itself: every section with a right and with a wrong expectation,
# its strictness, the counting of plans, what it refuses and cleans up.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use File::Spec;
use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";

use Apigw::Nginx;
use Test::Nginx::Checks;
use Test::Nginx::Request;
use Test::Nginx::Root;

my $port = $ENV{TEST_NGINX_PORT} || 1984;
my $other = $port + 1;
my $base = File::Spec->rel2abs($ENV{TEST_NGINX_SERVROOT} || 't/servroot')
           . '/runner_temp';
my $root = "$base/root";
my $files = 0;

delete @ENV{grep { /^TEST_NGINX_/ && $_ ne 'TEST_NGINX_BINARY' } keys %ENV};

remove_tree($base);
make_path($base);


# Writes a test file and starts it; finish_file() gives { exit, tap, err }.

sub start_file {
    my ($head, $blocks, %env) = @_;

    my $run = { file => "$base/" . ++$files . '.t' };

    Test::Nginx::Root::write_file($run->{file},
                                  "use Test::Nginx::Socket $head\n"
                                  . "__DATA__\n$blocks");

    $run->{pid} = fork // die "fork() failed: $!\n";

    if ($run->{pid} == 0) {
        %ENV = (%ENV, TEST_NGINX_PORT => $port, TEST_NGINX_SERVROOT => $root,
                TEST_NGINX_LOAD_MODULES => '', TEST_NGINX_SLEEP => 0.005, %env);

        open STDOUT, '>', "$run->{file}.out";
        open STDERR, '>', "$run->{file}.err";
        { exec $^X, '-I', "$FindBin::Bin/lib", $run->{file} }
        POSIX::_exit(127);
    }

    return $run;
}


sub finish_file {
    my ($run) = @_;

    waitpid $run->{pid}, 0;

    $run->{exit} = $?;
    $run->{tap} = Apigw::Nginx::slurp("$run->{file}.out");
    $run->{err} = Apigw::Nginx::slurp("$run->{file}.err");

    return $run;
}


sub run_file {
    return finish_file(start_file(@_));
}


# The results in order: o, x, s (skipped), t (to do); for one block or all.

sub results {
    my ($run, $block) = @_;

    my $all = '';

    while ($run->{tap} =~ /^(not )?ok \d+(.*)/mg) {
        my ($not, $text) = ($1, $2);

        next if defined $block && $text !~ /\.t \Q$block\E(?: -|$)/
                && $text !~ /\\# skip .*\.t \Q$block\E -/
                && $text !~ /# \w+(?: & SKIP)? \S+\.t \Q$block\E -/;

        $all .= $text =~ /# T[O]DO/ ? 't'
              : $text =~ /# skip/   ? 's'
              : $not                ? 'x' : 'o';
    }

    return $all;
}


# A case: title, results, sections.
my @cases;

sub case {
    push @cases, [@_];
}


# Most need a location and a request.

sub get {
    my ($directives, $sections) = @_;

    return "--- config\nlocation /t { $directives }\n--- request\nGET /t\n"
           . ($sections // '');
}


# Status

case 'status 200', 'o', get('empty_gif;');
case 'status not 200', 'x', get('return 204;');
case 'error_code', 'o', get('return 404;', "--- error_code: 404\n");
case 'error_code wrong', 'x', get('return 404;', "--- error_code: 403\n");
case 'error_code_like', 'o',
     get('return 404;', "--- error_code_like: ^40\\d\$\n");
case 'error_code_like wrong', 'x',
     get('return 404;', "--- error_code_like: ^5\n");


# Headers: an assertion for each line

my $headers = 'empty_gif; add_header X-A 1; add_header X-A 2;';

case 'headers', 'oooo', get($headers, <<'END');
--- response_headers
Content-Type: image/gif
X-A: 1, 2
! X-B
END

case 'headers wrong', 'oxxxo', get($headers, <<'END');
--- response_headers
Content-Type: image/png
! X-A
X-B: 1
X-C:
END

case 'headers_like', 'ooo', get($headers, <<'END');
--- response_headers_like
X-A: \d, \d
Content-Type: image/.*
END

case 'headers_like is anchored', 'ox', get($headers, <<'END');
--- response_headers_like
X-A: \d
END

case 'header of blanks', 'ox', get('empty_gif; add_header X-A "  ";', <<'END');
--- response_headers
X-A:
END

case 'blanks around a header', 'ox',
     get('empty_gif; add_header X-A " b ";', <<'END');
--- response_headers
X-A: b
END

case 'blanks of headers_like', 'ooo',
     get('empty_gif; add_header X-A " b "; add_header X-B "  ";', <<'END');
--- response_headers_like
X-A: \sb\s
X-B: \s\s
END

case 'headers end at what is none', 'oox',
     get('empty_gif; add_header X-A 1; add_header "X B" 2; add_header X-C 3;',
         <<'END');
--- response_headers
X-A: 1
X-C: 3
END

case 'raw headers', 'ooo', get($headers, <<'END');
--- raw_response_headers_like: X-A: 1\r\nX-A: 2\r\n
--- raw_response_headers_unlike: X-B
END

case 'raw headers wrong', 'oxx', get($headers, <<'END');
--- raw_response_headers_like: X-A: 2\r\nX-A: 1\r\n
--- raw_response_headers_unlike: X-A
END


# Body

my $body = 'return 200 "Some text\n";';

case 'body', 'oo', get($body, "--- response_body\nSome text\n");
case 'body wrong', 'ox', get($body, "--- response_body\nother text\n");
case 'body newline missing', 'ox', get($body, "--- response_body: Some text\n");
case 'body chomp', 'oo',
     get('return 200 "Some text";', "--- response_body chomp\nSome text\n");
case 'body eval', 'oo',
     get($body, "--- response_body eval\n\"Some text\\x0a\"\n");
case 'body regex', 'oo', get($body, "--- response_body eval\nqr/^some/i\n");
case 'body regex wrong', 'ox',
     get($body, "--- response_body eval\nqr/^some/\n");
case 'body port', 'oo',
     get('return 200 $server_port;', "--- response_body chomp\n\$ServerPort\n");
case 'body like', 'oo', get($body, "--- response_body_like: ^Some.*\$\n");
case 'body like wrong', 'ox', get($body, "--- response_body_like: ^text\n");
case 'body unlike', 'oo', get($body, "--- response_body_unlike: other\n");
case 'body unlike wrong', 'ox', get($body, "--- response_body_unlike: text\n");

my $ssi = 'ssi on; ssi_types text/plain; '
          . "return 200 '<!--# echo var=\"uri\" -->!';";

case 'chunked', 'ooo', get($ssi, <<'END');
--- response_headers
Transfer-Encoding: chunked
--- response_body chomp
/t!
END
case 'filters', 'oo', get($body, <<'END');
--- response_body_filters
uc length
--- response_body chomp
10
END
case 'filters wrong', 'ox', get($body, <<'END');
--- response_body_filters: uc
--- response_body
Some text
END
case 'filters code', 'oo', get($body, <<'END');
--- response_body_filters eval
[sub { reverse $_[0] }, 'lc']
--- response_body eval
"\ntxet emos"
END
case 'filters md5', 'oo', get('return 200 abc;', <<'END');
--- response_body_filters
md5_hex
--- response_body: 900150983cd24fb0d6963f7d28e17f72
END
case 'ignore_response', 'o', get('return 404;', <<'END');
--- ignore_response
--- error_log: GET /t
END


# Requests

my $echo = 'return 200 "$request_method $request_uri $server_protocol '
           . '$http_host $http_connection $http_content_length $http_x_a";';

case 'request', 'oo', <<"END";
--- config
location ~ . { $echo }
--- request
# comment

POST /t?a HTTP/1.0
 body of ten

--- response_body chomp
POST /t?a HTTP/1.0 localhost close 11 
END

case 'request defaults', 'oo', <<"END";
--- config
location = / { $echo }
--- request
GET
--- response_body chomp
GET / HTTP/1.1 localhost close  
END

case 'more_headers', 'oo', <<"END";
--- config
location ~ . { $echo }
--- request
GET /t
--- more_headers
# comment
Host: other
X-A: b: c
--- response_body chomp
GET /t HTTP/1.1 other close  b: c
END

case 'requests', 'oooo', <<"END";
--- config
location ~ . { $echo }
--- request eval
['GET /1', "PUT /2\\nbody"]
--- more_headers eval
['X-A: 1', '']
--- response_body eval
['GET /1 HTTP/1.1 localhost close  1',
 'PUT /2 HTTP/1.1 localhost close 4 ']
END

case 'requests wrong', 'oxxxoo', <<'END';
--- config
location /1 { return 200 one; }
location /2 { return 404 two; }
--- request eval
['GET /1', 'GET /2', 'GET /1']
--- response_body eval
['other', 'wrong', 'one']
END

case 'requests codes', 'oxox', <<'END';
--- config
location /1 { return 200 one; }
location /2 { return 404 two; }
--- request eval
['GET /1', 'GET /2']
--- error_code eval
[200, 404]
--- response_headers eval
['X-A: 1', 'Content-Length: 4']
END

case 'requests filters', 'oooo', <<'END';
--- config
location ~ . { return 200 One; }
--- request eval
['GET /1', 'GET /2']
--- response_body_filters eval
[['uc'], ['lc']]
--- response_body eval
['ONE', 'one']
END

case 'pipelined', 'oooo', <<"END";
--- config
location ~ . { $echo }
--- pipelined_requests eval
['GET /1', "POST /2\\nbody"]
--- response_body eval
['GET /1 HTTP/1.1 localhost keep-alive  ',
 'POST /2 HTTP/1.1 localhost close 4 ']
END

case 'pipelined wrong', 'oxoo', <<"END";
--- config
location ~ . { return 200 x; }
--- pipelined_requests eval
['GET /1', 'GET /2']
--- response_body eval
['y', 'x']
END

case 'raw_request', 'oo', <<"END";
--- config
location ~ . { $echo }
--- raw_request eval
["GET /t HT", "TP/1.1\\r\\nHost: raw\\r\\nConnection: close\\r\\n\\r\\n"]
--- raw_request_middle_delay: 0.02
--- response_body chomp
GET /t HTTP/1.1 raw close  
END

case 'shutdown', 'o', <<'END';
--- config
location ~ . { return 200; }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: raw\r\n"
--- shutdown
--- error_code_like: ^$
END

case 'abort', 'o', <<'END';
--- config
location ~ . { return 200; }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: raw\r\n"
--- timeout: 100ms
--- abort
--- error_code_like: ^$
END

case 'timeout', 'xo', <<'END';
--- config
location ~ . { return 200; }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: raw\r\n"
--- timeout: 0.1
--- error_code_like: ^$
END

case 'address', 'oo', get('return 200 $server_addr;', <<'END');
--- server_addr_for_client: 127.0.0.2
--- response_body chomp
127.0.0.2
END

case 'http2', 'ooo', <<'END';
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    return 200 "$http_x_protocol $host $request_method $http_x_a $content_length";
}
--- config
location /t {
    proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    proxy_set_header Host $host;
    proxy_set_header X-Protocol $server_protocol;
}
--- http2
--- request
POST /t
body
--- more_headers
X-A: 1
--- response_headers
Content-Length: 27
--- response_body chomp
HTTP/2.0 localhost POST 1 4
END

case 'http2 wrong', 'xox', get('return 200 x;', <<'END');
--- http2
--- error_code: 201
--- response_headers
! X-A
--- response_body chomp
y
END


# Logs: an assertion for each pattern

case 'error_log', 'ooo', get('empty_gif;', <<'END');
--- error_log
http process request line
uri: "/t"
END
case 'error_log wrong', 'oox', get('empty_gif;', <<'END');
--- error_log
http process request line
uri: "/other"
END
case 'error_log array', 'ooo', get('empty_gif;', <<'END');
--- error_log eval
['request line', qr/uri: "\/\w"/]
END
case 'no_error_log', 'ooo', get('empty_gif;', <<'END');
--- no_error_log
[error]
[warn]
END
case 'no_error_log wrong', 'oxo', get('empty_gif;', <<'END');
--- no_error_log eval
[qr/uri: "\/\w"/, qr/uri: "\/\w\w"/]
END
case 'log since the last request', 'oxxo', <<'END';
--- config
location ~ . { empty_gif; }
--- request eval
['GET /1', 'GET /2']
--- error_code eval
[200, 201]
--- no_error_log
http uri: "/1"
END
case 'grep_error_log', 'oo', get('empty_gif;', <<'END');
--- grep_error_log eval
qr/http \w+: "\/?t?"/
--- grep_error_log_out
http uri: "/t"
http args: ""
http exten: ""
END
case 'grep_error_log wrong', 'ox', get('empty_gif;', <<'END');
--- grep_error_log chomp
http uri
--- grep_error_log_out
http uri
http uri
END
case 'grep_error_log regex', 'oo', get('empty_gif;', <<'END');
--- grep_error_log: http uri
--- grep_error_log_out eval
qr/^http uri\n\z/
END
case 'access_log', 'ooo', get('empty_gif;', <<'END');
--- access_log
GET /t
--- no_access_log
GET /u
END
case 'access_log wrong', 'oxx', get('empty_gif;', <<'END');
--- access_log
GET /u
--- no_access_log
GET /t
END
case 'shutdown_error_log', 'ooo', get('empty_gif;', <<'END');
--- shutdown_error_log
: exit
--- no_shutdown_error_log
http process request
END
case 'shutdown_error_log wrong', 'oxx', get('empty_gif;', <<'END');
--- shutdown_error_log
no such line
--- no_shutdown_error_log
: exit
END
case 'log_level', 'oo', get('empty_gif;', <<'END');
--- log_level: error
--- no_error_log
[debug]
END
case 'log_level debug', 'ox', get('empty_gif;', "--- no_error_log\n[debug]\n");
case 'wait', 'o', get('empty_gif;', "--- wait: 0.05\n");


# A configuration that nginx refuses

my $refused = "--- config\nfoo;\n--- must_die\n";

case 'must_die', 'oo', "$refused--- error_log\nunknown directive \"foo\"\n";
case 'must_die wrong', 'ox',
     "$refused--- error_log\nunknown directive \"bar\"\n";
case 'must_die lives', 'x', "--- config\n--- must_die\n";
case 'must_die code', 'o', "--- config\nfoo;\n--- must_die: 1\n";
case 'must_die code wrong', 'x', "--- config\nfoo;\n--- must_die: 2\n";
case 'does not start', 'xx', "--- config\nfoo;\n--- request\nGET /\n";


# Configuration and files

case 'parts', 'oo', <<'END';
--- main_config
env TEST_ME=1;
--- http_config
map $uri $mapped { default "$TEST_NGINX_SERVER_PORT"; }
--- config
location /t { return 200 "$mapped $server_name"; }
--- post_main_config
worker_rlimit_core 0;
--- server_name: other.example
--- request
GET /t
--- response_body eval
"$ENV{TEST_NGINX_SERVER_PORT} other.example"
END

case 'user_files', 'oooo', <<'END';
--- config
--- user_files
>>> one.txt 200001020304.05
$TEST_NGINX_SERVER_PORT
>>> sub/two.txt
two
--- request eval
['GET /one.txt', 'GET /sub/two.txt']
--- response_body eval
["$ENV{TEST_NGINX_SERVER_PORT}\n", "two\n"]
END

case 'user_files date', 'oo', <<'END';
--- config
--- user_files eval
[['one.txt', 'one', '200001020304.05']]
--- request
GET /one.txt
--- response_headers
Last-Modified: Sun, 02 Jan 2000 03:04:05 GMT
END

case 'init', 'oo', <<'END';
--- config
--- init
open my $out, '>', "$ENV{TEST_NGINX_SERVER_ROOT}/html/made.txt"; print $out "made";
--- request
GET /made.txt
--- response_body chomp
made
END

case 'random ports', 'oo', <<'END';
--- http_config
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; return 200 $server_port; }
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- request
GET /t
--- response_body_like: ^\d{5}$
END


# The mock server

my $mock = "--- config\nlocation /t { proxy_pass http://127.0.0.1:$other/x; }\n"
           . "--- tcp_listen: $other\n";

my $query = "GET /x HTTP/1.0\\r\\nHost: 127.0.0.1:$other\\r\\n"
            . 'Connection: close\r\n\r\n';
my $query_length = length eval "\"$query\"";

case 'tcp', 'oooo', <<"END";
$mock--- tcp_reply eval
"HTTP/1.0 200 OK\\r\\nX-A: 1\\r\\n\\r\\nreply"
--- request
GET /t
--- response_body chomp
reply
--- tcp_query eval
"$query"
--- tcp_query_len: $query_length
END

case 'tcp wrong', 'oxx', <<"END";
$mock--- tcp_reply eval
sub { ["HTTP/1.0 200 OK\\r\\n\\r\\n", length \$_[0]] }
--- request
GET /t
--- tcp_query: GET
--- tcp_query_len: 17
END

case 'tcp late', 'xo', <<"END";
$mock--- tcp_reply: HTTP/1.0 200 OK
--- tcp_reply_delay: 1s
--- request
GET /t
--- timeout: 100ms
--- error_code_like: ^\$
END

case 'tcp packets', 'oo', <<"END";
$mock--- tcp_reply eval
sub { "HTTP/1.0 200 OK\\r\\n\\r\\n" . (\$_[0] =~ /\\r\\n\\r\\n(.*)/s)[0] }
--- request eval
[["POST /t\\nna", { value => 'me', delay_before => 0.05 }, '=x']]
--- response_body chomp
name=x
END


# What is left out

case 'skip_nginx', 'sss', get('foo;', "--- skip_nginx\n3: > 0.8.54\n");
case 'skip_nginx not', 'o', get('empty_gif;', "--- skip_nginx\n3: < 0.8.54\n");
case 'skip_nginx2', 's',
     get('foo;', "--- skip_nginx2\n1: < 0.1.0 or > 0.2.0\n");
case 'skip_nginx2 not', 'o',
     get('empty_gif;', "--- skip_nginx2\n1: < 0.1.0 and > 0.2.0\n");
case 'skip_openssl', 's', get('foo;', "--- skip_openssl\n1: >= 1.1.1a\n");
case 'skip_eval', 'ss', get('foo;', "--- skip_eval: 2: 1 + 1 == 2\n");
case 'skip_eval not', 'o', get('empty_gif;', "--- skip_eval: 2: 1 + 1 == 3\n");
case 'todo', 'tt', get('empty_gif;', "--- todo: 2: later\n");
case 'todo but refused', 'xx', get('foo;', "--- todo: 2: later\n");
case 'SKIP', '', get('foo;', "--- SKIP\n");


# Strictness: real lines of nginx at crit (no socket) and alert (too many
# connections), reports of sanitizers, bad ends

my $crit = <<'END';
--- config
location /t { proxy_pass http://unix:/nowhere.sock; }
--- request
GET /t
--- error_code: 502
END
my $alert = <<'END';
--- config
location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/t; }
--- request
GET /t
--- error_code: 500
END

case 'crit', 'ox', $crit;
case 'crit announced', 'oo', "$crit--- error_log\n[crit]\n";
case 'crit announced by grep', 'oo',
     "$crit--- grep_error_log: /nowhere.sock failed\n"
     . "--- grep_error_log_out\n/nowhere.sock failed\n";
case 'crit not announced', 'oox', "$crit--- error_log\nhttp uri: \"/t\"\n";
case 'alert', 'ox', $alert;
case 'alert announced', 'oo',
     "$alert--- error_log\nworker_connections are not enough\n";
case 'sanitizer file', 'ox', get('empty_gif;', <<'END');
--- init
open my $out, '>', "$ENV{TEST_NGINX_SERVER_ROOT}/logs/asan.1"; print $out "==1==ERROR\n";
END
case 'sanitizer file empty', 'o', get('empty_gif;', <<'END');
--- init
open my $out, '>', "$ENV{TEST_NGINX_SERVER_ROOT}/logs/asan.1";
END

for my $line ('==7==ERROR: AddressSanitizer: heap-use-after-free',
              'a.c:3:5: runtime error: shift',
              'SUMMARY: LeakSanitizer: 8 bytes',
              'nginx: [emerg] late')
{
    case "line $line", 'ox', get('empty_gif;', <<"END");
--- init
open my \$out, '>>', "\$ENV{TEST_NGINX_SERVER_ROOT}/logs/error.log"; print \$out "$line\\n";
END
}

my $signal = <<'END';
--- init
my $pid = Apigw::Nginx::slurp("$ENV{TEST_NGINX_SERVER_ROOT}/logs/nginx.pid"); Apigw::Nginx::wait_for(sub { kill 'SIGNAL', $pid; !Apigw::Nginx::is_running(0 + $pid) }, 5);
END

case 'killed', 'xxx', get('empty_gif;', $signal =~ s/SIGNAL/KILL/r);
case 'crashed', 'xxx', get('empty_gif;', $signal =~ s/SIGNAL/SEGV/r);
case 'ended by itself', 'xx', get('empty_gif;', $signal =~ s/SIGNAL/QUIT/r);


sub all_cases {
    my $began = time;

    my $run = run_file("'no_plan'; no_shuffle(); run_tests();",
                       join "\n", map { "=== $_->[0]\n$_->[2]" } @cases);

    for my $case (@cases) {
        my ($title, $expected) = @$case;
        is(results($run, $title), $expected, $title)
            or diag join "\n", grep { /\Q$title\E/ } split /\n/, $run->{tap};
    }

    my $all = join '', map { $_->[1] } @cases;
    is(results($run), $all, 'nothing else is asserted');

    my $failed = $all =~ tr/x//;
    is($run->{exit} >> 8, $failed > 254 ? 254 : $failed, 'exit status');

    like($run->{err}, qr/unknown directive "foo"/,
         'says why nginx did not start');
    like($run->{err}, qr/ended by signal 11/, 'says how nginx ended');
    like($run->{err}, qr/\[crit\].*nowhere\.sock/,
         'shows what was not announced');

    note sprintf '%d blocks in %.1f s', scalar @cases, time - $began;
}

all_cases();


# Refused: what the original ignores or does not know

sub refused {
    my ($title, $blocks, $reason, %args) = @_;

    my $run = run_file("'no_plan'; " . ($args{head} // '') . " run_tests();",
                       "=== refused\n$blocks", %{$args{env} // {}});

    ok($run->{exit} != 0, "$title: fails");
    like($run->{err}, $reason, "$title: says why");
}

my $fine = get('empty_gif;');

refused 'unknown section', "$fine--- respond_body\nx\n",
        qr/unknown section --- respond_body/;
refused 'unsupported section', "$fine--- udp_listen: 1\n",
        qr/--- udp_listen is not supported/;
refused 'unknown filter', "$fine--- response_body chompp\nx\n",
        qr/'chompp' filter/;
refused 'failing eval', "$fine--- response_body eval\nx(\n",
        qr/--- response_body eval: syntax error/;
refused 'section twice', "$fine--- error_code: 200\n--- error_code: 200\n",
        qr/--- error_code is there twice/;
refused 'section ignored',
        "$fine--- response_body: 1\n--- response_body_like: 1\n",
        qr/--- response_body and --- response_body_like exclude/;
refused 'section misspelt', "$fine---error_code: 404\n",
        qr/line "---error_code: 404"/;
refused 'no config', "--- request\nGET /\n", qr/no --- config/;
refused 'no request', "--- config\n", qr/no --- request/;
refused 'http2 pipelined',
        "--- config\n--- http2\n--- pipelined_requests eval\n['GET /']\n",
        qr/--- http2 and --- pipelined_requests exclude/;
refused 'header without colon', "$fine--- response_headers\nX-A\n",
        qr/no colon in the header "X-A"/;
refused 'header twice', "$fine--- response_headers\nX-A: 1\nx-a: 2\n",
        qr/header "x-a" is expected twice/;
refused 'too many expectations',
        "--- config\n--- request eval\n['GET /', 'GET /']\n"
        . "--- error_code eval\n[200, 200, 200]\n",
        qr/3 entries for 2 requests/;
refused 'one expectation for many',
        "--- config\n--- request eval\n['GET /', 'GET /']\n"
        . "--- error_code: 200\n",
        qr/every expectation has to be an array/;
refused 'unknown variable',
        "--- config\n# \$TEST_NGINX_FOO\n--- request\nGET /\n",
        qr/no environment variable TEST_NGINX_FOO/;
refused 'unknown body filter', "$fine--- response_body_filters: upper\n",
        qr/unknown filter "upper"/;
refused 'use_hup', $fine, qr/use_hup\(\) is not supported/,
        head => 'use_hup();';
refused 'mode', $fine, qr/TEST_NGINX_USE_HUP is not supported/,
        env => { TEST_NGINX_USE_HUP => 1 };
refused 'root with other files', $fine, qr/cannot remove .*not empty/,
        head => "mkdir server_root(); mkdir server_root() . '/precious';";
ok(rmdir "$root/precious", 'precious directory is still there');


# What must not be logged may come as late as in the original

my $asked = time;
Test::Nginx::Checks::log_lines({ settings => { sleep => 0.05 } }, '/nowhere',
                               0, sub { 1 }, 1);
cmp_ok(time - $asked, '>=', 0.15, 'time for a line that must not come');


# Plans, repeats, order

my $run = run_file('; repeat_each(3); '
                   . 'plan tests => repeat_each() * (blocks() * 3); '
                   . 'run_tests();', <<'END');
=== one
--- config
location /t { return 200 $connection; }
--- request
GET /t
--- response_body_like: ^\d+$
--- error_log
uri: "/t"
=== two
--- config
location /u { empty_gif; }
--- request
GET /u
--- grep_error_log: http uri
--- grep_error_log_out eval
[("http uri\n") x 3]
--- no_error_log
[error]
END
is(results($run), 'o' x 18, 'repeat_each');
is($run->{exit}, 0, 'plan kept');
like($run->{tap}, qr/^1\.\.18$/m, 'plan counted');

$run = run_file('tests => 3; run_tests();',
                "=== one\n$fine--- error_log\nuri:\n");
is(results($run), 'oo', 'plan of one too many');
isnt($run->{exit}, 0, 'wrong plan fails');

$run = run_file('tests => 1; run_tests();', "=== one\n" . get('return 404;')
                . "--- error_code: 404\n");
is($run->{exit}, 0, 'plan in the import list');

$run = run_file('tests => 1; run_tests();', "=== one\n$crit");
is(results($run), 'ox', 'extra failure');
isnt($run->{exit}, 0, 'extra failure fails');

my $blocks = join '', map { "=== $_\n--- config\n--- skip_nginx\n1: > 0.1.0\n" }
                      'a' .. 'z';
my @orders = map {
    my $tap = run_file("'no_plan'; $_ run_tests();", $blocks)->{tap};
    join '', $tap =~ /\.t ([a-z]) - nginx version/g;
} 'no_shuffle();', '', '';

is($orders[0], join('', 'a' .. 'z'), 'no_shuffle');
isnt($orders[1], $orders[2], 'shuffled');
is(join('', sort split //, $orders[1]), $orders[0], 'all of them');

$run = run_file("'no_plan'; run_tests();",
                "=== a\n$refused=== b\n$fine--- ONLY\n");
is(results($run), 'o', 'ONLY');
$run = run_file("'no_plan'; no_shuffle(); run_tests();",
                "=== a\n$fine--- LAST\n=== b\n$refused");
is(results($run), 'o', 'LAST');


# Settings reach nginx

$run = run_file("'no_plan'; master_on(); workers(2); no_root_location();"
                . " env_to_nginx('FOO=a b'); worker_connections(99);"
                . " log_level('info');"
                . " config_preamble('location /p { return 201; }');"
                . ' add_block_preprocessor(sub {'
                . " \$_[0]->set_value('more_headers', 'X-A: 1') });"
                . ' add_response_body_check(sub {'
                . " is_str(\$_[1], '1', 'checked') });"
                . ' run_tests();', <<'END');
=== one
--- config
location /t { return 200 $http_x_a; }
--- request eval
['GET /t', 'GET /p']
--- error_code eval
[200, 201]
END
is(results($run), 'ooox', 'preamble, preprocessor, body check');

my $conf = Apigw::Nginx::slurp("$root/conf/nginx.conf");
like($conf, $_, "nginx.conf: $_")
    for qr/^master_process on;/m, qr/^worker_processes  2;/m,
        qr/^env 'FOO=a b';/m, qr/worker_connections  99;/,
        qr{error\.log info;};
unlike($conf, qr/location \/ /, 'no_root_location');

$run = run_file("'no_plan'; run_tests();", "=== one\n$fine",
                TEST_NGINX_LOAD_MODULES => '/nowhere/a.so /nowhere/b.so',
                TEST_NGINX_WORKER_USER => 'nobody nogroup',
                TEST_NGINX_LOG_LEVEL => 'warn',
                TEST_NGINX_MASTER_PROCESS => 'on');
like($run->{err}, qr{/nowhere/a\.so}, 'modules are loaded');
$conf = Apigw::Nginx::slurp("$root/conf/nginx.conf");
like($conf, $_, "nginx.conf: $_")
    for qr{load_module /nowhere/a\.so; load_module /nowhere/b\.so;},
        qr/^user nobody nogroup;/m, qr/error\.log warn;/,
        qr/^master_process on;/m;

$run = run_file("'no_plan'; no_long_string(); run_tests();", "=== one\n"
                . get('return 200 $server_protocol;')
                . "--- response_body chomp\nHTTP/2.0\n",
                TEST_NGINX_USE_HTTP2 => 1);
is(results($run), 'oo', 'TEST_NGINX_USE_HTTP2');

# A worker that dies is an alert
$run = run_file("'no_plan'; master_on(); run_tests();", <<"END");
=== one
$fine--- init
sub children {
    my \$root = \$ENV{TEST_NGINX_SERVER_ROOT};
    my \$pid = Apigw::Nginx::slurp("\$root/logs/nginx.pid");
    return map { \$_->{pid} } grep { \$_->{ppid} == \$pid }
           Apigw::Nginx::process_table();
}
my (\$worker) = Apigw::Nginx::wait_for(sub { children() }, 5);
kill 9, children();
END
is(results($run), 'ox', 'killed worker');
like($run->{err}, qr/\[alert\].* exited on signal 9/, 'killed worker: says so');


# No process outlives its test, however that ends

sub servers {
    return grep { (readlink "/proc/$_->{pid}/fd/2" // '') =~ /^\Q$root\E/ }
           Apigw::Nginx::process_table();
}

is(servers(), 0, 'nothing runs');

my $slow = "=== slow\n" . get('empty_gif;', "--- wait: 20\n");

for my $signal (qw(TERM INT KILL)) {
    my $slow_run = start_file("'no_plan'; master_on(); workers(2);"
                              . ' run_tests();', $slow);

    ok(Apigw::Nginx::wait_for(sub { servers() >= 3 }, 10), "$signal: runs");
    kill $signal, $slow_run->{pid};
    finish_file($slow_run);

    if ($signal eq 'KILL') {
        # also with the master gone
        kill 'KILL', Apigw::Nginx::slurp("$root/logs/nginx.pid");
        ok(Apigw::Nginx::wait_for(sub { servers() == 2 }, 10), 'KILL: orphans');

        my $next = run_file("'no_plan'; run_tests();", "=== one\n$fine");
        is(results($next), 'o', 'KILL: the next run copes');
    }

    is(servers(), 0, "$signal: nothing is left");
}

# interrupted while nginx starts
Test::Nginx::Root::write_file("$base/late", <<'END');
#!/bin/sh
[ "$1" = -V ] || sleep 3
exec "$REAL_NGINX" "$@"
END
chmod 0755, "$base/late";

my $late = start_file("'no_plan'; run_tests();", "=== one\n$fine",
                      TEST_NGINX_BINARY => "$base/late",
                      REAL_NGINX => $ENV{TEST_NGINX_BINARY} || 'nginx');
ok(Apigw::Nginx::wait_for(sub { servers() >= 1 }, 10), 'starting');
kill 'TERM', $late->{pid};
finish_file($late);
is(servers(), 0, 'starting: nothing is left');

my $died = run_file("'no_plan'; add_response_body_check(sub { die 'oops' });"
                    . ' run_tests();', "=== one\n$fine");
isnt($died->{exit}, 0, 'dying fails');
is(servers(), 0, 'dying leaves nothing');

# TEST_NGINX_RANDOMIZE
chdir $base or die;
mkdir 't';
my @random = map {
    start_file("'no_plan'; run_tests();",
               "=== one\n" . get('return 200 $server_port;')
               . "--- response_body chomp\n\$ServerPort\n"
               . "--- response_headers_like\nContent-Length: 5\n",
               TEST_NGINX_RANDOMIZE => 1);
} 1 .. 2;
is(results(finish_file($_)), 'ooo', 'random port') for @random;
is_deeply([glob 't/*'], [], 'random root is removed');
chdir "$FindBin::Bin/..";


# Packets: cut where the test cuts

{
    package Fake;

    sub new { my ($class, %sections) = @_; return bless \%sections, $class }

    sub AUTOLOAD {
        my ($self) = @_;
        return $self->{our $AUTOLOAD =~ s/.*:://r};
    }
}

sub packets {
    my ($request, %sections) = @_;

    my @requests = Test::Nginx::Request::from_block(
        Fake->new(request => [$request], %sections), { server_name => 'h' });

    return [map { $_->{value} } @{$requests[0]}];
}

my $head = "POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";

is_deeply(packets(["POST /x\nab", 'cd']),
          ["${head}Content-Length: 4\r\n\r\nab", 'cd'], 'cut body');
is_deeply(packets(["POST /x\n", 'ab']),
          ["${head}Content-Length: 2\r\n\r\n", 'ab'], 'cut at the body');
is_deeply(packets(['PO', "ST /x\nab"]),
          ['PO', substr("${head}Content-Length: 2\r\n\r\nab", 2)],
          'cut request line');
is_deeply(packets(["POST /x\n  ab", "cd \n"]),
          ["${head}Content-Length: 4\r\n\r\nab", 'cd'], 'cut stripped body');
is_deeply(packets(["POST /x\n2\r\nab\r\n", "0\r\n\r\n"],
                  more_headers => 'Transfer-Encoding: chunked'),
          ["${head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "0\r\n\r\n"],
          'chunks are left alone');
is_deeply(packets("POST /x\nab ", more_headers => 'Content-Length: 9'),
          ["${head}Content-Length: 9\r\n\r\nab "], 'own Content-Length');

remove_tree($base) if Test::More->builder->is_passing;

done_testing();
