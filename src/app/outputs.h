/* What a command reads and writes, checked before anything is opened for writing. Every command that writes a file begins so:
 *
 *     struct outputs o = {0};
 *     outputs_read_model(&o, opt.model.model);        the files of the model; NULL is the default model
 *     outputs_read(&o, "--text", opt.text);           every other file that is read; "-" is standard input, NULL nothing
 *     outputs_write(&o, "--output", opt.output);      every file that is written; "-" is standard output, NULL nothing
 *     outputs_write_folder(&o, "--export", opt.dir);
 *     outputs_append(&o, "--log", opt.log);           a file that is written on, where it is
 *     outputs_write(&o, "--json", opt.json ? "-" : NULL);
 *     int code = outputs_check(&o);                   EXIT_DONE; else a sentence was said
 *     if (code) return code;
 *
 * and later opens each by file_writer_open(&w, opt.output, &err) (base/file_writer.h), or folder_writer_open, and ends it by commit or
 * abort. These know "-", devices, pipes and links, take temporary names, and what they write appears whole or not at all.
 *
 * outputs_check refuses, by name and with EXIT_USAGE, an output that is also an input, a file of the model, or another output: the same
 * device and inode, whatever the path; of files that are not there yet, the same folder and name. Standard input and output, where they
 * are regular files, are always among them. An output that cannot be written (a folder that is missing, no permission) is refused with
 * EXIT_FAILED. Where an output is "-", what the command prints besides goes to standard error from then on. */
#ifndef APP_OUTPUTS_H
#define APP_OUTPUTS_H
#include "base/file_target.h"

struct output_entry;
struct outputs {
    struct output_entry *entries;
    size_t n, capacity;
    gpt2q_error error; /* the first that happened while collecting */
};

/* `role` is what the user knows the file by, "--text" or "the input"; it stays the caller's until outputs_check. */
void outputs_read(struct outputs *o, const char *role, const char *path);
void outputs_read_model(struct outputs *o, const char *model);
void outputs_write(struct outputs *o, const char *role, const char *path);
void outputs_write_folder(struct outputs *o, const char *role, const char *path);
void outputs_append(struct outputs *o, const char *role, const char *path);
/* Ends the collection and frees it. */
int outputs_check(struct outputs *o);
#endif
