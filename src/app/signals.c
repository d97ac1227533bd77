/* Signals: what is half-written is removed whatever ends the program. The first Ctrl-C or SIGTERM is noted where a command asks for it,
 * so that what was made can be written; the second ends the program. What was ignored when the program began (nohup, trap "" INT) stays
 * ignored. */
#include "app/common.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/file_maps.h"
#include "base/terminal_text.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t seen;

static void note(int number)
{
    if (seen) {
        file_writer_abort_all();
        _exit(128 + number);
    }
    seen = number;
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_IGN)
        return;
    sigaction(number, &action, NULL);
}

void signals_watch(void)
{
    set_handler(SIGINT, note);
    set_handler(SIGTERM, note);
}

/* Ends the program as the signal does by itself. */
static void clean_and_die(int number)
{
    file_writer_abort_all();
    signal(number, SIG_DFL);
    raise(number);
}

/* When a mapped file becomes shorter, its pages beyond the end are gone and cannot be read. */
static void file_shrank(int number, siginfo_t *info, void *context)
{
    static const char before[] = "gpt2q: ", after[] = ": became shorter while it was read\n";
    char text[1024];
    const char *path = file_maps_find(info->si_addr);
    (void)context;
    if (!path) { /* another fault: it happens again on return and then ends the program */
        signal(number, SIG_DFL);
        return;
    }
    size_t n = sizeof before - 1;
    memcpy(text, before, n);
    n += terminal_text(text + n, sizeof text - sizeof before - sizeof after, path, strlen(path));
    memcpy(text + n, after, sizeof after - 1);
    n += sizeof after - 1;
    file_writer_abort_all();
    for (ssize_t done = 0; n && (done = write(STDERR_FILENO, text, n)) > 0; n -= (size_t)done)
        memmove(text, text + done, n - (size_t)done);
    _exit(EXIT_FAILED);
}

void signals_begin(void)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_sigaction = file_shrank, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) set_handler(ending[i], clean_and_die);
    signal(SIGXFSZ, SIG_IGN);
}

void signals_ignore_pipe(void) { signal(SIGPIPE, SIG_IGN); }

int signal_seen(void) { return seen; }
int signal_exit_code(void) { return seen ? 128 + seen : EXIT_DONE; }
