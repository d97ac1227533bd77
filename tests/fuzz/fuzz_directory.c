/* A directory's files about its tokenizer: up to four texts with zero bytes between them:
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json and the extras of a .gpt2q file. The
 * extras made of the first three are read like the fourth. The number of ids is bounded as promised. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/memory.h"
#include "tests/tiny_vocabulary.h"
#include "tokenizer/resolve.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const char *vocab, const char *extras, size_t size)
{
    static const char text[] = "abc <user> x\xC3\xA9\xFF  the\n<|endoftext|>a";
    struct tokenizer_texts texts = {.vocab = {vocab, strlen(vocab), "vocab"},
                                    .merges = {"", 0, "merges"},
                                    .extras = {extras, size, "extras"}};
    struct tokenizer *t;
    gpt2q_error err = {GPT2Q_OK, ""};
    int32_t ids[4 * sizeof text + 65];
    size_t n, length;
    if (tokenizer_from_texts(&texts, &t, &err)) {
        if (!err.message[0]) abort();
        return;
    }
    for (unsigned flags = 0; flags < 4; flags++) {
        if (tokenizer_encode(t, text, sizeof text - 1, flags, ids, sizeof ids / sizeof *ids, &n, &err))
            abort();
        if (n > tokenizer_max_ids(t, sizeof text - 1) || n > sizeof ids / sizeof *ids) abort();
        for (size_t i = 0; i < n; i++) tokenizer_bytes(t, ids[i], &length);
    }
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char vocab[1 << 13];
    cJSON *trees[3] = {0}, *names;
    const char *at = (const char *)data, *end = at + size;
    size_t n = tiny_vocab_open(vocab);
    sprintf(vocab + n, ",\"<|endoftext|>\":256,\"ab\":257,\"a b\":258}");
    for (int i = 0; i < 3 && at < end; i++) {
        const char *stop = memchr(at, 0, (size_t)(end - at));
        if (!stop) stop = end;
        if (stop > at && json_parse_wild(at, (size_t)(stop - at), "file", &trees[i], NULL)) trees[i] = NULL;
        if (trees[i] && !cJSON_IsObject(trees[i])) cJSON_Delete(trees[i]), trees[i] = NULL;
        at = stop < end ? stop + 1 : end;
    }
    if (at < end) use(vocab, at, (size_t)(end - at));
    if (json_parse(vocab, strlen(vocab), "vocab", &names, NULL)) abort();
    struct resolve_source source = {.vocab = names,
                                    .config = trees[0],
                                    .special_tokens = trees[1],
                                    .added_tokens = trees[2],
                                    .config_path = "config",
                                    .special_tokens_path = "map",
                                    .added_tokens_path = "added"};
    char *extras;
    gpt2q_error err = {GPT2Q_OK, ""};
    gpt2q_status s = resolve_extras(&source, &extras, &err);
    if (s ? !err.message[0] || extras : false) abort();
    if (extras) use(vocab, extras, strlen(extras));
    mem_free(extras);
    for (int i = 0; i < 3; i++) cJSON_Delete(trees[i]);
    cJSON_Delete(names);
    return 0;
}
