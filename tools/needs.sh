# Sourced by quickstart and check: installs what a build or the tests need, with the system's package manager.
# install_missing WANT...: each WANT is a key of package_name. Nothing missing: nothing is run and no root is needed.

have_header() {
    printf '#include <%s>\n' "$1" | ${CC:-cc} $2 -x c -fsyntax-only - >/dev/null 2>&1
}

is_clang() { ${CC:-cc} --version 2>/dev/null | grep -q clang; }

# The test for a key; a header counts only when the compiler finds it.
have() {
    case $1 in
    cc) command -v "${CC:-cc}" >/dev/null 2>&1 && have_header stdlib.h "" ;;
    make) command -v make >/dev/null 2>&1 ;;
    pkg-config) command -v pkg-config >/dev/null 2>&1 ;;
    cjson) have_header cjson/cJSON.h "$(pkg-config --cflags libcjson 2>/dev/null)" ;;
    utf8proc) have_header utf8proc.h "$(pkg-config --cflags libutf8proc 2>/dev/null)" ;;
    openmp) printf '#include <omp.h>\nint main(void) { return omp_get_num_procs() < 1; }\n' |
        ${CC:-cc} -fopenmp -x c -o /dev/null - >/dev/null 2>&1 ;;
    microhttpd) pkg-config --exists libmicrohttpd 2>/dev/null ;;
    cmocka) pkg-config --exists cmocka 2>/dev/null ;;
    libcurl) pkg-config --exists libcurl 2>/dev/null ;;
    esac
}

# The packages of a key, by package manager.
package_name() {
    case $1:$2 in
    apt-get:cc) echo gcc libc6-dev ;;
    apt-get:cjson) echo libcjson-dev ;;
    apt-get:utf8proc) echo libutf8proc-dev ;;
    apt-get:openmp) if is_clang; then echo libomp-dev; else echo gcc libgomp1; fi ;;
    apt-get:cmocka) echo libcmocka-dev ;;
    apt-get:microhttpd) echo libmicrohttpd-dev ;;
    dnf:microhttpd) echo libmicrohttpd-devel ;;
    brew:microhttpd) echo libmicrohttpd ;;
    apt-get:libcurl) echo libcurl4-openssl-dev ;;
    dnf:cc) echo gcc ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    dnf:cjson) echo cjson-devel ;;
    dnf:utf8proc) echo utf8proc-devel ;;
    dnf:openmp) if is_clang; then echo libomp-devel; else echo libgomp; fi ;;
    dnf:cmocka) echo libcmocka-devel ;;
    dnf:libcurl) echo libcurl-devel ;;
    brew:cc) echo gcc ;;
    brew:openmp) echo libomp ;;
    brew:libcurl) echo curl ;;
    *) echo "$2" ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "This needs root, and sudo is not here. As root: $*" >&2
        return 1
    fi
}

install_missing() {
    missing=
    for want in "$@"; do have "$want" || missing="$missing $want"; done
    [ -n "$missing" ] || return 0
    for manager in apt-get dnf brew none; do command -v $manager >/dev/null 2>&1 && break; done
    packages=
    for want in $missing; do
        for package in $(package_name $manager "$want"); do
            case "$packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
        done
    done
    echo "Missing:$missing"
    case $manager in
    apt-get)
        echo "Installing:$packages (apt-get)"
        as_root apt-get update -q >/dev/null &&
            as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -q -y --no-install-recommends $packages >/dev/null
        ;;
    dnf)
        echo "Installing:$packages (dnf)"
        as_root dnf install -q -y $packages
        ;;
    brew)
        echo "Installing:$packages (brew)"
        brew install -q $packages
        ;;
    none)
        echo "No apt-get, dnf or brew here: install these by hand, then run this again." >&2
        return 1
        ;;
    esac || return 1
    for want in $missing; do
        have "$want" || { echo "$want is still missing after the installation." >&2; return 1; }
    done
}

# What a build can do without, where it can be installed without asking for a password; else a line says what will be missing.
install_optional() { # install_optional WANT WHAT
    have "$1" && return
    if [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || command -v brew >/dev/null 2>&1; then
        install_missing "$1" && return
    fi
    echo "Without $1: this build has no $2."
}

BUILD_NEEDS="cc make pkg-config openmp cjson utf8proc"
cores() { getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# build TARGET...: make with all cores, its steps counted as [12/240]. On a terminal each line takes the place of the last.
build() {
    make -s build/release/flags build/release/datadir || return 1
    total=$(make -n -o FORCE "$@" | grep -c '%-5s') || true
    { make -s -j"$(cores)" "$@" && echo done; } | awk -v total="$total" -v terminal="$([ -t 1 ] && echo 1)" '
        $0 == "done" { done = 1; next }
        /^  [A-Z]+ +[^ ]+$/ {
            printf "%s[%d/%d] %s %s%s", terminal ? "\r\033[K" : "", ++n, total, $1, $2, terminal ? "" : "\n"
            fflush()
            next
        }
        { print }
        END { if (terminal && n) printf "\r\033[K"; exit !done }'
}
