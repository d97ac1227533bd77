/* What this process's control groups allow (Linux, versions 1 and 2): the least of its group and of those around it. In a
 * container, whose own group is mounted as the root, the path of the outside does not exist and only the root counts. */
#ifndef BASE_CONTROL_GROUP_H
#define BASE_CONTROL_GROUP_H
#include <stdint.h>

/* Both read below `root`: "" but for tests. 0: no limit, or not known. */

/* Cores' worth of CPU time, rounded up. */
int control_group_cores(const char *root);
/* Bytes of memory. */
uint64_t control_group_memory(const char *root);
#endif
