/* bench_streams CONNECTIONS TOTAL PORT BODY: asks for TOTAL streams of /v1/completions over CONNECTIONS connections at a time, each on a
 * connection of its own, and prints one JSON object: answers, answers that were not 200 or not whole, events, seconds, and percentiles
 * of the time to the first event and between events, in milliseconds. One thread, one epoll. For tools/bench_serve. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GAPS_MAX ((size_t)1 << 22)

struct client {
    int fd;
    double began, last;
    size_t n_head, matched, done; /* bytes of the status line; of "data: "; of "[DONE]" */
    char head[16];
    bool sent, whole;
    long events;
};

struct bench {
    int epoll, port;
    const char *request;
    size_t n_request;
    long started, total, ended, bad, events;
    double *first, *gaps;
    size_t n_first, n_gaps;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool begin(struct bench *b, struct client *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)b->port)};
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .began = now()};
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)) return false;
    b->started++;
    return !epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void match(const char *pattern, size_t n, char c, size_t *matched)
{
    if (*matched < n) *matched = c == pattern[*matched] ? *matched + 1 : c == pattern[0];
}

static void note_event(struct bench *b, struct client *c)
{
    double t = now();
    if (c->events++ == 0)
        b->first[b->n_first++] = t - c->began;
    else if (b->n_gaps < GAPS_MAX)
        b->gaps[b->n_gaps++] = t - c->last;
    c->last = t;
    b->events++;
}

static void take(struct bench *b, struct client *c, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->n_head < sizeof c->head - 1) c->head[c->n_head++] = bytes[i];
        match("data: {", 7, bytes[i], &c->matched);
        if (c->matched == 7) c->matched = 0, note_event(b, c);
        match("[DONE]", 6, bytes[i], &c->done);
    }
}

static bool is_over(struct bench *b, struct client *c, uint32_t events)
{
    static char bytes[1 << 16];
    if (!c->sent && (events & EPOLLOUT)) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        c->sent = write(c->fd, b->request, b->n_request) == (ssize_t)b->n_request;
        epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &e);
        if (!c->sent) return true;
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return false;
    ssize_t n = read(c->fd, bytes, sizeof bytes);
    if (n < 0) return errno != EAGAIN;
    take(b, c, bytes, (size_t)n);
    return n == 0;
}

static void run(struct bench *b, struct client *clients, long n)
{
    struct epoll_event events[512];
    long live = 0;
    for (; live < n && live < b->total; live++)
        if (!begin(b, &clients[live])) exit(1);
    while (live > 0) {
        int m = epoll_wait(b->epoll, events, 512, 60000);
        if (m <= 0) exit(1);
        for (int i = 0; i < m; i++) {
            struct client *c = events[i].data.ptr;
            if (!is_over(b, c, events[i].events)) continue;
            close(c->fd);
            b->bad += strncmp(c->head, "HTTP/1.1 200", 12) != 0 || c->done != 6;
            b->ended++;
            live--;
            if (b->started < b->total && begin(b, c)) live++;
        }
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

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc != 5) return fprintf(stderr, "bench_streams CONNECTIONS TOTAL PORT BODY\n"), 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    long n = atol(argv[1]);
    char *request = malloc(strlen(argv[4]) + 256);
    int length =
        sprintf(request,
                "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                strlen(argv[4]), argv[4]);
    struct bench b = {.epoll = epoll_create1(0),
                      .port = atoi(argv[3]),
                      .total = atol(argv[2]),
                      .request = request,
                      .n_request = (size_t)length};
    b.first = malloc(((size_t)b.total + 1) * sizeof *b.first);
    b.gaps = malloc(GAPS_MAX * sizeof *b.gaps);
    struct client *clients = calloc((size_t)n, sizeof *clients);
    double began = now();
    run(&b, clients, n);
    double s = now() - began;
    qsort(b.first, b.n_first, sizeof *b.first, ascending);
    qsort(b.gaps, b.n_gaps, sizeof *b.gaps, ascending);
    printf("{\"answers\": %ld, \"bad\": %ld, \"events\": %ld, \"seconds\": %.3f, \"first_ms\": {\"p50\": "
           "%.2f, \"p99\": %.2f}, "
           "\"gap_ms\": {\"p50\": %.2f, \"p99\": %.2f}}\n",
           b.ended, b.bad, b.events, s, percentile(b.first, b.n_first, .5),
           percentile(b.first, b.n_first, .99), percentile(b.gaps, b.n_gaps, .5),
           percentile(b.gaps, b.n_gaps, .99));
    return b.bad != 0;
}
