/* Any text, with a small vocabulary whose merges reach across bytes of UTF-8. Encoding and the stream
 * decoder keep every byte. The first byte chooses whether special tokens are parsed. */
#include <stdlib.h>
#include "tests/tiny_vocabulary.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tokenizer *make_tokenizer(void)
{
    static const char merges[] =
        "a a\naa aa\n\xC4\xA0 a\n\xC4\xA0 \xC4\xA0\n\xC4\xA0\xC4\xA0 a\n\xC3\x83 \xC2\xA9\n' s\n";
    char vocab[1 << 13];
    size_t n = tiny_vocab_open(vocab);
    n += (size_t)sprintf(
        vocab + n, ",\"aa\":256,\"aaaa\":257,\"\\u0120a\":258,\"\\u0120\\u0120\":259,\"\\u0120\\u0120a\":260,"
                   "\"\\u00C3\\u00A9\":261,\"'s\":262,\"<|endoftext|>\":263}");
    struct tokenizer *t;
    if (tokenizer_from_memory(vocab, n, "vocab", merges, sizeof merges - 1, "merges", &t, NULL)) abort();
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t;
    if (!t) t = make_tokenizer();
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1, n, back = 0, came = 0;
    int32_t *ids = malloc((len + 1) * sizeof *ids);
    char *out = malloc(len + 4);
    if (!ids || !out || tokenizer_encode(t, text, len, data[0] & 1, ids, len, &n, NULL)) abort();
    if (n > len) abort();
    struct stream_decoder d = {0};
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *bytes = tokenizer_bytes(t, ids[i], &length);
        if (!bytes || length > len - back || memcmp(bytes, text + back, length)) abort();
        back += length;
        came += stream_decode(&d, bytes, length, out + came);
        if (d.n_held > 3 || came + (size_t)d.n_held != back) abort();
    }
    came += stream_flush(&d, out + came);
    if (back != len || came != len || (len && memcmp(out, text, len))) abort();
    free(ids), free(out);
    return 0;
}
