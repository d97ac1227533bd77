/* Puts together what the files of a Hugging Face directory say about text and ids, as transformers 5 does:
 * the vocabulary and merges of tokenizer.json, or else of vocab.json and merges.txt; added tokens, the
 * space before a text and the ids around it, from tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json. What gpt2q does not support is refused by name.
 *
 * The result is what a .gpt2q file holds: a vocabulary's texts as they are, and one text for all the rest
 * (added.h). That text is missing if there is only <|endoftext|>. */
#ifndef TOKENIZER_DIRECTORY_H
#define TOKENIZER_DIRECTORY_H
#include "tokenizer/tokenizer.h"

/* The names in the order of enum directory_file, for copying a tokenizer. */
enum directory_file {
    FILE_VOCAB,
    FILE_MERGES,
    FILE_TOKENIZER,
    FILE_TOKENIZER_CONFIG,
    FILE_SPECIAL_TOKENS,
    FILE_ADDED_TOKENS,
    DIRECTORY_FILES
};
extern const char *const directory_file_names[DIRECTORY_FILES];

struct directory_texts {
    struct tokenizer_texts texts; /* point into the files and `extras` */
    struct {
        char *path, *text;
        size_t size;
    } files[DIRECTORY_FILES]; /* text NULL: not there */
    char *extras;
};

/* Reads a directory. One without a vocabulary is an error. So is a file that exists and cannot be read,
 * and a link to nothing (a broken download). *out must be freed, also on failure. */
gpt2q_status directory_read(const char *directory, struct directory_texts *out, gpt2q_error *err);
/* The same, but texts.vocab.text is NULL if the directory has no vocabulary. If both kinds of files say
 * the same, vocab.json and merges.txt are taken. */
gpt2q_status directory_read_to_store(const char *directory, struct directory_texts *out, gpt2q_error *err);
void directory_free(struct directory_texts *d);
#endif
