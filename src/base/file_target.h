/* What a path stands for that is to be written, and whether two paths are one file: by device and inode, or where there is no file yet by
 * the folder's and the name. Links are followed, those to nothing too: what is written is what a link points to. */
#ifndef BASE_FILE_TARGET_H
#define BASE_FILE_TARGET_H
#include "base/status.h"
#include <sys/stat.h>

enum file_target_kind {
    TARGET_NEW,  /* nothing is there */
    TARGET_FILE, /* a regular file */
    TARGET_FOLDER,
    TARGET_STREAM,    /* a pipe, a device, a socket: it can be written but not replaced */
    TARGET_DESCRIPTOR /* one that is open: "-", /dev/stdout, /dev/stderr, /dev/fd/N, /proc/self/fd/N */
};

struct file_target {
    enum file_target_kind kind;
    int descriptor;   /* of TARGET_DESCRIPTOR */
    char *path;       /* links followed, no slash at its end; owned */
    const char *name; /* the last part of it */
    struct stat st;   /* of what is there; not of TARGET_NEW */
    dev_t folder_dev; /* of the folder that the file is in, or will be */
    ino_t folder_ino;
};

/* A folder that is not there, or a link that leads nowhere, is an error that names the path. *out is to be freed, also on failure. */
gpt2q_status file_target_find(const char *path, struct file_target *out, gpt2q_error *err);
void file_target_free(struct file_target *t);
/* Whether both are one file. Character devices and sockets never are: /dev/null and a terminal take anything from anybody. */
bool file_target_same(const struct file_target *a, const struct file_target *b);
/* Whether the file can be written, or made: an error says why not. Nothing is made. */
gpt2q_status file_target_check(const struct file_target *t, const char *path, gpt2q_error *err);
/* The path up to its last part: "" of a plain name, else with the slash at its end. For mem_free; NULL when memory is out. */
char *path_folder(const char *path);
#endif
