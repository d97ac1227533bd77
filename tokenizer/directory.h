/* What the files of a Hugging Face directory say about text and ids, put together as transformers 5 does
 * it: the vocabulary and merges of tokenizer.json, or else of vocab.json and merges.txt; added tokens, the
 * space before a text and the ids around it from tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json. What these ask for and gpt2q does not do is refused by
 * name.
 *
 * The result is a vocabulary's texts as they stand, and one text for all the rest (added.h), none where
 * there is nothing but <|endoftext|>: what a .gpt2q file holds. */
#ifndef TOKENIZER_DIRECTORY_H
#define TOKENIZER_DIRECTORY_H
#include "tokenizer/tokenizer.h"

/* In the order of enum directory_file, for those that copy a tokenizer. */
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
    struct tokenizer_texts texts; /* into the files and `extras` */
    struct {
        char *path, *text;
        size_t size;
    } files[DIRECTORY_FILES]; /* text NULL: not there */
    char *extras;
};

/* A directory without a vocabulary is an error; so is a file that is there and cannot be read, a link to
 * nothing (a download that broke off) among them. *out is to be freed also on failure. */
gpt2q_status directory_read(const char *directory, struct directory_texts *out, gpt2q_error *err);
/* The same, but texts.vocab.text is NULL where the directory has no vocabulary. Where the files are both
 * kinds and say the same, vocab.json and merges.txt are taken. */
gpt2q_status directory_read_to_store(const char *directory, struct directory_texts *out, gpt2q_error *err);
void directory_free(struct directory_texts *d);
#endif
