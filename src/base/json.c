/* Two passes over the text and one over the tree. The recognizer below accepts exactly RFC 8259 with the
 * limits of json.h and knows the byte where it stopped; cJSON then builds the tree of a text it cannot
 * misread; duplicate keys, of which cJSON would show the first, are looked for in the tree, where there are
 * many by sharing them out by their hashes; a share that is large all the same is sorted, so that no choice
 * of keys makes it slow.
 *
 * cJSON keeps its own malloc unless a program asks otherwise: its hooks are global to the process and belong
 * to the application, not to a library. */
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH          64
#define MAX_VALUES         ((size_t)4 << 20)
#define MAX_INTEGER        0x1p53
#define MAX_INTEGER_DIGITS "9007199254740992"
#define FEW_KEYS           16 /* up to so many are compared in pairs */

/* ---- the recognizer ---- */

struct scanner {
    const unsigned char *text;
    size_t size, at, values;
    bool wild;         /* integers beyond 2^53 pass */
    const char *wrong; /* the first thing that was wrong, at `at` */
};

static bool fail(struct scanner *s, const char *wrong)
{
    s->wrong = wrong;
    return false;
}

static int peek(const struct scanner *s) { return s->at < s->size ? s->text[s->at] : -1; }

static bool accept(struct scanner *s, int c)
{
    if (peek(s) != c) return false;
    s->at++;
    return true;
}

static void skip_space(struct scanner *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r') s->at++;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static bool scan_digits(struct scanner *s)
{
    if (!is_digit(peek(s))) return fail(s, "expected a digit");
    while (is_digit(peek(s))) s->at++;
    return true;
}

/* By the digits: as a double, 2^53 + 1 is 2^53. */
static bool beyond_max_integer(const char *digits)
{
    if (*digits == '-') digits++;
    size_t n = strlen(digits), most = strlen(MAX_INTEGER_DIGITS);
    return n > most || (n == most && strcmp(digits, MAX_INTEGER_DIGITS) > 0);
}

static bool scan_number(struct scanner *s)
{
    size_t begin = s->at;
    accept(s, '-');
    if (!accept(s, '0') && !scan_digits(s)) return false;
    if (is_digit(peek(s))) return fail(s, "a number begins with 0");
    bool integer = true;
    if (accept(s, '.')) {
        integer = false;
        if (!scan_digits(s)) return false;
    }
    if (accept(s, 'e') || accept(s, 'E')) {
        integer = false;
        if (!accept(s, '+')) accept(s, '-');
        if (!scan_digits(s)) return false;
    }
    size_t n = s->at - begin;
    char digits[64]; /* as many as cJSON reads of a number; a longer one would end in its middle */
    s->at = begin;
    if (n >= sizeof digits) return fail(s, "a number has more than 63 characters");
    memcpy(digits, s->text + begin, n);
    digits[n] = '\0';
    if (integer && !s->wild && beyond_max_integer(digits)) return fail(s, "an integer is beyond 2^53");
    if (!isfinite(strtod(digits, NULL))) return fail(s, "a number is beyond the range of a double");
    s->at = begin + n;
    return true;
}

/* Four digits after "\u"; -1 if they are not. */
static int32_t scan_hex(struct scanner *s)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        int c = peek(s), lower = c | 0x20;
        if (is_digit(c))
            value = value * 16 + (c - '0');
        else if (c >= 0 && lower >= 'a' && lower <= 'f')
            value = value * 16 + (lower - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static bool scan_escape(struct scanner *s)
{
    int c = peek(s);
    if (c < 0 || !c || !strchr("\"\\/bfnrtu", c)) return fail(s, "an unknown escape in a string");
    s->at++;
    if (c != 'u') return true;
    int32_t unit = scan_hex(s);
    if (unit < 0) return fail(s, "expected four hexadecimal digits after \\u");
    if (unit == 0) return fail(s, "\\u0000 is not allowed in a string");
    if (unit < 0xD800 || unit > 0xDFFF) return true;
    if (unit > 0xDBFF || !accept(s, '\\') || !accept(s, 'u')) return fail(s, "half of a surrogate pair");
    unit = scan_hex(s);
    return unit >= 0xDC00 && unit <= 0xDFFF ? true : fail(s, "half of a surrogate pair");
}

static bool scan_string(struct scanner *s)
{
    if (!accept(s, '"')) return fail(s, "expected a string");
    for (;;) {
        int c = peek(s);
        if (c < 0) return fail(s, "a string does not end");
        if (c < 0x20) return fail(s, "a control character in a string");
        struct utf8_step step = {.length = 1};
        if (c >= 0x80) step = utf8_next((const char *)s->text + s->at, s->size - s->at);
        if (step.kind != UTF8_WHOLE) return fail(s, "invalid UTF-8");
        s->at += step.length;
        if (c == '"') return true;
        if (c == '\\' && !scan_escape(s)) return false;
    }
}

static bool scan_value(struct scanner *s, int depth);

static bool scan_items(struct scanner *s, int depth, bool object, char end)
{
    if (depth > MAX_DEPTH) return fail(s, "nested deeper than 64");
    s->at++;
    skip_space(s);
    if (accept(s, end)) return true;
    do {
        skip_space(s);
        if (object) {
            if (!scan_string(s)) return false;
            skip_space(s);
            if (!accept(s, ':')) return fail(s, "expected ':'");
            skip_space(s);
        }
        if (!scan_value(s, depth)) return false;
        skip_space(s);
    } while (accept(s, ','));
    return accept(s, end) ? true : fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t n = strlen(word);
    if (s->size - s->at < n || memcmp(s->text + s->at, word, n) != 0) return fail(s, "expected a value");
    s->at += n;
    return true;
}

static bool scan_value(struct scanner *s, int depth)
{
    if (++s->values > MAX_VALUES) return fail(s, "more than 4194304 values");
    switch (peek(s)) {
    case '{': return scan_items(s, depth + 1, true, '}');
    case '[': return scan_items(s, depth + 1, false, ']');
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    default: break;
    }
    return peek(s) == '-' || is_digit(peek(s)) ? scan_number(s) : fail(s, "expected a value");
}

static bool scan_document(struct scanner *s)
{
    skip_space(s);
    if (!scan_value(s, 0)) return false;
    skip_space(s);
    return s->at == s->size ? true : fail(s, "something follows the document");
}

/* ---- duplicate keys ---- */

static int compare_keys(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The key that an object has twice, NULL if there is none. */
static const char *duplicate_of_few(const cJSON *object)
{
    for (const cJSON *a = object->child; a; a = a->next) {
        for (const cJSON *b = a->next; b; b = b->next) {
            if (!strcmp(a->string, b->string)) return a->string;
        }
    }
    return NULL;
}

/* The same among keys in an array, which may be put into another order. */
static const char *duplicate_in(const char **keys, size_t n)
{
    if (n > FEW_KEYS) qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i + 1 < n; i++) {
        size_t end = n > FEW_KEYS ? i + 2 : n;
        for (size_t k = i + 1; k < end; k++)
            if (!strcmp(keys[i], keys[k])) return keys[i];
    }
    return NULL;
}

/* Below n: the high half of FNV-1a, scaled. */
static size_t share_of(const char *key, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (const char *c = key; *c; c++) h = (h ^ (unsigned char)*c) * 0x100000001B3u;
    return (size_t)((h >> 32) * n >> 32);
}

static gpt2q_status duplicate_of_many(const cJSON *object, size_t n, const char **duplicate, gpt2q_error *err)
{
    const char **keys = mem_array(n, sizeof *keys);
    size_t *at = mem_zarray(n, sizeof *at); /* of each share: its size, then its end, at last its beginning */
    if (!keys || !at) {
        mem_free(keys);
        mem_free(at);
        return error_memory(err, "a list of JSON keys", n * (sizeof *keys + sizeof *at));
    }
    const cJSON *field;
    for (field = object->child; field; field = field->next) at[share_of(field->string, n)]++;
    for (size_t i = 1; i < n; i++) at[i] += at[i - 1];
    /* each share from its end down to its beginning */
    for (field = object->child; field; field = field->next)
        keys[--at[share_of(field->string, n)]] = field->string;
    for (size_t i = 0; i < n && !*duplicate; i++) {
        size_t begin = at[i];
        *duplicate = duplicate_in(keys + begin, (i + 1 < n ? at[i + 1] : n) - begin);
    }
    mem_free(keys);
    mem_free(at);
    return GPT2Q_OK;
}

static gpt2q_status check_keys(const cJSON *value, const char *name, gpt2q_error *err)
{
    size_t n = 0;
    for (const cJSON *item = value->child; item; item = item->next, n++) {
        gpt2q_status s = item->child ? check_keys(item, name, err) : GPT2Q_OK;
        if (s) return s;
    }
    if (!cJSON_IsObject(value)) return GPT2Q_OK;
    const char *duplicate = NULL;
    if (n <= FEW_KEYS) {
        duplicate = duplicate_of_few(value);
    } else {
        gpt2q_status s = duplicate_of_many(value, n, &duplicate, err);
        if (s) return s;
    }
    if (!duplicate) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s%sthe key \"%s\" stands twice in one object", name ? name : "",
                     name ? ": " : "", error_quote(duplicate, strlen(duplicate)).text);
}

/* ---- cJSON's memory ---- */

static _Thread_local bool parsing; /* a failed allocation is cJSON's to report */
static void (*out_of_memory)(void);

static void *allocate_or_end(size_t n)
{
    void *p = mem_alloc_small(n);
    if (!p && !parsing) out_of_memory();
    return p;
}

void json_when_out_of_memory(void (*handler)(void))
{
    cJSON_Hooks hooks = {.malloc_fn = allocate_or_end, .free_fn = mem_free};
    out_of_memory = handler;
    cJSON_InitHooks(&hooks);
}

/* ---- parsing ---- */

/* What a text begins with that no JSON begins with, or NULL. Without a mark, UTF-16 shows as zeros beside ASCII. */
static const char *foreign_beginning(const char *text, size_t n)
{
    const bool zeros_beside = n >= 4 && !text[0] != !text[1] && !text[0] == !text[2] && !text[1] == !text[3];
    if (text_is_utf16(text, n) || zeros_beside) return "is text in UTF-16 where UTF-8 is expected";
    return text_has_mark(text, n) ? "begins with a byte order mark" : NULL;
}

static gpt2q_status recognize(const char *text, size_t size, const char *name, bool wild, gpt2q_error *err)
{
    struct scanner scanner = {.text = (const unsigned char *)text, .size = size, .wild = wild};
    const char *foreign = foreign_beginning(text, size);
    if (foreign)
        return error_set(err, GPT2Q_FORMAT, "%s%snot valid JSON: %s", name ? name : "", name ? ": " : "",
                         foreign);
    if (scan_document(&scanner)) return GPT2Q_OK;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < scanner.at && i < size; i++, column++)
        if (text[i] == '\n') line++, column = 0;
    if (line > 1)
        return error_set(err, GPT2Q_FORMAT, "%s%snot valid JSON: %s at line %zu, column %zu",
                         name ? name : "", name ? ": " : "", scanner.wrong, line, column);
    return error_set(err, GPT2Q_FORMAT, "%s%snot valid JSON: %s at byte %zu of %zu", name ? name : "",
                     name ? ": " : "", scanner.wrong, scanner.at, size);
}

/* The tree of a text that was recognized. */
static gpt2q_status build(const char *text, size_t size, const char *name, cJSON **out, gpt2q_error *err)
{
    *out = NULL;
    parsing = true;
    cJSON *root = cJSON_ParseWithLengthOpts(text, size, NULL, false);
    parsing = false;
    if (!root)
        return error_set(err, GPT2Q_OUT_OF_MEMORY, "out of memory: %s, JSON of %zu bytes",
                         name ? name : "a text", size);
    gpt2q_status s = check_keys(root, name, err);
    if (s) {
        cJSON_Delete(root);
        return s;
    }
    *out = root;
    return GPT2Q_OK;
}

static gpt2q_status parse(const char *text, size_t size, const char *name, bool wild, cJSON **out,
                          gpt2q_error *err)
{
    *out = NULL;
    gpt2q_status s = recognize(text, size, name, wild, err);
    return s ? s : build(text, size, name, out, err);
}

/* The member at s->at, of a text that was recognized. */
static gpt2q_status give_member(struct scanner *s, const char *name, json_member_fn *fn, void *user,
                                gpt2q_error *err)
{
    const char *text = (const char *)s->text;
    cJSON *key = NULL, *value = NULL;
    const size_t key_at = s->at;
    scan_string(s);
    gpt2q_status status = build(text + key_at, s->at - key_at, name, &key, err);
    skip_space(s);
    accept(s, ':');
    skip_space(s);
    const size_t value_at = s->at;
    if (!status) scan_value(s, 1);
    if (!status) status = build(text + value_at, s->at - value_at, name, &value, err);
    if (!status) status = fn(user, key->valuestring, value, err);
    cJSON_Delete(key);
    cJSON_Delete(value);
    return status;
}

gpt2q_status json_each_member(const char *text, size_t size, const char *name, json_member_fn *fn, void *user,
                              gpt2q_error *err)
{
    struct scanner s = {.text = (const unsigned char *)text, .size = size};
    gpt2q_status status = recognize(text, size, name, false, err);
    if (status) return status;
    skip_space(&s);
    if (!accept(&s, '{'))
        return error_set(err, GPT2Q_FORMAT, "%s%sis not a JSON object", name ? name : "", name ? ": " : "");
    skip_space(&s);
    if (accept(&s, '}')) return GPT2Q_OK;
    do {
        skip_space(&s);
        status = give_member(&s, name, fn, user, err);
        skip_space(&s);
    } while (!status && accept(&s, ','));
    return status;
}

gpt2q_status json_parse(const char *text, size_t size, const char *name, cJSON **out, gpt2q_error *err)
{
    return parse(text, size, name, false, out, err);
}

gpt2q_status json_parse_wild(const char *text, size_t size, const char *name, cJSON **out, gpt2q_error *err)
{
    return parse(text, size, name, true, out, err);
}

/* ---- fields ---- */

static const cJSON *field(const cJSON *object, const char *key, bool *present)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    *present = item && !cJSON_IsNull(item);
    return item;
}

static gpt2q_status wrong_type(const cJSON *item, const char *key, const char *name, const char *expected,
                               gpt2q_error *err)
{
    const char *colon = name ? ": " : "";
    if (!name) name = "";
    if (cJSON_IsNumber(item)) {
        return error_set(err, GPT2Q_FORMAT, "%s%s%s must be %s, not %.17g", name, colon, key, expected,
                         item->valuedouble);
    }
    const char *found = cJSON_IsString(item)  ? "a string"
                        : cJSON_IsBool(item)  ? (cJSON_IsTrue(item) ? "true" : "false")
                        : cJSON_IsArray(item) ? "an array"
                                              : "an object";
    return error_set(err, GPT2Q_FORMAT, "%s%s%s must be %s, not %s", name, colon, key, expected, found);
}

gpt2q_status json_integer(const cJSON *object, const char *key, const char *name, int64_t min, int64_t max,
                          int64_t *out, bool *present, gpt2q_error *err)
{
    const cJSON *item = field(object, key, present);
    if (!*present) return GPT2Q_OK;
    double v = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    /* The magnitude first: the conversion is undefined beyond int64. */
    if (fabs(v) <= MAX_INTEGER && v == floor(v) && (int64_t)v >= min && (int64_t)v <= max) {
        *out = (int64_t)v;
        return GPT2Q_OK;
    }
    char expected[96];
    snprintf(expected, sizeof expected,
             max == INT64_MAX ? "an integer >= %lld" : "an integer from %lld to %lld", (long long)min,
             (long long)max);
    return wrong_type(item, key, name, expected, err);
}

gpt2q_status json_number(const cJSON *object, const char *key, const char *name, double min, double max,
                         double *out, bool *present, gpt2q_error *err)
{
    const cJSON *item = field(object, key, present);
    if (!*present) return GPT2Q_OK;
    if (cJSON_IsNumber(item) && item->valuedouble >= min && item->valuedouble <= max) {
        *out = item->valuedouble;
        return GPT2Q_OK;
    }
    char expected[96] = "a number";
    if (isfinite(min) && isfinite(max))
        snprintf(expected, sizeof expected, "a number from %.15g to %.15g", min, max);
    else if (isfinite(min))
        snprintf(expected, sizeof expected, "a number >= %g", min);
    return wrong_type(item, key, name, expected, err);
}

gpt2q_status json_bool(const cJSON *object, const char *key, const char *name, bool *out, bool *present,
                       gpt2q_error *err)
{
    const cJSON *item = field(object, key, present);
    if (!*present) return GPT2Q_OK;
    if (!cJSON_IsBool(item)) return wrong_type(item, key, name, "true or false", err);
    *out = cJSON_IsTrue(item);
    return GPT2Q_OK;
}
