/* JSON text, written value by value into one growing string. Commas, quotes and escapes come by themselves,
 * and the text is valid UTF-8 whatever bytes are given. Numbers are written as cJSON writes them.
 *
 * A failed allocation is remembered: from then on nothing is written and json_finish gives NULL, so that one
 * check at the end is enough and no field can be lost in silence.
 *
 *     struct json_writer w = {0};
 *     json_open(&w, '{'), json_key(&w, "ids"), json_open(&w, '['), json_put_integer(&w, 464);
 *     json_close(&w, ']'), json_close(&w, '}');
 *     char *text = json_finish(&w);    {"ids":[464]}
 *
 *  */
#ifndef BASE_JSON_WRITER_H
#define BASE_JSON_WRITER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_writer {
    char *text;
    size_t n, capacity;
    bool comma;  /* the next key or value follows another */
    bool failed; /* memory was out */
};

/* bracket: '{' or '['; '}' or ']'. */
void json_open(struct json_writer *w, char bracket);
void json_close(struct json_writer *w, char bracket);
void json_key(struct json_writer *w, const char *key);

/* A string of any bytes: broken sequences become U+FFFD, NUL and control characters are escaped. */
void json_put_bytes(struct json_writer *w, const char *bytes, size_t n);
void json_put_string(struct json_writer *w, const char *text); /* NULL: null */
void json_put_integer(struct json_writer *w, int64_t x);
void json_put_unsigned(struct json_writer *w, uint64_t x);
void json_put_real(struct json_writer *w, double x); /* null where x is not finite */
void json_put_bool(struct json_writer *w, bool x);
void json_put_null(struct json_writer *w);
/* Text that is JSON already: a value, or fields of an object (`"a":1,"b":2`). Empty text writes nothing. */
void json_put_raw(struct json_writer *w, const char *json, size_t n);

/* The text, zero-terminated, for mem_free; NULL where memory was out. The writer is empty again. */
char *json_finish(struct json_writer *w);
/* Empty again, with its memory: for who copies w.text, w.n and writes often. */
void json_restart(struct json_writer *w);
void json_discard(struct json_writer *w);
#endif
