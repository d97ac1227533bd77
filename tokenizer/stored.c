/* A tokenizer over arrays in a file. This file checks that the arrays fit each other. Their contents are
 * checked only when they are used (tables.h), so that opening costs the same for any vocabulary. */
#include "base/memory.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

void tokenizer_tables(const struct tokenizer *t, struct tokenizer_table tables[TOKENIZER_TABLES])
{
    tables[TOKENIZER_BYTES] = (struct tokenizer_table){t->bytes.data, t->bytes.size};
    tables[TOKENIZER_AT] = (struct tokenizer_table){t->bytes.at, (size_t)t->bytes.n + 1};
    tables[TOKENIZER_LONGEST] = (struct tokenizer_table){&t->bytes.longest, 1};
    tables[TOKENIZER_TOKENS] = (struct tokenizer_table){t->tokens.slots, t->tokens.mask + 1};
    tables[TOKENIZER_PAIRS] = (struct tokenizer_table){t->pairs.slots, t->pairs.mask + 1};
    tables[TOKENIZER_MERGED] = (struct tokenizer_table){t->merged, t->pairs.n_ranks};
}

/* What is wrong with the arrays' sizes; NULL: nothing. */
static const char *misfit(const struct tokenizer_table tables[TOKENIZER_TABLES])
{
    if (tables[TOKENIZER_BYTES].n > VOCABULARY_MAX_BYTES) return "too many bytes of tokens";
    if (tables[TOKENIZER_AT].n < 2 || tables[TOKENIZER_AT].n > (size_t)MAX_ID + 2)
        return "an impossible number of tokens";
    if (tables[TOKENIZER_LONGEST].n != 1 ||
        *(const uint32_t *)tables[TOKENIZER_LONGEST].data > tables[TOKENIZER_BYTES].n)
        return "an impossible longest token";
    if (!table_shift(tables[TOKENIZER_TOKENS].n) || !table_shift(tables[TOKENIZER_PAIRS].n))
        return "a hash table whose size is no power of two";
    return tables[TOKENIZER_MERGED].n > (size_t)MAX_ID + 1 ? "too many merges" : NULL;
}

/* Nothing writes to the arrays: `mapped` says so. */
static void *array(const struct tokenizer_table *table) { return (void *)(uintptr_t)table->data; }

static size_t probes(size_t slots) { return slots < TABLE_PROBES ? slots : TABLE_PROBES; }

bool tokenizer_tables_fit(const struct tokenizer *t) { return tables_are_short(&t->pairs, &t->tokens); }

gpt2q_status tokenizer_from_tables(const struct tokenizer_table tables[TOKENIZER_TABLES],
                                   const struct tokenizer_text *extras, const char *name,
                                   struct tokenizer **out, gpt2q_error *err)
{
    *out = NULL;
    const char *wrong = misfit(tables);
    if (wrong) return error_set(err, GPT2Q_FORMAT, "%s: the tables of the tokenizer have %s", name, wrong);
    struct tokenizer *t = mem_alloc(sizeof *t);
    if (!t) return error_memory(err, "the tokenizer", sizeof *t);
    size_t n_tokens = tables[TOKENIZER_TOKENS].n, n_pairs = tables[TOKENIZER_PAIRS].n;
    *t = (struct tokenizer){
        .mapped = true,
        .bytes = {.data = array(&tables[TOKENIZER_BYTES]),
                  .at = array(&tables[TOKENIZER_AT]),
                  .size = tables[TOKENIZER_BYTES].n,
                  .n = (int32_t)(tables[TOKENIZER_AT].n - 1),
                  .longest = *(const uint32_t *)tables[TOKENIZER_LONGEST].data},
        .tokens = {array(&tables[TOKENIZER_TOKENS]), n_tokens - 1, table_shift(n_tokens), probes(n_tokens)},
        .pairs = {array(&tables[TOKENIZER_PAIRS]), n_pairs - 1, table_shift(n_pairs), probes(n_pairs),
                  (uint32_t)tables[TOKENIZER_MERGED].n},
        .merged = array(&tables[TOKENIZER_MERGED]),
    };
    gpt2q_status s = vocabulary_find_ends(t, name, err);
    if (!s)
        s = extras && extras->text ? extras_parse(extras->text, extras->size, extras->name, &t->extras, err)
                                   : extras_plain(t->end_of_text, &t->extras, err);
    if (s) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return GPT2Q_OK;
}
