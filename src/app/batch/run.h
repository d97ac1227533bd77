/* Serving a file: reads lines as rows come free, submits them, steps the scheduler, hands finished answers to
 * the output. Memory does not grow with the file: a fixed number of lines is under way, and the output holds
 * back a fixed number of answers. */
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
    const struct batch_done *done; /* lines that need no answer any more */
    FILE *trace;                   /* NULL: none */

    struct batch_slot *slots;
    size_t n_slots, n_used;
    struct batch_slot *submitting; /* its prompts are not all submitted yet */
    uint64_t n_lines;              /* of the shard, read so far */
    struct line line;              /* read, but waiting for room in the output */
    bool has_line, at_end;
};

/* Until the input ends or a signal was seen, and what is under way is finished. Answers to lines that are
 * refused are errors; the status is of what ends the whole run. */
gpt2q_status batch_run(struct batch_run *run, gpt2q_error *err);
#endif
