/* Files and folders that are to vanish if the program ends before they are finished, by name, so that a handler of a signal can remove
 * them. A place is taken before the file is made. */
#ifndef BASE_TEMPORARIES_H
#define BASE_TEMPORARIES_H
#include <stdbool.h>

#define TEMPORARIES_MAX 64

/* Takes a place for the path; -1: there is none left, or the path is too long for any file. Threads may call these at once. */
int temporaries_add(const char *path, bool is_folder);
/* Gives the place back: the file is finished, or gone. -1 is ignored. */
void temporaries_forget(int place);
/* Removes the files, then the folders that are empty; async-signal-safe. Does nothing in a child of the process that took the places. */
void temporaries_remove_all(void);
#endif
