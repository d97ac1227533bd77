/* Files that are written: whole at the end, or not there at all.
 *
 * A file is written under a temporary name of random letters beside it (made with O_EXCL and O_NOFOLLOW), synced, and renamed. A file that
 * is replaced keeps its mode and owner. A link is written through: what it points to is replaced. A pipe or device (/dev/null, a FIFO) and
 * what is open already ("-", /dev/stdout, /dev/fd/N) are written as they are. Temporary files vanish when a signal ends the program
 * (base/temporaries.h). src/app/outputs.h says how a command opens its outputs. */
#ifndef BASE_FILE_WRITER_H
#define BASE_FILE_WRITER_H
#include "base/status.h"
#include <stdio.h>

struct file_writer {
    FILE *stream;
    char *path;               /* as it was named, for messages; NULL: closed */
    char *target, *temporary; /* what becomes of it, and what is written: NULL for a pipe or device */
    char *buffer;             /* the stream's */
    int place;                /* among the temporaries */
    int folder;               /* the folder of the target, or -1 */
};
gpt2q_status file_writer_open(struct file_writer *w, const char *path, gpt2q_error *err);
gpt2q_status file_writer_write(struct file_writer *w, const void *data, size_t n, gpt2q_error *err);
/* Leaves the whole file, or after an error nothing; but where the folder cannot be synced the whole file is there. */
gpt2q_status file_writer_commit(struct file_writer *w, gpt2q_error *err);
/* One that is closed already is left alone. */
void file_writer_abort(struct file_writer *w);
/* Removes the temporary files of all open writers; async-signal-safe, for a program that is about to die. */
void file_writer_abort_all(void);
/* Opens, writes and commits. */
gpt2q_status file_write_whole(const char *path, const void *data, size_t n, gpt2q_error *err);

/* From now on "-" and /dev/stdout mean what standard output is now, and what the program prints goes to standard error. */
gpt2q_status file_writer_take_stdout(gpt2q_error *err);
/* The descriptor of it. */
int file_standard_output(void);

/* Makes names in the folder of `path` last: for what was made or renamed there. Or in two steps, the second of them without memory. */
gpt2q_status file_sync_folder(const char *path, gpt2q_error *err);
gpt2q_status file_folder_open(const char *path, int *fd, gpt2q_error *err);
gpt2q_status file_folder_sync(int fd, const char *path, gpt2q_error *err);

/* A folder of files that appears whole, or not at all. It is written beside its place and renamed at the end. Of a folder that was there
 * before, the files that `belongs` names are gone then; all others are in the new one, too. A folder that holds folders, or is the
 * current one, is not replaced. */
struct folder_writer {
    char *path, *target, *temporary; /* path NULL: closed */
    bool (*belongs)(const char *name);
    int place, files[32]; /* among the temporaries */
    int n_files;
    int fd; /* the folder while it is written */
    bool replaces;
};
gpt2q_status folder_writer_open(struct folder_writer *w, const char *path, bool (*belongs)(const char *name),
                                gpt2q_error *err);
/* A file in it; it is committed before the folder is. */
gpt2q_status folder_writer_file(struct folder_writer *w, const char *name, struct file_writer *out,
                                gpt2q_error *err);
gpt2q_status folder_writer_commit(struct folder_writer *w, gpt2q_error *err);
void folder_writer_abort(struct folder_writer *w);

/* PATH.partial.LETTERS, random at every call and short enough for any file system; for mem_free. */
gpt2q_status file_temporary_name(const char *path, char **out, gpt2q_error *err);
#endif
