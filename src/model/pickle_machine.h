/* The machine that a pickle runs on: a stack of nodes, marks in it, and a memo. torch_pickle.c has the
 * opcodes. */
#ifndef MODEL_PICKLE_MACHINE_H
#define MODEL_PICKLE_MACHINE_H
#include "model/torch_pickle.h"

struct memo_slot {
    uint32_t key, node; /* node TORCH_NOTHING: free */
};

struct pickle_machine {
    const uint8_t *at, *end, *begin;
    struct torch_pickle *out;
    uint32_t *stack; /* nodes */
    size_t n, room;
    size_t *marks; /* heights of the stack */
    size_t n_marks, marks_room;
    struct memo_slot *memo; /* by hash, a power of two of slots, at most half of them taken */
    size_t memo_slots, memo_taken;
    gpt2q_error *err;
};

/* Errors: GPT2Q_FORMAT at the byte that is read, with `what` is wrong; and memory that is out. Both return
 * their status. */
gpt2q_status pickle_broken(struct pickle_machine *m, const char *what);
gpt2q_status pickle_no_memory(struct pickle_machine *m);
/* Room for one more item of a growing array. */
bool pickle_room_for(void **items, size_t n, size_t *room, size_t size);

/* ---- the stack ---- */
gpt2q_status pickle_push_node(struct pickle_machine *m, uint32_t node);
gpt2q_status pickle_push(struct pickle_machine *m, struct torch_node node); /* a new node */
gpt2q_status pickle_push_int(struct pickle_machine *m, int64_t number);
gpt2q_status pickle_push_empty(struct pickle_machine *m,
                               enum torch_kind kind); /* tuple, list or dictionary */
/* Refuses a stack that has fewer items above its last mark. */
gpt2q_status pickle_need(struct pickle_machine *m, size_t items);
/* The item with `below` others on it. It must be of that kind. The stack must hold it (pickle_need). */
gpt2q_status pickle_top_of_kind(struct pickle_machine *m, size_t below, enum torch_kind kind,
                                struct torch_node **out);

/* ---- collections ---- */
/* Appends to a tuple or list (value TORCH_NOTHING), or to a dictionary. */
gpt2q_status pickle_append(struct pickle_machine *m, struct torch_node *to, uint32_t node, uint32_t value);
gpt2q_status pickle_mark(struct pickle_machine *m);
/* The number of items above the last mark. The mark goes. */
gpt2q_status pickle_take_marked(struct pickle_machine *m, size_t *n);
/* The n items on top become one tuple. pickle_tuple_of looks first whether they are there. */
gpt2q_status pickle_make_tuple(struct pickle_machine *m, size_t n);
gpt2q_status pickle_tuple_of(struct pickle_machine *m, size_t n);
/* The n items on top, or those above the last mark, go into the list or dictionary below them. */
gpt2q_status pickle_put_items(struct pickle_machine *m, enum torch_kind kind, size_t n);
gpt2q_status pickle_put_marked(struct pickle_machine *m, enum torch_kind kind);

/* ---- the memo: values by number ---- */
gpt2q_status pickle_memo_put(struct pickle_machine *m, uint32_t key);
gpt2q_status pickle_memo_get(struct pickle_machine *m, uint32_t key);
#endif
