/* Serves a file: reads lines as rows become free, submits them, steps the scheduler, hands finished
 * answers to the output. Memory does not grow with the file: a fixed number of lines is under way, and the
 * output holds back a fixed number of answers. */
#ifndef APP_BATCH_RUN_H
#define APP_BATCH_RUN_H
#include "app/batch/input.h"
#include "app/batch/output.h"
#include "app/batch/resume.h"
#include "app/batch/stats.h"
#include "app/line_reader.h"
#include "engine/scheduler.h"
#include <stdio.h>

struct batch_slot; /* a line under way */

struct batch_run {
    const gpt2q_model *model;
    gpt2q_scheduler *scheduler;
    struct line_reader *reader;
    struct batch_output *output;
    struct batch_stats *stats;
    enum batch_format format; /* BATCH_AUTO until a line has decided */
    bool is_json;             /* a line began like JSON */
    struct batch_defaults defaults;
    struct batch_shard shard;
    const struct batch_done *done; /* lines that are answered already */
    FILE *trace;                   /* NULL: none */

    struct batch_slot *slots;
    size_t n_slots, n_used;
    struct batch_slot *submitting; /* not all of its prompts are submitted yet */
    uint64_t n_lines;              /* of the shard, read so far */
    struct line line;              /* read, waiting for room in the output */
    bool has_line, at_end;
};

/* Runs until the input ends or a signal comes, and all lines under way are finished. A refused line is
 * answered by an error. The status says why the whole run ended. */
gpt2q_status batch_run(struct batch_run *run, gpt2q_error *err);
#endif
