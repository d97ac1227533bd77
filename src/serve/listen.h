/* Sockets to listen on: TCP, a Unix path, or sockets that systemd hands over. */
#ifndef SERVE_LISTEN_H
#define SERVE_LISTEN_H
#include "base/status.h"
#include "serve/options.h"

#define LISTEN_MAX 4

struct listening {
    int fds[LISTEN_MAX];
    size_t n;
    int port;              /* of the TCP socket; 0: there is none */
    char where[4][128];    /* "http://127.0.0.1:8080", "unix:/run/x" */
    const char *unix_path; /* removed at the end; NULL: none */
};

gpt2q_status listen_open(struct listening *l, const struct serve_options *o, gpt2q_error *err);
/* Removes the Unix socket and, if the HTTP layer has not taken them, closes the rest. */
void listen_close(struct listening *l, bool close_fds);
/* Tells systemd "READY=1" if it asked for it. */
void notify_systemd(const char *text);
#endif
