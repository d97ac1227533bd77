#!/bin/sh
# The name of a model's directory may be any bytes. A terminal gets none of them raw.
set -eu
. tests/http/start_server.sh
name="$dir/$(printf 'a\033[31mb')"
ln -s "$PWD/models/tales-7m" "$name"
start_server -m "$name"
grep -q 'listening on .*a\\x1b\[31mb' "$dir/log" || { echo "failed: not said: $(tr '\033' '?' <"$dir/log")"; exit 1; }
! grep -q "$(printf '\033')" "$dir/log" || { echo "failed: an escape was written raw"; exit 1; }
