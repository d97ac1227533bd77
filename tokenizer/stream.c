#include "base/utf8.h"
#include "tokenizer/tokenizer.h"
#include <string.h>

static size_t release(struct stream_decoder *d, size_t length, char *out)
{
    memcpy(out, d->held, length);
    d->n_held -= (int)length;
    memmove(d->held, d->held + length, (size_t)d->n_held);
    return length;
}

size_t stream_decode(struct stream_decoder *d, const char *bytes, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n; i++) {
        d->held[d->n_held++] = (unsigned char)bytes[i];
        while (d->n_held > 0) {
            struct utf8_step step = utf8_next((const char *)d->held, (size_t)d->n_held);
            if (step.kind == UTF8_CUT) break;
            written += release(d, step.length, out + written);
        }
    }
    return written;
}

size_t stream_flush(struct stream_decoder *d, char *out) { return release(d, (size_t)d->n_held, out); }
