/* Ctrl-C and SIGTERM. The first is noted, so that finished work can be written. The second ends the
 * program. */
#include "app/common.h"
#include "base/file.h"
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

void signals_watch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
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

void signals_watch_files(void)
{
    struct sigaction action = {.sa_sigaction = file_shrank, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

int signal_seen(void) { return seen; }
int signal_exit_code(void) { return seen ? 128 + seen : EXIT_DONE; }
