#include "serve/listen.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG      1024
#define FIRST_HANDED 3 /* SD_LISTEN_FDS_START */

static gpt2q_status add(struct listening *l, int fd, const char *where, gpt2q_error *err)
{
    if (l->n == LISTEN_MAX) {
        close(fd);
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "there are more than %d sockets to listen on",
                         LISTEN_MAX);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    snprintf(l->where[l->n], sizeof l->where[0], "%s", where);
    l->fds[l->n++] = fd;
    return GPT2Q_OK;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n)) return 0;
    if (a.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

/* ---- handed over by systemd ---- */

static bool listens(int fd)
{
    int yes = 0;
    socklen_t n = sizeof yes;
    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) && yes;
}

static gpt2q_status take_handed(struct listening *l, gpt2q_error *err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    gpt2q_status s = GPT2Q_OK;
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid()) return GPT2Q_OK;
    int n = (int)strtol(count, NULL, 10);
    for (int i = 0; !s && i < n; i++) {
        char where[64];
        if (!listens(FIRST_HANDED + i))
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "LISTEN_FDS: descriptor %d is no socket that listens; a socket unit needs "
                             "ListenStream= and Accept=no",
                             FIRST_HANDED + i);
        int port = port_of(FIRST_HANDED + i);
        if (port) l->port = port;
        snprintf(where, sizeof where, port ? "socket %d, port %d" : "socket %d", i, port);
        s = add(l, FIRST_HANDED + i, where, err);
    }
    unsetenv("LISTEN_PID"), unsetenv("LISTEN_FDS"), unsetenv("LISTEN_FDNAMES");
    return s;
}

/* ---- TCP ---- */

static int bind_tcp(const struct addrinfo *a)
{
    const int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG)) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static gpt2q_status open_tcp(struct listening *l, const char *host, const char *port, gpt2q_error *err)
{
    struct addrinfo *all, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int bad = getaddrinfo(host, port, &hints, &all);
    if (bad) return error_set(err, GPT2Q_IO, "--host %s --port %s: %s", host, port, gai_strerror(bad));
    int fd = -1;
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) fd = bind_tcp(a);
    int why = errno;
    freeaddrinfo(all);
    if (fd < 0) return error_set(err, GPT2Q_IO, "cannot listen on %s port %s: %s", host, port, strerror(why));
    char where[128];
    l->port = port_of(fd);
    snprintf(where, sizeof where, strchr(host, ':') ? "http://[%.90s]:%d" : "http://%.90s:%d", host, l->port);
    return add(l, fd, where, err);
}

/* ---- Unix ---- */

/* A socket that answers belongs to a server that runs. One that does not was left by a killed server. */
static bool is_answered(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answered = fd >= 0 && !connect(fd, (const struct sockaddr *)a, sizeof *a);
    if (fd >= 0) close(fd);
    return answered;
}

static gpt2q_status open_unix(struct listening *l, const char *path, gpt2q_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    char where[128];
    if (strlen(path) >= sizeof a.sun_path)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "--unix %s: has %zu bytes where %zu are possible", path,
                         strlen(path), sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path));
    if (!lstat(path, &st)) {
        if (!S_ISSOCK(st.st_mode))
            return error_set(err, GPT2Q_IO, "--unix %s: is there, and is no socket", path);
        if (is_answered(&a)) return error_set(err, GPT2Q_IO, "--unix %s: another server answers there", path);
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0117);
    bool ok = fd >= 0 && !bind(fd, (const struct sockaddr *)&a, sizeof a) && !listen(fd, BACKLOG);
    int why = errno;
    umask(mask);
    if (!ok) {
        if (fd >= 0) close(fd);
        return error_set(err, GPT2Q_IO, "cannot listen on %s: %s", path, strerror(why));
    }
    l->unix_path = path;
    snprintf(where, sizeof where, "unix:%.110s", path);
    return add(l, fd, where, err);
}

gpt2q_status listen_open(struct listening *l, const struct serve_options *o, gpt2q_error *err)
{
    *l = (struct listening){0};
    gpt2q_status s = take_handed(l, err);
    if (!s && !l->n && strcmp(o->port, "none")) s = open_tcp(l, o->host, o->port, err);
    if (!s && o->unix_path) s = open_unix(l, o->unix_path, err);
    if (!s && !l->n)
        s = error_set(err, GPT2Q_INVALID_ARGUMENT,
                      "--port none needs --unix PATH: there is nothing to listen on");
    if (s) listen_close(l, true);
    return s;
}

void listen_close(struct listening *l, bool close_fds)
{
    for (size_t i = 0; close_fds && i < l->n; i++) close(l->fds[i]);
    if (l->unix_path) unlink(l->unix_path);
    *l = (struct listening){0};
}

/* ---- systemd ---- */

void notify_systemd(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof a.sun_path) return;
    memcpy(a.sun_path, path, strlen(path));
    if (*path == '@') a.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&a, n);
    close(fd);
}
