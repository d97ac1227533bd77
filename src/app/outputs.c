#include "app/outputs.h"
#include "app/common.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "model/locate.h"
#include "model/model_files.h"
#include <string.h>
#include <unistd.h>

enum entry_kind { READ, READ_MODEL, WRITTEN, WRITTEN_FOLDER, APPENDED };

struct output_entry {
    enum entry_kind kind;
    const char *role;
    char *path; /* as it was named; owned */
    struct file_target target;
};

static bool is_written(const struct output_entry *e) { return e->kind >= WRITTEN; }

/* ---- collecting ---- */

static struct output_entry *add(struct outputs *o, enum entry_kind kind, const char *role, const char *path)
{
    if (o->error.status) return NULL;
    if (o->n == o->capacity) {
        const size_t more = o->capacity * 2 + 16;
        struct output_entry *larger = mem_grow(o->entries, o->n * sizeof *larger, more * sizeof *larger);
        if (!larger) {
            error_memory(&o->error, "a list of files", more * sizeof *larger);
            return NULL;
        }
        o->entries = larger;
        o->capacity = more;
    }
    struct output_entry *e = &o->entries[o->n];
    *e = (struct output_entry){.kind = kind, .role = role, .path = mem_strdup(path)};
    if (!e->path) {
        error_memory(&o->error, "a path", strlen(path));
        return NULL;
    }
    o->n++;
    return e;
}

static void add_descriptor(struct outputs *o, enum entry_kind kind, const char *role, int fd)
{
    struct output_entry *e = add(o, kind, role, "-");
    if (!e) return;
    e->target = (struct file_target){.kind = TARGET_DESCRIPTOR, .descriptor = fd};
    if (fstat(fd, &e->target.st)) e->target.st = (struct stat){0};
}

void outputs_read(struct outputs *o, const char *role, const char *path)
{
    gpt2q_error ignored; /* who opens it says what is wrong */
    if (!path || !strcmp(path, "-")) return;
    struct output_entry *e = add(o, READ, role, path);
    const gpt2q_status s = e ? file_target_find(path, &e->target, &ignored) : GPT2Q_OK;
    if (s == GPT2Q_OUT_OF_MEMORY) o->error = ignored;
    if (s) file_target_free(&e->target);
}

static gpt2q_status read_model_file(void *user, const char *path, gpt2q_error *err)
{
    struct outputs *o = user;
    const size_t n = o->n;
    outputs_read(o, "the model", path);
    if (o->n > n) o->entries[n].kind = READ_MODEL;
    if (o->error.status) *err = o->error;
    return o->error.status;
}

void outputs_read_model(struct outputs *o, const char *model)
{
    gpt2q_error err;
    char *path;
    if (o->error.status || model_locate(model, &path, &err)) return; /* who opens it says so */
    gpt2q_status s = file_is_directory(path) ? read_model_file(o, path, &err) : GPT2Q_OK;
    if (!s) s = model_files_each(path, read_model_file, o, &err);
    if (s && !o->error.status) o->error = err;
    mem_free(path);
}

static void add_written(struct outputs *o, enum entry_kind kind, const char *role, const char *path)
{
    struct output_entry *e = path ? add(o, kind, role, path) : NULL;
    if (e) file_target_find(path, &e->target, &o->error);
}

void outputs_write(struct outputs *o, const char *role, const char *path)
{
    add_written(o, WRITTEN, role, path);
}

void outputs_write_folder(struct outputs *o, const char *role, const char *path)
{
    add_written(o, WRITTEN_FOLDER, role, path);
}

void outputs_append(struct outputs *o, const char *role, const char *path)
{
    add_written(o, APPENDED, role, path);
}

/* ---- checking ---- */

/* A read file that could not be looked at has no path. */
static bool is_known(const struct output_entry *e)
{
    return e->target.path || e->target.kind == TARGET_DESCRIPTOR;
}

static bool is_stdout(const struct output_entry *e)
{
    return is_written(e) && e->target.kind == TARGET_DESCRIPTOR && e->target.descriptor == STDOUT_FILENO;
}

static bool collide(const struct output_entry *a, const struct output_entry *b)
{
    if (is_stdout(a) && is_stdout(b)) return true;
    return is_known(a) && is_known(b) && file_target_same(&a->target, &b->target);
}

/* A folder that is replaced must hold nothing that is written. */
static bool holds(const struct output_entry *folder, const struct output_entry *e)
{
    const struct file_target *f = &folder->target, *t = &e->target;
    return folder->kind == WRITTEN_FOLDER && f->st.st_ino && t->folder_ino == f->st.st_ino &&
           t->folder_dev == f->st.st_dev &&
           (e->kind == READ_MODEL || e->kind == WRITTEN || e->kind == APPENDED);
}

static int refuse(const struct output_entry *a, const struct output_entry *b)
{
    const char *name = is_stdout(a) ? "standard output" : a->path;
    if (b->kind == READ_MODEL && b->target.kind == TARGET_FOLDER)
        return usage_error("%s: '%s' is the folder of the model and is not replaced", a->role, a->path);
    if (b->kind == READ_MODEL)
        return usage_error("%s: '%s' is a file of the model (%s) and is not replaced", a->role, name,
                           b->path);
    if (b->kind == READ) return usage_error("%s: '%s' is also %s, which is read", a->role, name, b->role);
    if (is_stdout(a) && is_stdout(b))
        return usage_error("%s and %s both go to standard output", b->role, a->role);
    return usage_error("%s: '%s' is also what %s writes", a->role, name, b->role);
}

/* a came after b, but for what is read: that is b. */
static int check_pair(const struct output_entry *a, const struct output_entry *b)
{
    if (!is_written(a)) return is_written(b) ? check_pair(b, a) : EXIT_DONE;
    if (collide(a, b)) return refuse(a, b);
    if (holds(a, b) && b->kind == READ_MODEL)
        return usage_error("%s: '%s' holds the model (%s) and is not replaced", a->role, a->path, b->path);
    if (holds(a, b))
        return usage_error("%s: '%s' lies in the folder that %s replaces", b->role, b->path, a->role);
    if (holds(b, a))
        return usage_error("%s: '%s' lies in the folder that %s replaces", a->role, a->path, b->role);
    return EXIT_DONE;
}

static int check_writable(const struct output_entry *e)
{
    gpt2q_error err;
    struct file_target t = e->target;
    if (!is_written(e)) return EXIT_DONE;
    if (e->kind == WRITTEN_FOLDER) {
        if (t.kind != TARGET_FOLDER && t.kind != TARGET_NEW) return failure("%s: is no folder", e->path);
        t.kind = TARGET_NEW; /* it is written beside its place */
    }
    if (e->kind == APPENDED && t.kind == TARGET_FILE) t.kind = TARGET_STREAM; /* nothing is made beside it */
    return file_target_check(&t, e->path, &err) ? failed(&err) : EXIT_DONE;
}

/* "--json", or nothing but a report: what is printed is what is asked for. */
static bool is_printed(const struct output_entry *e)
{
    return !strcmp(e->role, "--json") || !strcmp(e->role, "the answers") || e->kind == APPENDED;
}

static int check(struct outputs *o)
{
    gpt2q_error err;
    bool taken = false, printed = false;
    for (size_t i = 0; i < o->n; i++) {
        taken = taken || (is_stdout(&o->entries[i]) && !is_printed(&o->entries[i]));
        printed = printed || (is_stdout(&o->entries[i]) && is_printed(&o->entries[i]));
    }
    if (!taken && !printed) add_descriptor(o, WRITTEN, "standard output", STDOUT_FILENO);
    add_descriptor(o, READ, "standard input", STDIN_FILENO);
    if (o->error.status) return failed(&o->error);
    int code = EXIT_DONE;
    for (size_t i = 0; i < o->n && !code; i++)
        for (size_t k = 0; k < i && !code; k++) code = check_pair(&o->entries[i], &o->entries[k]);
    for (size_t i = 0; i < o->n && !code; i++) code = check_writable(&o->entries[i]);
    if (!code && taken && file_writer_take_stdout(&err)) code = failed(&err);
    return code;
}

int outputs_check(struct outputs *o)
{
    const int code = check(o);
    for (size_t i = 0; i < o->n; i++) {
        file_target_free(&o->entries[i].target);
        mem_free(o->entries[i].path);
    }
    mem_free(o->entries);
    *o = (struct outputs){0};
    return code;
}
