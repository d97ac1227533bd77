/* The state of a run in a file, so that it can go on to the same bytes. It is a valid safetensors file
 * with the latent weights, Adam's moments, learned or kept scales, the losses so far and a checksum. Its
 * metadata holds what the run was asked for. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H
#include "model/safetensors.h"
#include "train/trainer.h"

struct train_evaluation {
    double step, nll, kl; /* kl: NaN without a teacher */
};
struct history { /* of a run; room for `steps` losses and evaluations beyond the last step's */
    double *losses;
    int n_losses;
    struct train_evaluation *evaluations;
    int n_evaluations, steps;
};
gpt2q_status history_create(struct history *h, int steps, gpt2q_error *err);
void history_free(struct history *h);

/* What a run was asked for, in words: an option or a file, and its value. */
struct run_option {
    char key[64], value[256];
};

gpt2q_status checkpoint_write(const char *path, const struct trainer *t, const struct history *h,
                              const struct run_option *options, size_t n, gpt2q_error *err);
/* Reads into a trainer and a history that were made for the same run. Another run's file is refused by
 * the first option that differs, and so is a file that is not whole. A refusal changes nothing but the
 * trainer's blocks. */
gpt2q_status checkpoint_read(const char *path, struct trainer *t, struct history *h,
                             const struct run_option *options, size_t n, gpt2q_error *err);
#endif
