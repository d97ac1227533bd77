#!/bin/sh
# gpt2q pull against a hub of its own on this machine: its redirections, ETags and errors; broken, wrong and refused transfers; a token; and
# the cache that the Python library reads and writes (where it is installed).
set -eu
for tool in python3 sha256sum; do
    command -v $tool >/dev/null 2>&1 || { echo "skipped: $tool is not here"; exit 77; }
done
root=$(cd "$(dirname "$0")/../.." && pwd)
gpt2q=$(cd "$root" && realpath "${GPT2Q:-gpt2q}")
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY https_proxy HTTPS_PROXY HF_ENDPOINT HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_OFFLINE \
    HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME XDG_CACHE_HOME HF_TOKEN_PATH GPT2Q_MODEL
export HOME="$dir/home"
mkdir "$HOME"

if "$gpt2q" pull a >"$dir/out" 2>&1; then :; fi
if grep -q 'built without libcurl\|libcurl cannot be loaded' "$dir/out"; then
    echo "skipped: no libcurl"
    exit 77
fi

# http://127.0.0.1:PORT/MODE/REPOSITORY/resolve/REVISION/FILE is a hub, http://localhost:PORT/bytes/MODE/REPOSITORY/FILE another host that has the
# large files. Each request is logged with its Range and its Authorization.
cat >"$dir/server.py" <<'PY'
import hashlib, http.server, os, re, ssl, sys, threading, time
root = sys.argv[1]
commit = "0123456789abcdef0123456789abcdef01234567"
seen = {}
def reader(scheme):
  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def plain(self, status, headers, data=b"", body=True):
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if body: self.wfile.write(data)
        self.close_connection = True
    def answer(self, body):
        asked, token = self.headers.get("Range"), self.headers.get("Authorization")
        with open(os.path.join(root, "requests"), "a") as log: log.write("%s %s %s %s\n" % (self.command, self.path, asked, token))
        self.path = re.sub("^http://[^/]*", "", self.path) # asked as a proxy
        if self.path.startswith("/bytes/"): return self.bytes(body, asked)
        if self.path.startswith("/no-http/"): return self.wfile.write(b"220 mail.example.org\r\n" + os.urandom(2000)) and self.connection.close()
        m = re.match(r"/([a-z0-9-]+)/(.+)/resolve/([^/]+)/(.+)$", self.path)
        if not m: return self.plain(404, {"X-Error-Code": "RepoNotFound"})
        mode, name, revision, file = m.groups()
        if mode == "renamed" and name == "old":
            return self.plain(307, {"Location": self.path.replace("/old/", "/tiny/")})
        if mode == "private" and token != "Bearer hf_secret": return self.plain(401, {"X-Error-Code": "RepoNotFound"})
        if mode == "gated": return self.plain(403, {"X-Error-Code": "GatedRepo"})
        if mode == "broken-hub": return self.plain(503, {"Retry-After": "0"})
        if mode == "busy" and self.path not in seen:
            seen[self.path] = 1
            return self.plain(429, {"Retry-After": "0"})
        folder = os.path.join(root, "served", name)
        if not os.path.isdir(folder): return self.plain(401, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", "v1", commit): return self.plain(404, {"X-Error-Code": "RevisionNotFound"})
        path = os.path.join(folder, file)
        if not os.path.isfile(path): return self.plain(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        data = open(path, "rb").read()
        if mode == "no-hub": return self.plain(200, {"ETag": '"abcdef"'}, data, body)
        if mode == "escape": return self.plain(200, {"ETag": '"../../../../evil"', "X-Repo-Commit": commit}, data, body)
        if mode == "commit-escape": return self.plain(200, {"ETag": '"abcdef12"', "X-Repo-Commit": "../../../evil"}, data, body)
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        if mode in ("unsaid", "endless", "both-sizes") and file == "merges.txt": return self.unsaid(mode, git, data, body)
        if len(data) < 100000 or mode == "small": return self.plain(200, {"ETag": '"%s"' % git, "X-Repo-Commit": commit}, data, body)
        host = "http://localhost:%d" % port if mode in ("downgrade",) or scheme == "http" else "https://localhost:%d" % secure_port
        self.plain(302, {"X-Repo-Commit": commit, "X-Linked-Etag": '"%s"' % hashlib.sha256(data).hexdigest(), "X-Linked-Size": str(len(data)),
            "Location": "%s/bytes/%s/%s/%s" % (host, mode, name, file)})
    def unsaid(self, mode, git, data, body): # an answer without Content-Length, or with one that its chunks exceed
        self.send_response(200)
        self.send_header("ETag", '"%s"' % git)
        self.send_header("X-Repo-Commit", commit)
        if mode == "both-sizes" and body: self.send_header("Content-Length", "14")
        if mode == "both-sizes" and body: self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if mode == "unsaid" and body: self.wfile.write(data)
        for _ in range(200 if body and mode != "unsaid" else 0):
            try: self.wfile.write(b"100000\r\n" * (mode == "both-sizes") + bytes(1 << 20) + b"\r\n")
            except OSError: return
    def bytes(self, body, asked):
        _, _, mode, name = self.path.split("/", 3)
        data = open(os.path.join(root, "served", name), "rb").read()
        if mode == "wrong": data = data[:-1] + b"?"
        if mode == "longer": data += b"more"
        first, headers, status = 0, {}, 200
        if asked and mode == "refuse-range": return self.plain(416, {})
        if asked and mode != "no-range":
            first = int(asked.split("=")[1].split("-")[0])
            if first >= len(data): return self.plain(416, {})
            status = 206
            headers["Content-Range"] = "bytes %d-%d/%d" % (first if mode != "other-range" else first + 1, len(data) - 1, len(data))
        data = data[first:]
        if mode in ("cut", "cut-once") and body and (mode == "cut" or self.path not in seen):
            seen[self.path] = 1
            self.send_response(status)
            for k, v in headers.items(): self.send_header(k, v)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2])
            self.close_connection = True
            return
        if mode == "stuck" and body: # half of it, and then nothing
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()
            open(os.path.join(root, "stuck"), "w").close()
            time.sleep(60)
            return
        self.plain(status, headers, data, body)
  return Handler
class Server(http.server.ThreadingHTTPServer): daemon_threads = True
plain = Server(("127.0.0.1", 0), reader("http"))
port = plain.server_port
secure_port = 0
if os.path.exists(os.path.join(root, "cert.pem")):
    secure = Server(("127.0.0.1", 0), reader("https"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(root, "cert.pem"), os.path.join(root, "key.pem"))
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    secure_port = secure.server_port
    threading.Thread(target=secure.serve_forever, daemon=True).start()
open(os.path.join(root, "port.new"), "w").write("%d %d\n" % (port, secure_port))
os.rename(os.path.join(root, "port.new"), os.path.join(root, "port"))
plain.serve_forever()
PY
mkdir -p "$dir/served/owner"
cd "$dir/served"
mkdir tiny sharded escape owner/files pointer no-weights no-vocabulary older
cp "$root"/models/tales-7m/config.json tiny/
printf '{"a": 0}\n' >tiny/vocab.json
printf '#version: 0.2\n' >tiny/merges.txt
printf '{}\n' >tiny/generation_config.json
printf 'not needed\n' >tiny/README.md
for other in sharded escape pointer no-weights older; do cp tiny/*.json tiny/merges.txt $other/; done
cp tiny/config.json no-vocabulary/
head -c 300001 /dev/urandom >tiny/model.safetensors
head -c 200000 /dev/urandom >older/pytorch_model.bin
printf 'not needed beside safetensors\n' >tiny/pytorch_model.bin
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 300001\n' >pointer/model.safetensors
printf '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}\n' >sharded/model.safetensors.index.json
head -c 150000 /dev/urandom >sharded/model-00001-of-00002.safetensors
echo two >sharded/model-00002-of-00002.safetensors
printf '{"weight_map": {"a": "../../evil.safetensors"}}\n' >escape/model.safetensors.index.json
mkdir owner/files/deep
head -c 200000 /dev/urandom >owner/files/deep/m.gguf
cd "$dir"
if command -v openssl >/dev/null 2>&1; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 >/dev/null 2>&1 || rm -f cert.pem
fi

python3 "$dir/server.py" "$dir" &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -e "$dir/port" ] && break; sleep 0.3; done
read -r port secure_port <"$dir/port"
url=http://127.0.0.1:$port
cache=$dir/cache
commit=0123456789abcdef0123456789abcdef01234567

fail() {
    echo "$*"
    cat "$dir/out" "$dir/err"
    exit 1
}
pull() { # pull STATUS MODE ARGUMENT...
    status=0 want=$1 mode=$2
    shift 2
    : >"$dir/requests"
    "$gpt2q" pull --endpoint "$url/$mode" --cache "$cache" "$@" >"$dir/out" 2>"$dir/err" || status=$?
    [ "$status" -eq "$want" ] || fail "pull $* ($mode): status $status, not $want"
}
says() { grep -q -- "$1" "$dir/err" || fail "does not say: $1"; }
same() { # same NAME FOLDER FILE...: these and no others are in the snapshot
    name=$1 folder=$2
    shift 2
    for file in "$@"; do
        cmp "$dir/served/$name/$file" "$cache/$folder/snapshots/$commit/$file" || fail "$name: $file differs"
        [ -L "$cache/$folder/snapshots/$commit/$file" ] || fail "$file is no link"
    done
    n=$(find "$cache/$folder/snapshots/$commit" -type l | wc -l)
    [ "$n" -eq $# ] || fail "$name: $n files, not $#"
    [ "$(cat "$cache/$folder/refs/main")" = $commit ] || fail "refs/main is wrong"
    [ -z "$(find "$cache" -name '*.incomplete' -o -name '*.partial*' -o -name '.link*')" ] || fail "something is left"
}
nothing() { # no model can be seen
    [ -z "$(find "$cache" -path '*snapshots*' 2>/dev/null)$(find "$cache" -path '*refs/*' 2>/dev/null)" ] || fail "half a model is there"
}
tiny="config.json vocab.json merges.txt generation_config.json model.safetensors"

pull 0 hub tiny
same tiny models--tiny $tiny
[ "$(cat "$dir/out")" = "$cache/models--tiny/snapshots/$commit" ] || fail "the path is wrong"
sum=$(sha256sum <"$dir/served/tiny/model.safetensors")
[ -f "$cache/models--tiny/blobs/${sum%% *}" ] || fail "the blob has another name"
says 'model.safetensors: fetched, SHA-256 checked'
says 'vocab.json: fetched, checked'
pull 0 hub tiny
says 'model.safetensors: already here, SHA-256 checked'
! grep -q '^GET' "$dir/requests" || fail "fetched what was there"
HF_HUB_CACHE=$cache "$gpt2q" inspect -m tiny >"$dir/out" 2>"$dir/err" && fail "random bytes are a model"
grep -q "$cache/models--tiny" "$dir/err" || fail "-m does not find what was pulled"
printf x >>"$cache/models--tiny/blobs/${sum%% *}" # damaged since
pull 0 hub tiny
says 'model.safetensors: fetched'
same tiny models--tiny $tiny

# Broken off: once is mended at once, always is said, and the next pull goes on.
rm -rf "$cache"
pull 0 cut-once tiny
says 'trying again in'
grep -q 'GET /bytes/cut-once/tiny/model.safetensors bytes=150000-' "$dir/requests" || fail "did not go on at half"
same tiny models--tiny $tiny
rm -rf "$cache"
pull 1 cut tiny
says 'the same command goes on'
nothing
have=$(wc -c <"$(find "$cache" -name '*.incomplete')")
[ "$have" -gt 150000 ] || fail "kept $have bytes"
pull 0 hub tiny
grep -q "GET /bytes/hub/tiny/model.safetensors bytes=$have-" "$dir/requests" || fail "did not go on at $have"
same tiny models--tiny $tiny

# Servers that cannot go on, and one that sends other bytes than asked for.
half() { # half a file is here, from an earlier pull
    rm -rf "$cache"
    mkdir -p "$cache/models--tiny/blobs"
    head -c 150000 "$dir/served/tiny/model.safetensors" >"$cache/models--tiny/blobs/${sum%% *}.incomplete"
}
for server_mode in no-range refuse-range; do
    half
    pull 0 $server_mode tiny
    same tiny models--tiny $tiny
done
half
pull 1 other-range tiny
says 'other bytes than those asked for'
nothing

# Damaged: pieces of an earlier pull are fetched again, a server that sends wrong bytes is left.
incomplete=$(find "$cache" -name '*.incomplete')
head -c 1000 /dev/zero >"$incomplete"
pull 0 hub tiny
same tiny models--tiny $tiny
for server_mode in wrong longer; do
    rm -rf "$cache"
    pull 1 $server_mode tiny
    nothing
    [ $server_mode = longer ] || ! grep -q "is kept" "$dir/err" || fail "wrong bytes are said to be kept"
done
says 'more than the 300001 bytes'
rm -rf "$cache"
pull 0 unsaid tiny
same tiny models--tiny $tiny
for server_mode in endless both-sizes; do
    rm -rf "$cache"
    pull 1 $server_mode tiny
    nothing
done
says 'the server sends more than'
rm -rf "$cache"
pull 1 endless tiny
says 'more than 67108864 bytes and did not announce how many'
pull 1 no-http tiny
says 'HTTP/0.9'
pull 1 hub pointer
says 'Git LFS pointer'
nothing

# What the hub says.
rm -rf "$cache"
pull 0 renamed old
same tiny models--old $tiny
pull 0 busy tiny
says 'trying again in 0 s'
pull 1 broken-hub tiny
says 'HTTP 503'
rm -rf "$cache"
pull 1 hub nothing
says 'there is no such model, or it is not public (HTTP 401'
[ ! -e "$cache/models--nothing" ] || fail "left a folder"
pull 1 hub --revision v9 tiny
says 'there is no revision "v9"'
pull 1 hub no-weights
says 'has no weights that gpt2q reads'
pull 1 hub no-vocabulary
says 'has neither tokenizer.json nor vocab.json'
pull 1 no-hub tiny
says 'names no X-Repo-Commit'
pull 1 gated tiny
says 'gives access to accounts that ask'
pull 1 escape tiny
pull 1 commit-escape tiny
pull 1 hub escape
says 'names no file beside it'
[ -z "$(find "$dir" -name 'evil*')" ] || fail "wrote outside of the cache"
nothing
pull 0 hub --revision v1 tiny
[ "$(cat "$cache/models--tiny/refs/v1")" = $commit ] || fail "refs/v1 is wrong"

# A token goes to the hub, not to where the hub leads.
rm -rf "$cache"
pull 1 private tiny
says 'HF_TOKEN must hold'
HF_TOKEN=hf_secret pull 0 private tiny
grep -q 'HEAD /private/.*Bearer hf_secret' "$dir/requests" || fail "no token was sent"
! grep '/bytes/' "$dir/requests" | grep -q secret || fail "the token went to another host"
rm -rf "$cache"
mkdir -p "$HOME/.cache/huggingface"
echo hf_secret >"$HOME/.cache/huggingface/token"
pull 0 private tiny
HF_TOKEN=$(printf 'a\nb: c') pull 2 private tiny
rm "$HOME/.cache/huggingface/token"

# A mirror, named by $HF_ENDPOINT; a proxy, which is asked for the whole address, on to where the hub leads; and a host without it.
from_mirror() { # from_mirror VARIABLE=VALUE...
    rm -rf "$cache"
    : >"$dir/requests"
    env "$@" "$gpt2q" pull --cache "$cache" tiny >"$dir/out" 2>"$dir/err" || fail "$*: failed"
    same tiny models--tiny $tiny
}
from_mirror HF_ENDPOINT="$url/hub/"
grep -q 'GET /bytes/hub/tiny/model.safetensors' "$dir/requests" || fail "HF_ENDPOINT is not the hub"
from_mirror HF_ENDPOINT=http://hub.invalid/hub http_proxy="$url"
grep -q 'HEAD http://hub.invalid/hub/tiny/resolve/main/config.json' "$dir/requests" || fail "the proxy was not asked"
grep -q "GET http://localhost:$port/bytes/hub/tiny/model.safetensors" "$dir/requests" || fail "the proxy was not asked for the bytes"
from_mirror HF_ENDPOINT="$url/hub" http_proxy=http://proxy.invalid no_proxy=127.0.0.1,localhost

# Shards, one file, JSON.
pull 0 hub sharded
same sharded models--sharded config.json vocab.json merges.txt generation_config.json model.safetensors.index.json \
    model-00001-of-00002.safetensors model-00002-of-00002.safetensors
pull 0 hub older
same older models--older config.json vocab.json merges.txt generation_config.json pytorch_model.bin
pull 0 hub owner/files:deep/m.gguf
same owner/files models--owner--files deep/m.gguf
[ "$(cat "$dir/out")" = "$cache/models--owner--files/snapshots/$commit/deep/m.gguf" ] || fail "the file's path is wrong"
HF_HUB_CACHE=$cache "$gpt2q" inspect owner/files:deep/m.gguf >"$dir/out" 2>"$dir/err" && fail "random bytes are a model"
grep -q "$cache/models--owner--files/snapshots/$commit/deep/m.gguf" "$dir/err" || fail "owner/files:deep/m.gguf is not found"
pull 0 hub --json --quiet tiny
[ ! -s "$dir/err" ] || fail "--quiet is not"
python3 - "$dir/out" <<'PY' || fail "the JSON is wrong"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["model"] == "tiny" and len(d["files"]) == 5 and all(f["checked"] for f in d["files"]), d
PY

# Two at once make one model; Ctrl-C leaves none.
rm -rf "$cache"
"$gpt2q" pull --endpoint "$url/hub" --cache "$cache" tiny >/dev/null 2>&1 &
other=$!
pull 0 hub tiny
wait $other || fail "the other pull failed"
same tiny models--tiny $tiny
rm -rf "$cache"
python3 - "$dir/stuck" "$gpt2q" pull --endpoint "$url/stuck" --cache "$cache" tiny >"$dir/out" 2>"$dir/err" <<'PY' || fail "Ctrl-C is not heard"
import os, signal, subprocess, sys, time
pull = subprocess.Popen(sys.argv[2:], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
for _ in range(200):
    if os.path.exists(sys.argv[1]): break
    time.sleep(0.05)
time.sleep(0.3)
pull.send_signal(signal.SIGINT)
sys.exit(pull.wait(20) != 130)
PY
nothing
pull 0 hub tiny
grep -q 'GET /bytes/hub/tiny/model.safetensors bytes=150000-' "$dir/requests" || fail "Ctrl-C lost what was there"
same tiny models--tiny $tiny

# Links that somebody planted are not followed; no input is an output.
rm -rf "$cache"
mkdir -p "$cache/models--tiny/blobs" "$cache/.locks/models--tiny"
echo precious >victim
ln -s "$dir/victim" "$cache/models--tiny/blobs/${sum%% *}.incomplete"
pull 1 hub tiny
says incomplete
rm "$cache/models--tiny/blobs/${sum%% *}.incomplete"
ln -sf "$dir/victim" "$cache/.locks/models--tiny/${sum%% *}.lock"
pull 1 hub tiny
says lock
[ "$(cat victim)" = precious ] || fail "a planted link was followed"
nothing
status=0
HF_TOKEN_PATH=victim "$gpt2q" pull --endpoint "$url/hub" --cache "$cache" --json tiny >>victim 2>"$dir/err" || status=$?
[ $status -eq 2 ] || fail "standard output that is the token file: status $status"
says 'is also the token file, which is read'
[ "$(cat victim)" = precious ] || fail "the token file was written"

# Wrong usage.
for name in '' ../tiny a/b/c -x a..b 'a b' a:/etc/passwd a:b/../c .hidden; do
    pull 2 hub "$name"
done
pull 2 hub
pull 2 hub a b
pull 2 hub --revision ../../x tiny
status=0
"$gpt2q" pull --endpoint ftp://localhost --cache "$cache" tiny >"$dir/out" 2>"$dir/err" || status=$?
[ $status -eq 2 ] || fail "took ftp"
HF_HUB_OFFLINE=1 pull 1 hub tiny
says HF_HUB_OFFLINE
"$gpt2q" generate -m tiny Hello >"$dir/out" 2>"$dir/err" && fail "there is a model tiny"
says "'gpt2q pull tiny' gets it"

# https: certificates are checked, and it never becomes http.
if [ "$secure_port" -ne 0 ]; then
    rm -rf "$cache"
    url=https://localhost:$secure_port
    pull 1 hub tiny
    SSL_CERT_FILE=$dir/cert.pem pull 0 hub tiny
    same tiny models--tiny $tiny
    rm -rf "$cache"
    SSL_CERT_FILE=$dir/cert.pem pull 1 downgrade tiny
    says 'from https to http'
    nothing
    url=http://127.0.0.1:$port
fi

# The Python library finds what was pulled here, and the other way round.
if python3 -c 'import huggingface_hub' 2>/dev/null; then
    rm -rf "$cache"
    pull 0 hub tiny
    python3 - "$cache" "$url/hub" <<'PY' || fail "the Python library does not agree"
import os, sys
os.environ["HF_ENDPOINT"] = sys.argv[2]
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
from huggingface_hub import hf_hub_download
path = hf_hub_download("tiny", "model.safetensors", cache_dir=sys.argv[1], local_files_only=True)
assert os.path.getsize(path) == 300001
hf_hub_download("sharded", "config.json", cache_dir=sys.argv[1])
PY
    pull 0 hub sharded
    says 'config.json: already here'
    rm -rf "$cache"
    python3 - "$cache" "$url/hub" <<'PY' || fail "the Python library fetches nothing"
import os, sys
os.environ["HF_ENDPOINT"] = sys.argv[2]
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
from huggingface_hub import hf_hub_download
for name in "config.json vocab.json merges.txt generation_config.json model.safetensors".split():
    hf_hub_download("tiny", name, cache_dir=sys.argv[1])
PY
    HF_HUB_CACHE=$cache "$gpt2q" inspect -m tiny >"$dir/out" 2>"$dir/err" && fail "random bytes are a model"
    grep -q "$cache/models--tiny" "$dir/err" || fail "-m does not find what the Python library fetched"
    pull 0 hub tiny
    says 'model.safetensors: already here, SHA-256 checked'
    HF_HUB_OFFLINE=1 python3 - "$cache" <<'PY' || fail "the Python library does not find it offline"
import os, sys
from huggingface_hub import snapshot_download
assert len(os.listdir(snapshot_download("tiny", cache_dir=sys.argv[1]))) == 5
PY
fi
