/* Any bytes as the output of an earlier run: refused, or what is kept ends with a line, no request beyond the input counts as answered, and
 * memory does not follow what the output claims. The first byte chooses the shard and whether the order is free. */
#include "app/batch/resume.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES 100

static void expect(bool right, const char *what)
{
    if (right) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void check(const struct batch_done *d, const struct batch_lines *lines, const uint8_t *data, size_t n)
{
    uint64_t newlines = 0, done = 0;
    expect(d->keep >= 0 && (size_t)d->keep <= n, "more is kept than there is");
    expect(!d->keep || data[d->keep - 1] == '\n', "half a line is kept");
    for (int64_t i = 0; i < d->keep; i++) newlines += data[i] == '\n';
    expect(newlines == d->n_lines && d->n_errors <= d->n_lines, "lines are counted wrongly");
    uint64_t of_shard = (lines->n - lines->shard.first + lines->shard.step - 1) / lines->shard.step;
    for (uint64_t i = 0; i < of_shard + 10; i++) done += batch_done_has(d, i);
    expect(done == d->n_lines && done <= of_shard, "answered is what was not asked");
    expect(d->n_bits <= of_shard + 4096 + 64, "memory for lines that are not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[4096];
    if (!size) return 0;
    const char *base = getenv("TMPDIR");
    if (!*path)
        snprintf(path, sizeof path, "%s/gpt2q-fuzz-resume-%ld", base && *base ? base : "/tmp",
                 (long)getpid());
    FILE *f = fopen(path, "wb");
    expect(f && fwrite(data + 1, 1, size - 1, f) == size - 1, "no file");
    fclose(f);
    uint64_t step = 1 + data[0] % 5;
    struct batch_lines lines = {LINES, {(data[0] >> 3) % step, step}};
    struct batch_done done;
    gpt2q_error err = {0};
    if (batch_done_scan(path, &lines, !(data[0] >> 7), &done, &err)) {
        expect(err.message[0], "refused without a sentence");
    } else {
        check(&done, &lines, data + 1, size - 1);
        batch_done_free(&done);
    }
    unlink(path);
    return 0;
}
