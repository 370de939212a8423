package Apigw::HTTP;

# HTTP/1.x answers taken apart, for the test runner and the scenarios.
#
#     my $answer = Apigw::HTTP->parse($raw);
#     $answer->code, $answer->header('X-Name'), $answer->body

use strict;
use warnings;


# Splits a message into status line, headers and the rest.

sub parse {
    my ($class, $raw) = @_;

    my $self = bless { code => undef, proto => '', reason => '',
                       headers => [], fields => [], raw_head => '',
                       body => '' }, $class;

    return $self if !defined $raw || $raw eq '';

    $self->{raw_head} = $1 if $raw =~ /\A(.*?\r\n)\r\n/s;

    my ($head, $body) = $raw =~ /\A(.*?\n)\r?\n(.*)\z/s ? ($1, $2)
                                                        : ($raw, '');

    my ($status, @lines) = split /\r?\n/, $head;

    if (defined $status && $status =~ m{^(HTTP/\S+)[ ]+(\S+)(?:[ ]+(.*))?$}) {
        @$self{qw(proto code reason)} = ($1, $2, $3 // '');

    } else {
        (undef, $self->{code}) = split ' ', $status // '', 3;
    }

    $self->{code} = undef if defined $self->{code}
                             && $self->{code} !~ /^\d+$/;

    for my $line (@lines) {
        if ($line =~ /^[ \t]+(.*)$/ && @{$self->{headers}}) {
            $self->{headers}[-1][1] .= " $1";

        } elsif ($line =~ /^([^:]+?)[ \t]*:[ \t]*(.*?)[ \t]*$/) {
            push @{$self->{headers}}, [$1, $2];
        }
    }

    $self->{fields} = fields(@lines);
    $self->{body} = $body;

    return $self;
}


# The lines as the original Test::Nginx::Socket takes them: of the blanks
# around a value only one after the colon goes, and what does not look like a
# header ends them.

sub fields {
    my @lines = @_;

    my @fields;

    for my $line (@lines) {
        if ($line =~ /^([^\s:]+)[ \t]*: ?(.*)$/) {
            push @fields, [$1, $2];

        } elsif ($line =~ /^[ \t]/ && @fields) {
            $fields[-1][1] .= "\n$line";

        } else {
            last;
        }
    }

    return \@fields;
}


sub code {
    my ($self) = @_;

    return $self->{code};
}


sub status {
    my ($self) = @_;

    return $self->{code};
}


# All values under a name, in the order of arrival.

sub header_list {
    my ($self, $name) = @_;

    return map { $_->[1] } grep { lc $_->[0] eq lc $name }
                           @{$self->{headers}};
}


# The values joined by ", "; undef if there is none.

sub header {
    my ($self, $name) = @_;

    my @values = $self->header_list($name) or return undef;

    return join ', ', @values;
}


# The same, but of fields().

sub field {
    my ($self, $name) = @_;

    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name }
                                 @{$self->{fields}}
        or return undef;

    return join ', ', @values;
}


sub raw_head {
    my ($self) = @_;

    return $self->{raw_head};
}


sub body {
    my $self = shift;

    $self->{body} = shift if @_;

    return $self->{body};
}


# Every header, lower-case name => joined values.

sub headers {
    my ($self) = @_;

    return { map { lc $_->[0] => $self->header($_->[0]) }
             @{$self->{headers}} };
}


# Takes the chunks apart: (body, what follows) or (undef, what is wrong).
# An incomplete message is wrong, too, and says "incomplete".

sub decode_chunked {
    my ($raw) = @_;

    my $body = '';

    pos($raw) = 0;

    while (1) {
        if ($raw =~ /\G0[ \t]*\r\n\r\n/gc) {
            return ($body, substr $raw, pos $raw);
        }

        if ($raw !~ /\G[ \t]*([0-9A-Fa-f]+)[ \t]*\r\n/gc) {
            my $rest = substr $raw, pos $raw;

            return (undef, 'incomplete: no last chunk')
                if $rest =~ /\A[ \t]*[0-9A-Fa-f]*[ \t]*\r?\z/;

            return (undef, "invalid chunk: " . substr $rest, 0, 100);
        }

        my $size = hex $1;

        if (length($raw) - pos($raw) < $size + 2) {
            return (undef, 'incomplete: not enough octets for the chunk');
        }

        $body .= substr $raw, pos $raw, $size;
        pos($raw) += $size;

        $raw =~ /\G\r\n/gc or return (undef, 'no CRLF after the chunk');
    }
}


1;
