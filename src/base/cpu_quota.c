#include "base/cpu_quota.h"
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

static int cores_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    long long cores = (quota + period - 1) / period;
    return cores > 1 << 20 ? 0 : (int)cores;
}

static int least(int a, int b) { return !a || (b && b < a) ? b : a; }

/* "max 100000" or "150000 100000" */
static int quota_v2(const char *directory)
{
    char path[PATH_BYTES + 32], line[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return cores_of(quota, period);
}

/* -1: no limit */
static int quota_v1(const char *directory)
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

/* The least of a group and those around it. In a container, whose own group is mounted as the root, the path
 * of the outside does not exist and only the root counts. */
static int quota_along(const char *mount, const char *group, int (*quota)(const char *))
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s%s", mount, group), found = 0;
    if (n < 0 || (size_t)n >= sizeof path) return 0;
    for (size_t root = strlen(mount);;) {
        found = least(found, quota(path));
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
static int quota_of_line(const char *root, char *line)
{
    char mount[PATH_BYTES];
    char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
    if (!group) return 0;
    *names++ = 0;
    *group++ = 0;
    if (!*names) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        int unified = quota_along(mount, group, quota_v2);
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/unified", root);
        return least(unified, quota_along(mount, group, quota_v2));
    }
    if (!lists(names, "cpu")) return 0;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, names);
    int joint = quota_along(mount, group, quota_v1);
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
    return least(joint, quota_along(mount, group, quota_v1));
}

int cpu_quota_cores_at(const char *root)
{
    char line[PATH_BYTES];
    int found = 0;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        found = least(found, quota_of_line(root, line));
    }
    fclose(f);
    return found;
}

int cpu_quota_cores(void) { return cpu_quota_cores_at(""); }
