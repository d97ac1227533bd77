#include "tests/torture/faults.h"
#include "base/memory.h"
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 64

/* ---- the child ---- */

static void open_as(int fd, const char *path, int flags)
{
    close(fd);
    if (!path) return;
    int got = open(path, flags, 0644);
    if (got != fd && got >= 0) dup2(got, fd), close(got);
}

static int split(char *line, char **words)
{
    int n = 0;
    char *to = line;
    for (char *p = line; *p;) {
        while (*p == ' ') p++;
        if (!*p) break;
        if (n == MAX_WORDS - 1) abort();
        words[n++] = to;
        for (; *p && *p != ' '; p++) *to++ = *p == '\\' && p[1] ? *++p : *p;
        if (*p) p++;
        *to++ = '\0';
    }
    words[n] = NULL;
    return n;
}

static void enter(const char *directory, struct streams s)
{
    if (chdir(directory)) _exit(99);
    open_as(STDIN_FILENO, s.in, O_RDONLY);
    open_as(STDOUT_FILENO, s.out, O_WRONLY | O_CREAT | O_TRUNC);
    open_as(STDERR_FILENO, s.error, O_WRONLY | O_CREAT | O_TRUNC);
    struct rlimit files = {(rlim_t)s.descriptors, (rlim_t)s.descriptors},
                  bytes = {(rlim_t)s.file_bytes, (rlim_t)s.file_bytes};
    if ((s.descriptors && setrlimit(RLIMIT_NOFILE, &files)) ||
        (s.file_bytes && setrlimit(RLIMIT_FSIZE, &bytes)))
        _exit(97);
}

_Noreturn static void be_program(const char *line)
{
    char copy[4096], *words[MAX_WORDS];
    snprintf(copy, sizeof copy, "gpt2q %s", line);
    int n = split(copy, words);
    exit(gpt2q_main(n, words));
}

pid_t start_program(const char *directory, const char *line, struct streams s)
{
    fflush(NULL);
    pid_t child = fork();
    if (child) return child;
    enter(directory, s);
    be_program(line);
}

/* LLVM's OpenMP runtime names a piece of shared memory after its process. Of a process that ends at the wrong moment an
   empty piece stays, and a later process with the same number ends with SIGBUS when it reads that. */
static void remove_traces(pid_t child)
{
    char name[64];
    snprintf(name, sizeof name, "/__KMP_REGISTERED_LIB_%d_%d", (int)child, (int)getuid());
    shm_unlink(name);
}

int wait_for_end(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    remove_traces(child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- allocations ---- */

/* Counted in memory that the test sees, too: a child may die. */
static struct counts {
    _Atomic long mallocs, allocations;
} * counts;
static _Atomic long malloc_to_fail = -1;
static _Atomic bool counting;

/* A sanitizer has a malloc of its own; gcc and clang say differently that there is one. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__GLIBC__) && !defined(SANITIZED)
#define OWN_MALLOC 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static bool refused(void)
{
    if (!counting) return false;
    long n = counts->mallocs++;
    if (n != malloc_to_fail) return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) { return refused() ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return refused() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return refused() ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t align, size_t n) { return refused() ? NULL : __libc_memalign(align, n); }
void *memalign(size_t align, size_t n) { return refused() ? NULL : __libc_memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n)
{
    if (refused()) return ENOMEM;
    void *got = __libc_memalign(align, n);
    if (!got) return ENOMEM;
    *p = got;
    return 0;
}
#endif

bool can_fail_malloc(void)
{
#ifdef OWN_MALLOC
    return true;
#else
    return false;
#endif
}

static void count_at_end(void) { counts->allocations = (long)mem_count(); }

static void prepare_allocations(struct fault fault)
{
    counts->mallocs = counts->allocations = 0;
    if (fault.kind == FAULT_ALLOCATION) {
        atexit(count_at_end);
        if (fault.at >= 0) mem_fail_one(fault.at);
    }
    if (fault.kind == FAULT_MALLOC) {
        malloc_to_fail = fault.at;
        counting = true;
    }
}

static struct outcome run_untraced(const char *directory, const char *line, struct streams s,
                                   struct fault fault, unsigned seconds)
{
    struct outcome o = {.fd = -1};
    if (!counts) {
        counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(counts != MAP_FAILED);
    }
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        enter(directory, s);
        alarm(seconds);
        prepare_allocations(fault);
        be_program(line);
    }
    o.code = wait_for_end(child);
    o.hung = o.code == 128 + SIGALRM;
    o.n = fault.kind == FAULT_MALLOC ? counts->mallocs : counts->allocations;
    snprintf(o.at, sizeof o.at, "allocation %ld", fault.at);
    return o;
}

/* ---- system calls ---- */

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

/* The calls, the error each may have, and what else can happen to it. */
enum { INTERRUPTED = 1, SHORTENED = 2, FILLS = 4, DESCRIPTOR = 8, REMOVES = 16 };
static const struct call {
    long number;
    const char *name;
    int error, flags;
} calls[] = {
#define CALL(name, error, flags)                                                                             \
    {                                                                                                        \
        SYS_##name, #name, error, flags                                                                      \
    }
#ifdef __x86_64__
    CALL(open, EMFILE, INTERRUPTED),
    CALL(stat, EACCES, 0),
    CALL(lstat, EACCES, 0),
    CALL(access, EACCES, 0),
    CALL(rename, EIO, FILLS),
    CALL(unlink, EIO, REMOVES),
    CALL(mkdir, ENOSPC, FILLS),
    CALL(rmdir, EIO, REMOVES),
    CALL(readlink, EACCES, 0),
    CALL(pipe, EMFILE, 0),
    CALL(poll, ENOMEM, INTERRUPTED),
    CALL(link, EIO, FILLS),
    CALL(symlink, EIO, FILLS),
    CALL(chmod, EPERM, 0),
    CALL(dup2, EMFILE, 0),
#endif
    CALL(openat, EMFILE, INTERRUPTED),
    CALL(read, EIO, INTERRUPTED | SHORTENED | DESCRIPTOR),
    CALL(pread64, EIO, INTERRUPTED | SHORTENED | DESCRIPTOR),
    CALL(readv, EIO, DESCRIPTOR),
    CALL(write, EIO, INTERRUPTED | SHORTENED | FILLS | DESCRIPTOR),
    CALL(pwrite64, EIO, INTERRUPTED | SHORTENED | FILLS | DESCRIPTOR),
    CALL(writev, EIO, FILLS | DESCRIPTOR),
    CALL(close, EIO, DESCRIPTOR),
    CALL(fstat, EIO, DESCRIPTOR),
    CALL(newfstatat, EACCES, 0),
    CALL(statx, EACCES, 0),
    CALL(lseek, EIO, DESCRIPTOR),
    CALL(mmap, ENOMEM, 0),
    CALL(munmap, ENOMEM, 0),
    CALL(mremap, ENOMEM, 0),
    CALL(mprotect, ENOMEM, 0),
    CALL(madvise, EIO, 0),
    CALL(fsync, EIO, FILLS | DESCRIPTOR),
    CALL(fdatasync, EIO, FILLS | DESCRIPTOR),
    CALL(ftruncate, EIO, INTERRUPTED | FILLS | DESCRIPTOR),
    CALL(fallocate, EOPNOTSUPP, FILLS | DESCRIPTOR),
    CALL(renameat, EIO, FILLS),
    CALL(renameat2, EIO, FILLS),
    CALL(unlinkat, EIO, REMOVES),
    CALL(mkdirat, ENOSPC, FILLS),
    CALL(linkat, EIO, FILLS),
    CALL(symlinkat, EIO, FILLS),
    CALL(readlinkat, EACCES, 0),
    CALL(faccessat, EACCES, 0),
    CALL(fchmod, EPERM, DESCRIPTOR),
    CALL(fchown, EPERM, DESCRIPTOR),
    CALL(getdents64, EIO, DESCRIPTOR),
    CALL(fcntl, EINVAL, DESCRIPTOR),
    CALL(ioctl, ENOTTY, DESCRIPTOR),
    CALL(dup, EMFILE, DESCRIPTOR),
    CALL(dup3, EMFILE, DESCRIPTOR),
    CALL(pipe2, EMFILE, 0),
    CALL(flock, ENOLCK, INTERRUPTED | DESCRIPTOR),
    CALL(getrandom, ENOSYS, INTERRUPTED),
    CALL(ppoll, ENOMEM, INTERRUPTED),
    CALL(clone, EAGAIN, 0),
    CALL(sysinfo, EPERM, 0),
    CALL(sched_getaffinity, EPERM, 0),
    CALL(prlimit64, EPERM, 0),
    CALL(rt_sigaction, EINVAL, 0),
    CALL(copy_file_range, EXDEV, INTERRUPTED | FILLS),
#ifdef SYS_clone3
    CALL(clone3, EAGAIN, 0),
#endif
#ifdef SYS_faccessat2
    CALL(faccessat2, EACCES, 0),
#endif
};
#define N_CALLS (sizeof calls / sizeof *calls)

static int install_filter(void)
{
    struct sock_filter code[2 * N_CALLS + 2], *p = code;
    *p++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < N_CALLS; i++) {
        *p++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1);
        *p++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | (unsigned)i);
    }
    *p++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)(p - code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* The registers of a stopped call. */
struct registers {
#ifdef __x86_64__
    struct user_regs_struct r;
#else
    struct user_pt_regs r;
#endif
    struct iovec io;
};
static bool get_registers(pid_t t, struct registers *g)
{
    g->io = (struct iovec){&g->r, sizeof g->r};
    return ptrace(PTRACE_GETREGSET, t, (void *)NT_PRSTATUS, &g->io) == 0;
}
#ifdef __x86_64__
#define ARGUMENT_0(g) ((g)->r.rdi)
#define ARGUMENT_2(g) ((g)->r.rdx)
static void answer_instead(pid_t t, struct registers *g, int error)
{
    g->r.orig_rax = (unsigned long long)-1;
    g->r.rax = (unsigned long long)-(long long)error;
    ptrace(PTRACE_SETREGSET, t, (void *)NT_PRSTATUS, &g->io);
}
#else
#define ARGUMENT_0(g) ((g)->r.regs[0])
#define ARGUMENT_2(g) ((g)->r.regs[2])
static void answer_instead(pid_t t, struct registers *g, int error)
{
    int none = -1;
    struct iovec io = {&none, sizeof none};
    ptrace(PTRACE_SETREGSET, t, (void *)NT_ARM_SYSTEM_CALL, &io);
    g->r.regs[0] = (unsigned long long)-(long long)error;
    ptrace(PTRACE_SETREGSET, t, (void *)NT_PRSTATUS, &g->io);
}
#endif

/* Does to the call what the fault says; false where this call knows no such fault. */
static bool change(pid_t child, pid_t t, const struct call *c, struct registers *g, struct fault fault)
{
    switch (fault.kind) {
    case FAULT_ERROR: answer_instead(t, g, c->error); return true;
    case FAULT_INTERRUPT:
        if (!(c->flags & INTERRUPTED)) return false;
        answer_instead(t, g, EINTR);
        return true;
    case FAULT_SHORT:
        if (!(c->flags & SHORTENED) || ARGUMENT_2(g) < 2) return false;
        ARGUMENT_2(g) = ARGUMENT_2(g) / 2;
        ptrace(PTRACE_SETREGSET, t, (void *)NT_PRSTATUS, &g->io);
        return true;
    case FAULT_FULL:
        if (!(c->flags & FILLS) || (c->flags & DESCRIPTOR && ARGUMENT_0(g) <= STDERR_FILENO)) return false;
        answer_instead(t, g, ENOSPC);
        return true;
    case FAULT_SIGNAL: kill(child, fault.value); return true;
    default: return false;
    }
}

static void meet(pid_t child, pid_t t, unsigned long index, struct fault fault, struct outcome *o)
{
    struct registers g;
    long n = o->n++;
    bool it = fault.kind == FAULT_FULL ? n >= fault.at : n == fault.at;
    if (index < N_CALLS && calls[index].number == SYS_fsync) o->synced++;
    if (!it || index >= N_CALLS || !get_registers(t, &g)) return;
    const struct call *c = &calls[index];
    if (!change(child, t, c, &g, fault) || o->at[0]) return;
    snprintf(o->at, sizeof o->at, "%s(%lld, ..), call %ld", c->name, (long long)ARGUMENT_0(&g), n);
    o->fd = c->flags & DESCRIPTOR ? (int)ARGUMENT_0(&g) : -1;
    o->undoing = c->flags & REMOVES;
}

static void follow(pid_t child, struct fault fault, struct outcome *o)
{
    int status;
    for (pid_t t; (t = waitpid(-1, &status, __WALL)) >= 0 || errno == EINTR;) {
        if (t < 0) continue;
        if (!WIFSTOPPED(status)) {
            if (t == child) o->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int event = status >> 16, pass_on = 0;
        if (event == PTRACE_EVENT_SECCOMP) {
            unsigned long index = N_CALLS;
            ptrace(PTRACE_GETEVENTMSG, t, NULL, &index);
            meet(child, t, index, fault, o);
        } else if (!event) {
            pass_on = WSTOPSIG(status);
        }
        ptrace(PTRACE_CONT, t, NULL, (void *)(intptr_t)pass_on);
    }
    remove_traces(child);
}

static struct outcome run_traced(const char *directory, const char *line, struct streams s,
                                 struct fault fault, unsigned seconds)
{
    struct outcome o = {.code = -1, .fd = -1};
    int go[2];
    assert_int_equal(pipe(go), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char c;
        if (read(go[0], &c, 1) != 1) _exit(99);
        close(go[0]);
        close(go[1]);
        enter(directory, s);
        alarm(seconds);
        if (install_filter()) _exit(98);
        be_program(line);
    }
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, child, NULL, (void *)options)) {
        kill(child, SIGKILL);
        wait_for_end(child);
        o.code = 98;
    } else {
        assert_int_equal(write(go[1], "g", 1), 1);
        follow(child, fault, &o);
    }
    close(go[0]);
    close(go[1]);
    o.hung = o.code == 128 + SIGALRM;
    return o;
}
#else
static struct outcome run_traced(const char *directory, const char *line, struct streams s,
                                 struct fault fault, unsigned seconds)
{
    (void)directory, (void)line, (void)s, (void)fault, (void)seconds;
    return (struct outcome){.code = 98};
}
#endif

bool can_trace(void)
{
    struct streams s = {"/dev/null", "/dev/null", "/dev/null", 0, 0};
    return run_traced("/", "help --commands", s, (struct fault){FAULT_NONE, 0, 0}, HANG_SECONDS).code == 0;
}

struct outcome run_with(const char *directory, const char *line, struct streams s, struct fault fault)
{
    bool traced = fault.kind != FAULT_ALLOCATION && fault.kind != FAULT_MALLOC;
    struct outcome o = (traced ? run_traced : run_untraced)(directory, line, s, fault, HANG_SECONDS);
    /* A machine that is busy with other things makes nobody hang: only who does not end in a minute, either,
     * does. */
    if (o.hung) o = (traced ? run_traced : run_untraced)(directory, line, s, fault, 12 * HANG_SECONDS);
    return o;
}
