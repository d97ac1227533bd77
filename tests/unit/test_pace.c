/* How many threads short passes use: on machines that are told here, quiet or busy, near cores or far ones.
 * */
#include "tests/support.h"
#include "model/pace.h"

static double core_time; /* what the caller's thread has had of its core */
static double fake_core(void) { return core_time; }

/* A machine: seconds of a pass alone and together; the part of a core that the caller gets; whether it sleeps
 * in a shared pass. */
struct machine {
    double alone, together, share;
    bool sleeps;
};

/* Makes passes (work differs from pass to pass); returns how many of them were shared. */
static int passes(struct pace *p, const struct machine *m, int n)
{
    int together = 0;
    for (int i = 0; i < n; i++) {
        const bool shared = pace_is_together(p);
        const double work = 1 + i % 3, seconds = work * (shared ? m->together : m->alone);
        core_time += seconds * m->share;
        pace_count(p, work, seconds, shared && m->sleeps, fake_core);
        together += shared;
    }
    return together;
}

static void test_first_passes_are_made_together(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine quiet = {.alone = 1e-4, .together = 7e-5, .share = 1};
    assert_int_equal(passes(&p, &quiet, PACE_PASSES), PACE_PASSES);
}

static void test_gain_is_used(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine quiet = {.alone = 1e-4, .together = 7e-5, .share = 1};
    assert_in_range(passes(&p, &quiet, 200), 195, 199); /* a short run loses little by trials */
    assert_in_range(passes(&p, &quiet, 20000), 19900, 20000);
}

/* Long passes are many milliseconds: trials are counted in passes. */
static void test_trials_cost_little(void **state)
{
    (void)state;
    const double seconds[] = {1e-5, 1e-4, 2e-3, 5e-2};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        struct pace p = {0};
        const struct machine quiet = {.alone = seconds[i], .together = 0.6 * seconds[i], .share = 1};
        assert_in_range(passes(&p, &quiet, 1000), 970, 1000);
    }
}

static void test_no_gain_is_alone(void **state)
{
    (void)state;
    const struct machine machines[] = {
        {.alone = 1e-4, .together = 1e-4, .share = 1},    /* as fast */
        {.alone = 1e-4, .together = 0.97e-4, .share = 1}, /* too little */
        {.alone = 1e-4, .together = 2e-4, .share = 1},    /* cores far apart */
    };
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        struct pace p = {0};
        assert_in_range(passes(&p, &machines[i], 20000), PACE_TRIAL, 400);
        assert_true(p.alone);
    }
}

/* A pass in which the caller slept is the last shared one until the thread has its core to itself again. */
static void test_busy_cores(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine busy = {.alone = 4e-4, .together = 4e-3, .share = 0.25, .sleeps = true},
                         quiet = {.alone = 1e-4, .together = 7e-5, .share = 1};
    assert_int_equal(passes(&p, &busy, 5000), 1);
    passes(&p, &quiet, 1000);
    assert_in_range(passes(&p, &quiet, 1000), 900, 1000);
    assert_int_equal(passes(&p, &busy, 5000), 1);
}

/* A short sleep is no time slice. The first pass has nothing to be compared with. */
static void test_short_sleeps(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine quiet = {.alone = 1e-4, .together = 7e-5, .share = 1, .sleeps = true};
    passes(&p, &quiet, 300);
    assert_in_range(passes(&p, &quiet, 1000), 970, 1000);
}

static void test_machine_that_changes(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine near = {.alone = 1e-4, .together = 7e-5, .share = 1},
                         far = {.alone = 1e-4, .together = 2e-4, .share = 1};
    passes(&p, &near, 20000);
    assert_false(p.alone);
    passes(&p, &far, 5000);
    assert_in_range(passes(&p, &far, 1000), 0, 100);
    passes(&p, &near, 10000);
    assert_in_range(passes(&p, &near, 1000), 900, 1000);
}

/* The caller may be another thread, whose clock is behind or ahead. */
static void test_clocks_of_other_threads(void **state)
{
    (void)state;
    struct pace p = {0};
    const struct machine alone = {.alone = 1e-4, .together = 2e-4, .share = 1},
                         quiet = {.alone = 1e-4, .together = 7e-5, .share = 1};
    passes(&p, &alone, 20000);
    core_time -= 1e6;
    passes(&p, &quiet, 20000);
    assert_false(p.alone);
    core_time += 2e6;
    passes(&p, &quiet, 20000);
    assert_false(p.alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_passes_are_made_together),
        cmocka_unit_test(test_gain_is_used),
        cmocka_unit_test(test_trials_cost_little),
        cmocka_unit_test(test_no_gain_is_alone),
        cmocka_unit_test(test_busy_cores),
        cmocka_unit_test(test_short_sleeps),
        cmocka_unit_test(test_machine_that_changes),
        cmocka_unit_test(test_clocks_of_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
