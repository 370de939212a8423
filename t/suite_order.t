# The order of the load_module lines changes nothing: every order gives the
# same answers.  Where a module's place is not fixed, some order gives others,
# and these requests show it.

use strict;
use warnings;

use Test::More;

use Apigw::Check;
use Apigw::Scenario;

my @modules = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my @orders = sample(permutations(@modules));

# what a module of the suite has to stand before, in nginx's list
my %marks = (
    jwt      => 'ngx_http_access_module',
    key      => 'ngx_http_access_module',
    throttle => 'ngx_http_limit_conn_module',
    usage    => 'ngx_http_apigw_throttle_filter_module',
);

my @walk = (
    [401, 'no key',                     '/orders/'],
    [401, 'a wrong key',                '/orders/', 'wrong'],
    [200, 'alice',                      '/orders/', 'alice'],
    [200, 'version 1 by path',          '/orders/v1/x', 'alice'],
    [200, 'version 1 by header',        '/orders/x', 'alice', 'v1'],
    [410, 'version 0, without a key',   '/orders/v0/'],
    [404, 'an unknown version',         '/orders/x', 'alice', 'v9'],
    [403, 'denied before a key counts', '/denied/'],
    [403, 'denied with a key',          '/denied/', 'alice'],
    [403, 'denied before a token',      '/sealed/'],
    [401, 'no token',                   '/signed/'],
    [200, 'stock limit, first',         '/stock/?l=1&t=s1', 'alice'],
    [503, 'stock limit before ours',    '/stock/?l=1&t=s1', 'alice'],
    [200, 'paced, first',               '/paced/?t=p1', 'carol'],
    [401, 'a key before the pace',      '/paced/?t=p1'],
    [429, 'too fast: not charged',      '/paced/?t=p1', 'carol'],
    [200, 'paced, second of a quota',   '/paced/?t=p2', 'carol'],
    [429, 'the quota is used up',       '/paced/?t=p3', 'carol'],
    [200, 'others go on',               '/paced/?t=p4', 'alice'],
);

my $upstream = Apigw::Scenario->upstream(answer => sub {
    my ($request) = @_;

    my %headers = %{$request->{headers}};
    my @seen = map { "$_=" . ($headers{$_} // '') }
               qw(host x-consumer x-plan x-api-key);

    return { body => join(' ', $request->{uri}, @seen) . "\n" };
});

my $gateway = Apigw::Scenario->new(modules => 0);
my $store = $gateway->root . '/logs/keys';

mkdir $store or die "mkdir: $!\n";
put($gateway->root . '/logs/keys.json',
    '{"kty":"oct","alg":"HS256","k":"' . 'A' x 43 . '"}');

my %keys = (wrong => 'wrong', map { $_->[0] => create(@$_) }
            ['alice', 'pro'], ['carol', 'free']);

my $runs = 0;
my @expected = answers(@{$orders[0]});

is_deeply([map { code($_) } @expected], [map { $_->[0] } @walk],
          'the first order: the right answers')
    or diag(join "\n", map { "$walk[$_][1]: $expected[$_]" } 0 .. $#walk);

like($expected[2],
     qr{/orders/ host=\S+ x-consumer=alice x-plan=pro x-api-key=$}m,
     'the upstream sees who calls');

for my $order (@orders[1 .. $#orders]) {
    is(difference(answers(@$order)), '', join ' ', map { short($_) } @$order);
}

for my $name (sort keys %marks) {
    my @broken = map { short($_) eq $name ? unpinned($_, $marks{$name}) : $_ }
                 @modules;
    my @seen;

    for my $order (\@broken, [reverse @broken]) {
        my $difference = difference(answers(@$order));
        push @seen, $difference if $difference ne '';
    }

    ok(@seen > 0, "$name without its place: it shows");
    note($seen[0] // '');
}

done_testing;


sub permutations {
    my @list = @_;

    return [] if !@list;

    my @found;

    for my $i (0 .. $#list) {
        my @rest = @list;
        my ($first) = splice @rest, $i, 1;

        push @found, map { [$first, @$_] } permutations(@rest);
    }

    return @found;
}


# All of them up to 24, then evenly chosen ones.

sub sample {
    my @all = @_;

    return @all if @all <= 24;
    return map { $all[$_ * @all / 24] } 0 .. 23;
}


sub short {
    my ($file) = @_;

    return $file =~ /ngx_http_apigw_(\w+)_module\.so/ ? $1 : $file;
}


# A copy of a module in which the name that it has to stand before is another.

sub unpinned {
    my ($file, $mark) = @_;

    my $text = slurp($file);
    my $none = $mark =~ s/_module\z/_nodule/r;

    $text =~ s/\0\Q$mark\E\0/\0$none\0/ or die "no $mark in $file\n";

    my $copy = $gateway->root . "/logs/$none/" . $file =~ s{.*/}{}r;
    put($copy, $text);

    return $copy;
}


sub create {
    my ($consumer, $plan) = @_;

    my ($status, $key, $error) = cli('key', 'create', '--store', $store,
                                     '--consumer', $consumer, '--plan', $plan);

    die "no key for $consumer: $error\n" if $status != 0;
    chomp $key;

    return $key;
}


# What nginx answers when it loads the modules in this order.

sub answers {
    my @order = @_;

    my $port = $upstream->port;
    my $usage = '%%ROOT%%/logs/usage' . $runs++;

    $gateway->conf(
        main => join('', map { "load_module $_;\n" } @order),

        http => <<"END", server => <<'END');
    auth_api_key_zone  zone=keys:1m  store=%%ROOT%%/logs/keys;
    api_usage_zone     zone=usage:1m  store=$usage;
    api_throttle_zone  \$arg_t  zone=pace:1m  rate=1r/m  burst=1;
    limit_req_zone     \$arg_l  zone=stock:1m  rate=1r/m;

    api_plan free { quota  2  per=month; }
    api_plan pro  { rate  100r/s  burst=100; }

    upstream one { server 127.0.0.1:$port; }
    upstream two { server 127.0.0.1:$port; }

    api orders {
        version  v0  upstream=one  sunset=2020-01-01  successor=v1;
        version  v1  upstream=one  deprecated=2020-01-01  sunset=2099-01-01
                 successor=v2;
        version  v2  upstream=two  default;
        select   path  header=X-API-Version;
    }
END
    auth_api_key      zone=keys;
    api_usage         zone=usage  plan=$api_key_plan
                      consumer=$api_key_consumer;
    proxy_set_header  X-Consumer  $api_key_consumer;
    proxy_set_header  X-Plan  $api_key_plan;

    location /orders/ {
        api_publish  orders;
        proxy_pass   http://$api_upstream;
    }

    location /denied/ {
        deny        all;
        proxy_pass  http://one;
    }

    location /sealed/ {
        auth_api_key       off;
        api_usage          off;
        auth_jwt           sealed;
        auth_jwt_key_file  %%ROOT%%/logs/keys.json;
        deny               all;
        proxy_pass         http://one;
    }

    location /signed/ {
        auth_api_key       off;
        api_usage          off;
        auth_jwt           signed;
        auth_jwt_key_file  %%ROOT%%/logs/keys.json;
        proxy_pass         http://one;
    }

    location /stock/ {
        limit_req     zone=stock;
        api_throttle  zone=pace  before_auth;
        proxy_pass    http://one;
    }

    location /paced/ {
        api_throttle  zone=pace;
        proxy_pass    http://one;
    }
END

    $gateway->start;
    my @answers = map { answer(@$_[2 .. $#$_]) } @walk;
    $gateway->stop;

    return @answers;
}


# A whole answer, but for what changes with the time and the order of the
# fields, which means nothing.

sub answer {
    my ($uri, $who, $version) = @_;

    my $octets = "GET $uri HTTP/1.1\r\nHost: localhost\r\n"
                 . "Connection: close\r\n";

    $octets .= "X-API-Key: $keys{$who}\r\n" if defined $who;
    $octets .= "X-API-Version: $version\r\n" if defined $version;

    my $answer = $gateway->raw("$octets\r\n");

    $answer =~ s/^Date: [^\r]*/Date: now/m;
    $answer =~ s/^(Retry-After|RateLimit\S*): [^\r]*/$1: later/mg;

    my ($head, $body) = split /\r\n\r\n/, $answer, 2;
    my ($line, @fields) = split /\r\n/, $head;

    return join "\n", $line, sort(@fields), '', $body // '';
}


sub code {
    my ($answer) = @_;

    return $answer =~ m{^HTTP/1\.1 (\d+) } ? $1 : 0;
}


# The first answer that is not as in the first order.

sub difference {
    my @answers = @_;

    for my $i (0 .. $#walk) {
        next if $answers[$i] eq $expected[$i];
        return "$walk[$i][1]:\n$answers[$i]\ninstead of\n$expected[$i]";
    }

    return '';
}
