/* What the torture programs act on: a directory with a small model and inputs, a line of every command, and
 * what each may leave behind. */
#ifndef TORTURE_SCENE_H
#define TORTURE_SCENE_H
#include "tests/torture/faults.h"

/* ---- the scene: DIRECTORY/model, model.gpt2q and inputs beside it, DIRECTORY/run where commands run ---- */
struct scene {
    char *directory;
    char run[512];
};
/* cmocka's group set-up and tear-down. The model has one block, 257 tokens, 64 positions. */
int scene_open(void **state);
int scene_close(void **state);
extern struct scene scene;

/* ---- a line of every command ---- */
enum {
    TIMED = 1 /* its numbers are measured */,
    ANSWERS = 2 /* writes answers one by one to "out", may be resumed */,
    TABLE = 8 /* on stderr, its output being standard output */,
    MACHINE = 4 /* says what the machine is */
};
struct command_line {
    const char *name, *line;
    const char *before; /* a shell line that prepares run/, or NULL */
    int flags;
    int code; /* what it ends with when all is well */
};
extern const struct command_line command_lines[];
extern const size_t n_command_lines;

/* ---- what a run left ---- */
struct entry {
    char path[256];
    uint64_t hash; /* of what it holds; with TIMED of all but its numbers */
};
struct tree {
    struct entry entries[64];
    size_t n;
};
/* The files of run/ but the streams' own, sorted. */
struct tree tree_of(const struct command_line *c);
/* Empties run/ and prepares it. */
void prepare(const struct command_line *c);

/* LLVM's OpenMP runtime maps a shared file without asking whether its room could be made, and asserts that it may
 * set signals: where those fail, SIGBUS or abort ends the program before its main begins. */
#ifdef __clang__
#define LLVM_RUNTIME true
#else
#define LLVM_RUNTIME false
#endif

/* What a command does where all is well. */
struct reference {
    const struct command_line *command;
    struct tree before, after;
    uint64_t out; /* hash of standard output */
    struct streams streams;
};
struct reference reference_of(const struct command_line *c);
/* One run with a fault, and every promise checked: the same output, or exit code 1 with a sentence on stderr
 * and nothing half-written; answers that can be resumed to the same bytes. What is wrong is said, with the
 * command and the fault, and counted. */
struct outcome expect_whole(const struct reference *r, struct fault fault);
/* The same of a run that ended so. */
void expect_promises(const struct reference *r, struct outcome o, enum fault_kind kind, int value);
/* The same of a run whose streams may have nothing to say: no crash, no hang, files as they were or as they
 * should be. */
void expect_files(const struct reference *r, struct outcome o);
/* Fails the test where something was wrong since the last time. */
void expect_none_wrong(void);

/* ---- how much ---- */
/* Whether $GPT2Q_TORTURE is "all"; whether it is "minute", a larger sample than that of `make test`. */
bool torture_all(void);
bool torture_minute(void);
/* Seeded by $GPT2Q_TORTURE_SEED, or by the time; torture_seed says what a failing test must print. */
struct rng torture_rng(void);
unsigned long long torture_seed(void);
#endif
