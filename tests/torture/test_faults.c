/* Every allocation and every system call fails in turn, over a line of every command (scene.c).
 * $GPT2Q_TORTURE=all: each of them; else a few, chosen by seed. */
#include "tests/torture/scene.h"
#include <signal.h>

#define LARGE 400

static long runs, refusals;

static void count(struct outcome o, const struct command_line *c)
{
    runs++;
    refusals += o.code != c->code;
}

/* `some` of the places where a command can meet the fault, or all of them. */
static void meet_all(const struct reference *r, struct fault fault, long n, long some)
{
    struct rng rng = torture_rng();
    rng.state ^= (uint64_t)fault.kind * 977 + (uint64_t)(r->command - command_lines);
    const char *one = getenv("GPT2Q_TORTURE_AT"); /* the place that a failing test named */
    bool all = torture_all() || n <= some;
    if (one) {
        fault.at = atol(one);
        count(expect_whole(r, fault), r->command);
        return;
    }
    /* Opening a model, with its vocabulary, is the same in all commands: the first goes through all of it. */
    long opening = r->command == command_lines || n < LARGE ? 0 : n - LARGE;
    for (long i = 0; i < (all ? n : some); i += all && i < opening ? 16 : 1) {
        fault.at = all ? i : (long)rng_below(&rng, (uint32_t)n);
        count(expect_whole(r, fault), r->command);
    }
}

/* With each of these kinds of fault, at `some` of the places. */
static void each_command(const struct fault *faults, size_t n_faults, long some)
{
    runs = refusals = 0;
    if (torture_minute()) some *= 4;
    const char *only = getenv("GPT2Q_TORTURE_ONLY");
    for (size_t i = 0; i < n_command_lines; i++) {
        if (only && strcmp(only, command_lines[i].name)) continue;
        struct reference r = reference_of(&command_lines[i]);
        struct fault fault = faults[0];
        bool memory = fault.kind == FAULT_ALLOCATION || fault.kind == FAULT_MALLOC;
        fault = (struct fault){memory ? fault.kind : FAULT_NONE, -1, 0};
        long n = expect_whole(&r, fault).n;
        assert_true(n > 0 || fault.kind == FAULT_ALLOCATION);
        for (size_t k = 0; k < n_faults; k++) meet_all(&r, faults[k], n, some);
    }
    print_message("%ld runs, %ld refused\n", runs, refusals);
    expect_none_wrong();
}

static void allocations_of_ours(void **state)
{
    (void)state;
    each_command((struct fault[]){{FAULT_ALLOCATION, 0, 0}}, 1, 3);
}

static void allocations_of_all(void **state)
{
    (void)state;
    if (!can_fail_malloc()) skip();
    each_command((struct fault[]){{FAULT_MALLOC, 0, 0}}, 1, 3);
}

static void system_calls(void **state)
{
    (void)state;
    if (!can_fail_malloc() || !can_trace()) skip(); /* a sanitizer's own calls would fail */
    if (LLVM_RUNTIME) skip();
    static const struct fault faults[] = {
        {FAULT_ERROR, 0, 0}, {FAULT_INTERRUPT, 0, 0}, {FAULT_SHORT, 0, 0}, {FAULT_FULL, 0, 0}};
    each_command(faults, 4, 2);
}

/* What is written is on the disk before it takes its name, and then the name is: two calls of fsync a file. */
static void what_is_written_is_synced(void **state)
{
    (void)state;
    if (!can_fail_malloc() || !can_trace()) skip();
    static const struct {
        const char *name;
        long calls;
    } writers[] = {{"quantize", 2}, {"trace", 2}, {"eval", 2}, {"export", 10}, {"batch", 8}};
    for (size_t i = 0; i < n_command_lines; i++)
        for (size_t k = 0; k < sizeof writers / sizeof *writers; k++) {
            if (strcmp(command_lines[i].name, writers[k].name)) continue;
            struct reference r = reference_of(&command_lines[i]);
            struct outcome o = expect_whole(&r, (struct fault){FAULT_NONE, -1, 0});
            if (o.synced != writers[k].calls)
                fail_msg("%s: %ld calls of fsync, not %ld", writers[k].name, o.synced, writers[k].calls);
        }
    expect_none_wrong();
}

static void signals_at_system_calls(void **state)
{
    (void)state;
    if (!can_fail_malloc() || !can_trace()) skip();
    static const struct fault faults[] = {{FAULT_SIGNAL, 0, SIGINT},
                                          {FAULT_SIGNAL, 0, SIGTERM},
                                          {FAULT_SIGNAL, 0, SIGHUP},
                                          {FAULT_SIGNAL, 0, SIGKILL}};
    each_command(faults, 4, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_of_ours),
        cmocka_unit_test(allocations_of_all),
        cmocka_unit_test(system_calls),
        cmocka_unit_test(what_is_written_is_synced),
        cmocka_unit_test(signals_at_system_calls),
    };
    if (getenv("GPT2Q_TORTURE_TEST")) cmocka_set_test_filter(getenv("GPT2Q_TORTURE_TEST"));
    return cmocka_run_group_tests(tests, scene_open, scene_close);
}
