#include "serve/memory_plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void take_least(uint64_t *least, uint64_t x)
{
    if (x < *least) *least = x;
}

/* "max" is no limit. */
static void take_file(uint64_t *least, const char *path)
{
    char text[64];
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fgets(text, sizeof text, f) && *text >= '0' && *text <= '9')
        take_least(least, strtoull(text, NULL, 10));
    fclose(f);
}

/* The group "0::/a/b" of control groups' version 2, and those around it: /a/b, /a, and the root, which a container sees as its own. */
static void take_groups(uint64_t *least, const char *root)
{
    char line[1024], path[1280];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "0::/", 4)) continue;
        char *group = line + 3;
        group[strcspn(group, "\n")] = '\0';
        for (char *slash = group; slash;) {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/memory.max", root, group);
            take_file(least, path);
            slash = strrchr(group, '/');
            if (slash) *slash = '\0';
        }
    }
    fclose(f);
}

uint64_t memory_allowed(const char *root)
{
    struct rlimit limit;
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY) take_least(&least, limit.rlim_cur);
    take_groups(&least, root);
    return least;
}

gpt2q_status memory_plan_check(const struct memory_plan *p, uint64_t allowed, gpt2q_error *err)
{
    const double mb = 1e6;
    const uint64_t all = p->weights + p->cache + p->connections;
    if (all <= allowed) return GPT2Q_OK;
    return error_set(
        err, GPT2Q_OUT_OF_MEMORY,
        "out of memory: weights of %.0f MB, caches of %.0f MB and connections of %.0f MB do not fit "
        "the %.0f MB that this process may have; --cache, --batch-size and --max-connections take less",
        (double)p->weights / mb, (double)p->cache / mb, (double)p->connections / mb, (double)allowed / mb);
}
