#include "model/pickle_machine.h"
#include "base/memory.h"

#define MAX_DEPTH 64

/* ---- the stack ---- */

gpt2q_status pickle_broken(struct pickle_machine *m, const char *what)
{
    return error_set(m->err, GPT2Q_FORMAT, "%s: the pickle is broken at byte %zu: %s", m->out->file,
                     (size_t)(m->at - m->begin), what);
}

/* Room for one more item of a growing array. */
bool pickle_room_for(void **items, size_t n, size_t *room, size_t size)
{
    if (n < *room) return true;
    size_t more = *room ? *room * 2 : 64;
    void *grown = mem_grow(*items, n * size, more * size);
    if (!grown) return false;
    *items = grown;
    *room = more;
    return true;
}

gpt2q_status pickle_no_memory(struct pickle_machine *m)
{
    return error_memory(m->err, m->out->file, (size_t)(m->end - m->begin));
}

gpt2q_status pickle_push_node(struct pickle_machine *m, uint32_t node)
{
    if (!pickle_room_for((void **)&m->stack, m->n, &m->room, sizeof *m->stack)) return pickle_no_memory(m);
    m->stack[m->n++] = node;
    return GPT2Q_OK;
}

gpt2q_status pickle_push(struct pickle_machine *m, struct torch_node node)
{
    struct torch_pickle *p = m->out;
    if (!pickle_room_for((void **)&p->nodes, p->n_nodes, &p->nodes_room, sizeof *p->nodes))
        return pickle_no_memory(m);
    p->nodes[p->n_nodes++] = node;
    return pickle_push_node(m, (uint32_t)p->n_nodes - 1);
}

gpt2q_status pickle_push_int(struct pickle_machine *m, int64_t number)
{
    return pickle_push(m, (struct torch_node){.kind = TORCH_INT, .number = number});
}

gpt2q_status pickle_push_empty(struct pickle_machine *m, enum torch_kind kind)
{
    return pickle_push(
        m, (struct torch_node){.kind = kind, .depth = 1, .items = {TORCH_NOTHING, TORCH_NOTHING, 0}});
}

/* The number of items above the last mark. */
static size_t above_mark(const struct pickle_machine *m)
{
    return m->n - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

gpt2q_status pickle_need(struct pickle_machine *m, size_t items)
{
    return above_mark(m) >= items ? GPT2Q_OK : pickle_broken(m, "the stack is empty");
}

gpt2q_status pickle_top_of_kind(struct pickle_machine *m, size_t below, enum torch_kind kind,
                                struct torch_node **out)
{
    *out = &m->out->nodes[m->stack[m->n - 1 - below]];
    if ((*out)->kind == kind) return GPT2Q_OK;
    return pickle_broken(m, kind == TORCH_DICT   ? "a dictionary is expected"
                            : kind == TORCH_LIST ? "a list is expected"
                                                 : "a tuple is expected");
}

/* Appends to a tuple, list or dictionary. */
gpt2q_status pickle_append(struct pickle_machine *m, struct torch_node *to, uint32_t node, uint32_t value)
{
    struct torch_pickle *p = m->out;
    if (!pickle_room_for((void **)&p->cells, p->n_cells, &p->cells_room, sizeof *p->cells))
        return pickle_no_memory(m);
    uint32_t cell = (uint32_t)p->n_cells++;
    p->cells[cell] = (struct torch_cell){node, value, TORCH_NOTHING};
    if (to->items.count++)
        p->cells[to->items.last].next = cell;
    else
        to->items.first = cell;
    to->items.last = cell;
    uint8_t depth = p->nodes[node].depth;
    if (value != TORCH_NOTHING && p->nodes[value].depth > depth) depth = p->nodes[value].depth;
    if (depth >= MAX_DEPTH) return pickle_broken(m, "values lie more than 64 deep in each other");
    if (depth + 1 > to->depth) to->depth = (uint8_t)(depth + 1);
    return GPT2Q_OK;
}

/* ---- memo ---- */

static struct memo_slot *memo_slot(struct memo_slot *slots, size_t n, uint32_t key)
{
    size_t i = (size_t)(key * 2654435761u) & (n - 1);
    while (slots[i].node != TORCH_NOTHING && slots[i].key != key) i = (i + 1) & (n - 1);
    return &slots[i];
}

static gpt2q_status memo_grow(struct pickle_machine *m)
{
    size_t n = m->memo_slots ? 2 * m->memo_slots : 256;
    struct memo_slot *slots = mem_array(n, sizeof *slots);
    if (!slots) return pickle_no_memory(m);
    for (size_t i = 0; i < n; i++) slots[i].node = TORCH_NOTHING;
    for (size_t i = 0; i < m->memo_slots; i++)
        if (m->memo[i].node != TORCH_NOTHING) *memo_slot(slots, n, m->memo[i].key) = m->memo[i];
    mem_free(m->memo);
    m->memo = slots;
    m->memo_slots = n;
    return GPT2Q_OK;
}

gpt2q_status pickle_memo_put(struct pickle_machine *m, uint32_t key)
{
    gpt2q_status s = pickle_need(m, 1);
    if (!s && 2 * m->memo_taken >= m->memo_slots) s = memo_grow(m);
    if (s) return s;
    struct memo_slot *slot = memo_slot(m->memo, m->memo_slots, key);
    m->memo_taken += slot->node == TORCH_NOTHING;
    *slot = (struct memo_slot){key, m->stack[m->n - 1]};
    return GPT2Q_OK;
}

gpt2q_status pickle_memo_get(struct pickle_machine *m, uint32_t key)
{
    const struct memo_slot *slot = m->memo_slots ? memo_slot(m->memo, m->memo_slots, key) : NULL;
    if (!slot || slot->node == TORCH_NOTHING) return pickle_broken(m, "it takes a value that it never kept");
    return pickle_push_node(m, slot->node);
}

/* ---- collections ---- */

gpt2q_status pickle_mark(struct pickle_machine *m)
{
    if (!pickle_room_for((void **)&m->marks, m->n_marks, &m->marks_room, sizeof *m->marks))
        return pickle_no_memory(m);
    m->marks[m->n_marks++] = m->n;
    return GPT2Q_OK;
}

/* Counts the items above the last mark and removes the mark. */
gpt2q_status pickle_take_marked(struct pickle_machine *m, size_t *n)
{
    if (!m->n_marks) return pickle_broken(m, "there is no mark");
    *n = m->n - m->marks[--m->n_marks];
    return GPT2Q_OK;
}

gpt2q_status pickle_make_tuple(struct pickle_machine *m, size_t n)
{
    size_t first = m->n - n;
    gpt2q_status s = pickle_push_empty(m, TORCH_TUPLE);
    uint32_t tuple = s ? 0 : m->stack[m->n - 1];
    for (size_t i = 0; i < n && !s; i++)
        s = pickle_append(m, &m->out->nodes[tuple], m->stack[first + i], TORCH_NOTHING);
    if (s) return s;
    m->n = first;
    return pickle_push_node(m, tuple);
}

/* The n items on top go into the list or dictionary below them. */
gpt2q_status pickle_put_items(struct pickle_machine *m, enum torch_kind kind, size_t n)
{
    struct torch_node *to;
    size_t step = kind == TORCH_DICT ? 2 : 1;
    gpt2q_status s = pickle_need(m, n + 1);
    if (!s) s = pickle_top_of_kind(m, n, kind, &to);
    if (!s && n % step) s = pickle_broken(m, "a key without a value");
    for (size_t i = m->n - n; !s && i < m->n; i += step)
        s = pickle_append(m, to, m->stack[i], step == 2 ? m->stack[i + 1] : TORCH_NOTHING);
    if (!s) m->n -= n;
    return s;
}

gpt2q_status pickle_put_marked(struct pickle_machine *m, enum torch_kind kind)
{
    size_t n = 0;
    gpt2q_status s = pickle_take_marked(m, &n);
    return s ? s : pickle_put_items(m, kind, n);
}

gpt2q_status pickle_tuple_of(struct pickle_machine *m, size_t n)
{
    gpt2q_status s = pickle_need(m, n);
    return s ? s : pickle_make_tuple(m, n);
}
