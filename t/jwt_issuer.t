# Key sets of issuers are fetched over HTTPS, kept, refreshed and dropped when
# they have to be; what a provider says or does wrong costs nobody a wait, and
# no key that is not its own is ever believed.

use strict;
use warnings;

use File::Temp ();
use IO::Compress::Gzip qw(gzip);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use Apigw::Provider;
use Apigw::Scenario;
use Apigw::Token qw(jwks json);

my $one = Apigw::Token->new('ES256', kid => 'one');
my $two = Apigw::Token->new('ES256', kid => 'two');
my $evil = Apigw::Token->new('ES256', kid => 'one');
my $secret = Apigw::Token->new('HS256', kid => 'one');

my $set = { body => jwks($one) };
my $provider = Apigw::Provider->start;
my $elsewhere = Apigw::Scenario->upstream(answer => $set);
my $elsewhere_url = "https://127.0.0.1:$elsewhere->{port}/jwks";


# What is wrong with a provider, and what the log says of it.

my %bad = (
    liar      => [ qr/the\ discovery\ document\ is\ of\ another\ issuer:
                      \ "https:\/\/[\w.:]+\/good",
                      \ not\ "https:\/\/[\w.:]+\/liar"/x, sub {
        $provider->discovery('/liar', issuer => $provider->url('/good'));
        $provider->set('/liar/jwks', $set);
    } ],
    prefix    => [ qr/of another issuer/, sub {
        $provider->discovery('/prefix',
                             issuer => $provider->url('/prefix') . '/');
    } ],
    nojwks    => [ qr/has no usable jwks_uri/, sub {
        $provider->discovery('/nojwks', jwks_uri => 7);
    } ],
    plain     => [ qr/has no usable jwks_uri/, sub {
        $provider->discovery('/plain', jwks_uri =>
                             "http://127.0.0.1:$elsewhere->{port}/jwks");
    } ],
    file      => [ qr/has no usable jwks_uri/, sub {
        $provider->discovery('/file', jwks_uri => 'file:///etc/passwd');
    } ],
    notjson   => [ qr/the discovery document is not a JSON object/, sub {
        $provider->set('/notjson/.well-known/openid-configuration',
                       { body => "<html>\n" });
    } ],
    missing   => [ qr/status 404/, sub { } ],
    broken    => [ qr/status 500/, sub {
        $provider->discovery('/broken');
        $provider->set('/broken/jwks', { status => 500, %$set });
    } ],
    away      => [ qr/a redirect to another host/, sub {
        $provider->discovery('/away');
        $provider->set('/away/jwks', { status => 302, headers =>
                       [ Location => $elsewhere_url ] });
    } ],
    down      => [ qr/a redirect to another host/, sub {
        $provider->discovery('/down');
        $provider->set('/down/jwks', { status => 301, headers =>
                       [ Location => $provider->url('/good/jwks')
                                     =~ s/^https/http/r ] });
    } ],
    nowhere   => [ qr/a redirect without a usable address/, sub {
        $provider->discovery('/nowhere');
        $provider->set('/nowhere/jwks', { status => 302 });
    } ],
    loop      => [ qr/too many redirects/, sub {
        $provider->discovery('/loop');
        $provider->set('/loop/jwks', { status => 302, headers =>
                       [ Location => $provider->url('/loop/jwks') ] });
    } ],
    huge      => [ qr/more than 1048576 bytes/, sub {
        $provider->discovery('/huge');
        $provider->set('/huge/jwks', { body => ' ' x 1_100_000 . jwks($one) });
    } ],
    bomb      => [ qr/more than 1048576 bytes/, sub {
        $provider->discovery('/bomb');
        $provider->set('/bomb/jwks', zipped(' ' x 1_100_000 . jwks($one)));
    } ],
    unzipped  => [ qr/content encoding|decod|incorrect header/i, sub {
        $provider->discovery('/unzipped');
        $provider->set('/unzipped/jwks', { %{zipped('')}, %$set });
    } ],
    slow      => [ qr/timed out/i, sub {
        $provider->discovery('/slow');
        $provider->set('/slow/jwks', { %$set, delay => 30 });
    } ],
    short     => [ qr/closed with \d+ bytes remaining/, sub {
        $provider->discovery('/short');
        $provider->set('/short/jwks', { raw => "HTTP/1.1 200 OK\r\n"
                       . "Content-Length: 100000\r\n\r\n$set->{body}",
                       close => 1 });
    } ],
    cut       => [ qr/invalid JSON/, sub {
        $provider->discovery('/cut');
        $provider->set('/cut/jwks', { body => substr $set->{body}, 0, 90 });
    } ],
    nokeys    => [ qr/no key that verifies signatures/, sub {
        $provider->discovery('/nokeys');
        $provider->set('/nokeys/jwks', { body => '{"keys":[]}' });
    } ],
    typed     => [ qr/invalid JSON/, sub {
        $provider->discovery('/typed');
        $provider->set('/typed/jwks', { headers =>
                       [ 'Content-Type' => 'text/html' ],
                       body => "<html>$set->{body}</html>" });
    } ],
    many      => [ qr/more than 1000 keys/, sub {
        $provider->discovery('/many');
        $provider->set('/many/jwks', { body => json({ keys =>
                       [ $one->jwk, ({ kty => 'PQ' }) x 1000 ] }) });
    } ],
    private   => [ qr/a private key among public keys/, sub {
        $provider->discovery('/private');
        $provider->set('/private/jwks', { body => json({ keys =>
                       [ { %{$one->jwk}, d => 'AAAA' } ] }) });
    } ],
    secret    => [ qr/a secret among public keys/, sub {
        $provider->discovery('/secret');
        $provider->set('/secret/jwks', { body => jwks($secret) });
    } ],
);

sub zipped {
    my ($text) = @_;

    gzip(\$text => \my $packed) or die "gzip\n";

    return { headers => [ 'Content-Encoding' => 'gzip' ], body => $packed };
}


$_->[1]->() for values %bad;

$provider->discovery('/good');
$provider->set('/good/jwks', $set);

$provider->discovery('/slash/');
$provider->set('/slash/.well-known/openid-configuration',
               { body => json({ issuer => $provider->url('/slash/'),
                                jwks_uri => $provider->url('/slash/jwks') }) });
$provider->set('/slash/jwks', $set);

$provider->set('/moved/.well-known/openid-configuration',
               { status => 308, headers => [ Location => '/moved/conf' ] });
$provider->set('/moved/conf',
               { body => json({ issuer => $provider->url('/moved'),
                                jwks_uri => $provider->url('/good/jwks') }) });

$provider->discovery('/zipped');
$provider->set('/zipped/jwks', zipped($set->{body}));

$provider->discovery('/quick');
$provider->set('/quick/jwks', $set);


# Issuers of a gateway; all have a short cooldown.

sub issuer {
    my ($name, %lines) = @_;

    %lines = (url => $provider->url("/$name"), ca => $provider->ca,
              cooldown => '1s', timeout => $name eq 'slow' ? '1s' : '2s',
              %lines);

    return "auth_jwt_issuer $name {\n"
           . join('', map { defined $lines{$_} ? "    $_ $lines{$_};\n" : () }
                      sort keys %lines)
           . "}\n";
}


sub location {
    my (@names) = @_;

    return join '', map { <<"END" } @names;
location /$_ { auth_jwt $_ issuer=$_; auth_jwt_cache zone=jwt; empty_gif; }
END
}


sub http {
    return join '',
        map { issuer($_) } qw(good moved zipped), sort keys %bad;
}


my @others = qw(slash named twin proxied untrusted system hostname refused
                quick);
my @all = (qw(good moved zipped), @others, sort keys %bad);
my $now = time;

my %url = map { $_ => $provider->url("/$_") } @all;
$url{slash} = $provider->url('/slash/');
$url{named} = 'accounts.example';
$url{twin} = $url{good};
$url{proxied} = 'through a proxy';
$url{hostname} = $provider->url('/good', 'localhost');
$url{refused} = 'https://127.0.0.1:1/';


sub token {
    my ($key, $name, %claims) = @_;

    return $key->sign({ iss => $url{$name}, sub => 'joe',
                        exp => time + 3600, %claims });
}


sub get {
    my ($gw, $name, $token) = @_;

    return $gw->get("/$name", { Authorization => "Bearer $token" });
}


sub accepted {
    my ($gw, $name, $key) = @_;

    return get($gw, $name, token($key, $name))->code == 200;
}


my ($proxy, $proxied) = start_proxy();

my %conf = (
    default_location => 0,
    workers => 2,
    http => "auth_jwt_zone zone=jwt:1m store=%%ROOT%%/logs/jwt;\n" . http()
            . issuer('slash', url => $url{slash})
            . issuer('twin', url => $url{good}, audience => 'twin')
            . issuer('strict', url => $url{good}, type => 'at+jwt',
                     max_age => '10m', leeway => '20s',
                     consumer => 'client id', plan => 'tier')
            . issuer('named', url => $url{named},
                     jwks => $provider->url('/good/jwks'))
            . issuer('proxied', url => "'$url{proxied}'", proxy => $proxy,
                     jwks => $provider->url('/good/jwks'))
            . issuer('untrusted', url => $url{untrusted},
                     jwks => $provider->url('/good/jwks'),
                     ca => $provider->other_ca)
            . issuer('system', jwks => $provider->url('/good/jwks'),
                     ca => undef)
            . issuer('hostname', url => $url{hostname})
            . issuer('refused', url => $url{refused})
            . issuer('quick', refresh => '1s', stale => '1s'),
    server => location(@all) . <<'END',
location /eddsa { auth_jwt x issuer=good; auth_jwt_algorithms EdDSA; empty_gif; }
location = /strict {
    auth_jwt strict issuer=strict;
    auth_jwt_leeway 1h;
    add_header X-Said "$jwt_status|$jwt_consumer|$jwt_plan" always;
    empty_gif;
}
location = /any {
    auth_jwt any issuer=good issuer=named;
    add_header X-Who $jwt_claim_sub;
    empty_gif;
}
location = /status { api_status; }
END
);

my $gw = Apigw::Scenario->start(%conf);

sub numbers {
    my ($name) = @_;

    my ($n) = $gw->get('/status?format=prometheus')->body
              =~ /^apigw_jwt_${name}_total\{[^}]*\} (\d+)/m;

    return $n;
}


# An HTTP proxy: its address, and a file with what it was asked for.

sub start_proxy {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         Listen    => 16)
        or die "no proxy: $@\n";
    my $file = File::Temp->new;
    my $test = $$;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{CHLD} = 'IGNORE';

        while (getppid() == $test) {
            next if !IO::Select->new($listener)->can_read(0.5);
            my $client = $listener->accept or next;

            if (!fork) {
                tunnel($client, $file);
                POSIX::_exit(0);
            }
        }

        POSIX::_exit(0);
    }

    return ('http://127.0.0.1:' . $listener->sockport, $file);
}


sub tunnel {
    my ($client, $file) = @_;

    my ($head, $data) = ('');
    sysread $client, $head, 4096, length $head or return
        while $head !~ /\r\n\r\n/;

    my ($target) = $head =~ /\ACONNECT (\S+) / or return;
    my $server = IO::Socket::INET->new($target) or return;

    open my $out, '>>', $file->filename or return;
    print $out "$target\n";
    close $out;

    syswrite $client, "HTTP/1.1 200 OK\r\n\r\n";

    while (my @ready = IO::Select->new($client, $server)->can_read(5)) {
        for my $from (@ready) {
            sysread $from, $data, 65536 or return;
            syswrite +($from == $client ? $server : $client), $data;
        }
    }
}


# What is right is fetched without anybody asking.

ok(wait_for(sub { accepted($gw, 'good', $one) }, 10), 'keys by discovery');
ok(wait_for(sub { accepted($gw, 'slash', $one) }, 5), 'a URL with a slash');
ok(wait_for(sub { accepted($gw, 'moved', $one) }, 5),
   'a redirect on the same host');
ok(wait_for(sub { accepted($gw, 'zipped', $one) }, 5), 'a compressed set');
ok(wait_for(sub { accepted($gw, 'named', $one) }, 5),
   'keys by their address, "iss" need not be a URL');
ok(wait_for(sub { accepted($gw, 'proxied', $one) }, 5), 'through a proxy');

is((sort(split /\n/, Apigw::Nginx::slurp($proxied->filename)))[0],
   $provider->url('') =~ s{^https://}{}r, 'it was asked');

is(get($gw, 'twin', token($one, 'twin'))->code, 401,
   'another block of the same issuer, for another audience');
is(get($gw, 'twin', token($one, 'twin', aud => 'twin'))->code, 200,
   'with the same keys');

is(get($gw, 'good', token($evil, 'good'))->code, 401, 'a forged token');
is(get($gw, 'good', token($one, 'named'))->code, 401,
   'a token of another issuer');

# What a block asks of its tokens.

for my $case (
    [{}, {}, '200 ok|web|gold'],
    [{}, { typ => 'JWT' }, '401 type||'],
    [{}, { typ => undef }, '401 type||'],
    [{}, { typ => 'at+jwtx' }, '401 type||'],
    [{}, { typ => 'application/AT+JWT' }, '200 ok|web|gold'],
    [{ iat => undef }, {}, '401 expired||'],
    [{ iat => $now - 300 }, {}, '200 ok|web|gold'],
    [{ iat => $now - 700 }, {}, '401 expired||'],
    [{ iat => $now + 300 }, {}, '401 early||'],
    [{ exp => $now - 300 }, {}, '401 expired||'],
    [{ exp => $now - 1 }, {}, '200 ok|web|gold'],
    [{ nbf => $now + 300 }, {}, '401 early||'],
    [{ client => 'web', tier => undef }, {}, '200 ok||'],
    [{ client => { id => ['a', 'b'] } }, {}, '200 ok|a,b|gold'],
    [{ client => { id => { a => 1 } } }, {}, '200 ok|{"a":1}|gold'],
)
{
    my ($claims, $header, $said) = @$case;

    my %claims = (iss => $url{good}, iat => $now, exp => $now + 600,
                  client => { id => 'web' }, tier => 'gold', sub => 'joe',
                  %$claims);

    delete @claims{grep { !defined $claims{$_} } keys %claims};

    my $answer = get($gw, 'strict', $one->sign(\%claims,
                                               { typ => 'at+jwt', %$header }));

    is($answer->code . ' ' . ($answer->header('X-Said') // ''), $said,
       'a strict block: ' . json($claims) . ' ' . json($header));
}

is(get($gw, 'any', token($one, $_))->code, 200, "any of two: $_")
    for qw(good named);
is(get($gw, 'any', token($one, 'slash'))->code, 401, 'but no third one');
is(get($gw, 'any', $one->sign({ iss => "$url{good}/", exp => $now + 60 }))
   ->code, 401, 'nor one that begins the same');


# What is wrong is not, and the log tells why.

for my $name (sort(keys %bad), qw(untrusted system hostname refused)) {
    my $why = $bad{$name} ? $bad{$name}[0]
              : $name eq 'refused' ? qr/(?i:refused|connect)/
              : $name eq 'hostname' ? qr/SSL: .*(?:match|subject)/i
              : qr/SSL certificate/;

    ok(wait_for(sub {
        $gw->error_log
            =~ /"$name": cannot fetch its keys: .*$why.*; there are none/
    }, 8), "$name: the log tells why")
        or diag(grep { /"$name"/ } split /^/, $gw->error_log);

    my $began = time;
    my $answer = get($gw, $name, token($one, $name));

    is($answer->code, 503, "$name: no keys");
    like($answer->header('Retry-After'), qr/^[12]$/, "$name: Retry-After");
    cmp_ok(time - $began, '<', 0.5, "$name: nobody waits");
}

is($elsewhere->count, 0, 'no request went where a redirect led');
ok(accepted($gw, 'good', $one), 'the others go on');


# A key that is new is fetched at its first token; a storm fetches once a
# cooldown.

$provider->set('/good/jwks', { body => jwks($two) });

my $fetched = $provider->count('/good/jwks');
my $answer = get($gw, 'good', token($two, 'good'));

is($answer->code, 401, 'a new key is not known');
like($answer->header('Retry-After'), qr/^[12]$/, 'but asked for');
like($answer->header('WWW-Authenticate'), qr/error="invalid_token"/,
     'and not told more of');

# a client that does as it is told, on a machine that may have much to do

my $tries = 0;
my $after = $answer;

while (++$tries < 4 && $after->code == 401) {
    sleep $after->header('Retry-After');
    $after = get($gw, 'good', token($two, 'good'));
}

is($after->code, 200, 'it is there when Retry-After has said');
is($after->header('Retry-After'), undef, 'and no more to wait for');
is(get($gw, 'good', token($one, 'good'))->code, 401,
   'a key that was taken away is gone, cached tokens or not');

$fetched = $provider->count('/good/jwks');

my $stranger = Apigw::Token->new('ES256', kid => 'stranger');
my $storm = token($stranger, 'good');
my $began = time;

my $load = $gw->load(clients => 4, seconds => 1.1, uri => '/good',
                     headers => { Authorization => "Bearer $storm" },
                     keepalive => 1);
my $seconds = time - $began;

is_deeply([ keys %{$load->{status}} ], [ 401 ], 'a storm of unknown keys');
cmp_ok($load->{status}{401}, '>', 50, 'it was one');
cmp_ok($provider->count('/good/jwks') - $fetched, '<=', int($seconds) + 2,
       'one fetch a cooldown');
ok(wait_for(sub { $provider->count('/good/jwks') > $fetched }, 5), 'but one');


# Their claims are not parsed, but who is asked for is still found.

my $header = json({ alg => 'ES256', kid => 'stranger' });
my $right = json({ iss => $url{good} });

for my $case (
    [ $right, 'key' ],
    [ "{\"iss\":\"$url{good}\",", 'key' ],
    [ $right =~ s{/}{\\/}gr, 'key' ],
    [ "{ \"iss\" : \"$url{good}\" }", 'key' ],
    [ json({ iss => "$url{good}x" }), 'issuer' ],
    [ json({ sub => 'joe' }), 'issuer' ],
    [ '{', 'malformed' ],
)
{
    my ($claims, $verdict) = @$case;
    my $answer = get($gw, 'good', $stranger->sign_text($header, $claims));
    my ($said) = $gw->error_log =~ /.*JWT was refused: (\w+)/s;

    is($answer->code . " $said", "401 $verdict", "an unknown key: $claims");
    is(defined $answer->header('Retry-After') ? 1 : 0,
       $verdict eq 'key' ? 1 : 0, '... is asked for if it is');
}

is(get($gw, 'eddsa', $one->sign_text(json({ alg => 'ES256', kid => 'one' }),
                                     '{'))->code, 401, 'not the algorithm');
like($gw->error_log, qr/.*JWT was refused: (?=algorithm)/s,
     '... which is seen first');
unlike($gw->error_log =~ s/.*JWT was refused: algorithm//sr,
       qr/JWT was refused/, '... and nothing else');

SKIP: {
    skip 'no status module', 4 if !defined numbers('fetches');

    cmp_ok(numbers('fetches'), '>=', 6, 'fetches are counted');
    cmp_ok(numbers('fetch_errors'), '>=', 20, 'and those that failed');
    cmp_ok(numbers('fetch_requests'), '>=', 2, 'and why');
    cmp_ok(numbers('key_unknown'), '>=', $load->{status}{401},
           'and tokens of unknown keys');
}


# A set that is not confirmed is used as long as "stale" allows.

ok(wait_for(sub { accepted($gw, 'quick', $one) }, 5), 'refreshed each second');
my $count = $provider->count('/quick/jwks');
ok(wait_for(sub { $provider->count('/quick/jwks') > $count }, 5),
   'again and again');

$provider->set('/quick/jwks', { status => 503 });
ok(wait_for(sub {
    $gw->error_log
        =~ /"quick": cannot .*status 503; the last ones may be used for/
}, 5), 'the log tells how long the last keys last');
ok(wait_for(sub { !accepted($gw, 'quick', $one) }, 6), 'then they are gone');
ok(wait_for(sub {
    $gw->error_log =~ /"quick": there are no keys that are not older/
}, 5), 'which is logged');

$provider->set('/quick/jwks', { body => jwks($one) });
ok(wait_for(sub { accepted($gw, 'quick', $one) }, 10), 'until they are back');


# A reload keeps the keys; so does a restart while the provider is down.

my %lasting = (
    %conf,
    http => "auth_jwt_zone zone=jwt:1m store=%%ROOT%%/logs/jwt;\n"
            . issuer('good', refresh => '1h') . issuer('moved'),
    server => location('good', 'moved'),
);

$count = $provider->count('/good/jwks');
$gw->reload(%lasting);
ok(accepted($gw, 'good', $two), 'a reload keeps the keys');
sleep 0.5;
is($provider->count('/good/jwks'), $count, 'and fetches nothing');

$gw->reload(%lasting, http => $lasting{http} =~ s/refresh 1h/refresh 1s/r);
ok(wait_for(sub { $provider->count('/good/jwks') > $count }, 5),
   'but a shorter "refresh" holds for them');

$provider->stop;
$gw->kill_master(signal => 'KILL');
$gw->start;
ok(accepted($gw, 'good', $two), 'kill -9, provider down: the first request');
ok(accepted($gw, 'moved', $one), 'another issuer as well');

unlink glob $gw->root . '/logs/jwt/*.mdb';
$gw->kill_master(signal => 'KILL');
$gw->start;
is(get($gw, 'good', token($two, 'good'))->code, 503,
   'without the store there is nothing');

$provider->start_again;
ok(wait_for(sub { accepted($gw, 'good', $two) }, 10),
   'until the provider is back');
$gw->stop;


# A fetch that was under way when its process went is begun anew at once, and
# not after the cooldown.

$provider->discovery('/late');
$provider->set('/late/jwks', { %$set, delay => 1 });
$provider->discovery('/large');
$provider->set('/large/jwks', { body => ' ' x 300_000 . $set->{body} });
$url{$_} = $provider->url("/$_") for qw(late large);

%lasting = (
    default_location => 0,
    http => 'auth_jwt_zone zone=jwt:256k;'
            . issuer('late', cooldown => '30s', timeout => '10s')
            . issuer('good', refresh => '1s', stale => '1h')
            . issuer('slow'),
    server => location('good', 'slow', 'late'),
);

$gw = Apigw::Scenario->start(%lasting);
ok(wait_for(sub { $provider->count('/late/jwks') == 1 }, 5), 'a slow fetch');
$gw->reload;
ok(wait_for(sub { $provider->count('/late/jwks') == 2 }, 5),
   'again after a reload');
$gw->kill_helper;
ok(wait_for(sub { $provider->count('/late/jwks') == 3 }, 8),
   'again after the death of the helper');
ok(wait_for(sub { accepted($gw, 'late', $one) }, 8), 'and done');
is($provider->count('/late/jwks'), 3, 'once');


# A set that does not fit into the zone.

$gw->reload(%lasting, http => $lasting{http} . issuer('large'),
            server => location('good', 'slow', 'late', 'large'));
ok($gw->wait_log(qr/zone "jwt" has no room for the \d+ bytes of keys of/),
   'a set without room is logged');
is(get($gw, 'large', token($one, 'large'))->code, 503, 'and not used');
$provider->set('/large/jwks', $set);
ok(wait_for(sub { accepted($gw, 'large', $one) }, 8), 'a smaller one is');
ok(accepted($gw, 'late', $one), 'the others are as they were');


# That was without a store; now without a master.

never_waits('without a store');

$gw->reload;
ok(accepted($gw, 'good', $two), 'without a store: a reload keeps the keys');
$gw->stop;

$gw = Apigw::Scenario->start(
    %lasting,
    master => 0,
    http => $lasting{http} =~ s/;/ store=%%ROOT%%\/logs\/jwt;/r,
);

never_waits('without a master');
$gw->stop;


sub never_waits {
    my ($name) = @_;

    ok(wait_for(sub { accepted($gw, 'good', $two) }, 10), $name);

    my $count = $provider->count('/good/jwks');
    ok(wait_for(sub { $provider->count('/good/jwks') > $count }, 5),
       "$name: refreshed");

    my $token = token($two, 'good');
    my $longest = 0;

    for (1 .. 200) {
        my $began = time;
        get($gw, 'good', $token);
        $longest = time - $began if time - $began > $longest;
    }

    cmp_ok($longest, '<', 1, "$name: no request waits for the slow one");
}

done_testing;
