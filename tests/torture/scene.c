#include "tests/torture/scene.h"
#include "tests/draft.h"
#include "tests/tiny_vocabulary.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct scene scene;

/* ---- the scene ---- */

static void put(const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", scene.directory, name);
    write_file(path, text, strlen(text));
}

static void shell(const char *command)
{
    char line[8192];
    snprintf(line, sizeof line, "cd '%s' && { %s; }", scene.directory, command);
    int status = system(line);
    if (status) fail_msg("%s: status %d", line, status);
}

static void make_model(void)
{
    struct draft d;
    char vocabulary[8192], copy[4096 + 64];
    draft_open(&d);
    draft_write(&d);
    size_t n = tiny_vocab_open(vocabulary);
    snprintf(vocabulary + n, sizeof vocabulary - n, ",\"<|endoftext|>\":256}");
    draft_file(&d, "vocab.json", vocabulary);
    draft_file(&d, "merges.txt", "#version: 0.2\n");
    snprintf(copy, sizeof copy, "cp -R '%s' model", d.directory);
    shell(copy);
    draft_close(&d);
}

static void make_inputs(void)
{
    static const char *const word[] = {"the ", "king ", "saw ", "a ", "dog.\n", "and ", "old ", "she "};
    char text[2048];
    struct rng rng = {7};
    size_t n = 0;
    while (n < 1500) n += (size_t)sprintf(text + n, "%s", word[rng_below(&rng, 8)]);
    put("text.txt", text);
    put("lines.txt", "the king\nhello\n\n\xC3\xA9t\xC3\xA9\n");
    put("lines.jsonl", "{\"prompt\": \"the king\", \"max_tokens\": 5, \"id\": \"a\"}\n"
                       "{\"prompt\": [104, 105], \"temperature\": 1.5, \"seed\": 3, \"n\": 2}\n"
                       "{\"prompt\": \"x\", \"nonsense\": 1}\n"
                       "{\"prompt\": \"she\", \"logprobs\": 2, \"echo\": true, \"stop\": [\"zz\", \"q\"]}\n"
                       "{\"prompt\": \"\"}\n");
    put("openai.jsonl", "{\"custom_id\": \"a\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                        "\"body\": {\"model\": \"m\", "
                        "\"prompt\": [\"the\", \"a\"], \"max_tokens\": 4, \"logprobs\": 2, \"n\": 2}}\n"
                        "{\"custom_id\": \"b\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                        "\"body\": {\"model\": \"m\", "
                        "\"prompt\": \"dog\", \"echo\": true, \"stop\": \"q\"}}\n{broken\n");
    put("matrix.json", "{\"W\": [[1, -2, 3], [0.5, 4, -1]], \"x\": [1, 2, -3]}");
    put("old", "what was there before\n");
    put("empty", "");
}

int scene_open(void **state)
{
    (void)state;
    scene.directory = temp_directory();
    snprintf(scene.run, sizeof scene.run, "%s/run", scene.directory);
    setenv("GPT2Q_MODEL", "../model", 1);
    shell("mkdir run");
    make_model();
    make_inputs();
    struct streams s = {"/dev/null", "/dev/null", "/dev/null", 0, 0};
    struct outcome o = {.code =
                            wait_for_end(start_program(scene.run, "quantize -q i8 -o ../model.gpt2q", s))};
    if (o.code) fail_msg("the scene's model cannot be written: exit code %d", o.code);
    return 0;
}

int scene_close(void **state)
{
    (void)state;
    temp_remove(scene.directory);
    return 0;
}

/* ---- the commands ---- */

#define ONE " -j 1 --quiet"
const struct command_line command_lines[] = {
    {"generate", "generate -n 4 hello --logprobs 1 --json -q i8" ONE, NULL, TIMED, 0},
    {"generate-text", "generate -m ../model.gpt2q -n 6 -j 2 --quiet the\\ king", NULL, 0, 0},
    {"generate-file", "generate -f ../text.txt --truncate left -n 3 -q f32" ONE, NULL, 0, 0},
    {"batch", "batch ../lines.jsonl -n 4 -b 2 -o out --stats stats --trace trace" ONE, NULL, TIMED | ANSWERS,
     1},
    {"batch-text", "batch ../lines.txt -n 3 -b 2 -j 2 --quiet", NULL, 0, 0},
    {"batch-openai", "batch ../openai.jsonl -b 3 -o out" ONE, NULL, ANSWERS, 1},
    {"batch-resume", "batch ../lines.jsonl -n 4 -b 2 -o out --resume" ONE, "PARTIAL", ANSWERS, 1},
    {"batch-unordered", "batch ../lines.jsonl -n 4 -b 3 -o out --unordered --speculate 2" ONE, NULL, ANSWERS,
     1},
    {"quantize", "quantize -q i4:g8 -o out.gpt2q -j 1", "cp ../old out.gpt2q", TIMED, 0},
    {"quantize-method",
     "quantize -q i4:g8 --method gptq --calibrate ../text.txt --calibrate-tokens 64 --calibrate-window 32 -o "
     "out.gpt2q -j 1 --quiet",
     NULL, TIMED, 0},
    {"quantize-stdout", "quantize -q i8 -o /dev/stdout -j 1 --quiet", NULL, TIMED | TABLE, 0},
    {"export", "quantize -q i8 --export out -j 1", NULL, TIMED, 0},
    {"compare",
     "compare --html out.html --csv out.csv --schemes f32,i4:g8 --text ../text.txt --window 32 --limit 64 -n "
     "2 --layers --json the" ONE,
     "cp ../old out.html", TIMED, 0},
    {"eval", "eval --text ../text.txt --window 32 --limit 64 --logits out.safetensors --json" ONE, NULL, 0,
     0},
    {"eval-reference", "eval --reference ../logits.safetensors -q i4:g8 --json" ONE, NULL, 0, 0},
    {"trace", "trace hello -o out.safetensors -q f32" ONE, "cp ../old out.safetensors", 0, 0},
    {"tokenize", "tokenize --show the\\ king", NULL, 0, 0},
    {"tokenize-decode", "tokenize --decode 104\\ 105 -m ../model.gpt2q", NULL, 0, 0},
    {"inspect", "inspect ../model.gpt2q --check --json", NULL, 0, 0},
    {"inspect-tensor", "inspect ../model --tensor wte.weight -q i4:g8", NULL, 0, 0},
    {"explain", "explain ../matrix.json --json", NULL, 0, 0},
    {"bench", "bench --shape 1x16x2 --schemes i8 --decode 1 --prefill 2 --position 1 --repeat 1 --json" ONE,
     NULL, TIMED | MACHINE, 0},
};
const size_t n_command_lines = sizeof command_lines / sizeof *command_lines;

/* ---- what a run left ---- */

static bool of_number(char c) { return (c >= '0' && c <= '9') || (c != '\0' && strchr(".eE+-", c)); }

/* Without its numbers, where these are measured: a run of digits counts as one. */
static uint64_t hash_of(const char *path, bool timed)
{
    char data[1 << 16];
    uint64_t h = 14695981039346656037u;
    bool in_number = false;
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    for (size_t n; (n = fread(data, 1, sizeof data, f)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            char c = data[i];
            bool digit = timed && of_number(c);
            if (digit && in_number) continue;
            in_number = digit;
            h = (h ^ (digit ? '#' : (unsigned char)c)) * 1099511628211u;
        }
    }
    fclose(f);
    return h;
}

static struct tree *walked;
static bool walked_timed;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    const char *name = path + strlen(scene.run);
    (void)st, (void)ftw;
    if (type != FTW_F || !strncmp(name, "/std", 4)) return 0;
    if (walked->n == sizeof walked->entries / sizeof *walked->entries) abort();
    struct entry *e = &walked->entries[walked->n++];
    snprintf(e->path, sizeof e->path, "%s", name + 1);
    /* A page with measured figures differs by its plots, too. */
    bool page = walked_timed && strstr(name, ".html");
    struct stat now;
    e->hash = page ? (stat(path, &now) == 0 && now.st_size > 5000)
                   : hash_of(path, walked_timed && !strstr(name, "/out"));
    if (walked_timed && strstr(name, ".csv")) e->hash = hash_of(path, true);
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

struct tree tree_of(const struct command_line *c)
{
    struct tree t = {.n = 0};
    walked = &t;
    walked_timed = c->flags & TIMED;
    nftw(scene.run, visit, 8, FTW_PHYS);
    qsort(t.entries, t.n, sizeof *t.entries, by_path);
    return t;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type;
    return ftw->level ? remove(path) : 0;
}

static const char *in_run(const char *name)
{
    static char path[4][1024];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scene.run, name);
    return p;
}

static const struct streams usual = {"../empty", "stdout", "stderr", 0, 0};

/* The answers of a whole run, cut within the third. */
static void make_partial(void)
{
    wait_for_end(start_program(scene.run, "batch ../lines.jsonl -n 4 -b 2 -o out" ONE, usual));
    size_t n = 0, line = 0;
    FILE *f = fopen(in_run("out"), "rb");
    for (int ch; (ch = fgetc(f)) != EOF && line < 2; n++) line += ch == '\n';
    fclose(f);
    assert_int_equal(truncate(in_run("out"), (off_t)n + 9), 0);
}

void prepare(const struct command_line *c)
{
    char line[600];
    nftw(scene.run, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    if (!c->before) return;
    if (!strcmp(c->before, "PARTIAL")) {
        make_partial();
        return;
    }
    snprintf(line, sizeof line, "cd run && %s", c->before);
    shell(line);
}

/* Of a document that names the machine, which may be unknown, only whether it is whole. */
static uint64_t hash_of_out(const struct command_line *c)
{
    char text[1 << 14];
    if (!(c->flags & MACHINE)) return hash_of(in_run("stdout"), c->flags & TIMED);
    FILE *f = fopen(in_run("stdout"), "rb");
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    if (f) fclose(f);
    return n > 2 && text[0] == '{' && text[n - 2] == '}' && text[n - 1] == '\n';
}

struct reference reference_of(const struct command_line *c)
{
    struct reference r = {.command = c, .streams = usual};
    if (!strcmp(c->name, "eval-reference"))
        wait_for_end(start_program(
            scene.run,
            "eval --text ../text.txt --window 32 --limit 64 --logits ../logits.safetensors --quiet", usual));
    prepare(c);
    r.before = tree_of(c);
    int code = wait_for_end(start_program(scene.run, c->line, usual));
    if (code != c->code) {
        shell("cat run/stderr >&2");
        fail_msg("%s: exit code %d where nothing goes wrong", c->name, code);
    }
    r.after = tree_of(c);
    r.out = hash_of_out(c);
    return r;
}

static const struct entry *find(const struct tree *t, const char *path)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->entries[i].path, path)) return &t->entries[i];
    return NULL;
}

static uint64_t hash_in(const struct tree *t, const char *path)
{
    const struct entry *e = find(t, path);
    return e ? e->hash : 0;
}

struct verdict {
    const struct reference *r;
    struct outcome o;
    enum fault_kind kind;
    int value;
    bool said;
};
#define MOST_SAID 6 /* of a command */

static const char *kind_name(struct verdict *v)
{
    static const char *const names[] = {"nothing",     "an error", "EINTR",     "half",
                                        "a full disk", "a signal", "no memory", "no malloc"};
    static char text[64];
    if (v->kind != FAULT_SIGNAL) return names[v->kind];
    snprintf(text, sizeof text, "%s", strsignal(v->value));
    return text;
}

static const char *keep_scene(void)
{
    static char copy[600];
    if (!getenv("GPT2Q_TORTURE_KEEP")) return "nowhere, GPT2Q_TORTURE_KEEP is not set";
    snprintf(copy, sizeof copy, "%s.kept", scene.directory);
    char line[1300];
    snprintf(line, sizeof line, "rm -rf '%s' && cp -R '%s' '%s'", copy, scene.directory, copy);
    if (system(line)) return "nowhere";
    return copy;
}

/* Says what is wrong with a run, once a run; the test fails at its end. */
static long n_wrong;

__attribute__((format(printf, 2, 3))) static void wrong(struct verdict *v, const char *format, ...)
{
    char text[5000];
    va_list args;
    if (v->said) return;
    v->said = true;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    static const struct command_line *last;
    static int said;
    if (last != v->r->command) said = 0;
    last = v->r->command;
    n_wrong++;
    if (said++ < MOST_SAID)
        print_error("%s, %s at %s: exit code %d: %s (seed %llu; kept in %s)\n", v->r->command->name,
                    kind_name(v), v->o.at, v->o.code, text, torture_seed(), keep_scene());
}

void expect_none_wrong(void)
{
    long n = n_wrong;
    n_wrong = 0;
    if (n) fail_msg("%ld runs broke a promise", n);
}

static bool ends_with_signal(struct verdict *v)
{
    return v->kind == FAULT_SIGNAL && v->o.code == 128 + v->value;
}

static void check_exit(struct verdict *v)
{
    if (v->o.hung) wrong(v, "%s", "it hangs");
    if (v->o.code == v->r->command->code || v->o.code == 1 || ends_with_signal(v)) return;
    wrong(v, "where %d or 1 is expected", v->r->command->code);
}

/* A line that memory did not suffice for has its sentence in its answer; resuming answers it again. */
static bool refused_for_memory(void)
{
    static char text[1 << 16];
    FILE *f = fopen(in_run("out"), "rb");
    if (!f) f = fopen(in_run("stdout"), "rb");
    if (!f) return false;
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return strstr(text, "\"out_of_memory\"") != NULL;
}

/* One line that begins with the program's name; nothing where the fault was in writing it. */
static void check_sentence(struct verdict *v)
{
    char text[4096];
    FILE *f = fopen(in_run("stderr"), "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    if (n == 0 && refused_for_memory()) return;
    if (v->o.fd == STDERR_FILENO || v->kind == FAULT_SIGNAL) return;
    /* The OpenMP runtime ends the program with a sentence of its own, a blank line before it, where a thread
     * cannot be made. */
    const char *line = text + strspn(text, "\n"), *newline = strchr(line, '\n');
    if (v->r->command->flags & TABLE && n && text[n - 1] == '\n') { /* the sentence is the last line */
        text[n - 1] = '\0';
        line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
        newline = line + strlen(line);
        text[n - 1] = '\n';
    }
    bool named = !strncmp(line, "gpt2q", 5) || !strncmp(line, "libgomp: ", 9) || !strncmp(line, "OMP: ", 5);
    if (!named || !newline || newline[1]) wrong(v, "stderr is not one sentence: '%s'", text);
}

/* Answers are whole lines of those that a whole run gives, from the first on. */
static bool is_temporary(const char *path) { return strstr(path, ".partial") != NULL; }

static void check_files(struct verdict *v, bool done)
{
    struct tree now = tree_of(v->r->command);
    bool killed = v->kind == FAULT_SIGNAL && v->value == SIGKILL;
    for (size_t i = 0; i < now.n; i++) {
        const struct entry *e = &now.entries[i];
        uint64_t before = hash_in(&v->r->before, e->path), after = hash_in(&v->r->after, e->path);
        if (e->hash == after || (!done && e->hash == before)) continue;
        if (!done && v->r->command->flags & ANSWERS) continue; /* resuming will tell */
        if (is_temporary(e->path) && (killed || v->o.undoing)) continue;
        wrong(v, "%s is %s", e->path, after ? "neither what it was nor what it should be" : "left behind");
    }
    for (size_t i = 0; i < v->r->after.n; i++) {
        const char *path = v->r->after.entries[i].path;
        if (!find(&now, path) && (done || find(&v->r->before, path))) wrong(v, "%s is missing", path);
    }
}

static off_t size_of(const char *name)
{
    struct stat st;
    return stat(in_run(name), &st) ? -1 : st.st_size;
}

/* Resuming gives the bytes of a whole run; what cannot be resumed holds no answer. */
static void check_resumed(struct verdict *v)
{
    char line[512];
    const struct command_line *c = v->r->command;
    bool resumed = strstr(c->line, "--resume") || size_of("out") >= 0;
    snprintf(line, sizeof line, "%s%s", c->line, resumed && !strstr(c->line, "--resume") ? " --resume" : "");
    int code = wait_for_end(start_program(scene.run, line, usual));
    if (code == 1 && hash_of(in_run("out"), false) != hash_in(&v->r->after, "out") && size_of("out") == 0)
        code = wait_for_end(start_program(scene.run, c->line, usual));
    if (code != c->code) wrong(v, "resumed it ends with %d", code);
    if (strstr(c->line, "--unordered")) return; /* the order is free */
    if (hash_of(in_run("out"), false) != hash_in(&v->r->after, "out"))
        wrong(v, "%s", "resumed it gives other bytes");
}

/* Whether answers are all there, whatever the exit code says: a batch with a bad line ends with 1, too. */
static bool all_answered(struct verdict *v)
{
    const char *out = find(&v->r->after, "out") ? "out" : NULL;
    if (!out) return hash_of_out(v->r->command) == v->r->out;
    return hash_of(in_run(out), false) == hash_in(&v->r->after, out);
}

void expect_promises(const struct reference *r, struct outcome o, enum fault_kind kind, int value)
{
    struct verdict v = {r, o, kind, value, false};
    check_exit(&v);
    bool done = o.code == r->command->code &&
                (r->command->code == 0 || (size_of("stderr") == 0 && !refused_for_memory()));
    if (done && !all_answered(&v)) wrong(&v, "%s", "though the output is another");
    if (!done && !ends_with_signal(&v)) check_sentence(&v);
    check_files(&v, done);
    if (!done && r->command->flags & ANSWERS) check_resumed(&v);
}

void expect_files(const struct reference *r, struct outcome o)
{
    struct verdict v = {r, o, FAULT_NONE, 0, false};
    if (o.hung || (o.code != r->command->code && o.code != 1 && o.code != 2 && o.code != 128 + SIGXFSZ))
        wrong(&v, "where %d or 1 is expected", r->command->code);
    bool done = o.code == r->command->code && o.code != 1;
    check_files(&v, done);
}

struct outcome expect_whole(const struct reference *r, struct fault fault)
{
    prepare(r->command);
    struct outcome o = run_with(scene.run, r->command->line, r->streams, fault);
    expect_promises(r, o, fault.kind, fault.value);
    return o;
}

/* ---- how much ---- */

bool torture_all(void)
{
    const char *how = getenv("GPT2Q_TORTURE");
    return how && !strcmp(how, "all");
}

bool torture_minute(void)
{
    const char *how = getenv("GPT2Q_TORTURE");
    return how && !strcmp(how, "minute");
}

unsigned long long torture_seed(void)
{
    static unsigned long long seed;
    const char *given = getenv("GPT2Q_TORTURE_SEED");
    if (!seed) seed = given ? strtoull(given, NULL, 10) : (unsigned long long)time(NULL);
    return seed;
}

struct rng torture_rng(void) { return (struct rng){torture_seed()}; }
