#!/bin/sh
# tools/fetch-model against a server of its own: whole and sharded models, an interrupted download that is continued, wrong
# sums, the three ways in which a sum is announced, and a server that cannot continue.
set -eu
for tool in python3 curl sha256sum; do
    command -v $tool >/dev/null 2>&1 || { echo "skipped: $tool is not here"; exit 77; }
done
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

# Serves DIR/served with Range. A path /cut/... breaks off after half of the bytes asked for, /whole/... knows no Range, /etag/... announces
# git object names, /linked/... SHA-256 on a redirection as the hub does; /sums/... serves SHA256SUMS. Each request is logged.
cat >"$dir/server.py" <<'PY'
import hashlib, http.server, os, sys
root = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, body):
        mode, name = self.path.lstrip("/").split("/", 1)
        asked = self.headers.get("Range")
        with open(os.path.join(root, "requests"), "a") as log: log.write("%s %s %s\n" % (self.command, self.path, asked))
        path = os.path.join(root, "served", name)
        if not os.path.isfile(path) or (name.endswith("SHA256SUMS") and mode in ("etag", "linked", "none")):
            self.send_error(404); return
        data = open(path, "rb").read()
        if mode == "linked":
            self.send_response(302)
            self.send_header("X-Linked-Etag", '"%s"' % hashlib.sha256(data).hexdigest())
            self.send_header("Location", "/none/" + name)
            self.send_header("Content-Length", "0"); self.end_headers(); return
        first = 0
        if asked and mode != "whole":
            first = int(asked.split("=")[1].split("-")[0])
            if first >= len(data): self.send_error(416); return
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, len(data) - 1, len(data)))
        else: self.send_response(200)
        if mode == "etag":
            self.send_header("ETag", '"%s"' % hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())
        data = data[first:]
        self.send_header("Content-Length", str(len(data))); self.end_headers()
        if body: self.wfile.write(data[:len(data) // 2] if mode == "cut" and name.endswith("model.safetensors") else data)
        self.close_connection = True
http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open(os.path.join(root, "port.new"), "w").write(str(http.server_port))
os.rename(os.path.join(root, "port.new"), os.path.join(root, "port"))
http.serve_forever()
PY
mkdir -p "$dir/served/tiny" "$dir/served/sharded" "$dir/served/escape"
cd "$dir/served"
printf '{"model_type": "gpt2"}\n' >tiny/config.json
printf '{"a": 0}\n' >tiny/vocab.json
printf '#version: 0.2\n' >tiny/merges.txt
head -c 300001 /dev/urandom >tiny/model.safetensors
(cd tiny && sha256sum -- * >SHA256SUMS)
cp tiny/*.json tiny/merges.txt sharded/
cp tiny/*.json tiny/merges.txt escape/
printf '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c":\n' \
    >sharded/model.safetensors.index.json
printf '"model-00001-of-00002.safetensors"}}\n' >>sharded/model.safetensors.index.json
echo one >sharded/model-00001-of-00002.safetensors
echo two >sharded/model-00002-of-00002.safetensors
printf '{"weight_map": {"a": "../../evil.safetensors"}}\n' >escape/model.safetensors.index.json

python3 "$dir/server.py" "$dir" &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "$dir/port" ] && break; sleep 0.3; done
url=http://127.0.0.1:$(cat "$dir/port")

fail() {
    echo "$*"
    cat "$dir/out"
    exit 1
}
fetch() { # fetch STATUS BASE NAME: into DIR/models
    status=0
    "$root/tools/fetch-model" "$3" --base "$url/$2" --into "$dir/models" >"$dir/out" 2>&1 || status=$?
    [ "$status" -eq "$1" ] || fail "fetch-model $3 from $2: status $status, not $1"
}
same() { # same NAME: all of it is here, and nothing half done
    for file in "$dir/served/$1"/*; do
        case $file in */SHA256SUMS) continue ;; esac
        cmp "$file" "$dir/models/$1/${file##*/}" || fail "$1: ${file##*/} differs"
    done
    ! ls "$dir/models/$1"/*.partial 2>/dev/null || fail "$1: a partial file was left"
}

for mode in sums etag linked none; do
    rm -rf "$dir/models"
    fetch 0 $mode/tiny tiny
    same tiny
    case $mode in
    sums | linked) grep -q 'model.safetensors: fetched, checked (sha256)' "$dir/out" || fail "$mode: not checked" ;;
    etag) grep -q 'model.safetensors: fetched, checked (git)' "$dir/out" || fail "$mode: not checked" ;;
    none) grep -q 'model.safetensors: fetched, unchecked' "$dir/out" || fail "$mode: does not say that it is unchecked" ;;
    esac
done
fetch 0 sums/tiny tiny
grep -q 'model.safetensors: already here' "$dir/out" || fail "fetched what was there"

# Broken off, twice, then continued where it stopped; nothing has the final name before it is whole.
rm -rf "$dir/models"
fetch 1 cut/tiny tiny
[ ! -e "$dir/models/tiny/model.safetensors" ] || fail "a broken file got its name"
fetch 1 cut/tiny tiny
: >"$dir/requests"
have=$(wc -c <"$dir/models/tiny/model.safetensors.partial")
[ "$have" -eq 225000 ] || fail "kept $have bytes"
fetch 0 sums/tiny tiny
grep -q "GET /sums/tiny/model.safetensors bytes=$have-" "$dir/requests" || fail "did not continue at $have"
same tiny

# A server that cannot continue, and a partial file that is already whole.
rm -rf "$dir/models"
fetch 1 cut/tiny tiny
fetch 0 whole/tiny tiny
same tiny
mv "$dir/models/tiny/model.safetensors" "$dir/models/tiny/model.safetensors.partial"
fetch 0 sums/tiny tiny
same tiny

# Damaged pieces are found and thrown away.
mv "$dir/models/tiny/model.safetensors" "$dir/kept"
head -c 1000 /dev/zero >"$dir/models/tiny/model.safetensors.partial"
fetch 1 sums/tiny tiny
grep -q 'not those announced' "$dir/out" || fail "does not say what is wrong"
! ls "$dir"/models/tiny/model.safetensors* 2>/dev/null || fail "kept damaged bytes"
fetch 0 sums/tiny tiny
same tiny

fetch 0 sums/sharded sharded
same sharded
fetch 1 sums/escape escape
grep -q 'not the name of a shard' "$dir/out" || fail "took a path for a shard"
[ ! -e "$dir/evil.safetensors" ] || fail "wrote outside of the model"
fetch 1 sums/nothing nothing
fetch 2 sums/tiny --bad
fetch 2 sums/tiny ../tiny
