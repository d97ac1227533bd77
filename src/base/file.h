/* Files that are read: read-only maps and whole small files. base/file_writer.h has those that are written. */
#ifndef BASE_FILE_H
#define BASE_FILE_H
#include "base/status.h"
#include <stdio.h>

struct file_map {
    const uint8_t *data; /* size bytes, page-aligned */
    size_t size;
    char *path; /* owned, for messages */
};

/* Maps a regular file, by huge pages where the system keeps files in such. A directory, a missing or an
 * unreadable file is an error that names it; an empty file maps to data = NULL, size = 0. Where the
 * file shrinks while mapped the system sends SIGBUS; base/file_maps.h tells a handler which file it was. */
gpt2q_status file_map_open(const char *path, struct file_map *out, gpt2q_error *err);
void file_map_close(struct file_map *map);
/* Hints over n mapped bytes: they will be read soon; or are done with, so that their whole pages need not
 * stay in memory (reading them again is right, only slower). */
void file_map_prefetch(const void *begin, size_t n);
void file_map_drop(const void *begin, size_t n);

/* How a sentence names a file that is read: "-" is standard input. */
const char *file_spoken_name(const char *path);
/* Reads a whole file or stream ("-": standard input) of at most `limit` bytes; *data is zero-terminated
 * beyond its n bytes and freed by the caller with mem_free. */
gpt2q_status file_read(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err);
/* The same of text: a byte order mark at its beginning is skipped, UTF-16 is refused by name. */
gpt2q_status file_read_text(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err);
/* The same of a regular file only: a file of a model. A FIFO or device is refused at once. */
gpt2q_status file_read_regular(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err);
/* False only where the system says that nothing is there. Where it cannot say, who opens the file gets the error:
 * a file that cannot be looked at is not passed over. */
bool file_exists(const char *path);
/* The same of a name, which may be a link that leads to nothing. */
bool file_name_exists(const char *path);
/* For a file that a folder may have: *present as file_name_exists. A link that leads to nothing is an error. */
gpt2q_status file_look_for(const char *path, bool *present, gpt2q_error *err);
bool file_is_directory(const char *path);
/* directory + "/" + name, for the caller to mem_free; NULL when memory is out. */
char *path_join(const char *directory, const char *name);
#endif
