package Apigw::Clock;

# An nginx whose clocks a test can step: a library that is loaded before the
# others adds to what the system's clocks say.
#
#     my $clock = Apigw::Clock->new;
#     my $gw = Apigw::Scenario->start(env => $clock->env, ...);
#
#     $clock->step(wall => -3600);          # as an operator would
#     $clock->step(monotonic => 86400);     # as if that time had passed
#
# Needs the C compiler that scripts/build uses as well.

use strict;
use warnings;

use File::Temp qw(tempdir);

my $SOURCE = <<'END';
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t  *shift;

__attribute__((constructor)) static void
clock_init(void)
{
    int    fd;
    void  *p;

    fd = open(getenv("APIGW_CLOCK"), O_RDONLY);
    p = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
    shift = (p == MAP_FAILED) ? NULL : p;
    close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  wall, rc;

    rc = syscall(SYS_clock_gettime, id, ts);
    wall = (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE);

    if (rc == 0 && shift && id != CLOCK_PROCESS_CPUTIME_ID
        && id != CLOCK_THREAD_CPUTIME_ID)
    {
        ts->tv_sec += shift[wall];
    }

    return rc;
}

int
gettimeofday(struct timeval *tv, void *tz)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}

time_t
time(time_t *t)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    if (t) {
        *t = ts.tv_sec;
    }

    return ts.tv_sec;
}
END


sub new {
    my ($class) = @_;

    my $dir = tempdir('apigw-clock.XXXXXX', TMPDIR => 1, CLEANUP => 1);

    # workers of another user have to get there
    chmod 0755, $dir;

    my $self = bless { file => "$dir/shift", library => "$dir/clock.so",
                       monotonic => 0, wall => 0 }, $class;
    $self->step;

    my @compiler = split ' ', $ENV{CC} || 'cc';

    open my $pipe, '|-', @compiler, qw(-x c -shared -fPIC -O1 -o),
        $self->{library}, '-' or die "no compiler: $!\n";
    print $pipe $SOURCE;
    close $pipe or die "the library of the clock cannot be compiled\n";

    return $self;
}


sub env {
    my ($self) = @_;

    return { LD_PRELOAD => $self->{library}, APIGW_CLOCK => $self->{file} };
}


# By whole seconds, either way.  A process sees it when it looks next.

sub step {
    my ($self, %by) = @_;

    $self->{$_} += delete $by{$_} // 0 for qw(monotonic wall);
    die "no such clock\n" if %by;

    open my $out, -e $self->{file} ? '+<' : '>', $self->{file}
        or die "$self->{file}: $!\n";
    print $out pack 'q2', @$self{qw(monotonic wall)};
    close $out or die "$self->{file}: $!\n";
}


1;
