/* Ctrl-C and SIGTERM: the first is noted, so that what was made can be written; the second ends the program. */
#include "app/common.h"
#include "base/file.h"
#include <signal.h>
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

int signal_seen(void) { return seen; }
int signal_exit_code(void) { return seen ? 128 + seen : EXIT_DONE; }
