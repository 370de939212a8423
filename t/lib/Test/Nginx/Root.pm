package Test::Nginx::Root;

# The server root of a block: directories, user_files, nginx.conf.  Part of
# this suite's own Test::Nginx::Socket.

use strict;
use warnings;

use File::Glob qw(bsd_glob);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;


# Only what nginx and this runner make is removed: whatever else is there was
# not meant to go.

sub set_up {
    my ($root) = @_;

    if (-d $root) {
        remove_tree(bsd_glob("$root/{conf,html,logs}"),
                    bsd_glob("$root/*_{temp,cache}"));
        rmdir $root or die "cannot remove $root: $!\n";
    }

    make_path("$root/conf", "$root/html", "$root/logs");

    write_file("$root/html/index.html",
               '<html><head><title>It works!</title></head>'
               . '<body>It works!</body></html>');
}


sub write_file {
    my ($path, $text) = @_;

    open my $out, '>', $path or die "cannot write $path: $!\n";
    binmode $out;
    print $out $text;
    close $out or die "cannot write $path: $!\n";
}


sub write_user_files {
    my ($block, $settings, $ports) = @_;

    my $files = $block->user_files // return;

    $files = parse_user_files($files) if !ref $files;

    for my $file (@$files) {
        my ($name, $text, $date) = @$file;

        my $path = $name =~ m{^/} ? $name : "$settings->{root}/html/$name";
        my ($directory) = $path =~ m{(.*)/};

        make_path($directory);
        write_file($path, expand($text, $settings, $ports));

        if ($date) {
            local $ENV{TZ} = 'GMT';
            system('touch', '-t', $date, $path) == 0
                or die "cannot set the time of $path to \"$date\"\n";
        }
    }
}


sub parse_user_files {
    my ($text) = @_;

    my @files;

    for my $line (split /^/, $text) {
        if ($line =~ /^>>> (\S+)(?:\s+(.+?))?\s*$/) {
            push @files, [$1, '', $2];

        } else {
            die "--- user_files does not begin with \">>> name\"\n"
                if !@files;
            $files[-1][1] .= $line;
        }
    }

    return \@files;
}


# $TEST_NGINX_NAME from the environment; RAND_PORT_n is a free port, the same
# one all over the block.

sub expand {
    my ($text, $settings, $ports) = @_;

    return '' if !defined $text;

    $text =~ s{\$(TEST_NGINX_[_A-Z0-9]+)}{
        my $name = $1;

        $name =~ /^TEST_NGINX_RAND_PORT_\d+$/
            ? $ports->{$name} //= random_port($settings, $ports)
            : $ENV{$name} // die "no environment variable $name\n";
    }ge;

    return $text;
}


sub random_port {
    my ($settings, $taken) = @_;

    my %taken = map { $_ => 1 } values %$taken, $settings->{port};

    # below the range of outgoing connections
    for (1 .. 1000) {
        my $port = 10000 + int rand 22000;
        next if $taken{$port};

        return $port if IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                              LocalPort => $port,
                                              Proto     => 'tcp',
                                              Listen    => 1);
    }

    return;
}


# The same file as the original writes, but for http_defaults().

sub write_config {
    my ($block, $settings, $ports) = @_;

    my %text = map { $_ => expand(scalar $block->$_, $settings, $ports) }
               qw(config http_config main_config post_main_config);

    $text{main_config} .= join ' ', map { "load_module $_;" }
                                    split ' ', $settings->{modules} // '';

    my $server_name = $block->server_name // $settings->{server_name};
    $server_name =~ s/\s+\z//;
    $server_name =~ s/([\\'])/\\$1/g;

    my $root = $settings->{root};
    my $daemon = $settings->{foreground} ? 'off' : 'on';
    my $listen = "$settings->{port}" . ($settings->{uses_http2} ? ' http2' : '')
                 . ($ENV{TEST_NGINX_REUSE_PORT} ? ' reuseport' : '');

    my $env = join '', map { "env " . (/\s/ ? "'$_'" : $_) . ";\n" }
              qw(MOCKEAGAIN_VERBOSE MOCKEAGAIN
                 MOCKEAGAIN_WRITE_TIMEOUT_PATTERN
                 LD_PRELOAD LD_LIBRARY_PATH ASAN_OPTIONS UBSAN_OPTIONS
                 MOCKNOEAGAIN_VERBOSE MOCKNOEAGAIN),
              @{$settings->{env}};

    my $root_location = $settings->{no_root_location} ? '' : <<"END";
        location / {
            root $root/html;
            index index.html index.htm;
        }
END

    my $user = defined $settings->{user} ? "user $settings->{user};\n"
             : $> == 0                 ? "user root;\n"
             :                           '';

    my $event_type = $ENV{TEST_NGINX_EVENT_TYPE}
                     ? "    use $ENV{TEST_NGINX_EVENT_TYPE};\n" : '';

    my $http_defaults = http_defaults($settings, join ' ',
                                      @text{qw(http_config config)});

    write_file("$root/conf/nginx.conf", <<"END");
worker_processes  $settings->{workers};
daemon $daemon;
master_process $settings->{master};
error_log $root/logs/error.log $settings->{log_level};
pid       $root/logs/nginx.pid;
$env
$text{main_config}

http {
    access_log $root/logs/access.log;
    default_type text/plain;
    keepalive_timeout  68;
$http_defaults
$text{http_config}

    server {
        listen          $listen;
        server_name     '$server_name';

        client_max_body_size 30M;

$settings->{preamble}

$text{config}

$root_location    }
}

$text{post_main_config}

events {
    accept_mutex off;
    worker_connections  $settings->{connections};
$event_type}

$user
END
}


# A packaged nginx keeps its temporary files outside of the server root, where
# tests would meet each other.

sub http_defaults {
    my ($settings, $config) = @_;

    my $postpone = $ENV{TEST_NGINX_POSTPONE_OUTPUT};
    my $text = '';

    $text .= "    postpone_output $postpone;\n"
        if defined $postpone && $config !~ /\bpostpone_output\b/;

    for my $name (@{$settings->{version}{temp_paths}}) {
        $text .= "    $name $settings->{root}/$name;\n" =~ s/_path;$/;/r
            if $config !~ /\b$name\b/;
    }

    return $text;
}


1;
