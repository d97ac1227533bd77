#!/bin/sh
# make install DESTDIR: every file where it belongs; a program builds against the installed library by pkg-config, statically
# and shared; the installed gpt2q finds its model; make uninstall leaves nothing.
set -eu
[ "${CONFIG:-release}" = release ] || { echo "skipped: only the release build is installed"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
ls src/app/*.c >/dev/null 2>&1 || { echo "skipped: there is no program yet"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*"
    exit 1
}

rm -f build/release/gpt2q.1 # as a build without help2man leaves it, with an older program's empty page
[ -d build/release ] && : >build/release/gpt2q.1
make -s install DESTDIR="$dir/root" PREFIX=/usr/local >"$dir/log" 2>&1 || { cat "$dir/log"; fail "make install failed"; }
prefix=$dir/root/usr/local
for file in bin/gpt2q lib/libgpt2q.a lib/libgpt2q.so include/gpt2q.h lib/pkgconfig/gpt2q.pc \
    share/bash-completion/completions/gpt2q share/zsh/site-functions/_gpt2q \
    share/fish/vendor_completions.d/gpt2q.fish share/gpt2q/models/tales-7m/model.safetensors; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
done
if command -v help2man >/dev/null 2>&1; then grep -q '^\.SH.*GENERATE' "$prefix/share/man/man1/gpt2q.1" || fail "no man page"; fi
! grep -rqs "$dir" "$prefix/lib/pkgconfig" || fail "gpt2q.pc names DESTDIR"

cat >"$dir/use.c" <<'END'
#include <gpt2q.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    gpt2q_error err;
    gpt2q_model *model = NULL;
    if (argc > 1 && gpt2q_model_open(NULL, NULL, &model, &err)) return puts(err.message), 1;
    puts(argc > 1 ? gpt2q_model_name(model) : gpt2q_version());
    return (void)argv, gpt2q_model_close(model), 0;
}
END
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dir/root" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
cflags=$(pkg-config --cflags gpt2q | sed "s|$dir/root/usr/include[^ ]*||g")
${CC:-cc} $cflags -o "$dir/shared" "$dir/use.c" $(pkg-config --libs gpt2q) || fail "does not link with the shared library"
version=$(LD_LIBRARY_PATH=$prefix/lib "$dir/shared")
[ "$version" = "$(pkg-config --modversion gpt2q)" ] || fail "the library is $version, gpt2q.pc another"
said=$(cd / && unset GPT2Q_MODEL && LD_LIBRARY_PATH=$prefix/lib "$dir/shared" open) || fail "the library finds no model: $said"
[ "$said" = tales-7m ] || fail "the library opens $said"
said=$(cd / && unset GPT2Q_MODEL && "$prefix/bin/gpt2q" tokenize "a b" 2>&1) || fail "the program finds no model: $said"
${CC:-cc} $cflags -o "$dir/static" "$dir/use.c" "$prefix/lib/libgpt2q.a" $(pkg-config --static --libs gpt2q | sed 's/-lgpt2q//') ||
    fail "does not link with the archive"
[ "$("$dir/static")" = "$version" ] || fail "the archive is of another version"

[ "$(nm -D --defined-only "$prefix/lib/libgpt2q.so" | awk '$2 ~ /[TDBR]/ && $3 !~ /^gpt2q_/' | wc -l)" -eq 0 ] ||
    fail "libgpt2q.so exports other names than gpt2q_*"
[ "$(nm -g --defined-only "$prefix/lib/libgpt2q.a" | awk '$2 ~ /[TDBR]/ && $3 !~ /^gpt2q_/' | wc -l)" -eq 0 ] ||
    fail "libgpt2q.a exports other names than gpt2q_*"

make -s uninstall DESTDIR="$dir/root" PREFIX=/usr/local >"$dir/log" 2>&1 || { cat "$dir/log"; fail "make uninstall failed"; }
left=$(find "$dir/root" ! -type d)
[ -z "$left" ] || fail "uninstall left: $left"
[ ! -e "$prefix/share/gpt2q" ] || fail "uninstall left share/gpt2q"
