package Test::Nginx::Socket;

# Runs declarative tests against nginx: the part of CPAN's Test::Nginx::Socket
# that this suite uses, on Debian's libtest-base-perl.  A test file runs
# unchanged under the original, too:
#
#     use Test::Nginx::Socket 'no_plan';
#
#     no_long_string();
#     run_tests();
#
#     __DATA__
#
#     === TEST 1: a pixel
#     --- config
#     location /t { empty_gif; }
#     --- request
#     GET /t
#     --- response_headers
#     Content-Type: image/gif
#     --- no_error_log
#     [error]
#
# and is run with "prove -I t/lib".
#
# Stricter than the original: a section, filter or combination that the
# original ignores is an error; and a block fails (with an extra "not ok", so
# that plans stay what they are) when error.log has lines at alert, crit or
# emerg or a sanitizer's that no error_log or grep_error_log section of the
# block asks for, when a sanitizer or valgrind wrote a report, or when nginx
# did not end with status 0.
#
# More patient than the original: a line that error_log or access_log asks for
# may take 50 times TEST_NGINX_SLEEP to arrive, there 3 times.  And after
# must_die error_log sees what nginx says of its configuration: there only
# with an nginx whose built-in path is logs/error.log, which Debian's is not.

use strict;
use warnings;

use Test::Base -base;

use File::Path qw(remove_tree);
use File::Spec;
use List::Util qw(shuffle);
use Scalar::Util qw(looks_like_number);
use Test::More ();
use Time::HiRes qw(sleep);

use Apigw::Nginx;
use Test::Nginx::Checks;
use Test::Nginx::Request;
use Test::Nginx::Root;
use Test::Nginx::Skip;
use Test::Nginx::TcpServer;

our @EXPORT = qw(
    add_block_preprocessor add_cleanup_handler add_response_body_check
    bail_out check_accum_error_log config_preamble env_to_nginx html_dir is_str
    log_level master_off master_on master_process_enabled no_long_string
    no_nginx_manager no_root_location no_shuffle plan repeat_each run_tests
    server_addr server_name server_port server_port_for_client server_root
    timeout use_hup worker_connections workers
);

my @SECTIONS = qw(
    ONLY SKIP LAST
    config http_config main_config post_main_config server_name
    user_files init log_level must_die
    request more_headers raw_request raw_request_middle_delay
    pipelined_requests timeout abort shutdown wait server_addr_for_client
    http2 curl_protocol curl_options curl_error
    ignore_response error_code error_code_like
    response_headers response_headers_like
    raw_response_headers_like raw_response_headers_unlike
    response_body response_body_like response_body_unlike
    response_body_filters
    error_log no_error_log grep_error_log grep_error_log_out
    shutdown_error_log no_shutdown_error_log access_log no_access_log
    skip_nginx skip_nginx2 skip_openssl skip_eval todo no_check_leak
    tcp_listen tcp_reply tcp_reply_delay tcp_query tcp_query_len
    tcp_shutdown tcp_shutdown_delay tcp_no_close
);

# Known to the original, deprecated or of no use here.
my @UNSUPPORTED = qw(
    request_eval response_body_eval charset curl http09 error_log_file
    skip_slave todo_nginx reload_fails http3 quic_max_idle_timeout
    stap stap_out stap_out_like stap_out_unlike
    udp_listen udp_reply udp_reply_delay udp_query
);

# Of each group the original looks at the first that is there.
my @EXCLUSIVE = (
    [qw(raw_request pipelined_requests request)],
    [qw(error_code_like error_code)],
    [qw(response_headers response_headers_like)],
    [qw(response_body response_body_like response_body_unlike)],
    [qw(skip_nginx skip_nginx2)],
);

my @UNSUPPORTED_ENV = map { "TEST_NGINX_$_" } qw(
    USE_HUP USE_STAP USE_RR USE_HTTP3 CHECK_LEAK BENCHMARK NO_NGINX_MANAGER
    IGNORE_MISSING_DIRECTIVES
);

my $port = $ENV{TEST_NGINX_SERVER_PORT} || $ENV{TEST_NGINX_PORT} || 1984;

my %settings = (
    sleep       => $ENV{TEST_NGINX_SLEEP} || 0.015,
    timeout     => $ENV{TEST_NGINX_TIMEOUT} || 3,
    log_level   => $ENV{TEST_NGINX_LOG_LEVEL} || 'debug',
    verbose     => $ENV{TEST_NGINX_VERBOSE},
    no_shuffle  => $ENV{TEST_NGINX_NO_SHUFFLE},
    accumulate  => $ENV{TEST_NGINX_CHECK_ACCUM_ERR_LOG},
    valgrind    => $ENV{TEST_NGINX_USE_VALGRIND},
    http2       => $ENV{TEST_NGINX_USE_HTTP2},
    binary      => $ENV{TEST_NGINX_BINARY} || 'nginx',
    modules     => $ENV{TEST_NGINX_LOAD_MODULES},
    user        => $ENV{TEST_NGINX_WORKER_USER},
    master      => $ENV{TEST_NGINX_MASTER_PROCESS} || 'off',
    port        => $port,
    client_port => $ENV{TEST_NGINX_CLIENT_PORT} || $port,
    server_addr => '127.0.0.1',
    server_name => 'localhost',
    repeat      => 1,
    workers     => 1,
    connections => 64,
    preamble    => '',
    env         => [],
    root        => File::Spec->rel2abs($ENV{TEST_NGINX_SERVROOT}
                                       || 't/servroot'),
);

my (@preprocessors, @cleanup_handlers, $nginx, $tcp_server);
my $owner = $$;

set_up();


sub set_up {
    for my $name (@UNSUPPORTED_ENV) {
        die "$name is not supported by this Test::Nginx::Socket\n"
            if $ENV{$name};
    }

    die "bad TEST_NGINX_WORKER_USER \"$settings{user}\"\n"
        if defined $settings{user}
           && $settings{user} !~ /^[\w-]+(?:\s+[\w-]+)?$/;

    if ($ENV{TEST_NGINX_RANDOMIZE}) {
        my $free = Test::Nginx::Root::random_port(\%settings, {})
            or die "no free port found\n";

        $settings{port} = $settings{client_port} = $free;
        $settings{root} = File::Spec->rel2abs("t/servroot_$settings{port}");
    }

    $ENV{TEST_NGINX_SERVER_ROOT} = $settings{root};
    use_root($settings{root});

    for my $signal (qw(INT TERM HUP)) {
        $SIG{$signal} = sub { exit 1 };
    }
}


sub use_root {
    my ($root) = @_;

    $settings{root} = $root;
    $settings{log} = "$root/logs/error.log";
}


# The functions of a test file

sub setting {
    my $name = shift;

    $settings{$name} = shift if @_;

    return $settings{$name};
}

sub repeat_each { return setting('repeat', @_) }
sub workers { return setting('workers', @_) }
sub worker_connections { return setting('connections', @_) }
sub log_level { return setting('log_level', @_) }
sub timeout { return setting('timeout', @_) }
sub server_addr { return setting('server_addr', @_) }
sub server_name { return setting('server_name', @_) }
sub server_port { return setting('port', @_) }
sub server_port_for_client { return setting('client_port', @_) }
sub config_preamble { return setting('preamble', @_) }
sub server_root { return $settings{root} }
sub html_dir { return "$settings{root}/html" }
sub master_on { $settings{master} = 'on' }
sub master_off { $settings{master} = 'off' }
sub no_shuffle { $settings{no_shuffle} = 1 }
sub no_root_location { $settings{no_root_location} = 1 }
sub check_accum_error_log { $settings{accumulate} = 1 }
sub add_block_preprocessor(&) { unshift @preprocessors, shift }
sub add_cleanup_handler { unshift @cleanup_handlers, shift }
sub add_response_body_check { push @Test::Nginx::Checks::body_checks, shift }
sub is_str { goto &Test::Nginx::Checks::is_str }

# is() shows strings whole already
sub no_long_string { }

sub use_hup { die "use_hup() is not supported\n" }
sub no_nginx_manager { die "no_nginx_manager() is not supported\n" }


sub master_process_enabled {
    $settings{master} = shift() ? 'on' : 'off' if @_;

    return $settings{master};
}


sub env_to_nginx {
    for my $variable (@_) {
        die "env_to_nginx: bad argument \"$variable\"\n"
            if $variable !~ /^[A-Za-z_]/ || $variable =~ /\n/;

        push @{$settings{env}}, $variable;
    }
}


sub bail_out {
    clean_up();
    Test::More::BAIL_OUT(@_);
}


sub run_tests {
    $settings{version} = Test::Nginx::Skip::nginx_version($settings{binary});
    $ENV{TEST_NGINX_SERVER_PORT} //= $settings{port};

    my @blocks = blocks();
    @blocks = shuffle(@blocks) if !$settings{no_shuffle};

    for my $i (0 .. $#blocks) {
        my $block = $blocks[$i];

        $_->($block) for @preprocessors;
        $block->set_value(name => "$0 " . $block->name);

        my $keep = $i == $#blocks && $ENV{TEST_NGINX_NO_CLEAN};

        eval { run_block($block, $keep); 1 }
            or die $block->name . ": $@";
    }

    clean_up();
}


# One block: a server root of its own, a fresh nginx, all repeats.

sub run_block {
    my ($block, $keep) = @_;

    return if defined $block->SKIP;

    check_sections($block);
    return if Test::Nginx::Skip::is_skipped($block, \%settings);

    my $builder = Test::More->builder;
    my $failed = grep { !$_ } $builder->summary;

    local $settings{log_level} = $block->log_level // $settings{log_level};
    local $settings{log_offset} = 0;

    $nginx = new_nginx(defined $block->must_die);
    local $settings{nginx} = $nginx;
    local $settings{foreground} = @{$nginx->{wrapper}};
    local $settings{uses_http2} = uses_http2($block);

    $nginx->stop_stale;
    Test::Nginx::Root::set_up($settings{root});

    my $ports = {};
    my $write_files = sub {
        Test::Nginx::Root::write_user_files($block, \%settings, $ports);
    };

    $write_files->();
    Test::Nginx::Root::write_config($block, \%settings, $ports);

    if (defined $block->must_die) {
        run_to_die($block);

    } elsif (!$nginx->start) {
        Test::More::fail($block->name . " - nginx does not start: "
                         . start_failure());

    } else {
        sleep $settings{sleep} if $settings{foreground};
        run_init($block);
        run_repeats($block, $write_files)
            if !Test::Nginx::Skip::is_to_do($block, \%settings);
    }

    return if $keep;

    $nginx->stop(seconds => $settings{timeout});
    Test::Nginx::Checks::check_shutdown_log($block,
                                            { name     => $block->name,
                                              repeat   => 0,
                                              settings => \%settings });

    my $failures = grep { !$_ } $builder->summary;
    check_problems($block);
    show_log() if $failures > $failed;

    undef $nginx;
}


sub show_log {
    Test::More::diag("error.log: $_") for $nginx->log_tail(20);
}


sub run_init {
    my ($block) = @_;

    my $code = $block->init or return;

    eval $code;
    die "--- init failed: $@\n" if $@;
}


sub run_repeats {
    my ($block, $write_files) = @_;

    for my $repeat (0 .. $settings{repeat} - 1) {
        $tcp_server = Test::Nginx::TcpServer->start($block);
        $write_files->() if $repeat;

        run_requests($block, $repeat);

        if ($tcp_server) {
            $tcp_server->check;
            $tcp_server->stop;
            undef $tcp_server;
        }
    }
}


sub run_requests {
    my ($block, $repeat) = @_;

    my @requests = Test::Nginx::Request::from_block($block, \%settings);
    my $timeout = Test::Nginx::Request::seconds(scalar $block->timeout)
                  // $settings{timeout};
    my $send = $settings{uses_http2} ? \&Test::Nginx::Request::send_by_curl
                                  : \&Test::Nginx::Request::send_packets;

    my $pipelined = $block->pipelined_requests;
    my $count = $pipelined ? @$pipelined : @requests;

    my $at = { name      => $block->name,
               request   => 0,
               count     => $count,
               pipelined => $pipelined,
               repeat    => $repeat,
               settings  => \%settings };

    for my $packets (@requests) {
        my $raw = $send->($packets, $block, \%settings, $timeout);
        my $is_head = $packets->[0]{value} =~ /^\s*HEAD\s/;

        print STDERR "answer: [", $raw // '', "]\n" if $settings{verbose};

        # the answers to pipelined requests follow each other
        for (1 .. ($pipelined ? $count : 1)) {
            $raw = check_request($block, $at, $raw, $is_head,
                                 $at->{request} == $count - 1);
            $at->{request}++;
        }
    }
}


sub check_request {
    my ($block, $at, $raw, $is_head, $is_last) = @_;

    my $rest;

    if (!defined $block->ignore_response) {
        (my $answer, $rest) = Test::Nginx::Checks::parse_answer($at, $raw,
                                                                $is_head);

        warn "WARNING: $at->{name} - octets after the answer: \"",
             Test::Nginx::Checks::one_line($rest), "\"\n"
            if defined $rest && (!$block->pipelined_requests || $is_last);

        Test::Nginx::Checks::check_answer($block, $answer, $at);
    }

    sleep $block->wait if $block->wait;

    Test::Nginx::Checks::check_error_log($block, $at);
    Test::Nginx::Checks::check_access_log($block, $at)
        if !defined $block->ignore_response;

    return $rest;
}


sub run_to_die {
    my ($block) = @_;

    my $name = $block->name;

    for my $repeat (0 .. $settings{repeat} - 1) {
        my $runs = $nginx->start;
        my $status = $nginx->{status};
        my $code = $block->must_die;

        if ($status & 127) {
            Test::More::fail("$name - nginx "
                             . Apigw::Nginx::describe_status($status));

        } elsif (looks_like_number($code)) {
            Test::More::is($status >> 8, $code,
                           "$name - die with the expected exit code");

        } else {
            Test::More::isnt($status, 0, "$name - die as expected");
        }

        Test::Nginx::Checks::check_error_log($block,
                                             { name     => $name,
                                               request  => 0,
                                               repeat   => $repeat,
                                               settings => \%settings });

        $nginx->stop if $runs;
    }
}


# What the original does not look at.

sub check_problems {
    my ($block) = @_;

    my @problems = $nginx->problems(sub {
        Test::Nginx::Checks::announced($block, $_[0])
    });

    return if !@problems;

    Test::More::fail($block->name . " - nginx ran cleanly");
    Test::More::diag($_) for splice @problems, 0, 20;
}


sub start_failure {
    my $text = $nginx->stderr;
    my $status = $nginx->{status} // 0;

    $text = join "\n", $nginx->log_tail(20) if $text !~ /\S/;

    return Apigw::Nginx::describe_status($status) . "\n$text";
}


# Only what the original would understand, too, and not ignore.

sub check_sections {
    my ($block) = @_;

    my %known = map { $_ => 1 } @SECTIONS;
    my %unsupported = map { $_ => 1 } @UNSUPPORTED;
    my %seen;

    for my $name (@{$block->{_section_order}[0] || []}) {
        die "the section --- $name is not supported by this "
            . "Test::Nginx::Socket\n" if $unsupported{$name};
        die "unknown section --- $name\n" if !$known{$name};
        die "the section --- $name is there twice\n" if $seen{$name}++;

        check_section_text($block, $name);
    }

    for my $group (@EXCLUSIVE) {
        my @found = grep { defined $block->$_ } @$group;
        die "--- $found[0] and --- $found[1] exclude each other\n"
            if @found > 1;
    }

    die "no --- config section\n" if !defined $block->config;
}


sub check_section_text {
    my ($block, $name) = @_;

    my $original = $block->original_values->{$name};

    die "--- $name has a line \"$1\" that looks like a section\n"
        if defined $original && $original =~ /^(---(?!-)\S.*)$/m;

    # a failed eval filter leaves its message as the value
    my $filters = $block->{_section_map}[0]{$name}{filters} // '';
    my $value = $block->$name;

    die "--- $name eval: $value\n"
        if $filters =~ /\beval\b/ && defined $value && !ref $value
           && $value =~ /\bat \(eval \d+\) line \d+/;
}


sub uses_http2 {
    my ($block) = @_;

    if (defined $block->http2) {
        for my $section (qw(raw_request pipelined_requests)) {
            die "--- http2 and --- $section exclude each other\n"
                if defined $block->$section;
        }

        return 1;
    }

    return 0 if !$settings{http2} || !defined $block->request;

    return ref $block->request || $block->request !~ m{HTTP/1\.0};
}


sub new_nginx {
    my ($must_die) = @_;

    my @wrapper;

    if ($settings{valgrind} && !$must_die) {
        my $options = $settings{valgrind} =~ /^\d+$/
            ? '--num-callers=100 --tool=memcheck --leak-check=full '
              . '--show-possibly-lost=no --gen-suppressions=all'
            : $settings{valgrind};

        $options .= ' --suppressions=valgrind.suppress'
            if -f 'valgrind.suppress';

        @wrapper = ('valgrind', '-q', split(' ', $options),
                    "--log-file=$settings{root}/logs/valgrind.%p");
    }

    return Apigw::Nginx->new(root    => $settings{root},
                             binary  => $settings{binary},
                             wrapper => \@wrapper);
}


sub clean_up {
    $_->() for splice @cleanup_handlers;

    if ($tcp_server) {
        $tcp_server->stop;
        undef $tcp_server;
    }

    if ($nginx && !$ENV{TEST_NGINX_NO_CLEAN}) {
        $nginx->stop(signal => 'TERM', seconds => 3);
        undef $nginx;
    }
}


# Also reached when the test died or was interrupted.

END {
    if ($$ == $owner) {
        my $status = $?;

        eval { clean_up(); 1 } or warn $@;

        remove_tree($settings{root})
            if $ENV{TEST_NGINX_RANDOMIZE} && !$ENV{TEST_NGINX_NO_CLEAN}
               && $settings{root} =~ m{/servroot_\d+$};

        $? = $status;
    }
}


1;
