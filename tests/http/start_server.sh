# For test scripts: . tests/http/start_server.sh, in the root of the repository; then start_server OPTION... serves the default model
# until the script ends. Sets gpt2q, dir (of files that go with the script) and port. A build without a server skips the script.
gpt2q=${GPT2Q:-./gpt2q}
"$gpt2q" serve --help | grep -q "not in this build" && { echo "skipped: this build has no server"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-serve.XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT

start_server() {
    "$gpt2q" serve --port 0 --port-file "$dir/port" --log-level error "$@" 2>"$dir/log" &
    server=$!
    i=0
    while [ ! -s "$dir/port" ]; do
        i=$((i + 1))
        [ $i -lt 600 ] || { cat "$dir/log"; exit 1; }
        sleep 0.1
    done
    port=$(cat "$dir/port")
}
