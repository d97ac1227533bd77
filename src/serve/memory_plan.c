#include "serve/memory_plan.h"
#include "base/control_group.h"
#include <sys/resource.h>
#include <unistd.h>

uint64_t memory_allowed(const char *root)
{
    struct rlimit limit;
    const uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
                   group = control_group_memory(root);
    uint64_t least = group && group < machine ? group : machine;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < least)
        least = limit.rlim_cur;
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
