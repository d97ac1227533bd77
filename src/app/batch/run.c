#include "app/batch/run.h"
#include "app/batch/answer.h"
#include "app/common.h"
#include "base/memory.h"
#include <assert.h>
#include <string.h>
#include <unistd.h>

struct prompt_under_way {
    struct batch_slot *slot;
    size_t number;
    uint64_t request;
};

struct batch_slot {
    bool used;
    uint64_t n; /* number of the line in the shard */
    struct batch_line line;
    struct batch_answer answer;
    struct prompt_under_way *prompts; /* (line.asked.n_prompts) */
    size_t n_submitted;
    size_t n_expected; /* samples still to end */
};

/* ---- submitting ---- */

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *result)
{
    struct prompt_under_way *p = user;
    (void)request;
    batch_answer_add(&p->slot->answer, p->number, sample, result);
}

static void refuse(struct batch_slot *slot, const gpt2q_error *reason)
{
    gpt2q_error named;
    char prefix[32];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "line %llu", (unsigned long long)slot->line.index + 1);
    if (!strncmp(reason->message, prefix, n))
        named = *reason;
    else
        error_set(&named, reason->status, "%s: %s", prefix, reason->message);
    batch_answer_refuse(&slot->answer, &named);
}

/* Prompts that are no longer needed go: lines of 16 MB would lie about until their answers. Once submitted a prompt is needed where
 * the answer repeats it; of a refused line none is. */
static void drop_prompts(struct batch_slot *slot, size_t n)
{
    const struct openai_request *asked = &slot->line.asked;
    const bool refused = slot->answer.error.status != GPT2Q_OK;
    if (!refused && (slot->line.format != BATCH_OPENAI || asked->request.echo)) return;
    for (size_t i = slot->n_submitted; i < n; i++) prompt_clear(&asked->prompts[i]);
}

/* Submits what the queue takes. If one prompt is refused, the line is refused; prompts already submitted
 * run to their end. */
static void submit(struct batch_run *run)
{
    struct batch_slot *slot = run->submitting;
    while (slot->n_submitted < slot->line.asked.n_prompts && !slot->answer.error.status) {
        const struct prompt *prompt = &slot->line.asked.prompts[slot->n_submitted];
        struct prompt_under_way *p = &slot->prompts[slot->n_submitted];
        gpt2q_error reason;
        gpt2q_request r = slot->line.asked.request;
        *p = (struct prompt_under_way){.slot = slot, .number = slot->n_submitted};
        r.prompt = prompt->text;
        r.prompt_len = prompt->n;
        r.ids = prompt->ids;
        r.n_ids = prompt->n_ids;
        r.on_end = on_end;
        r.user = p;
        gpt2q_status s = gpt2q_scheduler_submit(run->scheduler, &r, &p->request, &reason);
        if (s == GPT2Q_QUEUE_FULL) return;
        if (s) {
            refuse(slot, &reason);
            drop_prompts(slot, slot->line.asked.n_prompts);
        } else {
            drop_prompts(slot, slot->n_submitted + 1);
            slot->n_submitted++;
            slot->n_expected += (size_t)r.n_samples;
        }
    }
    run->submitting = NULL;
}

static struct batch_slot *free_slot(struct batch_run *run)
{
    for (size_t i = 0; i < run->n_slots; i++)
        if (!run->slots[i].used) return &run->slots[i];
    return NULL;
}

/* If the format is not known, this line may decide it. A line of broken JSON only shows that the file is
 * JSON; the first whole JSON line shows which kind. A line that is too long shows nothing. */
static void decide_format(struct batch_run *run)
{
    bool certain;
    if (run->format != BATCH_AUTO || !run->line.text) return;
    enum batch_format format = batch_format_of(run->line.text, run->line.n, &certain);
    if (format == BATCH_TEXT && run->is_json) return; /* among JSON, a line that is not JSON is broken */
    run->is_json = format != BATCH_TEXT;
    if (certain) run->format = format;
}

/* Before the first whole line of JSON, answers have our own shape. */
static enum batch_format format_now(const struct batch_run *run)
{
    if (run->format != BATCH_AUTO) return run->format;
    return run->is_json ? BATCH_JSONL : BATCH_TEXT;
}

/* In a file that can be read twice, the first whole line decides the format before any line is answered. */
static gpt2q_status look_ahead(struct batch_run *run, gpt2q_error *err)
{
    enum line_state state = LINE_READY;
    if (run->format != BATCH_AUTO || !line_reader_is_regular(run->reader)) return GPT2Q_OK;
    while (run->format == BATCH_AUTO && (state == LINE_READY || state == LINE_NOT_YET) && !signal_seen()) {
        state = line_reader_next(run->reader, true, &run->line, err);
        if (state == LINE_READY) decide_format(run);
    }
    if (state == LINE_FAILED) return err->status;
    if (run->format == BATCH_AUTO) run->format = format_now(run);
    return line_reader_rewind(run->reader, err);
}

static gpt2q_status begin_line(struct batch_run *run, struct batch_slot *slot, gpt2q_error *err)
{
    gpt2q_error reason;
    gpt2q_status s;
    *slot = (struct batch_slot){.used = true, .n = run->n_lines++};
    run->n_used++;
    if (!run->line.text) {
        s = error_set(&reason, GPT2Q_INVALID_ARGUMENT, "a line may have %zu bytes at most", LINE_MAX_BYTES);
        slot->line = (struct batch_line){.index = run->line.index, .format = format_now(run)};
    } else {
        s = batch_line_parse(&slot->line, format_now(run), run->line.text, run->line.n, run->line.index,
                             &run->defaults, &reason);
    }
    size_t n = s ? 0 : slot->line.asked.n_prompts;
    slot->prompts = mem_array(n, sizeof *slot->prompts);
    if (!slot->prompts) return error_memory(err, "a line", n * sizeof *slot->prompts);
    if (s) {
        slot->answer = (struct batch_answer){.model = run->model, .line = &slot->line};
        refuse(slot, &reason);
        openai_request_free(&slot->line.asked); /* the answer is the error */
        return GPT2Q_OK;
    }
    s = batch_answer_begin(&slot->answer, run->model, &slot->line, err);
    if (!s) run->submitting = slot;
    return s;
}

/* ---- reading ---- */

/* Reads the next line of the shard that needs an answer into run->line. */
static enum line_state next_line(struct batch_run *run, bool wait, gpt2q_error *err)
{
    for (;;) {
        enum line_state state = line_reader_next(run->reader, wait, &run->line, err);
        if (state != LINE_READY) return state;
        decide_format(run);
        if (run->line.index % run->shard.step == run->shard.first) {
            if (!batch_done_has(run->done, run->n_lines)) return LINE_READY;
            run->n_lines++;
        }
        if (signal_seen()) return LINE_NOT_YET;
    }
}

/* Begins lines while there is room. Waits for a line only when nothing is running. */
static gpt2q_status feed(struct batch_run *run, gpt2q_error *err)
{
    struct batch_slot *slot;
    for (;;) {
        if (run->submitting) submit(run);
        if (run->submitting || run->at_end || !(slot = free_slot(run))) return GPT2Q_OK;
        if (!run->has_line) {
            enum line_state state = next_line(run, run->n_used == 0, err);
            if (state == LINE_FAILED) return err->status;
            run->at_end = state == LINE_END;
            if (state != LINE_READY) return GPT2Q_OK;
            run->has_line = true;
        }
        if (!batch_output_has_room(run->output, run->n_lines)) return GPT2Q_OK;
        run->has_line = false;
        gpt2q_status s = begin_line(run, slot, err);
        if (s) return s;
    }
}

/* ---- answering ---- */

static void free_slot_of(struct batch_run *run, struct batch_slot *slot)
{
    batch_answer_free(&slot->answer);
    batch_line_free(&slot->line);
    mem_free(slot->prompts);
    *slot = (struct batch_slot){0};
    run->n_used--;
}

static gpt2q_status put_finished(struct batch_run *run, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    size_t n = 0;
    for (size_t i = 0; i < run->n_slots && !s; i++) {
        struct batch_slot *slot = &run->slots[i];
        if (!slot->used || slot == run->submitting || slot->answer.n_ended < slot->n_expected) continue;
        run->stats->requests++;
        run->stats->errors += slot->answer.error.status != GPT2Q_OK;
        char *text;
        if (run->stats->shown && isatty(fileno(run->output->stream))) batch_stats_clear(run->stats);
        s = batch_answer_print(&slot->answer, &text, err);
        if (!s) s = batch_output_put(run->output, slot->n, text, err);
        free_slot_of(run, slot);
        n++;
    }
    return s || n == 0 ? s : batch_output_flush(run->output, err);
}

/* ---- trace ---- */

static uint64_t index_of(const struct batch_run *run, uint64_t request)
{
    for (size_t i = 0; i < run->n_slots; i++) {
        const struct batch_slot *slot = &run->slots[i];
        for (size_t k = 0; slot->used && k < slot->n_submitted; k++)
            if (slot->prompts[k].request == request) return slot->line.index;
    }
    assert(false && "a step names a request that is not under way");
    return UINT64_MAX;
}

static void print_indices(const struct batch_run *run, const char *key, const uint64_t *requests, int32_t n)
{
    fprintf(run->trace, "\"%s\":[", key);
    for (int32_t i = 0; i < n; i++)
        fprintf(run->trace, "%s%llu", i ? "," : "", (unsigned long long)index_of(run, requests[i]));
    fputs("],", run->trace);
}

static void trace_step(void *user, const struct scheduler_step *step)
{
    const struct batch_run *run = user;
    fprintf(run->trace, "{\"step\":%llu,", (unsigned long long)step->step);
    print_indices(run, "prefilled", step->prefilled, step->n_prefilled);
    print_indices(run, "decoded", step->decoded, step->n_decoded);
    print_indices(run, "finished", step->finished, step->n_finished);
    fprintf(run->trace, "\"rows\":%d,\"columns\":%d,\"padding\":%lld,\"truncated_columns\":%d}\n",
            (int)step->rows, (int)step->columns, (long long)step->padding, (int)step->truncated_columns);
}

/* ---- the loop ---- */

static gpt2q_status turns(struct batch_run *run, gpt2q_error *err)
{
    for (;;) {
        bool busy;
        if (signal_seen()) run->at_end = true; /* a line that has begun is finished */
        gpt2q_status s = feed(run, err);
        if (s) return s;
        if (run->n_used == 0 && run->at_end) return GPT2Q_OK;
        s = gpt2q_scheduler_step(run->scheduler, &busy, err);
        if (!s) s = put_finished(run, err);
        if (s) return s;
        run->stats->scheduler = gpt2q_scheduler_get_stats(run->scheduler);
        batch_stats_progress(run->stats);
    }
}

gpt2q_status batch_run(struct batch_run *run, gpt2q_error *err)
{
    run->slots = mem_zarray(run->n_slots, sizeof *run->slots);
    if (!run->slots) return error_memory(err, "the lines under way", run->n_slots * sizeof *run->slots);
    if (run->trace) scheduler_on_step(run->scheduler, trace_step, run);
    gpt2q_status s = look_ahead(run, err);
    if (!s) s = turns(run, err);
    for (size_t i = 0; i < run->n_slots; i++)
        if (run->slots[i].used) free_slot_of(run, &run->slots[i]);
    mem_free(run->slots);
    return s;
}
