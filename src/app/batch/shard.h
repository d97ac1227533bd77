/* --shard: which lines of the input this process answers. */
#ifndef APP_BATCH_SHARD_H
#define APP_BATCH_SHARD_H
#include "app/batch/resume.h"

/* Reads "I/N" with 1 <= I <= N, or "auto": the place that the environment gives this process. NULL is the whole. Returns an
 * exit code, after a message.
 *
 * auto: the tasks of a Slurm array, the ranks of one job (Open MPI, PMI, else a step of Slurm), or an indexed job of
 * Kubernetes. Where an array's tasks have ranks, they share each task's lines. Kubernetes does not say how many
 * completions a job has: JOB_COMPLETIONS must. Outside of all of these auto is an error, for lines would be left
 * out or answered twice. */
int shard_parse(const char *text, struct batch_shard *out);
#endif
