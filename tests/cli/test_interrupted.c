/* What a document says of a run that a signal ended. */
#include "tests/cli.h"

/* Sends SIGINT some time after the command waits for one. NULL: it had nothing to say by then, or had ended. */
static cJSON *interrupt(const char *arguments, int tenths)
{
    struct cli c =
        cli_run("--version >/dev/null; out=$(mktemp); " WITH_SIGINT
                "${GPT2Q:-./gpt2q} %s --json --quiet >$out & pid=$!; "
                "until grep -q '^SigCgt:.*[2367abef]$' /proc/$pid/status || ! test -e /proc/$pid; do "
                "sleep 0.02; done; "
                "sleep %d.%d; kill -INT $pid; wait $pid; echo $? >&2; cat $out; rm $out",
                arguments, tenths / 10, tenths % 10);
    cJSON *doc = atoi(c.error) == 130 ? cJSON_Parse(c.out) : NULL;
    cli_free(&c);
    return doc;
}

static void documents_say_that_they_are_not_whole(void **state)
{
    static const char *const commands[] = {"eval --isa scalar -j 1 --window 32",
                                           "compare --isa scalar -j 1 -n 0 --limit 100000 --schemes f32,i8",
                                           "bench --shape 2x64x4 --schemes i8 --repeat 1000 -j 1"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        cJSON *doc = NULL;
        for (int tenths = 5; !doc && tenths <= 80; tenths *= 2) doc = interrupt(commands[i], tenths);
        if (!doc) fail_msg("%s: no document", commands[i]);
        if (!cJSON_IsTrue(cJSON_GetObjectItem(doc, "interrupted")))
            fail_msg("%s: passes for whole", commands[i]);
        cJSON_Delete(doc);
    }
}

static void whole_documents_say_nothing(void **state)
{
    (void)state;
    cJSON *doc = expect_json("eval --json --quiet --window 32 --limit 64");
    assert_null(cJSON_GetObjectItem(doc, "interrupted"));
    cJSON_Delete(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents_say_that_they_are_not_whole),
                                       cmocka_unit_test(whole_documents_say_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
