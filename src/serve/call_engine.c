/* News, and the scheduler's callbacks on the engine's thread. */
#include "serve/call_parts.h"
#include "base/clock.h"
#include "openai/chat.h"
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- news ---- */

bool news_open(struct news *n)
{
    *n = (struct news){.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->taken, NULL);
    return n->event >= 0;
}

void news_close(struct news *n)
{
    if (n->event >= 0) close(n->event);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->taken);
}

/* What ends a call enlists it under the call's lock: without it the I/O thread could free the call in between. */
static void enlist(struct call *call)
{
    struct news *n = call->host->news;
    pthread_mutex_lock(&n->lock);
    if (!call->in_news) {
        call->in_news = true;
        call->next_news = n->first;
        n->first = call;
    }
    pthread_mutex_unlock(&n->lock);
}

static void give_way(struct news *n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(NEWS_PATIENCE_S * 1e9);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (n->told && !pthread_cond_timedwait(&n->taken, &n->lock, &until)) continue;
}

void news_tell(struct news *n)
{
    pthread_mutex_lock(&n->lock);
    if (n->told) give_way(n);
    bool tell = n->first && !n->told;
    if (tell) n->told = true;
    pthread_mutex_unlock(&n->lock);
    if (tell) eventfd_write(n->event, 1);
}

struct call *news_take(struct news *n)
{
    eventfd_t count;
    eventfd_read(n->event, &count);
    pthread_mutex_lock(&n->lock);
    struct call *all = n->first;
    n->first = NULL;
    n->told = false;
    pthread_cond_signal(&n->taken);
    pthread_mutex_unlock(&n->lock);
    return all;
}

struct call *news_strike(struct news *n, struct call *c)
{
    pthread_mutex_lock(&n->lock);
    struct call *next = c->next_news;
    c->in_news = false;
    pthread_mutex_unlock(&n->lock);
    return next;
}

/* ---- what the scheduler calls: the engine's thread ---- */

static struct call_sample *sample_of(struct call_prompt *p, int32_t sample)
{
    return &p->call->samples[p->index * (size_t)p->call->request.request.n_samples + (size_t)sample];
}

static void on_prefill(void *user, uint64_t request, int32_t sample, const int32_t *ids, size_t n,
                       size_t done)
{
    struct call_prompt *p = user;
    struct call *c = p->call;
    (void)request;
    pthread_mutex_lock(&c->lock);
    if (c->streams && !c->left) openai_stream_prompt(&sample_of(p, sample)->stream, ids, n);
    c->prefill_done = done;
    c->prefill_total = n;
    pthread_mutex_unlock(&c->lock);
}

static void note_token(struct call *c, struct call_sample *s)
{
    double now = clock_seconds();
    if (s->token_at > 0) histogram_add(&c->lane->fresh.inter_token, HISTOGRAM_SECONDS, now - s->token_at);
    s->token_at = now;
    c->n_made++;
    if (c->first_token_at <= 0) c->first_token_at = now;
}

static void on_token(void *user, uint64_t request, int32_t sample, const gpt2q_position *position)
{
    struct call_prompt *p = user;
    struct call_sample *s = sample_of(p, sample);
    (void)request;
    pthread_mutex_lock(&p->call->lock);
    note_token(p->call, s);
    if (p->call->streams && !p->call->left) openai_stream_token(&s->stream, position);
    pthread_mutex_unlock(&p->call->lock);
    if (p->call->streams) enlist(p->call);
}

static void on_text(void *user, uint64_t request, int32_t sample, const char *text, size_t n)
{
    struct call_prompt *p = user;
    (void)request;
    pthread_mutex_lock(&p->call->lock);
    if (!p->call->left) openai_stream_text(&sample_of(p, sample)->stream, text, n);
    pthread_mutex_unlock(&p->call->lock);
}

static void later(double *longest, double s)
{
    if (s * 1e3 > *longest) *longest = s * 1e3;
}

static void add_numbers(struct call *c, int32_t sample, const gpt2q_result *r)
{
    struct openai_timings *t = &c->timings;
    if (sample == 0) {
        c->usage.prompt_tokens += r->n_prompt;
        c->usage.cached_tokens += r->n_cached;
        t->prompt_n += r->n_prompt;
        t->cached_n += r->n_cached;
    }
    c->usage.completion_tokens += r->n_ids;
    t->predicted_n += r->n_ids;
    t->steps += r->n_steps;
    t->proposed_n += r->n_proposed;
    t->accepted_n += r->n_accepted;
    later(&t->queue_ms, r->queued_s);
    later(&t->prefill_ms, r->n_ids ? r->prefill_s : r->prefill_s + r->decode_s);
    later(&t->decode_ms, r->n_ids ? r->decode_s : 0);
}

static void take_result(struct call_prompt *p, int32_t sample, const gpt2q_result *r)
{
    struct call *c = p->call;
    struct call_sample *s = sample_of(p, sample);
    bool ok = true;
    if (r->finish == GPT2Q_FINISH_ERROR) {
        if (!c->error.code) openai_error_of(&c->error, &r->error);
    } else if (r->finish == GPT2Q_FINISH_CANCELLED || c->left) {
        return;
    } else if (c->streams) {
        openai_stream_end(&s->stream, r);
    } else if (c->chat) {
        ok = openai_chat_choice_make(&s->choice, c->lane->model, &c->request, sample, r);
    } else {
        ok = openai_choice_make(&s->choice, c->lane->model, &c->request, p->index, sample, r);
    }
    if (!ok && !c->error.code)
        openai_error_set(&c->error, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL,
                         "out of memory: an answer does not fit");
}

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    struct call_prompt *p = user;
    struct call *c = p->call;
    (void)request;
    pthread_mutex_lock(&c->lock);
    add_numbers(c, sample, r);
    take_result(p, sample, r);
    c->finish = r->finish;
    c->free_after = gpt2q_scheduler_get_stats(c->lane->scheduler).steps;
    c->n_ended++;
    enlist(c);
    pthread_mutex_unlock(&c->lock);
}

void calls_fail(struct lane *lane, const gpt2q_error *why)
{
    for (struct call *c = lane->live; c; c = c->next_live) {
        pthread_mutex_lock(&c->lock);
        if (!c->error.code) {
            openai_error_of(&c->error, why);
            if (why->status != GPT2Q_OUT_OF_MEMORY) c->error.code = "internal";
        }
        c->finish = GPT2Q_FINISH_ERROR;
        c->n_ended = c->n_samples;
        enlist(c);
        pthread_mutex_unlock(&c->lock);
    }
}

gpt2q_request call_scheduler_request(struct call *c, size_t i)
{
    gpt2q_request r = c->request.request;
    const struct prompt *p = &c->request.prompts[i];
    r.prompt = p->text;
    r.prompt_len = p->n;
    r.ids = c->prompts[i].ids ? c->prompts[i].ids : p->ids;
    r.n_ids = c->prompts[i].ids ? c->prompts[i].n_ids : p->n_ids;
    r.on_prefill = on_prefill;
    r.on_token = on_token;
    r.on_text = c->streams ? on_text : NULL;
    r.on_end = on_end;
    r.user = &c->prompts[i];
    return r;
}
