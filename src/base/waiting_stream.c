#include "base/waiting_stream.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#ifdef __linux__

static ssize_t write_and_wait(void *cookie, const char *data, size_t n)
{
    const int fd = (int)(intptr_t)cookie;
    size_t done = 0;
    while (done < n) {
        const ssize_t written = write(fd, data + done, n - done);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, -1) < 0 && errno != EINTR) return 0;
        } else if (errno != EINTR) {
            return 0; /* errno says why; 0 is an error to stdio */
        }
    }
    return (ssize_t)done;
}

static int close_it(void *cookie) { return close((int)(intptr_t)cookie); }

static FILE *stream_of(int fd)
{
    const cookie_io_functions_t functions = {.write = write_and_wait, .close = close_it};
    return fopencookie((void *)(intptr_t)fd, "w", functions);
}

static int is_non_blocking(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_NONBLOCK;
}

FILE *waiting_stream(int fd) { return is_non_blocking(fd) ? stream_of(fd) : fdopen(fd, "w"); }

static void wait_in_standard_streams(void)
{
    FILE *out = is_non_blocking(STDOUT_FILENO) ? stream_of(STDOUT_FILENO) : NULL;
    FILE *error = is_non_blocking(STDERR_FILENO) ? stream_of(STDERR_FILENO) : NULL;
    if (out) stdout = out;
    if (out && isatty(STDOUT_FILENO)) setvbuf(out, NULL, _IOLBF, BUFSIZ);
    if (error) stderr = error;
    if (error) setvbuf(error, NULL, _IONBF, 0);
}

#else /* stdio there has no streams of one's own */

FILE *waiting_stream(int fd) { return fdopen(fd, "w"); }
static void wait_in_standard_streams(void) {}

#endif

void standard_streams_prepare(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) { /* the lowest that is free is this one */
            const int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            if (opened > STDERR_FILENO) close(opened);
        }
    wait_in_standard_streams();
}
