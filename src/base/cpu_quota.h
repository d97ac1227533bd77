/* The CPU time that a control group allows (Linux, versions 1 and 2). */
#ifndef BASE_CPU_QUOTA_H
#define BASE_CPU_QUOTA_H

/* Cores' worth of time of this process's groups, rounded up: the least along their paths. 0: no limit, or not
 * known. */
int cpu_quota_cores(void);
/* The same below another root than "/"; for tests. */
int cpu_quota_cores_at(const char *root);
#endif
