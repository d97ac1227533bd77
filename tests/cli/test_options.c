/* What a user gives is read, or refused by name: options that nothing reads, words behind a flag. */
#include "tests/cli.h"

struct refusal {
    const char *words, *arguments;
};

#define MODEL  "-m tests/golden/data/tiny-gelu "
#define TINY   "quantize " MODEL "-o /nowhere/x.gpt2q -q i4:g8 "
#define TRAIN  "train " MODEL "--text README.md -o /nowhere/x.gpt2q "
#define BENCH  "bench --shape 1x16x2 "
#define README "--calibrate README.md "

static const struct refusal unread[] = {
    {"--damp changes nothing without --method gptq", TINY "--damp 0.1"},
    {"--act-order changes nothing without --method gptq", TINY "--act-order off"},
    {"--true-sequential changes nothing without --method gptq", TINY "--true-sequential on"},
    {"--qep changes nothing without --method gptq", TINY "--method imatrix --qep 0.5 " README},
    {"--refine changes nothing without --method gptq", TINY "--method hqq --refine 2"},
    {"--search changes nothing without --method gptq", TINY "--method mse --search on"},
    {"--head-damp changes nothing without --method gptq", TINY "--head-damp 0.1"},
    {"--awq-sites changes nothing without --method awq", TINY "--awq-sites ln"},
    {"--awq-sites changes nothing without --method awq", TINY "--method gptq --awq-sites ln " README},
    {"--smooth-alpha changes nothing without --method smoothquant", TINY "--smooth-alpha 0.5"},
    {"--hqq-iters changes nothing without --method hqq", TINY "--hqq-iters 20"},
    {"--calibrate-tokens changes nothing without --calibrate FILE", TINY "--calibrate-tokens 9"},
    {"--calibrate-window changes nothing without --calibrate FILE", TINY "--method mse --calibrate-window=9"},
    {"--static changes nothing without --output FILE",
     "quantize " MODEL "--export /nowhere/x --static " README},
    {"--damp changes nothing without --from gptq", TRAIN "-q i4:g8 --damp 0.1"},
    {"--damp changes nothing without --from gptq", TRAIN "--from x.gpt2q --damp 0.1"},
    {"--eval-every changes nothing without --eval-text FILE", TRAIN "-q i4:g8 --eval-every 5"},
    {"--eval-tokens changes nothing without --eval-text FILE", TRAIN "-q i4:g8 --eval-tokens 500"},
    {"--checkpoint-every changes nothing without --checkpoint FILE", TRAIN "-q i4:g8 --checkpoint-every 5"},
    {"--scale-lr changes nothing with --recalibrate", TRAIN "-q i4:g8 --recalibrate --scale-lr 1e-3"},
    {"--all-logits changes nothing without --prefill", BENCH "--decode 2 --all-logits"},
    {"--position changes nothing with --decode 0", BENCH "--prefill 2 --decode 0 --position 2"},
    {"--batch changes nothing with --decode 0", BENCH "--prefill 2 --decode 0 --batch 2"},
    {"--shape changes nothing with --tokenizer alone", BENCH "--tokenizer README.md"},
    {"--schemes changes nothing with --tokenizer alone", "bench --tokenizer README.md --schemes i8"},
    {"--profile changes nothing with --tokenizer alone", "bench --tokenizer README.md --profile"},
    {"--quantize and --schemes were given", BENCH "-q i4 --schemes i8"},
    {"--requantize changes nothing without --schemes or --quantize", BENCH "--requantize"},
    {"--requantize changes nothing without --quantize or --tensor", "generate --requantize x"},
    {"--requantize changes nothing without --quantize or --tensor", "batch --requantize README.md"},
    {"--requantize changes nothing without --quantize or --tensor", "eval --requantize"},
    {"--requantize changes nothing without --quantize or --tensor", "trace --requantize -o /nowhere/x x"},
    {"--force changes nothing without --output FILE", "batch --force README.md"},
    {"--no-prefix-sharing changes nothing with --cache padded",
     "batch --cache padded --no-prefix-sharing README.md"},
    {"--layers changes nothing with one scheme", "compare --schemes i8 --layers"},
    {"--tensor changes nothing with one scheme", "compare --schemes i8 --tensor 'wte*=i4'"},
    {"--ctx changes nothing with --max-tokens 0", "compare -n 0 -c 64"},
    {"'Once upon': a prompt is completed by at least one token", "compare -n 0 'Once upon'"},
    {"--host changes nothing with --port none", "serve --port none --unix /nowhere/s --host localhost"},
    {"--port-file changes nothing with --port none",
     "serve --port none --unix /nowhere/s --port-file /nowhere/p"},
};

static void options_that_nothing_reads_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        expect_failure(2, unread[i].words, unread[i].arguments);
}

/* What a scheme leaves unread is known once the model is open. */
static void options_that_no_matrix_reads_are_refused(void **state)
{
    static const struct refusal cases[] = {
        {"--method gptq changes nothing: with --quantize f32 no matrix is held in codes",
         "-q f32 --method gptq " README},
        {"--method mse changes nothing: with --quantize f16", "-q f16 --method mse"},
        {"--method awq changes nothing: with --quantize bf16", "-q bf16 --method awq " README},
        {"--static changes nothing: with --quantize f32 no matrix takes integer", "-q f32 --static " README},
    };
    static const struct refusal trained[] = {
        {"--learn-scales changes nothing here: no matrix is held in codes", "-q f32 --learn-scales"},
        {"--recalibrate changes nothing here: no matrix is held in codes", "-q f16 --recalibrate"},
        {"--scale-lr changes nothing here: no matrix is held in codes", "-q f32 --scale-lr 1e-3"},
        {"--scale-lr changes nothing without --learn-scales", "-q i4:g8 --scale-lr 1e-3"},
    };
    char arguments[512], *directory = temp_directory();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(arguments, sizeof arguments, "quantize models/tales-7m -o %s/x.gpt2q --quiet %s", directory,
                 cases[i].arguments);
        expect_failure(2, cases[i].words, arguments);
    }
    for (size_t i = 0; i < sizeof trained / sizeof *trained; i++) {
        snprintf(arguments, sizeof arguments, "train --text README.md -o %s/x.gpt2q --quiet %s", directory,
                 trained[i].arguments);
        expect_failure(2, trained[i].words, arguments);
    }
    temp_remove(directory);
}

/* Scripts pass these always; or a part of the run does read them. */
static void options_that_something_reads_are_taken(void **state)
{
    static const char *const taken[] = {
        "generate -n 1 --quiet --seed 3 --top-k 5 -j 1 x",
        "generate -n 0 --quiet --stop x --samples 2 --ignore-eos x",
        "bench --shape 1x16x2 --schemes i8@f32 -a i8 --prefill 2 --decode 0 --all-logits --repeat 1 --quiet",
        "bench --tokenizer README.md -j 1 --isa scalar --repeat 1 --quiet",
        "eval --quiet --verbose --limit 64 --window 64 --stride 64 -j 1",
        "inspect -j 2",
        "tokenize -m models/tales-7m --json x",
    };
    char arguments[512], *directory = temp_directory();
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) expect_exit(0, "%s", taken[i]);
    snprintf(arguments, sizeof arguments,
             "-q f32 --tensor h.0.mlp.c_fc.weight=i4 --method mse -o %s/x.gpt2q --quiet", directory);
    expect_exit(0, "quantize models/tales-7m %s", arguments);
    temp_remove(directory);
}

static void words_behind_a_flag_are_refused(void **state)
{
    static const struct refusal cases[] = {
        {"--version takes no argument, and 'extra' is one", "--version extra"},
        {"-V takes no argument, and 'extra' is one", "-V extra"},
        {"help takes the name of one command, not 2: 'generate' and 'batch'", "--help generate batch"},
        {"help takes the name of one command, not 2: 'help' and 'extra'", "help help extra"},
        {"help --commands takes no argument, and 'extra' is one", "help --commands extra"},
        {"unknown command 'extra'", "--help extra"},
        {"help --options takes the name of a command", "help --options"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(2, cases[i].words, cases[i].arguments);
    struct cli a = cli_run("--help generate"), b = cli_run("generate --help");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out, b.out);
    cli_free(&a);
    cli_free(&b);
}

/* The sentence names what the user wrote, not a field of the library. */
static void a_context_beyond_the_model_is_named(void **state)
{
    static const char *const commands[] = {"generate -c 513 x",
                                           "batch -c 513 README.md",
                                           "eval -c 513",
                                           "eval -c 513 --lambada README.md",
                                           "trace -c 513 -o /tmp/unwritten.safetensors x",
                                           "compare -c 513 --schemes i8"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        expect_failure(1, "--ctx is 513 where at most 512, the model's positions, is expected", commands[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_nothing_reads_are_refused),
        cmocka_unit_test(options_that_no_matrix_reads_are_refused),
        cmocka_unit_test(options_that_something_reads_are_taken),
        cmocka_unit_test(words_behind_a_flag_are_refused),
        cmocka_unit_test(a_context_beyond_the_model_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
