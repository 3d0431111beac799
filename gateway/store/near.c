/* store/near.c -- memory.c, and when it may be believed. */
#include "store/near.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct near {
    struct memory *memory;
    _Atomic uint64_t trusted_until_us; /* 0: not at all */
    pthread_rwlock_t lock;             /* of the line: who looks at it reads, who changes it writes */
    int line;                          /* -1: none */
    _Atomic bool hearing;
    uint64_t watched; /* the name of a key; or 0 */
    _Atomic uint64_t news;
    _Atomic uint64_t server;
};

struct near *near_new(uint64_t max_bytes)
{
    struct near *n = malloc(sizeof *n);
    if (!n) abort();
    *n = (struct near){.memory = memory_new(max_bytes), .line = -1, .news = 1};
    pthread_rwlock_init(&n->lock, NULL);
    return n;
}

void near_free(struct near *n)
{
    if (!n) return;
    memory_free(n->memory);
    pthread_rwlock_destroy(&n->lock);
    free(n);
}

static void set_line(struct near *n, int line)
{
    pthread_rwlock_wrlock(&n->lock);
    n->line = line;
    pthread_rwlock_unlock(&n->lock);
}

/* A worker may have found us trusted just before the end, and keep a copy after all were dropped; so they are dropped once more before the first
 * one is served again. */
void near_begin(struct near *n, int line, uint64_t server, uint64_t until_us)
{
    near_forget_all(n);
    atomic_store(&n->server, server);
    set_line(n, line);
    atomic_store(&n->trusted_until_us, until_us);
}

void near_trust(struct near *n, uint64_t until_us) { atomic_store(&n->trusted_until_us, until_us); }

void near_hearing(struct near *n, bool hearing) { atomic_store(&n->hearing, hearing); }

void near_end(struct near *n)
{
    atomic_store(&n->trusted_until_us, 0);
    set_line(n, -1); /* and no worker looks at it any more: it may be closed */
    memory_forget_all(n->memory);
}

/* Is something there, read or not, that is not heeded yet: a message, or the end of the line? Whoever has seen the answer to the write behind it
 * must not see less here, and the tracker may be a while in waking up. In this order: what is not in the socket any more is being heard. */
static bool has_news(struct near *n)
{
    char first;
    pthread_rwlock_rdlock(&n->lock);
    bool quiet = recv(n->line, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    pthread_rwlock_unlock(&n->lock);
    return !quiet || atomic_load(&n->hearing);
}

uint64_t near_server(struct near *n) { return atomic_load(&n->server); }

bool near_trusted(struct near *n, uint64_t mono_us)
{
    return mono_us < atomic_load(&n->trusted_until_us) && !has_news(n);
}

struct blob *near_look(struct near *n, struct slice key, uint64_t now_ms, uint32_t *mark)
{
    return memory_look(n->memory, key, now_ms, mark);
}

void near_keep(struct near *n, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms, uint32_t mark)
{
    memory_keep(n->memory, key, b, until_ms, now_ms, mark);
}

void near_watch(struct near *n, struct slice key) { n->watched = near_name(key); }

uint64_t near_news(struct near *n) { return atomic_load(&n->news); }

void near_forget(struct near *n, uint64_t name)
{
    if (name == n->watched) atomic_fetch_add(&n->news, 1);
    memory_forget(n->memory, name);
}

void near_forget_all(struct near *n)
{
    atomic_fetch_add(&n->news, 1);
    memory_forget_all(n->memory);
}

unsigned near_sweep(struct near *n, uint64_t now_ms, unsigned budget)
{
    return memory_sweep(n->memory, now_ms, budget);
}

void near_stats(struct near *n, struct memory_stats *out) { memory_stats(n->memory, out); }
