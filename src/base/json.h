/* Strict JSON (RFC 8259) on top of cJSON: what cJSON lets pass is refused before it sees the text.
 *
 * The text need not be terminated; what follows the document must be white space. Refused, with the byte
 * offset or the key named: a byte order mark, UTF-16, bytes that are not UTF-8, a NUL, "\u0000" in a string, unescaped control
 * characters, numbers that JSON does not know (01, 1., -.5), integers beyond 2^53 (a double would change
 * them), numbers beyond the range of a double, nesting deeper than 64, more than 4 million values (what
 * bounds the memory of a tree), duplicate keys of one object. */
#ifndef BASE_JSON_H
#define BASE_JSON_H
#include <cjson/cJSON.h>
#include "base/status.h"

/* `name` is the file (or line, or field), for messages; NULL: they begin with what is wrong. The tree is
 * freed by cJSON_Delete; *out is NULL on failure. */
gpt2q_status json_parse(const char *text, size_t size, const char *name, cJSON **out, gpt2q_error *err);
/* The same for the files of other programs that come with a model: integers beyond 2^53
 * (tokenizer_config.json says 1000000000000000019884624838656 where it means "no limit") pass. json_integer
 * does not give them. */
gpt2q_status json_parse_wild(const char *text, size_t size, const char *name, cJSON **out, gpt2q_error *err);

/* The same of an object, member by member, so that the memory it takes is that of the largest member: `fn`
 * gets each with its key, as a tree of its own. Duplicates among the keys of the object itself are the caller's
 * to find. More than 4 million values in all are refused, as above. Another status than OK stops. */
typedef gpt2q_status json_member_fn(void *user, const char *key, const cJSON *value, gpt2q_error *err);
gpt2q_status json_each_member(const char *text, size_t size, const char *name, json_member_fn *fn, void *user,
                              gpt2q_error *err);

/* What a program, not a library, asks of cJSON: from now on an allocation that cJSON cannot make ends in
 * `handler`, which must not return, so that no field of an answer is lost in silence. Inside json_parse it is
 * a status, as ever. */
void json_when_out_of_memory(void (*handler)(void));

/* A field of an object. `name` NULL: the sentence begins with the key. Absent or null: *present is false and
 * *out is left alone; an error if it is of another type, not an integer, or outside [min, max]. */
gpt2q_status json_integer(const cJSON *object, const char *key, const char *name, int64_t min, int64_t max,
                          int64_t *out, bool *present, gpt2q_error *err);
gpt2q_status json_number(const cJSON *object, const char *key, const char *name, double min, double max,
                         double *out, bool *present, gpt2q_error *err);
gpt2q_status json_bool(const cJSON *object, const char *key, const char *name, bool *out, bool *present,
                       gpt2q_error *err);
#endif
