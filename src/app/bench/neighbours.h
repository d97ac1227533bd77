/* Busy neighbours: processes that do nothing but hold the cores, as other programs on a shared machine do. */
#ifndef APP_BENCH_NEIGHBOURS_H
#define APP_BENCH_NEIGHBOURS_H

#define NEIGHBOURS_MAX 1024

/* Starts n; to be called before the process has threads. An exit code; on failure none is left. */
int neighbours_start(int n);
/* Ends them. They also end when this process does, however it does. */
void neighbours_end(void);
#endif
