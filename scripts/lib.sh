# Copyright (C) the apigw authors

# Shared by the scripts beside it; sourced by bash, never run.
#
# Sets: me    the name of the running script, for messages
#       root  the repository
#       work  the same under a name that nginx's configure can handle


me=scripts/$(basename "$0")
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)


note() {
    echo "$me: $*"
}


fail() {
    echo "$me: error: $*" >&2
    exit 1
}


# nginx's configure and make split every path at blanks.  A repository whose
# path has such characters is reached through a symbolic link in a private
# directory; its name depends on the path only, so that builds stay
# incremental.

plain_root() {
    local dir link

    case $root in
        *[!A-Za-z0-9_./+@,-]*) ;;

        *)
            work=$root
            return
        ;;
    esac

    dir=/tmp/apigw-$(id -u)
    link=$dir/$(printf %s "$root" | cksum | cut -d ' ' -f 1)

    mkdir -m 700 "$dir" 2>/dev/null || :

    if [ -h "$dir" ] || [ ! -O "$dir" ]; then
        fail "$dir is not a directory of this user; it is needed because" \
             "nginx cannot be built in \"$root\""
    fi

    if [ "$(readlink "$link")" != "$root" ]; then
        ln -sfn "$root" "$link"
    fi

    work=$link
}

plain_root


# Ends a script that takes files, and nothing else, with an error if it is
# given something else.

expect_files() {
    local each

    for each in "$@"; do
        case $each in
            -*) fail "unknown argument \"$each\", only names of files" ;;
        esac

        [ -f "$each" ] || fail "no file \"$each\""
    done
}


# need WHY NAME:PACKAGE ...
#
# Makes sure that everything named is there: a program, a header ("lmdb.h")
# or a file ("/usr/share/...").  Installs what is missing.

need() {
    local why=$1 each name package missing= found dir
    shift

    for each in "$@"; do
        name=${each%%:*}
        package=${each#*:}
        found=

        case $name in
            /*)
                [ -e "$name" ] && found=yes
            ;;

            *.h)
                for dir in /usr/include /usr/local/include \
                           /usr/include/*-linux-gnu
                do
                    [ -e "$dir/$name" ] && found=yes
                done
            ;;

            *)
                command -v "$name" >/dev/null && found=yes

                # root's programs, for a user without them in the path
                [ -x "/usr/sbin/$name" ] && found=yes
            ;;
        esac

        case " $missing " in
            *" $package "*) found=yes ;;
        esac

        [ "$found" ] || missing="$missing $package"
    done

    [ -z "$missing" ] || install_packages "$why" $missing
}


install_packages() {
    local why=$1 sudo= policy=/usr/sbin/policy-rc.d held= list nginx=
    shift
    list=$*

    if ! command -v apt-get >/dev/null || [ ! -f /etc/debian_version ]; then
        fail "missing, to $why: $list (the names of Debian's packages);" \
             "there is no apt here, please install their equivalents"
    fi

    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null \
            || fail "missing, to $why: $list; neither root nor sudo is" \
                    "here to install them: apt-get install $list"
        sudo=sudo
    fi

    note "installing what is missing to $why: $list"
    [ -x /usr/sbin/nginx ] || nginx=absent

    mkdir -p "$work/build"
    exec 8>"$work/build/.install.lock"
    flock 8

    # Debian's nginx package would start a server on port 80

    if [ ! -e $policy ]; then
        note "services stay stopped meanwhile (by a temporary $policy)"
        printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
        $sudo chmod 755 $policy
        held=yes
        trap "$sudo rm -f $policy" EXIT
    fi

    if ! run_apt "$sudo" $list; then
        [ -z "$held" ] || $sudo rm -f $policy
        fail "apt-get could not install, to $why: $list"
    fi

    if [ "$held" ]; then
        $sudo rm -f $policy
        trap - EXIT
    fi

    exec 8>&-

    if [ "$nginx" ] && [ -x /usr/sbin/nginx ]; then
        note "Debian's nginx is installed and not started; under systemd" \
             "it starts at the next boot unless disabled (systemctl" \
             "disable nginx)"
    fi
}


run_apt() {
    local sudo=$1 log
    shift

    log=$(mktemp)

    set -- env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -q -o DPkg::Lock::Timeout=300 --no-remove \
        --no-install-recommends install "$@"

    # without lists of packages or with old ones the first attempt fails

    if $sudo "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi

    if $sudo apt-get -q update >"$log" 2>&1 </dev/null \
       && $sudo "$@" >"$log" 2>&1 </dev/null
    then
        rm -f "$log"
        return 0
    fi

    tail -n 20 "$log" >&2
    rm -f "$log"

    return 1
}


install_for_static_checks() {
    need "check the sources" clang:clang cppcheck:cppcheck gcc:gcc
}
