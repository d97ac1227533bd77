/* Any vocabulary. If the first byte's low bit is set, a tokenizer.json follows, else vocab.json, a zero
 * byte and merges.txt. The next bit adds further entries of both around the 256 bytes, so that the fuzzer
 * need not write these itself. What is read must encode bytes and give them back. */
#include <stdlib.h>
#include "tests/tiny_vocabulary.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tokenizer *t)
{
    static const char text[] = "abcabc aa  bb\n\xC3\xA9\xFF the<|endoftext|>";
    int32_t ids[sizeof text];
    size_t n, back = 0, length;
    gpt2q_error err;
    if (tokenizer_encode(t, text, sizeof text - 1, TOKENIZER_SPECIAL, ids, sizeof text, &n, &err)) {
        if (!strstr(err.message, "for which the vocabulary has no token")) abort();
        return;
    }
    if (n > sizeof text - 1) abort();
    for (size_t i = 0; i < n; i++, back += length) {
        const char *bytes = tokenizer_bytes(t, ids[i], &length);
        if (!bytes || length > sizeof text - 1 - back || memcmp(bytes, text + back, length)) abort();
    }
    if (back != sizeof text - 1) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const char *text = (const char *)data + 1, *merges = NULL;
    size_t n = size - 1, n_merges = 0, n_vocab = n;
    if (!(data[0] & 1)) {
        merges = n ? memchr(text, 0, n) : NULL;
        n_vocab = merges ? (size_t)(merges - text) : n;
        n_merges = merges ? n - n_vocab - 1 : 0;
        merges = merges ? merges + 1 : "";
    }
    char *vocab = malloc(n + 8192);
    if (!vocab) abort();
    size_t used = 0;
    if (data[0] & 2) {
        if (data[0] & 1)
            used =
                (size_t)sprintf(vocab, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":");
        used += tiny_vocab_open(vocab + used);
    }
    if (n_vocab) memcpy(vocab + used, text, n_vocab);
    struct tokenizer *t;
    gpt2q_error err = {GPT2Q_OK, ""};
    gpt2q_status s =
        tokenizer_from_memory(vocab, used + n_vocab, "vocab", merges, n_merges, "merges", &t, &err);
    if ((s == GPT2Q_OK) != (t != NULL) || (s && !err.message[0])) abort();
    if (t) check(t);
    tokenizer_free(t);
    free(vocab);
    return 0;
}
