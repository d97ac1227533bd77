#include "model/torch_zip.h"
#include "base/checked.h"
#include "base/crc32.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum {
    END_SIZE = 22, /* bytes of the end-of-directory record, without its comment */
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    ENTRY_SIZE = 46, /* bytes of an entry of the central directory, without its texts */
    LOCAL_SIZE = 30,
    COMMENT_MAX = 65535
};

struct archive {
    const uint8_t *data;
    size_t n;
    const char *file;
    gpt2q_error *err;
    size_t directory, directory_size, entries; /* where the central directory lies */
};

struct span { /* the bytes of a member with its local header */
    size_t begin, end;
};

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

static gpt2q_status broken(const struct archive *a, const char *what)
{
    return error_set(a->err, GPT2Q_FORMAT, "%s: the zip archive is broken: %s", a->file, what);
}

/* ---- the end of the central directory ---- */

static const uint8_t *find_end(const struct archive *a)
{
    if (a->n < END_SIZE) return NULL;
    size_t least = a->n > END_SIZE + COMMENT_MAX ? a->n - END_SIZE - COMMENT_MAX : 0;
    for (size_t at = a->n - END_SIZE + 1; at-- > least;)
        if (number(a->data + at, 4) == 0x06054b50 && number(a->data + at + 20, 2) == a->n - at - END_SIZE)
            return a->data + at;
    return NULL;
}

static gpt2q_status find_directory(struct archive *a)
{
    const uint8_t *end = find_end(a);
    if (!end) return broken(a, "its end, which holds the directory of members, is missing");
    uint64_t entries = number(end + 10, 2), size = number(end + 12, 4), offset = number(end + 16, 4);
    size_t limit = (size_t)(end - a->data);
    if (entries == 0xffff || size == 0xffffffff || offset == 0xffffffff) { /* zip64 */
        const uint8_t *locator = limit >= LOCATOR_SIZE ? end - LOCATOR_SIZE : NULL;
        if (!locator || number(locator, 4) != 0x07064b50) return broken(a, "its zip64 end is missing");
        uint64_t at = number(locator + 8, 8);
        limit -= LOCATOR_SIZE;
        if (limit < END64_SIZE || at > limit - END64_SIZE || number(a->data + at, 4) != 0x06064b50)
            return broken(a, "its zip64 end is missing");
        entries = number(a->data + at + 32, 8);
        size = number(a->data + at + 40, 8);
        offset = number(a->data + at + 48, 8);
        limit = (size_t)at;
    }
    if (offset > limit || size > limit - offset) return broken(a, "its directory lies beyond the file");
    if (entries > size / ENTRY_SIZE) return broken(a, "its directory is too short for its members");
    if (!entries) return broken(a, "it has no members");
    a->directory = (size_t)offset;
    a->directory_size = (size_t)size;
    a->entries = (size_t)entries;
    return GPT2Q_OK;
}

/* ---- members ---- */

struct zip_entry {
    uint64_t packed, size, offset;
};

/* Numbers that are too large for their fields stand in extra field 1, in this order. */
static bool read_zip64(const uint8_t *extra, size_t n, struct zip_entry *e)
{
    uint64_t *wanted[3];
    int count = 0;
    if (e->size == 0xffffffff) wanted[count++] = &e->size;
    if (e->packed == 0xffffffff) wanted[count++] = &e->packed;
    if (e->offset == 0xffffffff) wanted[count++] = &e->offset;
    for (size_t at = 0; count && n - at >= 4;) {
        size_t id = number(extra + at, 2), size = number(extra + at + 2, 2);
        at += 4;
        if (size > n - at) return false;
        if (id == 1) {
            if (size < 8 * (size_t)count) return false;
            for (int i = 0; i < count; i++) *wanted[i] = number(extra + at + 8 * (size_t)i, 8);
            return true;
        }
        at += size;
    }
    return !count;
}

static gpt2q_status read_local(const struct archive *a, const struct zip_entry *e, struct zip_member *m,
                               struct span *span)
{
    size_t header, end;
    if (e->offset > a->directory || a->directory - e->offset < LOCAL_SIZE)
        return broken(a, "a member lies beyond the file");
    const uint8_t *local = a->data + e->offset;
    size_t name_len = number(local + 26, 2);
    header = LOCAL_SIZE + name_len + number(local + 28, 2);
    if (number(local, 4) != 0x04034b50) return broken(a, "a member does not begin where the directory says");
    if (a->directory - e->offset < header) return broken(a, "a member lies beyond the file");
    if (name_len != m->name_len || memcmp(local + LOCAL_SIZE, m->name, name_len) != 0)
        return broken(a, "a member and the directory call it by two names");
    if (!checked_add((size_t)e->offset + header, (size_t)e->size, &end) || end > a->directory)
        return broken(a, "a member lies beyond the file");
    m->data = local + header;
    m->size = (size_t)e->size;
    *span = (struct span){(size_t)e->offset, end};
    return GPT2Q_OK;
}

static gpt2q_status read_entry(const struct archive *a, size_t *at, struct zip_member *m, struct span *span)
{
    size_t end = a->directory + a->directory_size;
    const uint8_t *p = a->data + *at;
    if (end - *at < ENTRY_SIZE || number(p, 4) != 0x02014b50) return broken(a, "its directory ends early");
    size_t name = number(p + 28, 2), extra = number(p + 30, 2), comment = number(p + 32, 2);
    if (end - *at - ENTRY_SIZE < name + extra + comment) return broken(a, "its directory ends early");
    if (number(p + 8, 2) & 1) return broken(a, "a member is encrypted");
    if (number(p + 10, 2) != 0) return broken(a, "a member is compressed, which torch.save never does");
    struct zip_entry e = {number(p + 20, 4), number(p + 24, 4), number(p + 42, 4)};
    if (!read_zip64(p + ENTRY_SIZE + name, extra, &e)) return broken(a, "the sizes of a member are missing");
    if (e.packed != e.size) return broken(a, "a stored member has two sizes");
    *m = (struct zip_member){
        .name = (const char *)p + ENTRY_SIZE, .name_len = name, .crc = (uint32_t)number(p + 16, 4)};
    *at += ENTRY_SIZE + name + extra + comment;
    return read_local(a, &e, m, span);
}

static int by_name(const void *a, const void *b)
{
    const struct zip_member *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);
    return order ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static int by_place(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static gpt2q_status read_members(const struct archive *a, struct torch_zip *z, struct span *spans)
{
    size_t at = a->directory;
    for (; z->n_members < a->entries; z->n_members++) {
        gpt2q_status s = read_entry(a, &at, &z->members[z->n_members], &spans[z->n_members]);
        if (s) return s;
    }
    qsort(z->members, z->n_members, sizeof *z->members, by_name);
    qsort(spans, z->n_members, sizeof *spans, by_place);
    for (size_t i = 1; i < z->n_members; i++) {
        if (!by_name(&z->members[i - 1], &z->members[i])) return broken(a, "two members have one name");
        if (spans[i].begin < spans[i - 1].end) return broken(a, "two members lie on each other");
    }
    return GPT2Q_OK;
}

gpt2q_status torch_zip_open(const uint8_t *data, size_t n, const char *file, struct torch_zip *out,
                            gpt2q_error *err)
{
    struct archive a = {.data = data, .n = n, .file = file, .err = err};
    *out = (struct torch_zip){0};
    gpt2q_status s = find_directory(&a);
    if (s) return s;
    struct span *spans = mem_array(a.entries, sizeof *spans);
    out->members = mem_array(a.entries, sizeof *out->members);
    s = spans && out->members ? read_members(&a, out, spans)
                              : error_memory(err, file, a.entries * sizeof *spans);
    mem_free(spans);
    return s;
}

void torch_zip_free(struct torch_zip *z)
{
    mem_free(z->members);
    *z = (struct torch_zip){0};
}

const struct zip_member *torch_zip_find(const struct torch_zip *z, const char *folder, size_t folder_len,
                                        const void *name, size_t name_len)
{
    size_t lo = 0, hi = z->n_members;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct zip_member *m = &z->members[mid];
        size_t head = m->name_len < folder_len ? m->name_len : folder_len;
        int order = memcmp(m->name, folder, head);
        if (!order && m->name_len < folder_len) order = -1;
        if (!order) {
            size_t rest = m->name_len - folder_len, common = rest < name_len ? rest : name_len;
            order = memcmp(m->name + folder_len, name, common);
            if (!order) order = (rest > name_len) - (rest < name_len);
        }
        if (!order) return m;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

gpt2q_status torch_zip_check(const struct zip_member *m, const char *file, gpt2q_error *err)
{
    struct crc32 crc;
    crc32_begin(&crc);
    crc32_add(&crc, m->data, m->size);
    if (crc32_value(&crc) == m->crc) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT,
                     "%s: is damaged: the CRC-32 of a member of %zu bytes is not what the archive says", file,
                     m->size);
}
