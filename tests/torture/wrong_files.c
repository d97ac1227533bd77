#include "tests/torture/wrong_files.h"
#include "base/file.h"
#include "base/memory.h"
#include <unistd.h>

static long n_files, n_kinds, n_wrong;
static char last_kind[128];

/* ---- one file, one run ---- */

__attribute__((noinline)) /* else gcc 12 takes the text for a dangling pointer */
char *
slurp(const char *path, size_t *n)
{
    gpt2q_error err;
    char *text = NULL;
    gpt2q_status status = file_read(path, (size_t)1 << 28, &text, n, &err);
    if (status) fail_msg("%s", err.message);
    return text;
}

const char *in_scene(const char *name)
{
    static char path[4][1024];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scene.directory, name);
    return p;
}

void complain(const char *kind, const char *what, int code, const char *said, const char *expected)
{
    n_wrong++;
    print_error("%s, %s: exit code %d, '%s' where %s is expected\n", kind, what, code, said, expected);
}

void begin_file(const char *kind)
{
    n_files++;
    if (strcmp(kind, last_kind)) n_kinds++;
    snprintf(last_kind, sizeof last_kind, "%s", kind);
}

const char either[] = "either";

void expect_verdict(const char *kind, const char *what, const char *line, const char *file, const char *word)
{
    begin_file(kind);
    struct outcome o = run_with(scene.run, line, (struct streams){"../empty", "stdout", "stderr", 0, 0},
                                (struct fault){FAULT_ALLOCATION, -1, 0});
    size_t n;
    char *said = slurp(in_scene("run/stderr"), &n);
    const char *newline = strchr(said, '\n');
    if (o.hung || (o.code != 0 && o.code != 1))
        complain(kind, what, o.code, said, "a verdict");
    else if (word != either && (o.code == 0) != (word == NULL))
        complain(kind, what, o.code, said, word ? "a refusal" : "no complaint");
    else if (o.code == 1 && (!newline || newline[1] || !(strstr(said, file) || strstr(said, "../bad: "))))
        complain(kind, what, o.code, said, "one sentence with the name of the file");
    else if (o.code == 1 && word && word != either && !strstr(said, word))
        complain(kind, what, o.code, said, word);
    mem_free(said);
}

/* ---- files that are made of a good one ---- */

char *edited(const char *text, size_t n, struct edit e, size_t *m)
{
    const char *at = *e.from ? memmem(text, n, e.from, strlen(e.from)) : text;
    if (!at) return NULL;
    size_t before = (size_t)(at - text), from = *e.from ? strlen(e.from) : n, to = strlen(e.to);
    char *out = malloc(n + to + 1);
    assert_non_null(out);
    memcpy(out, text, before);
    memcpy(out + before, e.to, to);
    memcpy(out + before + to, text + before + from, n - before - from);
    *m = before + to + (n - before - from);
    return out;
}

void put_bad(const char *file, const void *data, size_t n)
{
    static char last[128];
    char command[3000], name[512];
    bool index = strstr(file, "index"); /* not read where the whole file is there */
    if (strcmp(file, last)) {
        snprintf(command, sizeof command, "cd '%s' && rm -rf bad && mkdir bad && ln model/* bad%s",
                 scene.directory, index ? " && rm bad/model.safetensors" : "");
        assert_int_equal(system(command), 0);
        snprintf(last, sizeof last, "%s", file);
    }
    snprintf(name, sizeof name, "bad/%s", file);
    unlink(in_scene(name));
    write_file(in_scene(name), data, n);
}

void try_edit(const char *kind, const char *line, const char *file, const char *text, size_t n, struct edit e)
{
    size_t m;
    char *bad = edited(text, n, e, &m);
    if (!bad) fail_msg("%s: the file has no '%s'", kind, e.from);
    put_bad(file, bad, m);
    expect_verdict(kind, e.to, line, file, e.word);
    free(bad);
}

/* ---- at the end ---- */

void enough_was_tried(void **state)
{
    (void)state;
    print_message("%ld files in %ld kinds, %ld wrong verdicts\n", n_files, n_kinds, n_wrong);
    if (n_wrong) fail_msg("%ld files met another verdict", n_wrong);
    assert_true(n_files >= 300 && n_kinds >= 60);
}
