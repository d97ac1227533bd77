/* A program that loads libgpt2q.so as a plugin and has OpenMP regions and forks of its own. `host_program LIBRARY MODEL CASE` runs
 * one case and says what was wrong; exit code 0: nothing. tests/cli/test_host_program.sh builds and runs it. */
#include "gpt2q.h"
#include <dirent.h>
#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* As many tokens in one pass as keep several threads busy. */
#define PROMPT 160
#define STEPS  8

static struct {
    void *handle;
    __typeof__(gpt2q_model_params_default) *model_params;
    __typeof__(gpt2q_model_open) *model_open;
    __typeof__(gpt2q_model_close) *model_close;
    __typeof__(gpt2q_context_params_default) *context_params;
    __typeof__(gpt2q_context_create) *context_create;
    __typeof__(gpt2q_context_free) *context_free;
    __typeof__(gpt2q_context_truncate) *truncate;
    __typeof__(gpt2q_batch_create) *batch_create;
    __typeof__(gpt2q_batch_free) *batch_free;
    __typeof__(gpt2q_batch_clear) *batch_clear;
    __typeof__(gpt2q_batch_add) *batch_add;
    __typeof__(gpt2q_decode) *decode;
    __typeof__(gpt2q_argmax) *argmax;
    __typeof__(gpt2q_logits) *logits;
} lib;

static const char *library, *model_path;

static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

static void *symbol(const char *name)
{
    void *p = dlsym(lib.handle, name);
    if (!p) fail("%s", dlerror());
    return p;
}

static void load(void)
{
    lib.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!lib.handle) fail("%s", dlerror());
#define FIND(member, name) *(void **)&lib.member = symbol(name)
    FIND(model_params, "gpt2q_model_params_default");
    FIND(model_open, "gpt2q_model_open");
    FIND(model_close, "gpt2q_model_close");
    FIND(context_params, "gpt2q_context_params_default");
    FIND(context_create, "gpt2q_context_create");
    FIND(context_free, "gpt2q_context_free");
    FIND(truncate, "gpt2q_context_truncate");
    FIND(batch_create, "gpt2q_batch_create");
    FIND(batch_free, "gpt2q_batch_free");
    FIND(batch_clear, "gpt2q_batch_clear");
    FIND(batch_add, "gpt2q_batch_add");
    FIND(decode, "gpt2q_decode");
    FIND(argmax, "gpt2q_argmax");
    FIND(logits, "gpt2q_logits");
#undef FIND
}

static gpt2q_model *open_model(void)
{
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_model_params p = lib.model_params();
    p.scheme = "i8";
    p.n_threads = 2;
    if (lib.model_open(model_path, &p, &model, &err)) fail("%s", err.message);
    return model;
}

static gpt2q_context *open_context(const gpt2q_model *model, int threads)
{
    gpt2q_error err;
    gpt2q_context *context;
    gpt2q_context_params p = lib.context_params();
    p.n_threads = threads;
    if (lib.context_create(model, &p, &context, &err)) fail("%s", err.message);
    return context;
}

/* What a prompt and some steps make: the ids, and the bits of the last logit of each. */
struct result {
    int32_t ids[STEPS];
    float logits[STEPS];
};

static struct result run(gpt2q_context *context)
{
    struct result r;
    gpt2q_error err;
    gpt2q_batch *batch;
    if (lib.batch_create(PROMPT, &batch, &err)) fail("%s", err.message);
    lib.truncate(context, 0, 0);
    for (int i = 0; i < PROMPT; i++) lib.batch_add(batch, 7 + i * 37 % 8000, i, 0, i + 1 == PROMPT);
    for (int i = 0; i < STEPS; i++) {
        if (lib.decode(context, batch, &err)) fail("%s", err.message);
        r.ids[i] = lib.argmax(context, 0);
        r.logits[i] = lib.logits(context, 0)[r.ids[i]];
        lib.batch_clear(batch);
        lib.batch_add(batch, r.ids[i], PROMPT + i, 0, true);
    }
    lib.batch_free(batch);
    return r;
}

static void expect_same(struct result a, struct result b, const char *where)
{
    if (memcmp(&a, &b, sizeof a)) fail("%s: other tokens or logits", where);
}

/* Opens, runs on one thread, closes. */
static struct result reference(void)
{
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 1);
    struct result r = run(context);
    lib.context_free(context);
    lib.model_close(model);
    return r;
}

static void open_run_close(struct result expected, const char *where)
{
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 4);
    expect_same(run(context), expected, where);
    lib.context_free(context);
    lib.model_close(model);
}

static int n_tasks(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Threads that end may still be on their way out. libomp keeps those of regions. */
static void expect_tasks(int n, const char *where)
{
    for (int i = 0; i < 5000 && n_tasks() > n; i++) usleep(1000);
#ifndef __clang__
    if (n_tasks() > n) fail("%s: %d threads where %d are expected", where, n_tasks(), n);
#endif
}

static void expect_unmapped(void)
{
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "libgpt2q")) fail("the library is still mapped: %s", line);
    if (maps) fclose(maps);
}

static void unload(void)
{
    if (dlclose(lib.handle)) fail("%s", dlerror());
    expect_unmapped();
}

/* A region of the program's own, with threads of its own number. */
static void region(int n, const char *where)
{
    int members = 0;
    long sum = 0;
#pragma omp parallel num_threads(n) reduction(+ : members, sum)
    {
        members += 1;
#pragma omp for
        for (int i = 0; i < 1000; i++) sum += i;
    }
    if (members != n || sum != 499500)
        fail("%s: a region of %d threads has %d and makes %ld", where, n, members, sum);
}

static void wait_for_child(pid_t child, const char *where)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) fail("%s: no child", where);
    if (status) fail("%s: the child ended with status %d", where, status);
}

/* ---- the cases ---- */

static void case_unload(void)
{
    for (int round = 0; round < 3; round++) {
        load();
        struct result expected = reference();
        open_run_close(expected, "four threads");
        gpt2q_model *model = open_model();
        gpt2q_context *context = open_context(model, 4);
        expect_same(run(context), expected, "again");
        if (omp_get_num_procs() > 1 && n_tasks() == 1) fail("no thread was made");
        lib.context_free(context);
        lib.model_close(model);
        expect_tasks(1, "after the last model was closed");
        unload();
        pid_t child = fork(); /* handlers of the library are gone, too */
        if (!child) _exit(0);
        wait_for_child(child, "after dlclose");
    }
}

static atomic_int stop;
static void *regions_until_stop(void *arg)
{
    long *rounds = arg;
    for (; !atomic_load(&stop); ++*rounds) region(3, "beside the library");
    return NULL;
}

static void case_regions(void)
{
    region(4, "before the library");
    load();
    region(3, "before a model");
    struct result expected = reference();
    region(4, "between models");
    pthread_t other;
    long rounds = 0;
    pthread_create(&other, NULL, regions_until_stop, &rounds);
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 4);
    for (int i = 0; i < 5 || !rounds; i++) {
        expect_same(run(context), expected, "beside regions");
        region(2, "while a context is open");
    }
    atomic_store(&stop, 1);
    pthread_join(other, NULL);
    int members = 0;
#pragma omp parallel num_threads(2) reduction(+ : members) /* calls from within a region: each has a team of its own */
    {
        gpt2q_context *own = open_context(model, 2);
        expect_same(run(own), expected, "within a region");
        lib.context_free(own);
        members++;
    }
    if (members != 2) fail("a region that uses the library has %d threads", members);
    lib.context_free(context);
    lib.model_close(model);
    region(4, "after the last model");
    unload();
    region(4, "after dlclose");
}

/* The program has opened no region in this thread: then its child may. */
static void case_fork(void)
{
    load();
    struct result expected = reference();
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 4);
    expect_same(run(context), expected, "before fork");
    for (int kind = 0; kind < 4; kind++) {
        pid_t child = fork();
        if (!child) {
            alarm(60);
            if (kind == 0) open_run_close(expected, "a child's own model");
            if (kind == 1) expect_same(run(context), expected, "the parent's context");
            if (kind == 2) {
                gpt2q_context *own = open_context(model, 4);
                expect_same(run(own), expected, "a context of the parent's model");
                lib.context_free(own);
            }
            if (kind == 3) region(4, "a child's region");
            lib.context_free(context);
            lib.model_close(model);
            _exit(0);
        }
        wait_for_child(child, "fork");
        expect_same(run(context), expected, "the parent after fork");
    }
    lib.context_free(context);
    lib.model_close(model);
    expect_tasks(1, "after forks");
    unload();
}

/* The program has regions of its own, and forks: its child uses the library. */
static void case_fork_beside_regions(void)
{
    load();
    struct result expected = reference();
    region(4, "before fork");
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 4);
    for (int round = 0; round < 6; round++) {
        expect_same(run(context), expected, "before fork");
        pid_t child = fork();
        if (!child) {
            alarm(60);
            if (round % 2) expect_same(run(context), expected, "the parent's context");
            open_run_close(expected, "a child's own model");
            _exit(0);
        }
        region(4, "while a child runs");
        wait_for_child(child, "fork beside regions");
    }
    lib.context_free(context);
    lib.model_close(model);
    unload();
}

struct user {
    const gpt2q_model *model;
    struct result expected;
    int threads;
};
static void *use_context(void *arg)
{
    const struct user *u = arg;
    for (int i = 0; i < 4; i++) {
        gpt2q_context *context = open_context(u->model, u->threads);
        expect_same(run(context), u->expected, "one of several contexts");
        expect_same(run(context), u->expected, "one of several contexts, again");
        lib.context_free(context);
    }
    return NULL;
}

static void case_contexts(void)
{
    enum { USERS = 4 };
    pthread_t ids[USERS];
    struct user users[USERS];
    load();
    struct result expected = reference();
    gpt2q_model *model = open_model();
    for (int i = 0; i < USERS; i++) {
        users[i] = (struct user){model, expected, 1 + i};
        pthread_create(&ids[i], NULL, use_context, &users[i]);
    }
    for (int i = 0; i < USERS; i++) pthread_join(ids[i], NULL);
    lib.model_close(model);
    expect_tasks(1, "after several contexts");
    unload();
}

/* The CPUs that a thread of this process may use, as Linux writes them. */
static void cpus_of_task(const char *task, char *list, size_t size)
{
    char path[300], line[4096];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "r");
    *list = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Cpus_allowed_list:", 18))
            snprintf(list, size, "%s", line + 18 + strspn(line + 18, "\t "));
    if (f) fclose(f);
    list[strcspn(list, "\n")] = 0;
}

/* OMP_PLACES has places of one CPU each, and OMP_PROC_BIND binds to them: each thread of the library has one CPU. */
static void case_places(void)
{
    load();
    gpt2q_model *model = open_model();
    gpt2q_context *context = open_context(model, 2);
    run(context);
    for (int i = 0; i < 5000 && n_tasks() < 3; i++) usleep(1000);
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char cpus[256];
        if (e->d_name[0] == '.' || atoi(e->d_name) == getpid()) continue;
        for (int i = 0; i < 1000; i++) { /* it may not have bound itself yet */
            cpus_of_task(e->d_name, cpus, sizeof cpus);
            if (cpus[0] && !strpbrk(cpus, ",-")) break;
            usleep(1000);
        }
        if (!cpus[0] || strpbrk(cpus, ",-")) fail("a thread may use the CPUs '%s'", cpus);
        n++;
    }
    if (d) closedir(d);
    if (n < 2) fail("%d threads beside the first", n);
    lib.context_free(context);
    lib.model_close(model);
    unload();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"unload", case_unload},     {"regions", case_regions},
                 {"fork", case_fork},         {"fork-beside-regions", case_fork_beside_regions},
                 {"contexts", case_contexts}, {"places", case_places}};
    if (argc != 4) fail("usage: %s LIBRARY MODEL CASE", argv[0]);
    library = argv[1];
    model_path = argv[2];
    alarm(120); /* a hang is a failure */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[3], cases[i].name)) return cases[i].run(), 0;
    fail("no case '%s'", argv[3]);
}
