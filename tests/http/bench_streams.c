/* bench_streams [--rate R] [--seconds S] [--pause S] CONNECTIONS TOTAL PORT BODY|@FILE: asks for TOTAL streams of /v1/completions, each on
 * a connection of its own, and prints one JSON object: answers; those that were refused with 429; those that were otherwise not 200, or
 * not whole; events, seconds, and percentiles in milliseconds of the time to the first event, between events, and to a refusal.
 *
 * A moment is when the kernel had the bytes for the client, not when this process came to read them: it shares the cores with the server,
 * which the clients that it stands for do not. For the same reason it asks to run soon after it is woken (base/task.h).
 *
 * CONNECTIONS are open at a time. With --rate there is no such number: R arrive a second, at random moments (Poisson), whatever is
 * still open. @FILE: a body a line, taken in turn. --seconds: no new ones after that. --pause: how long a client that was refused waits
 * before it is replaced by the next one, in the mean; half of it to one and a half, so that those who were refused together do not come back
 * together. One thread, one epoll. For tools/bench_serve. */
#include "base/task.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GAPS_MAX ((size_t)1 << 22)

struct client {
    int fd;
    double began, last, read_at;
    size_t n_head, matched, done; /* bytes of the status line; of "data: "; of "[DONE]" */
    char head[16];
    const char *request;
    bool sent;
    double again_at; /* after a refusal; 0: not waiting */
    long events;
};

struct bench {
    int epoll, port;
    char **requests;
    size_t n_requests;
    long started, total, ended, refused, bad, events;
    double *first, *gaps, *refusals;
    size_t n_first, n_gaps;
    double began, rate, seconds, pause;
    uint64_t random;
};

static double seconds_of(struct timespec t) { return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }

/* By the clock that the kernel stamps what arrives with. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return seconds_of(t);
}

static bool send_request(struct client *c)
{
    c->sent = write(c->fd, c->request, strlen(c->request)) == (ssize_t)strlen(c->request);
    return c->sent;
}

static bool begin(struct bench *b, struct client *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)b->port)};
    struct epoll_event e = {.data.ptr = c};
    const int on = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
                         .began = now(),
                         .request = b->requests[(size_t)b->started % b->n_requests]};
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)) return false;
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    b->started++;
    e.events = EPOLLIN | EPOLLRDHUP | (send_request(c) ? 0 : EPOLLOUT); /* loopback connects at once */
    return !epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void match(const char *pattern, size_t n, char c, size_t *matched)
{
    if (*matched < n) *matched = c == pattern[*matched] ? *matched + 1 : c == pattern[0];
}

static void note_event(struct bench *b, struct client *c, double t)
{
    if (c->events++ == 0)
        b->first[b->n_first++] = t - c->began;
    else if (b->n_gaps < GAPS_MAX)
        b->gaps[b->n_gaps++] = t - c->last;
    c->last = t;
    b->events++;
}

static void take(struct bench *b, struct client *c, const char *bytes, size_t n, double at)
{
    for (size_t i = 0; i < n; i++) {
        if (c->n_head < sizeof c->head - 1) c->head[c->n_head++] = bytes[i];
        match("data: {", 7, bytes[i], &c->matched);
        if (c->matched == 7) c->matched = 0, note_event(b, c, at);
        match("[DONE]", 6, bytes[i], &c->done);
    }
}

/* Bytes, and when the last of them arrived. */
static ssize_t receive(int fd, char *bytes, size_t n, double *at)
{
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = n};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &m, 0);
    *at = now();
    if (got <= 0) return got;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(h), sizeof t);
            *at = seconds_of(t);
        }
    return got;
}

static bool is_over(struct bench *b, struct client *c, uint32_t events)
{
    static char bytes[1 << 16];
    double at;
    if (!c->sent && (events & EPOLLOUT)) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &e);
        if (!send_request(c)) return true;
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return false;
    ssize_t n = receive(c->fd, bytes, sizeof bytes, &at);
    if (n < 0) return errno != EAGAIN;
    c->read_at = at;
    take(b, c, bytes, (size_t)n, at);
    return n == 0;
}

/* Between 0 and 1. */
static double draw(struct bench *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return ((double)(b->random >> 11) + 0.5) / 9007199254740992.0;
}

static double next_gap(struct bench *b) { return -log(draw(b)) / b->rate; }

/* True: the client stays as it is, waiting for its next turn. */
static bool end(struct bench *b, struct client *c)
{
    bool refused = !strncmp(c->head, "HTTP/1.1 429", 12);
    close(c->fd);
    c->fd = -1;
    b->ended++;
    if (refused) b->refusals[b->refused++] = c->read_at - c->began;
    b->bad += !refused && (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || c->done != 6);
    if (refused && b->pause > 0) c->again_at = now() + b->pause * (0.5 + draw(b));
    return c->again_at > 0;
}

static bool may_begin(const struct bench *b)
{
    return b->started < b->total && (b->seconds <= 0 || now() - b->began < b->seconds);
}

static long take_events(struct bench *b, int ms, bool replace)
{
    struct epoll_event events[512];
    long fewer = 0;
    int m = epoll_wait(b->epoll, events, 512, ms);
    for (int i = 0; i < m; i++) {
        struct client *c = events[i].data.ptr;
        if (!is_over(b, c, events[i].events) || end(b, c)) continue;
        if (!replace || !may_begin(b) || !begin(b, c)) fewer++;
    }
    return fewer;
}

/* Those who were refused and have waited. */
static long try_again(struct bench *b, struct client *clients, long n)
{
    long fewer = 0;
    double t = now();
    for (long i = 0; i < n; i++) {
        if (clients[i].again_at <= 0 || clients[i].again_at > t) continue;
        clients[i].again_at = 0;
        if (!may_begin(b) || !begin(b, &clients[i])) fewer++;
    }
    return fewer;
}

static void run(struct bench *b, struct client *clients, long n)
{
    long live = 0;
    for (; live < n && live < b->total; live++)
        if (!begin(b, &clients[live])) exit(1);
    while (live > 0) {
        live -= take_events(b, b->pause > 0 ? 1 : 60000, true);
        if (b->pause > 0) live -= try_again(b, clients, n);
    }
}

static void await_events(const struct bench *b, double s)
{
    struct pollfd epoll = {.fd = b->epoll, .events = POLLIN};
    struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};
    if (s > 0) ppoll(&epoll, 1, &t, NULL);
}

static void run_arrivals(struct bench *b, struct client *clients)
{
    long live = 0;
    double next = b->began;
    while (live > 0 || may_begin(b)) {
        while (may_begin(b) && now() >= next) {
            if (!begin(b, &clients[b->started])) exit(1);
            live++;
            next += next_gap(b);
        }
        await_events(b, may_begin(b) ? next - now() : 1);
        live -= take_events(b, 0, false);
    }
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static double percentile(const double *sorted, size_t n, double p)
{
    return n ? 1e3 * sorted[(size_t)((double)(n - 1) * p)] : 0;
}

/* ---- the beginning ---- */

static void add_request(struct bench *b, const char *body, size_t n)
{
    char *request = malloc(n + 256);
    sprintf(request,
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Connection: close\r\nContent-Length: %zu\r\n\r\n%.*s",
            n, (int)n, body);
    b->requests = realloc(b->requests, (b->n_requests + 1) * sizeof *b->requests);
    b->requests[b->n_requests++] = request;
}

static void read_bodies(struct bench *b, const char *from)
{
    char *line = NULL;
    size_t capacity = 0;
    if (*from != '@') {
        add_request(b, from, strlen(from));
        return;
    }
    FILE *f = fopen(from + 1, "r");
    if (!f) exit(1);
    for (ssize_t n; (n = getline(&line, &capacity, f)) > 0;)
        add_request(b, line, (size_t)n - (line[n - 1] == '\n'));
    free(line);
    fclose(f);
}

static void print_percentiles(const char *name, double *x, size_t n)
{
    qsort(x, n, sizeof *x, ascending);
    printf(", \"%s\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"max\": %.2f}", name,
           percentile(x, n, .5), percentile(x, n, .9), percentile(x, n, .99), percentile(x, n, 1));
}

static void print(struct bench *b)
{
    printf("{\"answers\": %ld, \"refused\": %ld, \"bad\": %ld, \"events\": %ld, \"seconds\": %.3f", b->ended,
           b->refused, b->bad, b->events, now() - b->began);
    print_percentiles("first_ms", b->first, b->n_first);
    print_percentiles("gap_ms", b->gaps, b->n_gaps);
    print_percentiles("refused_ms", b->refusals, (size_t)b->refused);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rate", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"pause", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    struct bench b = {.epoll = epoll_create1(0), .random = 1};
    struct rlimit limit;
    for (int o; (o = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        if (o == '?') return 2;
        *(o == 'r' ? &b.rate : o == 's' ? &b.seconds : &b.pause) = atof(optarg);
    }
    if (argc - optind != 4) return fprintf(stderr, "bench_streams CONNECTIONS TOTAL PORT BODY|@FILE\n"), 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    task_runs_soon();
    long n = atol(argv[optind]);
    b.total = atol(argv[optind + 1]);
    b.port = atoi(argv[optind + 2]);
    read_bodies(&b, argv[optind + 3]);
    b.first = malloc(((size_t)b.total + 1) * sizeof *b.first);
    b.refusals = malloc(((size_t)b.total + 1) * sizeof *b.refusals);
    b.gaps = malloc(GAPS_MAX * sizeof *b.gaps);
    struct client *clients = calloc((size_t)(b.rate > 0 ? b.total : n), sizeof *clients);
    b.began = now();
    if (b.rate > 0)
        run_arrivals(&b, clients);
    else
        run(&b, clients, n);
    print(&b);
    return b.bad != 0;
}
