/* store/cluster.c -- the servers of a cluster, who has which slot, and how we know.
 *
 * A round asks one server after the other for the map until one has a good answer: those that are up, in any order, then the seeds. Rounds are a second
 * apart at least. A server that has no slots and nothing under way is let go; so a killed master leaves when the map names another in its place. */
#include "store/cluster_inner.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

#define ROUND_MS     1000  /* between the beginnings of two, at least */
#define ROUND_MAX_MS 15000 /* ... and at most */
#define NAMED_MS     10000 /* a server without slots is kept as long as servers send us there */
#define NODES_MAX    (CLUSTER_MASTERS_MAX + REDIS_ADDRESSES_MAX)
#define INFLIGHT_MAX 4096 /* commands at one server, of which there may be many */

/* Below n, by chance. */
static uint64_t draw(struct cluster *c, uint64_t n)
{
    uint64_t salt[] = {(uintptr_t)c, c->draws++};
    return hash_seeded(slice_from(salt, sizeof salt)) % n;
}

#define EACH_NODE(c, node)                                                                                             \
    struct cluster_node *node = container_of((c)->nodes.next, struct cluster_node, link);                              \
    &node->link != &(c)->nodes;                                                                                        \
    node = container_of(node->link.next, struct cluster_node, link)

/* ---- what it comes to */

void cluster_judge(struct cluster *c)
{
    unsigned slots = 0, masters = 0;
    for (EACH_NODE(c, node)) {
        masters += node->slots > 0;
        if (redis_up(node->redis)) slots += node->slots;
    }
    counter_set(c->slots, slots);
    counter_set(c->masters, masters);
    counter_set(c->up, slots == CLUSTER_SLOTS && !cluster_is_hopeless(c));
}

bool cluster_up(const struct cluster *c) { return atomic_load_explicit(&c->up->v, memory_order_relaxed) != 0; }

/* ---- servers */

static void on_turned(void *arg, bool up)
{
    struct cluster_node *node = arg;
    if (node->cluster->closing || !node->redis) return; /* it may fail while it is opened */
    if (!up) cluster_ask_anew(node->cluster);           /* who has its slots; and without any it is let go */
    cluster_judge(node->cluster);
}

struct cluster_node *cluster_find(struct cluster *c, const struct redis_address *address)
{
    static const struct redis_router router = {.astray = cluster_on_astray, .turned = on_turned};
    for (EACH_NODE(c, node))
        if (redis_address_eq(&node->address, address)) return node;
    if (c->nodes_n == NODES_MAX) return NULL;
    struct cluster_node *node = calloc(1, sizeof *node);
    if (!node) abort();
    node->cluster = c;
    node->address = c->node.address[0] = *address;
    if (c->roster) roster_add(c->roster, address);
    node->redis = redis_open_routed(c->loop, &c->node, &router, node, c->metrics);
    list_append(&c->nodes, &node->link);
    c->nodes_n++;
    c->handles++;
    return node;
}

static void on_handle_closed(struct cluster *c)
{
    if (--c->handles > 0) return;
    void (*closed)(void *) = c->closed;
    void *arg = c->closed_arg;
    free(c->map);
    free(c);
    if (closed) closed(arg);
}

static void on_node_closed(void *arg)
{
    struct cluster_node *node = arg;
    struct cluster *c = node->cluster;
    free(node);
    on_handle_closed(c);
}

static void let_go(struct cluster_node *node)
{
    list_remove(&node->link);
    node->cluster->nodes_n--;
    if (node->cluster->roster) roster_drop(node->cluster->roster, &node->address);
    redis_close(node->redis, on_node_closed, node);
}

/* Has a server sent us there lately, and is it there? The near cache waits for whom we keep, so it must not be one that has died since. */
static bool is_named(const struct cluster_node *node)
{
    return node->named_us && clock_mono_us() - node->named_us < NAMED_MS * 1000 &&
           (redis_up(node->redis) || redis_is_connecting(node->redis));
}

/* Lets go whom nobody needs any more. */
static void sweep(struct cluster *c)
{
    for (struct list *l = c->nodes.next, *next = l->next; l != &c->nodes; l = next, next = l->next) {
        struct cluster_node *node = container_of(l, struct cluster_node, link);
        if (node->slots == 0 && !is_named(node) && redis_is_idle(node->redis)) let_go(node);
    }
}

/* ---- the map */

static void set_owner(struct cluster *c, unsigned slot, struct cluster_node *node)
{
    struct cluster_node *before = c->owner[slot];
    if (before) before->slots--;
    if (node) node->slots++;
    c->covered += (node != NULL) - (before != NULL);
    c->owner[slot] = node;
}

void cluster_learn(struct cluster *c, unsigned slot, struct cluster_node *node)
{
    set_owner(c, slot, node);
    cluster_judge(c);
}

/* Makes what has been read ours. */
static void adopt(struct cluster *c)
{
    struct cluster_node *masters[CLUSTER_MASTERS_MAX];
    unsigned moved = 0;
    for (unsigned i = 0; i < c->map->masters; i++) masters[i] = cluster_find(c, &c->map->master[i]);
    for (unsigned slot = 0; slot < CLUSTER_SLOTS; slot++) {
        uint16_t owner = c->map->owner[slot];
        struct cluster_node *node = owner == CLUSTER_NOBODY ? NULL : masters[owner];
        moved += node != c->owner[slot];
        set_owner(c, slot, node);
    }
    if (moved)
        log_info("cluster map", LOG_TEXT("store", c->name), LOG_NUMBER("masters", c->map->masters),
                 LOG_NUMBER("slots", c->covered), LOG_NUMBER("moved", moved));
    c->known = true;
    sweep(c);
    cluster_judge(c);
}

/* ---- asking for it */

static void on_refresh(uv_timer_t *timer);

static void ask_at(struct cluster *c, uint64_t due_us)
{
    c->due_us = due_us;
    uv_timer_start(&c->refresh, on_refresh, clock_ms_until(due_us, clock_mono_us()), 0);
}

/* As soon as may be: not all gateways at the same time. */
static uint64_t soon(struct cluster *c)
{
    uint64_t earliest = c->begun_us + ROUND_MS * 1000, now = clock_mono_us();
    return (earliest > now ? earliest : now) + draw(c, 50000);
}

void cluster_ask_anew(struct cluster *c)
{
    if (c->closing) return;
    c->doubts = true;
    uint64_t due = soon(c);
    if (!c->asking && due < c->due_us) ask_at(c, due);
}

static void end_round(struct cluster *c, bool good)
{
    c->asking = false;
    counter_add(c->refreshes[good], 1);
    if (!good && !c->told) log_warn("no server of the cluster says who has which slot", LOG_TEXT("store", c->name));
    c->told = !good;
    bool settled = good && !c->doubts && !cluster_is_hopeless(c);
    ask_at(c, settled ? c->begun_us + ROUND_MAX_MS * 1000 - draw(c, ROUND_MAX_MS * 250) : soon(c));
}

static struct cluster_node *choose(struct cluster *c)
{
    struct cluster_node *chosen = NULL;
    uint64_t n = 0;
    for (EACH_NODE(c, node))
        if (redis_up(node->redis) && node->round != c->round && draw(c, ++n) == 0) chosen = node;
    while (!chosen && c->seed < c->config.addresses) {
        chosen = cluster_find(c, &c->config.address[c->seed++]);
        if (chosen && chosen->round == c->round) chosen = NULL;
    }
    return chosen;
}

static void on_answer(struct redis_command *question, enum status status, struct blob *said);

static void ask_next(struct cluster *c)
{
    while ((c->asked = choose(c))) {
        c->asked->round = c->round;
        if (redis_slots(c->asked->redis, &c->question, on_answer) == PENDING) return;
    }
    end_round(c, false);
}

/* A server that knows of no slots is none of the cluster, or not yet; what we know is better. */
static bool is_good(struct cluster *c, struct slice said)
{
    struct buffer nodes = {.p = (char *)said.p, .n = said.n};
    const char *fault = said.n ? cluster_map_read(c->map, &nodes, &c->asked->address) : "an answer too long";
    if (!fault && c->map->covered == 0) fault = "it has no slots";
    if (!fault) return true;
    if (c->told) return false;
    char where[REDIS_ADDRESS_TEXT];
    redis_address_print(&c->asked->address, where, sizeof where);
    log_warn("cluster map refused", LOG_TEXT("store", c->name), LOG_TEXT("server", where), LOG_TEXT("why", fault));
    return false;
}

static void on_answer(struct redis_command *question, enum status status, struct blob *said)
{
    struct cluster *c = container_of(question, struct cluster, question);
    bool good = !c->closing && status == OK && is_good(c, blob_slice(said));
    blob_unref(said);
    if (c->closing) return;
    if (good) {
        end_round(c, true);
        adopt(c); /* it may let go of whom we have asked */
    } else {
        ask_next(c);
    }
}

static void on_refresh(uv_timer_t *timer)
{
    struct cluster *c = container_of(timer, struct cluster, refresh);
    c->begun_us = clock_mono_us();
    c->due_us = UINT64_MAX;
    c->asking = true;
    c->doubts = false;
    c->round++;
    c->seed = 0;
    sweep(c);
    ask_next(c);
}

/* ---- asking them */

struct cluster_node *cluster_owner(struct cluster *c, struct slice key) { return c->owner[cluster_slot(key)]; }

struct redis *cluster_node(struct cluster *c, struct slice key)
{
    if (c->closing) return NULL;
    struct cluster_node *node = cluster_owner(c, key);
    if (!node && !c->known)
        node = c->asked; /* it knows better; the command may wait for the greeting with our question */
    bool may_answer = node && (redis_up(node->redis) || redis_is_connecting(node->redis));
    if (!may_answer) cluster_ask_anew(c); /* another may have its slots by now */
    return node ? node->redis : NULL;
}

/* ---- life */

struct cluster *cluster_open(uv_loop_t *loop, const struct redis_config *config, struct roster *roster,
                             struct metrics *metrics)
{
    struct cluster *c = calloc(1, sizeof *c);
    if (!c || !(c->map = malloc(sizeof *c->map))) abort();
    assert(config->topology == REDIS_CLUSTER && config->addresses > 0);
    c->loop = loop;
    c->roster = roster;
    c->metrics = metrics;
    c->config = c->node = *config;
    c->node.topology = REDIS_SINGLE;
    c->node.addresses = 1;
    if (!c->node.timeout_ms) c->node.timeout_ms = 1000;
    if (c->node.max_inflight > INFLIGHT_MAX) c->node.max_inflight = INFLIGHT_MAX;
    redis_config_print(config, c->name, sizeof c->name);
    c->up = metrics_counter(metrics, METRIC_STORE_UP, NULL);
    c->slots = metrics_counter(metrics, METRIC_CLUSTER_SLOTS, NULL);
    c->masters = metrics_counter(metrics, METRIC_CLUSTER_MASTERS, NULL);
    c->refreshes[0] = metrics_counter(metrics, METRIC_CLUSTER_REFRESHES, &SLICE("failed"));
    c->refreshes[1] = metrics_counter(metrics, METRIC_CLUSTER_REFRESHES, &SLICE("ok"));
    list_init(&c->nodes);
    cluster_detours_open(c);
    uv_timer_init(loop, &c->refresh);
    c->handles = 2;
    on_refresh(&c->refresh);
    cluster_judge(c);
    return c;
}

static void on_refresh_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)handle, struct cluster, refresh));
}

static void on_detours_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)handle, struct cluster, detours.timer));
}

void cluster_close(struct cluster *c, void (*closed)(void *arg), void *arg)
{
    assert(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    counter_set(c->up, 0);
    uv_close((uv_handle_t *)&c->refresh, on_refresh_closed);
    cluster_detours_close(c, on_detours_closed);
    while (!list_empty(&c->nodes)) let_go(container_of(c->nodes.next, struct cluster_node, link));
}
