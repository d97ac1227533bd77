/* A file that is wrong, a run that reads it, and the verdict: what the tests of test_files.c are made of. */
#ifndef TORTURE_WRONG_FILES_H
#define TORTURE_WRONG_FILES_H
#include "tests/torture/scene.h"

/* The whole of a file, for mem_free. */
char *slurp(const char *path, size_t *n);
/* A path below the scene's directory. Four results stay valid at a time. */
const char *in_scene(const char *name);

/* Counts a file of a kind. All are tried in every run: that takes about a second. */
void begin_file(const char *kind);
void complain(const char *kind, const char *what, int code, const char *said, const char *expected);
extern const char either[];
/* Runs `line`, which reads `file`. word: what the sentence must hold; NULL if the file is in order; `either` if both verdicts do. */
void expect_verdict(const char *kind, const char *what, const char *line, const char *file, const char *word);

struct edit {
    const char *from, *to; /* the first `from` becomes `to`; "": the whole text does */
    const char *word;
};
/* The text with the edit, of *m bytes, for free; NULL if it has no `from`. */
char *edited(const char *text, size_t n, struct edit e, size_t *m);
/* Makes bad/ hold links to the files of model/, and this one in the place of, or beside, them. */
void put_bad(const char *file, const void *data, size_t n);
/* The same with an edit of a good text; then `line` is run. */
void try_edit(const char *kind, const char *line, const char *file, const char *text, size_t n,
              struct edit e);

/* A cmocka test, the last one: at least 300 files of 60 kinds, and no verdict was wrong. */
void enough_was_tried(void **state);
#endif
