/* store/cluster_detour.c -- commands that a server would not answer: where they go, and how long they wait.
 *
 *     MOVED        to the server that is named, which has the slot from now on
 *     ASK          to the server that is named, this once: it is just being given the slot
 *     TRYAGAIN     a little later, to whoever has the slot then: some of its keys are here, some there
 *     CLUSTERDOWN  a little later, as above: a slot has no master, or the servers cannot agree
 *
 * All that within the command's own deadline. A command that waits is a detour; whoever cancels it finds its slot there. */
#include "store/cluster_inner.h"

#include "base/clock.h"
#include "store/redis_ring.h"

#include <stdlib.h>

#define HOPS_MAX     5
#define PAUSE_MIN_MS 2 /* before the first try; each pause is twice as long as the last */
#define PAUSE_MAX_MS 64
#define WAITING_MAX  (8u << 20) /* bytes of commands that wait; beyond it OVERLOADED */
#define HOPELESS_MS  1000

struct detour {
    struct list link;
    struct cluster *cluster;
    struct redis_slot slot;
    struct cluster_node *to; /* NULL: whoever has its slot */
    enum redis_outcome why;
    uint64_t due_us;
};

static uint64_t deadline(const struct detour *d) { return d->slot.started_us + d->cluster->node.timeout_ms * 1000; }

/* The last thing done with it. */
static void end(struct detour *d, enum status status)
{
    struct redis_slot slot = d->slot;
    free(d);
    redis_slot_end(&slot, status, NULL);
}

/* ---- waiting */

static void on_timer(uv_timer_t *timer);

static void wake_at(struct cluster *c, uint64_t due_us)
{
    if (due_us >= c->detours.wakes_us) return;
    c->detours.wakes_us = due_us;
    uv_timer_start(&c->detours.timer, on_timer, clock_ms_until(due_us, clock_mono_us()), 0);
}

static void wait(struct detour *d)
{
    struct cluster *c = d->cluster;
    uint64_t now = clock_mono_us(), ms = PAUSE_MIN_MS << d->slot.pauses;
    size_t bytes = sdslen(d->slot.held[0]);
    bool late = now >= deadline(d);
    if (late && d->why == OUTCOME_CLUSTERDOWN) {
        c->detours.hopeless_until_us = now + HOPELESS_MS * 1000;
        cluster_judge(c);
    }
    if (late || (d->why == OUTCOME_CLUSTERDOWN && cluster_is_hopeless(c))) {
        end(d, STORE_UNAVAILABLE);
    } else if (c->detours.bytes + bytes > WAITING_MAX) {
        end(d, OVERLOADED);
    } else {
        c->detours.bytes += bytes;
        d->to = NULL;
        d->slot.hops = 0;
        if (ms < PAUSE_MAX_MS) d->slot.pauses++;
        d->due_us = now + ms * 1000;
        if (d->due_us > deadline(d)) d->due_us = deadline(d);
        list_append(&c->detours.waiting, &d->link);
        wake_at(c, d->due_us);
    }
}

bool cluster_is_hopeless(const struct cluster *c) { return clock_mono_us() < c->detours.hopeless_until_us; }

/* ---- going on */

/* The key of a command of ours: its first word but the name; a script's stands behind its hash or text, and the number of keys. */
static struct slice key_of(sds command)
{
    struct slice rest = slice_from(command, sdslen(command)), word = {NULL, 0};
    slice_cut(&rest, '\n'); /* how many words */
    for (int i = 0, last = 1; i <= last; i++) {
        slice_cut(&rest, '$');
        size_t n = strtoul(rest.p, NULL, 10);
        slice_cut(&rest, '\n');
        word = slice_from(rest.p, n);
        rest = slice_skip(rest, n);
        if (i == 0 && slice_starts(word, SLICE("EVAL"))) last = 3;
    }
    return word;
}

/* A read that nobody waits for; the owner of a write may count on it. */
static bool is_idle(const struct detour *d)
{
    return !d->slot.command && (d->slot.kind == REDIS_GET || d->slot.kind == REDIS_MGET);
}

static void go(struct detour *d)
{
    if (is_idle(d)) {
        end(d, STORE_UNAVAILABLE);
        return;
    }
    struct cluster_node *to = d->to ? d->to : cluster_owner(d->cluster, key_of(d->slot.held[0]));
    if (!to) {
        d->why = OUTCOME_CLUSTERDOWN; /* as its servers will say */
        cluster_ask_anew(d->cluster);
        wait(d);
        return;
    }
    enum status st = redis_take(to->redis, &d->slot, d->to && d->why == OUTCOME_ASK);
    if (st == PENDING) free(d);
    else end(d, st);
}

static void on_timer(uv_timer_t *timer)
{
    struct cluster *c = container_of(timer, struct cluster, detours.timer);
    struct list *waiting = &c->detours.waiting;
    uint64_t now = clock_mono_us();
    c->detours.wakes_us = UINT64_MAX;
    for (struct list *l = waiting->next, *next = l->next; l != waiting; l = next, next = l->next) {
        struct detour *d = container_of(l, struct detour, link);
        if (d->due_us > now) {
            wake_at(c, d->due_us);
            continue;
        }
        list_remove(l);
        list_append(&c->detours.due, l);
    }
    for (struct list *l; (l = list_shift(&c->detours.due));) {
        struct detour *d = container_of(l, struct detour, link);
        c->detours.bytes -= sdslen(d->slot.held[0]);
        if (now >= deadline(d)) wait(d); /* that is its end */
        else go(d);
    }
}

/* ---- what a server says */

static void count(struct cluster *c, enum redis_outcome why)
{
    if (!c->detours.counters[why]) {
        struct slice label = slice_of(redis_outcome_label(why));
        c->detours.counters[why] = metrics_counter(c->metrics, METRIC_REDIRECTIONS, &label);
    }
    counter_add(c->detours.counters[why], 1);
}

/* To the server that is named; false: there is no such server. */
static bool turn(struct detour *d, const struct cluster_node *from, const char *where)
{
    struct redis_address address;
    unsigned slot;
    if (!where || !cluster_redirection_read(slice_of(where), &from->address, &slot, &address)) return false;
    d->to = cluster_find(d->cluster, &address);
    if (!d->to) return false;
    d->to->named_us = clock_mono_us();
    if (d->why == OUTCOME_MOVED) cluster_learn(d->cluster, slot, d->to);
    return true;
}

void cluster_on_astray(void *arg, const struct redis_slot *slot, const struct redis_reply *reply)
{
    struct cluster_node *from = arg;
    struct cluster *c = from->cluster;
    struct detour *d = malloc(sizeof *d);
    if (!d) abort();
    *d = (struct detour){.cluster = c, .slot = *slot, .why = redis_outcome_of(reply->error)};
    d->slot.astray = true;
    d->slot.replied = 0;
    if (d->slot.command) d->slot.command->slot = &d->slot;
    count(c, d->why);
    if (d->why != OUTCOME_ASK && d->why != OUTCOME_TRYAGAIN) cluster_ask_anew(c);
    bool named = d->why == OUTCOME_MOVED || d->why == OUTCOME_ASK;
    if (!named || !turn(d, from, reply->where)) wait(d);
    else if (++d->slot.hops > HOPS_MAX) end(d, STORE_UNAVAILABLE);
    else go(d);
}

/* ---- life */

void cluster_detours_open(struct cluster *c)
{
    list_init(&c->detours.waiting);
    list_init(&c->detours.due);
    c->detours.wakes_us = UINT64_MAX;
    uv_timer_init(c->loop, &c->detours.timer);
}

void cluster_detours_close(struct cluster *c, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&c->detours.timer, closed);
    list_splice(&c->detours.due, &c->detours.waiting);
    for (struct list *l; (l = list_shift(&c->detours.due));)
        end(container_of(l, struct detour, link), STORE_UNAVAILABLE);
}
