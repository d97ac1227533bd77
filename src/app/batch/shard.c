#include "app/batch/shard.h"
#include "app/common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DIGITS 9 /* of a number: the product of two counts fits */

struct place { /* of `count` places, from 0 on; count 0: none is named */
    uint64_t index, count;
};

static int read_variable(const char *name, uint64_t *out)
{
    const char *text = getenv(name);
    if (!text) return usage_error("--shard auto: the variable %s is not set, a number is expected", name);
    const size_t n = strspn(text, "0123456789");
    if (n == 0 || n > MOST_DIGITS || text[n])
        return usage_error("--shard auto: the variable %s is '%s' where a number is expected", name, text);
    *out = strtoull(text, NULL, 10);
    return EXIT_DONE;
}

/* A variable that counts from 0, and the one that says how many there are. */
static int read_rank(const char *index, const char *count, struct place *place)
{
    struct place found = {0, 0};
    int code = read_variable(index, &found.index);
    if (!code) code = read_variable(count, &found.count);
    if (code) return code;
    if (found.index >= found.count)
        return usage_error(
            "--shard auto: %s is %llu and %s is %llu where a place and a larger count are expected", index,
            (unsigned long long)found.index, count, (unsigned long long)found.count);
    *place = found;
    return EXIT_DONE;
}

static int read_array(struct place *place)
{
    uint64_t id = 0, first = 0, last = 0, count = 0, step = 1;
    int code = read_variable("SLURM_ARRAY_TASK_ID", &id);
    if (!code) code = read_variable("SLURM_ARRAY_TASK_MIN", &first);
    if (!code) code = read_variable("SLURM_ARRAY_TASK_MAX", &last);
    if (!code) code = read_variable("SLURM_ARRAY_TASK_COUNT", &count);
    if (code) return code;
    if (id < first || id > last)
        return usage_error("--shard auto: SLURM_ARRAY_TASK_ID is %llu where %llu to %llu is expected",
                           (unsigned long long)id, (unsigned long long)first, (unsigned long long)last);
    if (count > 1) step = (last - first) / (count - 1);
    if (count == 0 || step == 0 || first + (count - 1) * step != last || (id - first) % step)
        return usage_error(
            "--shard auto: the %llu tasks of this array, from %llu to %llu, are not evenly spaced: "
            "an array such as 1-%llu is expected",
            (unsigned long long)count, (unsigned long long)first, (unsigned long long)last,
            (unsigned long long)count);
    *place = (struct place){(id - first) / step, count};
    return EXIT_DONE;
}

static int read_surroundings(struct batch_shard *out)
{
    static const char *const ranks[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
                                           {"JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"}};
    struct place task = {0, 0}, rank = {0, 0};
    int code = getenv("SLURM_ARRAY_TASK_ID") ? read_array(&task) : EXIT_DONE;
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks && !code && !rank.count; i++) {
        /* A script of sbatch has the place of its first process, but is no step. */
        if (!strcmp(ranks[i][0], "SLURM_PROCID") && !getenv(ranks[i][1])) continue;
        if (!getenv(ranks[i][0])) continue;
        code = read_rank(ranks[i][0], ranks[i][1], &rank);
    }
    if (code) return code;
    if (!task.count && !rank.count)
        return usage_error(
            "--shard auto: no variable of Slurm, Open MPI, PMI or Kubernetes gives this process a "
            "place; --shard I/N names one");
    if (!task.count) task.count = 1;
    if (!rank.count) rank.count = 1;
    *out =
        (struct batch_shard){.first = task.index * rank.count + rank.index, .step = task.count * rank.count};
    return EXIT_DONE;
}

int shard_parse(const char *text, struct batch_shard *out)
{
    unsigned long long i, n;
    int used = 0;
    *out = (struct batch_shard){.first = 0, .step = 1};
    if (!text) return EXIT_DONE;
    if (!strcmp(text, "auto")) return read_surroundings(out);
    bool digits = text[strspn(text, "0123456789/")] == '\0';
    if (!digits || sscanf(text, "%9llu/%9llu%n", &i, &n, &used) != 2 || text[used] || i < 1 || i > n)
        return usage_error("--shard is '%s' where I/N with 1 <= I <= N is expected, as in 1/4, or auto",
                           text);
    *out = (struct batch_shard){.first = i - 1, .step = n};
    return EXIT_DONE;
}
