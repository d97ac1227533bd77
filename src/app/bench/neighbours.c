#include "app/bench/neighbours.h"
#include "app/common.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t neighbours[NEIGHBOURS_MAX];
static int n_neighbours;

/* Runs until this process is gone: then a neighbour has another parent. */
static void stay_busy(pid_t parent)
{
    volatile unsigned count = 0;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    while (getppid() == parent)
        for (int i = 0; i < 1 << 22; i++) count = count * 5 + 1;
    _exit(0);
}

int neighbours_start(int n)
{
    pid_t parent = getpid();
    while (n_neighbours < n) {
        pid_t id = fork();
        if (!id) stay_busy(parent);
        if (id < 0) {
            int error = errno, started = n_neighbours;
            neighbours_end();
            return failure("--beside %d: neighbour %d does not start: %s", n, started + 1, strerror(error));
        }
        neighbours[n_neighbours++] = id;
    }
    return EXIT_DONE;
}

void neighbours_end(void)
{
    for (int i = 0; i < n_neighbours; i++) kill(neighbours[i], SIGKILL);
    while (n_neighbours) waitpid(neighbours[--n_neighbours], NULL, 0);
}
