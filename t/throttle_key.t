# Keys that are one variable are read without a script: they are the same that
# nginx's own variables give, however a header field is written and whoever
# defines the variable.

use strict;
use warnings;

use FindBin;
use IO::Socket::UNIX;
use Test::More;

use lib "$FindBin::Bin/lib";

use Apigw::Scenario;

srand 4;

# each zone has a twin with a key that needs the script

my %keys = (
    short   => '$http_k2',
    seven   => '$http_x_cal_d',
    eight   => '$http_x_caller',
    nine    => '$http_x_caller_',
    sixteen => '$http_x_caller_id_1234',
    long    => '${http_x_a_long_name_of_a_caller}',
    known   => '$http_user_agent',
    set     => '$http_set',
    mapped  => '$http_mapped_one',
    address => '$binary_remote_addr',
    other   => '$arg_k',
);

my ($http, $server) = ('', '');

for my $name (sort keys %keys) {
    $http .= "api_throttle_zone $keys{$name} zone=$name:32k rate=1r/d"
             . " burst=1000;\n"
             . "api_throttle_zone \"$keys{$name}\$arg_none\" zone=$name-2:32k"
             . " rate=1r/d burst=1000;\n";
    $server .= "location /$name { api_throttle zone=$name;"
               . " api_throttle zone=$name-2; empty_gif; }\n";
}

my $gw = Apigw::Scenario->start(
    http2 => 1,
    http => $http . '
        underscores_in_headers on;
        keepalive_requests 100000;
        map $arg_m $http_mapped_one { default $arg_m; }',
    server => $server . '
        listen unix:%%ROOT%%/socket;
        set_real_ip_from 127.0.0.1;
        set_real_ip_from unix:;
        real_ip_header X-Real-IP;
        set $http_set $arg_s;',
);

# How many tokens both zones have left, "-" if the key is empty.

sub left {
    my ($answer, $name) = @_;

    my $field = $answer->header('RateLimit');

    return '-' if !defined $field;

    my ($one, $two) = $field =~ /"$name";r=(\d+);t=\d+, "$name-2";r=(\d+)/;

    return "$field: no twins" if !defined $two;
    return $one == $two ? $one : "$one and $two";
}

my $client = $gw->connect;

sub ask {
    my ($name, $headers, $args) = @_;

    my $text = join '', map { "$_\r\n" } @{$headers // []};

    $client->send("GET /$name?" . ($args // '') . " HTTP/1.1\r\n"
                  . "Host: localhost\r\n$text\r\n");

    return left($client->read_answer, $name);
}


# one field, written in every way

is(ask('eight', ['X-Caller: a']), 999, 'a field');
is(ask('eight', ['x-caller: a']), 998, 'in small letters');
is(ask('eight', ['X-CALLER: a']), 997, 'in capitals');
is(ask('eight', ['x_caLLer: a']), 996, 'with an underscore');
is(ask('eight', ['X-Caller: b']), 999, 'another value');
is(ask('eight', ['X-Called: a']), '-', 'another name');
is(ask('eight', ['X-Caller:']), '-', 'an empty value');
is(ask('eight'), '-', 'none');
is(ask('short', ['K2: a']), 999, 'a short name');
is(ask('sixteen', ['X-Caller-ID-1234: a']), 999, 'a long name');
is(ask('sixteen', ['X-Caller-ID-1235: a']), '-', 'not that one');
is(ask('sixteen', ['Y-Caller-ID-1234: a']), '-', 'nor this');
is(ask('known', ['User-Agent: a']), 999, 'a field that nginx knows');


# any fields, any number of them

my @wrong;

my $requests = $ENV{APIGW_LONG} ? 20_000 : 1000;

for (1 .. $requests) {
    my $name = (qw(short seven eight nine sixteen long))[rand 6];
    my $field = $keys{$name} =~ s/^\$\{?http_|\}$//gr;
    my @headers;

    for (1 .. rand 4) {
        my $written = join '', map {
            /_/ ? (rand() < 0.8 ? '-' : '_') : rand() < 0.5 ? uc : $_
        } split //, $field;

        substr $written, rand length $written, 1, ('a', '-', 'Z', '9')[rand 4]
            if rand() < 0.3;
        $written .= 'x' if rand() < 0.1;

        push @headers, "$written: " . ('', 'a', 'b', 'caller')[rand 4];
    }

    my $left = ask($name, \@headers);

    push @wrong, "$name: $left: @headers" if $left !~ /^(?:\d+|-)$/;
}

is("@wrong[0 .. ($#wrong > 3 ? 3 : $#wrong)]", '',
   'as the script has it, for any fields');


# a name like that of a field is not always one

is(ask('set', ['Set: a'], 's=one'), 999, 'a variable that is set');
is(ask('set', ['Set: a'], 's=two'), 999, 'to something else');
is(ask('set', ['Set: a'], 's='), '-', 'to nothing');
is(ask('mapped', ['Mapped-One: a'], 'm=one'), 999, 'a map');
is(ask('mapped', ['Mapped-One: a'], 'm=two'), 999, 'of something else');
is(ask('other', [], 'k=one'), 999, 'an argument');


# addresses, also those that realip finds

is(ask('address'), 999, 'IPv4');
is(ask('address', ['X-Real-IP: 192.0.2.1']), 999, 'IPv4, by realip');
is(ask('address', ['X-Real-IP: 2001:db8::1']), 999, 'IPv6');
is(ask('address', ['X-Real-IP: 2001:db8::2']), 999, 'another');
is(ask('address', ['X-Real-IP: 3001:db8::1']), 999, 'and another');
is(ask('address', ['X-Real-IP: 2001:db8::1']), 998, 'the first again');
is(ask('address'), 998, 'and IPv4');

my $socket = IO::Socket::UNIX->new($gw->root . '/socket')
    or die "unix socket: $!";
my $text = '';

$socket->print("GET /address HTTP/1.1\r\nHost: localhost\r\n"
               . "Connection: close\r\n\r\n");
$text .= $_ while <$socket>;

like($text, qr/^RateLimit: "address";r=(999);t=\d+, "address-2";r=\1;/m,
     'a unix socket');


# HTTP/2

is(left($gw->http2('GET', '/eight', { 'x-caller' => 'h2' }), 'eight'), 999,
   'HTTP/2');
is(left($gw->http2('GET', '/address'), 'address'), 997, 'the address as well');

done_testing;
