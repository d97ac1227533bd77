/* Any bytes as a line of a batch file, in each format: refused with a sentence that names the line, or a
 * request whose prompts, stop strings and numbers are within what the engine expects. */
#include "app/batch/input.h"
#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct batch_line *line)
{
    const gpt2q_request *r = &line->asked.request;
    assert(line->asked.n_prompts > 0);
    assert(r->max_tokens >= 0 && r->n_samples >= 1 && r->n_logprobs >= -1 && r->n_stop <= REQUEST_STOPS_MAX);
    assert(isfinite(r->sampling.temperature) && r->sampling.temperature >= 0 && r->sampling.top_p > 0 &&
           r->sampling.top_p <= 1);
    for (size_t i = 0; i < r->n_stop; i++) assert(r->stop[i][0]);
    for (size_t i = 0; i < line->asked.n_prompts; i++) {
        const struct prompt *p = &line->asked.prompts[i];
        assert(p->text || p->ids);
        for (size_t k = 0; p->ids && k < p->n_ids; k++) assert(p->ids[k] >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct batch_defaults defaults = {.request = gpt2q_request_default()};
    static const enum batch_format formats[] = {BATCH_TEXT, BATCH_JSONL, BATCH_OPENAI};
    bool certain;
    batch_format_of(text, size, &certain);
    for (int i = 0; i < 6; i++) {
        struct batch_line line;
        gpt2q_error err;
        defaults.ids = i >= 3;
        if (!batch_line_parse(&line, formats[i % 3], text, size, 41, &defaults, &err))
            check_request(&line);
        else
            assert(!strncmp(err.message, "line 42", 7));
        assert(line.index == 41);
        batch_line_free(&line);
    }
    return 0;
}
