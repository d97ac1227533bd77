/* Refused, because encoding could not be right: a merge whose parts or result are not tokens, and a line
 * of another shape than "left right". A merge that stands twice has the rank of the last place, as in the
 * tokenizers library. The order of merges is free: a pair may rank before the merges that make its parts. */
#include "tokenizer/merges.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"

/* Printable Latin-1 stands for itself. The other 68 bytes are, in order, U+0100 and the code points after
 * it. */
static int alphabet_byte(uint32_t c)
{
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255)) return (int)c;
    if (c < 0x100 || c > 0x143) return -1;
    c -= 0x100;
    if (c <= 32) return (int)c;
    return c < 67 ? (int)(c - 33 + 127) : 173;
}

static size_t spell_byte(uint8_t byte, char *out)
{
    uint32_t c = byte;
    if (alphabet_byte(c) != byte) c = 0x100 + (c <= 32 ? c : c <= 160 ? c - 127 + 33 : 67);
    out[0] = (char)c;
    if (c < 0x80) return 1;
    out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63));
    return 2;
}

size_t alphabet_spell(const char *bytes, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n; i++) written += spell_byte((uint8_t)bytes[i], out + written);
    return written;
}

uint64_t *pair_table_by_rank(const struct pair_table *pairs, uint32_t *count)
{
    const size_t n = pairs->n_ranks;
    uint64_t *by_rank = mem_array(n, sizeof *by_rank);
    *count = 0;
    for (size_t i = 0; by_rank && i < n; i++) by_rank[i] = EMPTY_PAIR;
    for (size_t i = 0; by_rank && i <= pairs->mask; i++) {
        const uint64_t slot = pairs->slots[i];
        if (slot == EMPTY_PAIR || (slot & ID_MASK) >= n) continue;
        *count += by_rank[slot & ID_MASK] == EMPTY_PAIR;
        by_rank[slot & ID_MASK] = slot;
    }
    return by_rank;
}

bool alphabet_decode(const char *name, size_t n, uint8_t *bytes, size_t capacity, size_t *length,
                     uint32_t *foreign)
{
    *length = 0;
    for (size_t i = 0; i < n;) {
        struct utf8_step step = {UTF8_WHOLE, (unsigned char)name[i], 1};
        if (step.code_point >= 0x80) step = utf8_next(name + i, n - i);
        int byte = step.kind == UTF8_WHOLE ? alphabet_byte(step.code_point) : -1;
        if (byte < 0) {
            *foreign = step.kind == UTF8_WHOLE ? step.code_point : 0xFFFD;
            return false;
        }
        if (*length < capacity) bytes[*length] = (uint8_t)byte;
        ++*length;
        i += step.length;
    }
    return true;
}

gpt2q_status merge_reader_create(struct merge_reader *r, size_t count, gpt2q_error *err)
{
    r->t->merged = mem_array(count, sizeof *r->t->merged);
    r->bytes = mem_alloc(r->capacity);
    if (!r->t->merged || !r->bytes || !pair_table_create(&r->t->pairs, count))
        return error_memory(err, "a table of merges", count * sizeof *r->t->pairs.slots);
    return GPT2Q_OK;
}

void merge_reader_free(struct merge_reader *r) { mem_free(r->bytes); }

/* Appends a part's bytes to the `used` bytes in r->bytes and finds its token. */
static gpt2q_status part(struct merge_reader *r, const char *name, size_t n, size_t *used, int32_t *id,
                         gpt2q_error *err)
{
    uint32_t foreign;
    size_t length;
    if (!alphabet_decode(name, n, r->bytes + *used, r->capacity - *used, &length, &foreign))
        return error_set(err, GPT2Q_FORMAT, "%s: %s %zu: U+%04X is no character of the byte alphabet",
                         r->file, r->unit, r->number, (unsigned)foreign);
    bool fits = length <= r->capacity - *used;
    *id = fits ? byte_table_find(&r->t->tokens, &r->t->bytes, r->bytes + *used, length) : NO_TOKEN;
    if (*id == NO_TOKEN)
        return error_set(err, GPT2Q_FORMAT, "%s: %s %zu: \"%s\" is not in the vocabulary", r->file, r->unit,
                         r->number, error_quote(name, n).text);
    *used += length;
    return GPT2Q_OK;
}

gpt2q_status merge_reader_pair(struct merge_reader *r, const char *left, size_t n_left, const char *right,
                               size_t n_right, gpt2q_error *err)
{
    int32_t a, b;
    size_t used = 0;
    gpt2q_status s = part(r, left, n_left, &used, &a, err);
    if (!s) s = part(r, right, n_right, &used, &b, err);
    if (s) return s;
    int32_t result = byte_table_find(&r->t->tokens, &r->t->bytes, r->bytes, used);
    if (result == NO_TOKEN)
        return error_set(err, GPT2Q_FORMAT, "%s: %s %zu: the result \"%.*s%.*s\" is not in the vocabulary",
                         r->file, r->unit, r->number, (int)n_left, left, (int)n_right, right);
    if (r->rank > (uint32_t)MAX_ID)
        return error_set(err, GPT2Q_FORMAT, "%s: %s %zu: more than %d merges", r->file, r->unit, r->number,
                         MAX_ID + 1);
    pair_table_put(&r->t->pairs, a, b, r->rank);
    r->t->merged[r->rank++] = (uint32_t)result;
    r->number++;
    return GPT2Q_OK;
}

gpt2q_status merge_reader_line(struct merge_reader *r, const char *line, size_t n, gpt2q_error *err)
{
    const char *space = n ? memchr(line, ' ', n) : NULL;
    size_t left = space ? (size_t)(space - line) : 0, right = space ? n - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return error_set(err, GPT2Q_FORMAT,
                         "%s: %s %zu: two tokens with exactly one space between them are expected", r->file,
                         r->unit, r->number);
    return merge_reader_pair(r, line, left, space + 1, right, err);
}

gpt2q_status merges_read_text(struct merge_reader *r, const char *text, size_t n, gpt2q_error *err)
{
    static const char version[] = "#version";
    if (text_is_utf16(text, n))
        return error_set(err, GPT2Q_FORMAT, "%s: is text in UTF-16 where UTF-8 is expected", r->file);
    if (text_has_mark(text, n))
        return error_set(err, GPT2Q_FORMAT, "%s: begins with a byte order mark where a merge is expected",
                         r->file);
    size_t lines = 1;
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    gpt2q_status s = merge_reader_create(r, lines, err);
    const char *end = text + n;
    for (const char *line = text, *next; !s && line < end; line = next) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((stop ? stop : end) - line);
        if (stop && length && line[length - 1] == '\r') length--; /* git on Windows */
        next = stop ? stop + 1 : end;
        if (length >= strlen(version) && !memcmp(line, version, strlen(version)))
            r->number++;
        else
            s = merge_reader_line(r, line, length, err);
    }
    return s;
}
