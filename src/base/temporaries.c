#include "base/temporaries.h"
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The texts stay where they are, so that a handler never reads what was freed. */
enum { FREE, FILLING, TAKEN };
static struct {
    atomic_int state;
    bool is_folder;
    pid_t owner;
    char path[PATH_MAX];
} places[TEMPORARIES_MAX];

int temporaries_add(const char *path, bool is_folder)
{
    const size_t n = strlen(path);
    if (n >= sizeof places->path) return -1;
    for (int i = 0; i < TEMPORARIES_MAX; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&places[i].state, &expected, FILLING)) continue;
        memcpy(places[i].path, path, n + 1);
        places[i].is_folder = is_folder;
        places[i].owner = getpid();
        atomic_store(&places[i].state, TAKEN);
        return i;
    }
    return -1;
}

void temporaries_forget(int place)
{
    if (place >= 0) atomic_store(&places[place].state, FREE);
}

void temporaries_remove_all(void)
{
    const pid_t self = getpid();
    for (int folders = 0; folders < 2; folders++)
        for (int i = 0; i < TEMPORARIES_MAX; i++) {
            if (atomic_load(&places[i].state) != TAKEN || places[i].owner != self) continue;
            if (folders && places[i].is_folder) rmdir(places[i].path);
            if (!folders && !places[i].is_folder) unlink(places[i].path);
        }
}
