#!/bin/sh
# Threads lose their core where they have just let go of a lock: the thread that answers must not take away what the engine still uses.
# A library that sleeps there stands for a busy machine.
set -eu
case ${CONFIG:-release} in sanitize | tsan | fuzz) echo "skipped: a sanitizer must come before every other library"; exit 77 ;; esac
[ "$(uname -s)" = Linux ] || { echo "skipped: LD_PRELOAD is Linux's"; exit 77; }
command -v python3 >/dev/null 2>&1 || { echo "skipped: python3 is not here"; exit 77; }
. tests/http/start_server.sh
cat >"$dir/late.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    static int (*unlock)(pthread_mutex_t *);
    static _Thread_local unsigned random = 1;
    if (!unlock) *(void **)&unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int failed = unlock(lock);
    random = random * 1664525 + 1013904223;
    if (gettid() == getpid()) {
        if (random >> 30 == 0) usleep(1000);
    } else if (random >> 29 == 0) {
        usleep(20000);
    }
    return failed;
}
C
${CC:-cc} -shared -fPIC -O1 -o "$dir/late.so" "$dir/late.c" -ldl
export LD_PRELOAD="$dir/late.so" MALLOC_PERTURB_=85 # what is freed is overwritten
start_server -j 1
unset LD_PRELOAD MALLOC_PERTURB_
cat >"$dir/ask.py" <<'PY'
import json, socket, sys, threading

wrong = []


def ask(i):
    body = json.dumps({"prompt": "Once", "max_tokens": 2 + i % 3, "seed": i, "ignore_eos": True, "stream": i % 4 != 0}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) as s:
        s.sendall(head % len(body) + body)
        got = b""
        while more := s.recv(65536):
            got += more
    if not got.startswith(b"HTTP/1.1 200") or (b"[DONE]" if i % 4 else b'"usage"') not in got:
        wrong.append(got)


def client(k):
    for i in range(k, 120, 6):
        try:
            ask(i)
        except OSError as e:
            wrong.append(e)
            return


threads = [threading.Thread(target=client, args=(k,)) for k in range(6)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.exit(f"{len(wrong)} of 120 answers are not whole, the first: {wrong[0]!r}" if wrong else 0)
PY
python3 "$dir/ask.py" "$port" || { cat "$dir/log"; exit 1; }
kill "$server"
wait "$server" || { echo "the server ended with $?"; exit 1; }
server=
