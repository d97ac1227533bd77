#include "model/shape.h"
#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS 1024
#define MAX_WIDTH  65536

/* Reads digits alone. strtol would also take signs and spaces. */
static bool parse_size(const char **text, long max, int32_t *out)
{
    char *end;
    if (**text < '1' || **text > '9') return false;
    long v = strtol(*text, &end, 10);
    *text = end;
    *out = v <= max ? (int32_t)v : 0;
    return *out > 0;
}

static bool parse_numbers(const char *text, int32_t *layers, int32_t *width, int32_t *heads)
{
    return parse_size(&text, MAX_LAYERS, layers) && *text++ == 'x' && parse_size(&text, MAX_WIDTH, width) &&
           *text++ == 'x' && parse_size(&text, MAX_WIDTH, heads) && !*text;
}

gpt2q_status shape_parse(const char *text, gpt2q_config *out, gpt2q_error *err)
{
    static const struct {
        const char *name;
        int32_t layers, width, heads;
    } known[] = {{"gpt2", 12, 768, 12},
                 {"gpt2-medium", 24, 1024, 16},
                 {"gpt2-large", 36, 1280, 20},
                 {"gpt2-xl", 48, 1600, 25}};
    int32_t layers = 0, width = 0, heads = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i].name))
            layers = known[i].layers, width = known[i].width, heads = known[i].heads;
    if (!layers && !parse_numbers(text, &layers, &width, &heads))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "shape '%s' where gpt2, gpt2-medium, gpt2-large, gpt2-xl or LAYERSxWIDTHxHEADS is expected",
            text);
    if (width % heads)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "shape '%s': the width %d is not a multiple of its %d heads", text, (int)width,
                         (int)heads);
    *out = (gpt2q_config){.vocab_size = 50257,
                          .n_positions = 1024,
                          .n_embd = width,
                          .n_layer = layers,
                          .n_head = heads,
                          .n_inner = 4 * width,
                          .bos_token_id = 50256,
                          .eos_token_id = 50256,
                          .layer_norm_epsilon = 1e-5f,
                          .activation_function = "gelu_new",
                          .scale_attn_weights = true,
                          .tie_word_embeddings = true};
    return GPT2Q_OK;
}
