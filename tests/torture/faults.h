/* Running the program with one thing that goes wrong: a system call that fails or does half of what it was
 * asked, a signal at a system call, an allocation that fails.
 *
 * The program runs in a child of the test, its main() called as gpt2q_main. A filter (seccomp) stops the
 * child at every system call that may fail in life; the test counts these calls (ptrace) and changes one. So
 * whatever makes the call is met: the program, the C library, the OpenMP runtime. Linux on x86-64 and
 * AArch64; elsewhere, and where a system does not let a process be traced, can_trace() is false. */
#ifndef TORTURE_FAULTS_H
#define TORTURE_FAULTS_H
#include "tests/support.h"
#include <stdbool.h>
#include <sys/types.h>

enum fault_kind {
    FAULT_NONE,       /* counts system calls */
    FAULT_ERROR,      /* call number `at` fails with an error that this call may have */
    FAULT_INTERRUPT,  /* with EINTR, where it may */
    FAULT_SHORT,      /* reads or writes half of what it was asked, at least a byte */
    FAULT_FULL,       /* it and all that follow find the disk full */
    FAULT_SIGNAL,     /* `value` is sent before it */
    FAULT_ALLOCATION, /* allocation number `at` of base/memory.h fails; system calls are left alone */
    FAULT_MALLOC      /* the same of malloc, whoever calls it */
};
struct fault {
    enum fault_kind kind;
    long at; /* from 0 */
    int value;
};

struct outcome {
    int code;     /* the exit code; 128 + the signal that ended it */
    bool hung;    /* it took more than HANG_SECONDS */
    long n;       /* calls, or allocations, that were counted; of children these are lost unless traced */
    char at[64];  /* the call that was changed, and its first argument; "" where none was */
    int fd;       /* this argument where it is a descriptor, else -1 */
    long synced;  /* calls of fsync */
    bool undoing; /* the call was one that removes a file */
};
#define HANG_SECONDS 5

/* The program's main(). */
int gpt2q_main(int argc, char **argv);

bool can_trace(void);
/* Runs `line` (words between blanks; "a\\ b" is one word) in `directory`, standard streams being the files
 * in, out and error (NULL: closed; names are relative to the directory). */
struct streams {
    const char *in, *out, *error;
    int descriptors; /* RLIMIT_NOFILE; 0: as it is */
    long file_bytes; /* RLIMIT_FSIZE; 0: as it is */
};
struct outcome run_with(const char *directory, const char *line, struct streams s, struct fault fault);
/* Starts it without a fault, for whoever sends signals at times of its own. */
pid_t start_program(const char *directory, const char *line, struct streams s);
/* The exit code, 128 + a signal. */
int wait_for_end(pid_t child);
/* In a child: what malloc does from now on. A no-op with a sanitizer, whose malloc stays. */
bool can_fail_malloc(void);
#endif
