/* The memory that a server may take, and the memory that it will take. */
#ifndef SERVE_MEMORY_PLAN_H
#define SERVE_MEMORY_PLAN_H
#include "base/status.h"

#define CONNECTION_BYTES ((uint64_t)24 << 10) /* of an open connection, at most, while it waits */

struct memory_plan {
    uint64_t weights, cache, connections; /* bytes */
};

/* Bytes that this process may have: the least of this machine's memory, RLIMIT_AS, and its control groups' limit (systemd's
 * MemoryMax). root: "" but for tests. */
uint64_t memory_allowed(const char *root);
/* Refuses a plan that cannot fit, with the numbers. */
gpt2q_status memory_plan_check(const struct memory_plan *plan, uint64_t allowed, gpt2q_error *err);
#endif
