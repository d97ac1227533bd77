#include "base/control_group.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 4096

/* The first line of a small file, without its end. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    bool ok = fgets(line, (int)size, f) != NULL;
    fclose(f);
    if (ok) line[strcspn(line, "\n")] = 0;
    return ok;
}

/* A limit that a group's directory holds; 0: none. */
typedef uint64_t limit_fn(const char *directory);
/* A controller: its name in version 1, and its limit in both. */
struct controller {
    const char *name;
    limit_fn *v1, *v2;
};

static uint64_t least(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

/* ---- CPU time ---- */

static uint64_t cores_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    long long cores = (quota + period - 1) / period;
    return cores > 1 << 20 ? 0 : (uint64_t)cores;
}

/* "max 100000" or "150000 100000" */
static uint64_t cores_v2(const char *directory)
{
    char path[PATH_BYTES + 32], line[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return cores_of(quota, period);
}

/* -1: no limit */
static uint64_t cores_v1(const char *directory)
{
    char path[PATH_BYTES + 32], quota_text[64], period_text[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
    if (!read_line(path, quota_text, sizeof quota_text)) return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
    if (!read_line(path, period_text, sizeof period_text)) return 0;
    if (sscanf(quota_text, "%lld", &quota) != 1 || sscanf(period_text, "%lld", &period) != 1) return 0;
    return cores_of(quota, period);
}

/* ---- memory ---- */

/* "max" is no limit, nor is what version 1 has in its place: a number beyond any memory. */
static uint64_t bytes_in(const char *directory, const char *file)
{
    char path[PATH_BYTES + 32], line[64];
    long long bytes;
    snprintf(path, sizeof path, "%s/%s", directory, file);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &bytes) != 1 || bytes <= 0) return 0;
    return (uint64_t)bytes;
}
static uint64_t memory_v2(const char *directory) { return bytes_in(directory, "memory.max"); }
static uint64_t memory_v1(const char *directory) { return bytes_in(directory, "memory.limit_in_bytes"); }

/* ---- groups ---- */

static uint64_t limit_along(const char *mount, const char *group, limit_fn *limit)
{
    char path[PATH_BYTES];
    uint64_t found = 0;
    int n = snprintf(path, sizeof path, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof path) return 0;
    for (size_t root = strlen(mount);;) {
        found = least(found, limit(path));
        char *slash = strrchr(path + root, '/');
        if (!slash) return found;
        *slash = 0;
    }
}

/* Whether `name` is among names, which commas separate. */
static bool lists(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names;; p++) {
        if (!strncmp(p, name, n) && (p[n] == ',' || !p[n])) return true;
        p = strchr(p, ',');
        if (!p) return false;
    }
}

/* A line of /proc/self/cgroup: "0::/group" of version 2, "4:cpu,cpuacct:/group" of version 1. */
static uint64_t limit_of_line(const char *root, char *line, const struct controller *c)
{
    char mount[PATH_BYTES];
    char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
    if (!group) return 0;
    *names++ = 0;
    *group++ = 0;
    if (!*names) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        uint64_t unified = limit_along(mount, group, c->v2);
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/unified", root);
        return least(unified, limit_along(mount, group, c->v2));
    }
    if (!lists(names, c->name)) return 0;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, names);
    uint64_t joint = limit_along(mount, group, c->v1);
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, c->name);
    return least(joint, limit_along(mount, group, c->v1));
}

static uint64_t limit_at(const char *root, struct controller c)
{
    char line[PATH_BYTES];
    uint64_t found = 0;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        found = least(found, limit_of_line(root, line, &c));
    }
    fclose(f);
    return found;
}

int control_group_cores(const char *root)
{
    return (int)limit_at(root, (struct controller){"cpu", cores_v1, cores_v2});
}

uint64_t control_group_memory(const char *root)
{
    return limit_at(root, (struct controller){"memory", memory_v1, memory_v2});
}
