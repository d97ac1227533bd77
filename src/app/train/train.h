/* What the parts of `gpt2q train` share.
 *
 *     cmd_train.c   options and their checks
 *     start.c       where training begins: the model, the method or file, the grids, the texts
 *     request.c     what a run was asked for, which its checkpoint holds
 *     run.c         the loop: steps, evaluations, checkpoints, what is shown
 *     save.c        the .gpt2q file, the exported directory, the CSV
 *     page.c        the page with the curve */
#ifndef APP_TRAIN_H
#define APP_TRAIN_H
#include "app/method_options.h"
#include "train/checkpoint.h"

struct train_options {
    struct model_options model;
    struct method_options method; /* methods: --from */
    struct string_list texts, eval_texts;
    const char *output, *directory, *csv, *html, *checkpoint, *loss;
    int64_t steps, batch_tokens, window, warmup, eval_every, eval_tokens, checkpoint_every;
    int64_t recalibrate; /* every N steps; 0: not asked for */
    double rate, scale_rate, beta1, beta2, decay;
    bool learn_scales, resume, json;
};

#define RUN_OPTIONS_MAX 96

struct training {
    const struct train_options *o;
    const char *path;        /* of the model */
    const char *from_file;   /* --from FILE, or NULL */
    struct method_plan plan; /* else */
    bool kl;
    struct quantizer quantizer;
    struct method_run methods;            /* what the plan left */
    struct model_floats student, teacher; /* student: latent; teacher: empty where nobody asks */
    struct grids grids;
    struct trainer trainer;
    struct history history;
    struct calibration text, eval_text;
    struct run_option options[RUN_OPTIONS_MAX]; /* what a checkpoint is for */
    size_t n_options;
    double best;     /* loss so far */
    int diverged_at; /* step, or -1 */
    double diverged; /* its loss */
    bool interrupted;
    bool checkpoint_failed;     /* said once; the run goes on */
    double started_at, seconds; /* of training */
    int first_step;             /* after a resume */
    char method[448];           /* for the file's metadata */
    char *calibration;
    uint64_t file_bytes, bytes;
};

/* Each returns an exit code, after a sentence where it is not EXIT_DONE. */
int training_open(struct training *t);
int training_run(struct training *t);
int training_save(struct training *t);
void training_close(struct training *t);

/* Lists in t->options all that the result depends on. A file is listed by its content. */
int training_request(struct training *t);

/* The learning rate. Its default follows from the fewest bits that are trained. With one bit less the
 * bins are twice as wide, so weights have twice as far to go. */
double training_rate(const struct training *t);
/* "learned", "recalibrated" or "recalibrated every 10 steps". */
const char *training_scales(const struct training *t, char text[64]);
/* "books.txt", of any path. */
const char *last_part(const char *path);
/* A document on stdout. */
void training_json(const struct training *t);
int training_write_csv(const struct training *t);
int training_write_page(const struct training *t);
#endif
