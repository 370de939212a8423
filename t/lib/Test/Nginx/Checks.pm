package Test::Nginx::Checks;

# From the sections of a block to assertions.  How many assertions a section
# makes is part of the contract: an explicit plan has to be right under the
# original Test::Nginx::Socket, too.  Part of this suite's own
# Test::Nginx::Socket.
#
# $at tells where the run is: { name, request (index), count (of requests),
# pipelined (whether they are), repeat (index), settings }.

use strict;
use warnings;

use Digest::MD5 ();
use Digest::SHA ();
use Test::More ();
use Time::HiRes qw(sleep time);

use Apigw::HTTP;
use Apigw::Nginx;

# How long a line that has to appear may take to get into a log, in units of
# TEST_NGINX_SLEEP.
my $LOG_PATIENCE = 50;

our @body_checks;


# What the section expects from the current request.

sub expected {
    my ($at, $value) = @_;

    return $value
        if ref $value ne 'ARRAY' && $at->{count} == 1 && !$at->{pipelined};

    die "several requests, so every expectation has to be an array\n"
        if ref $value ne 'ARRAY';
    die "an expectation has " . @$value . " entries for $at->{count} "
        . "requests\n" if @$value != $at->{count};

    return $value->[$at->{request}];
}


sub is_str {
    my ($got, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ref $expected eq 'Regexp' ? Test::More::like($got, $expected, $name)
                                     : Test::More::is($got, $expected, $name);
}


# Takes an answer apart: (answer, octets that follow it).

sub parse_answer {
    my ($at, $raw, $is_head) = @_;

    my $answer = Apigw::HTTP->parse($raw);
    my $code = $answer->code // '';

    return ($answer, undef) if $code eq '304' || $code eq '101';

    my $encoding = $answer->header('Transfer-Encoding') // '';
    my $length = $answer->header('Content-Length') // '';

    if ($encoding eq 'chunked') {
        my ($body, $rest) = Apigw::HTTP::decode_chunked($answer->body);

        if (!defined $body) {
            Test::More::fail("$at->{name} - chunked answer: $rest");
            return (undef, undef);
        }

        $answer->body($body);
        return ($answer, $rest eq '' ? undef : $rest);
    }

    if ($length =~ /^\d+$/) {
        my $body = $answer->body;

        if (length $body < $length) {
            warn "WARNING: $at->{name} - answer truncated: $length expected,"
                 . " got " . length($body) . "\n" if !$is_head;

        } elsif (length $body > $length) {
            $answer->body(substr $body, 0, $length);
            return ($answer, substr $body, $length);
        }
    }

    return ($answer, undef);
}


sub check_answer {
    my ($block, $answer, $at) = @_;

    check_code($block, $answer, $at);
    check_raw_headers($block, $answer, $at);
    check_headers($block, $answer, $at);
    filter_body($block, $answer, $at);
    check_body($block, $answer, $at);
}


sub check_code {
    my ($block, $answer, $at) = @_;

    my $code = ($answer && $answer->code) || '';
    my $name = "$at->{name} - status code ok";

    if (defined $block->error_code_like) {
        my $pattern = expected($at, $block->error_code_like);
        Test::More::like($code, qr/$pattern/sm, $name);

    } elsif (defined $block->error_code) {
        my $expected = expected($at, $block->error_code);
        Test::More::is($code, $expected, $name);

    } else {
        Test::More::is($code, 200, $name);
    }
}


sub check_raw_headers {
    my ($block, $answer, $at) = @_;

    my $raw = $answer ? $answer->raw_head : '';

    if (defined $block->raw_response_headers_like) {
        my $pattern = expected($at, $block->raw_response_headers_like);
        Test::More::like($raw, qr/$pattern/s,
                         "$at->{name} - raw response headers like");
    }

    if (defined $block->raw_response_headers_unlike) {
        my $pattern = expected($at, $block->raw_response_headers_unlike);
        Test::More::unlike($raw, qr/$pattern/s,
                           "$at->{name} - raw response headers unlike");
    }
}


# "Name: value" and "! Name" lines: [name, value or undef].

sub header_lines {
    my ($text) = @_;

    my (@wanted, %seen);

    for my $line (split /\n/, $text) {
        $line =~ s/^\s+|\s+$//g;
        die "a blank line among the expected headers\n" if $line eq '';

        my ($name, $value);

        if ($line =~ s/^!\s*//) {
            $name = $line;

        } else {
            ($name, $value) = split /\s*:\s*/, $line, 2;
            die "no colon in the header \"$line\"\n" if !defined $value;
        }

        die "the header \"$name\" is expected twice\n" if $seen{lc $name}++;

        push @wanted, [$name, $value];
    }

    return @wanted;
}


sub check_headers {
    my ($block, $answer, $at) = @_;

    my $raw = $answer ? $answer->raw_head : '';

    if (defined $block->response_headers) {
        my $text = expected($at, $block->response_headers) // '';

        for my $wanted (header_lines($text)) {
            my ($name, $value) = @$wanted;

            if (!defined $value) {
                Test::More::unlike($raw, qr/^\s*\Q$name\E\s*:/ms,
                                   "$at->{name} - header $name not present");
                next;
            }

            my $got = $answer ? $answer->field($name) : undef;
            Test::More::is($got // '', with_ports($at, $value),
                           "$at->{name} - header $name ok");
        }

    } elsif (defined $block->response_headers_like) {
        my $text = expected($at, $block->response_headers_like) // '';

        for my $wanted (header_lines($text)) {
            my ($name, $value) = @$wanted;

            die "--- response_headers_like knows no \"! $name\"\n"
                if !defined $value;

            my $got = $answer ? $answer->field($name) : undef;
            Test::More::like($got // '', qr/^$value$/,
                             "$at->{name} - header $name like ok");
        }
    }
}


sub with_ports {
    my ($at, $text) = @_;

    return $text if !defined $text || ref $text;

    $text =~ s/\$ServerPort\b/$at->{settings}{port}/g;
    $text =~ s/\$ServerPortForClient\b/$at->{settings}{client_port}/g;

    return $text;
}


my %filters = (
    md5_hex  => sub { Digest::MD5::md5_hex($_[0]) },
    sha1_hex => sub { Digest::SHA::sha1_hex($_[0]) },
    uc       => sub { uc $_[0] },
    lc       => sub { lc $_[0] },
    ucfirst  => sub { ucfirst $_[0] },
    lcfirst  => sub { lcfirst $_[0] },
    length   => sub { length $_[0] },
);


sub filter_body {
    my ($block, $answer, $at) = @_;

    my $filters = $block->response_body_filters;

    return if !defined $filters || !$answer;

    my @list = ref $filters eq 'ARRAY' ? @$filters
             : ref $filters            ? $filters
             :                           split ' ', $filters;

    if (ref $list[0] eq 'ARRAY') {
        die "--- response_body_filters: either all are arrays or none\n"
            if grep { ref ne 'ARRAY' } @list;

        my $mine = $list[$at->{request}]
            or die "--- response_body_filters has nothing for request "
                   . "$at->{request}\n";
        @list = @$mine;
    }

    my $body = $answer->body;

    for my $filter (@list) {
        my $code = ref $filter eq 'CODE' ? $filter : $filters{$filter}
            or die "--- response_body_filters: unknown filter \"$filter\"\n";

        $body = $code->($body);
    }

    $answer->body($body);
}


sub check_body {
    my ($block, $answer, $at) = @_;

    my $body = $answer ? $answer->body : undef;
    my $where = "(repeat $at->{repeat}, request $at->{request})";

    if (defined $block->response_body) {
        my $expected = expected($at, $block->response_body);

        is_str($body, with_ports($at, $expected),
               "$at->{name} - response_body $where");

    } elsif (defined $block->response_body_like) {
        my $pattern = expected($at, $block->response_body_like);
        $pattern = with_ports($at, $pattern);
        Test::More::like($body, qr/$pattern/s,
                         "$at->{name} - response_body_like $where");

    } elsif (defined $block->response_body_unlike) {
        my $pattern = expected($at, $block->response_body_unlike);
        $pattern = with_ports($at, $pattern);
        Test::More::unlike($body, qr/$pattern/s,
                           "$at->{name} - response_body_unlike $where");
    }

    $_->($block, $body, $at->{request}, $at->{repeat}, 0) for @body_checks;
}


# A section of patterns: a line each, or a regular expression, or an array.

sub patterns {
    my ($value) = @_;

    return grep { defined } @$value if ref $value eq 'ARRAY';
    return $value if ref $value;

    chomp $value;
    return split /\n+/, $value;
}


sub matches {
    my ($pattern, $line) = @_;

    return ref $pattern ? $line =~ $pattern || $line =~ /\Q$pattern\E/
                        : $line =~ /\Q$pattern\E/;
}


# The lines of a log file since the last look.  What has to be there is waited
# for; what must not be there gets a moment to arrive, as long as the
# original's.

sub read_lines {
    my ($file, $offset) = @_;

    open my $in, '<', $file or return [];
    seek $in, $offset, 0 if $offset;

    return [<$in>];
}


sub log_lines {
    my ($at, $file, $offset, $is_there, $must_settle) = @_;

    my $lines;
    my $look = sub { $lines = read_lines($file, $offset); $is_there->($lines) };

    sleep 3 * $at->{settings}{sleep} if $must_settle;

    Apigw::Nginx::wait_for($look, $LOG_PATIENCE * $at->{settings}{sleep});

    return $lines;
}


sub check_error_log {
    my ($block, $at, %sections) = @_;

    my $settings = $at->{settings};
    my @wanted = defined $block->error_log ? patterns($block->error_log) : ();
    my $grep = grep_pattern($block, $at);
    my $unwanted = $block->no_error_log;

    my $is_there = sub {
        my ($lines) = @_;

        for my $pattern (@wanted) {
            return 0 if !grep { matches($pattern, $_) } @$lines;
        }

        return 1 if !defined $grep;

        my $out = grep_out($grep, $lines);
        my $expected = grep_expected($block, $at);
        return ref $expected ? $out =~ $expected : $out eq $expected;
    };

    my $lines = log_lines($at, $settings->{log}, $settings->{log_offset},
                          $is_there, defined $unwanted);

    $settings->{log_offset} += length join '', @$lines
        if !$settings->{accumulate};

    is_str(grep_out($grep, $lines), grep_expected($block, $at),
           "$at->{name} - grep_error_log_out (repeat $at->{repeat})")
        if defined $grep;

    check_patterns($at, 'error.log', $lines, \@wanted,
                   defined $unwanted ? [patterns($unwanted)] : []);

    for my $line (grep { /\bAssertion .*?failed\b/ } @$lines) {
        chomp $line;
        Test::More::fail("$at->{name} - $line");
    }
}


sub grep_pattern {
    my ($block, $at) = @_;

    my $pattern = $block->grep_error_log;

    if (defined $pattern) {
        die "--- grep_error_log without --- grep_error_log_out\n"
            if !defined $block->grep_error_log_out;

        return ref $pattern eq 'ARRAY' ? $pattern->[$at->{repeat}] : $pattern;
    }

    die "--- grep_error_log_out without --- grep_error_log\n"
        if defined $block->grep_error_log_out;

    return undef;
}


sub grep_expected {
    my ($block, $at) = @_;

    my $expected = $block->grep_error_log_out;

    return (ref $expected eq 'ARRAY' ? $expected->[$at->{repeat}]
                                     : $expected) // '';
}


# The first match of each line, a line each.  A match that has a newline of
# its own is left out.

sub grep_out {
    my ($pattern, $lines) = @_;

    my $regex = ref $pattern ? $pattern : qr/\Q$pattern\E/;
    my $out = '';

    for my $line (@$lines) {
        next if $line !~ $regex;

        my $match = $&;
        $out .= "$match\n" if index($match, "\n") < 0;
    }

    return $out;
}


sub check_patterns {
    my ($at, $file, $lines, $wanted, $unwanted) = @_;

    for my $pattern (@$wanted) {
        Test::More::ok((grep { matches($pattern, $_) } @$lines),
                       "$at->{name} - pattern \"" . one_line($pattern)
                       . "\" matches a line in $file (repeat "
                       . "$at->{repeat})");
    }

    for my $pattern (@$unwanted) {
        my @found = grep { matches($pattern, $_) } @$lines;

        Test::More::ok(!@found, "$at->{name} - pattern \"" . one_line($pattern)
                       . "\" matches no line in $file (repeat "
                       . "$at->{repeat})");
        Test::More::diag("but it matches: ", one_line($_))
            for splice @found, 0, 5;
    }
}


sub one_line {
    my ($text) = @_;

    chomp $text;
    $text =~ s/\r/\\r/g;
    $text =~ s/\n/\\n/g;

    return $text;
}


sub check_access_log {
    my ($block, $at) = @_;

    my ($wanted, $unwanted) = ($block->access_log, $block->no_access_log);

    return if !defined $wanted && !defined $unwanted;

    my @wanted = defined $wanted ? patterns($wanted) : ();

    my $is_there = sub {
        my ($lines) = @_;
        for my $pattern (@wanted) {
            return 0 if !grep { matches($pattern, $_) } @$lines;
        }
        return 1;
    };

    my $lines = log_lines($at, "$at->{settings}{root}/logs/access.log", 0,
                          $is_there, defined $unwanted);

    check_patterns($at, 'access.log', $lines, \@wanted,
                   defined $unwanted ? [patterns($unwanted)] : []);
}


# After nginx has ended.  As in the original, nothing is checked without
# --- shutdown_error_log.

sub check_shutdown_log {
    my ($block, $at) = @_;

    my $wanted = $block->shutdown_error_log;

    if (!defined $wanted) {
        die "--- no_shutdown_error_log without --- shutdown_error_log\n"
            if defined $block->no_shutdown_error_log;
        return;
    }

    my $unwanted = $block->no_shutdown_error_log;
    my $settings = $at->{settings};

    check_patterns($at, 'error.log',
                   read_lines($settings->{log}, $settings->{log_offset}),
                   [patterns($wanted)],
                   defined $unwanted ? [patterns($unwanted)] : []);
}


# Whether the block says itself that this line of error.log is to come.

sub announced {
    my ($block, $line) = @_;

    return 1 if defined $block->must_die && $line =~ /\[emerg\]/;

    for my $section (qw(error_log grep_error_log shutdown_error_log)) {
        my $value = $block->$section;
        next if !defined $value;

        for my $pattern (patterns($value)) {
            return 1 if matches($pattern, $line);
        }
    }

    return 0;
}


1;
