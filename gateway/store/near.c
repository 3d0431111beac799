/* store/near.c -- memory.c, and when it may be believed. */
#include "store/near.h"

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct near {
    struct memory *memory;
    struct list lines;                 /* the tracker's */
    _Atomic uint64_t trusted_until_us; /* the least of those that are up; 0: not at all */
    _Atomic uint64_t certain_until_us; /* the same, as it was last when none was missing */
    _Atomic unsigned missing;          /* lines that are wanted, and not up */
    _Atomic unsigned hearing;          /* lines of which something was read that is not heeded yet */
    int ready;                         /* an epoll of the lines that are up */
    uint64_t watched;                  /* the name of a key; or 0 */
    near_heard *heard;                 /* or NULL */
    void *heard_arg;
    _Atomic uint64_t news;
    _Atomic uint64_t server;
};

struct near *near_new(uint64_t max_bytes)
{
    struct near *n = malloc(sizeof *n);
    if (!n) abort();
    *n = (struct near){.memory = memory_new(max_bytes), .ready = epoll_create1(EPOLL_CLOEXEC), .news = 1};
    if (n->ready < 0) abort();
    list_init(&n->lines);
    return n;
}

void near_free(struct near *n)
{
    if (!n) return;
    memory_free(n->memory);
    close(n->ready);
    free(n);
}

/* ---- lines */

static void trust_the_least(struct near *n)
{
    uint64_t least = UINT64_MAX;
    for (struct list *l = n->lines.next; l != &n->lines; l = l->next) {
        struct near_line *line = container_of(l, struct near_line, link);
        if (line->up && line->until_us < least) least = line->until_us;
    }
    atomic_store(&n->trusted_until_us, least == UINT64_MAX ? 0 : least);
}

static void note_certainty(struct near *n)
{
    if (atomic_load(&n->missing) == 0) atomic_store(&n->certain_until_us, atomic_load(&n->trusted_until_us));
}

void near_want(struct near *n) { atomic_fetch_add(&n->missing, 1); }

void near_unwant(struct near *n) { atomic_fetch_sub(&n->missing, 1); }

void near_add(struct near *n, struct near_line *line)
{
    *line = (struct near_line){.fd = -1};
    list_append(&n->lines, &line->link);
    near_want(n);
}

void near_remove(struct near *n, struct near_line *line)
{
    assert(!line->up);
    list_remove(&line->link);
    near_forget_all(n); /* what it has told before is told by others now, and was not from its end on */
    near_unwant(n);
}

/* What was kept before the last end, or by a worker that had found us trusted just before it, goes before the first copy is served again. The same
 * holds for what was read from this server before anyone heard of it. */
void near_begin(struct near *n, struct near_line *line, int fd, uint64_t server, uint64_t until_us)
{
    struct epoll_event event = {.events = EPOLLIN};
    assert(!line->up);
    near_forget_all(n);
    atomic_store(&n->server, server);
    line->up = true;
    line->fd = fd;
    if (epoll_ctl(n->ready, EPOLL_CTL_ADD, fd, &event) != 0) abort(); /* out of memory */
    near_trust(n, line, until_us);
    near_unwant(n);
    note_certainty(n);
}

void near_trust(struct near *n, struct near_line *line, uint64_t until_us)
{
    line->until_us = until_us;
    trust_the_least(n);
    note_certainty(n);
}

void near_hearing(struct near *n, struct near_line *line, bool hearing)
{
    if (hearing == line->hearing) return;
    line->hearing = hearing;
    atomic_fetch_add(&n->hearing, hearing ? 1 : UINT_MAX);
}

void near_end(struct near *n, struct near_line *line)
{
    bool was_up = line->up;
    if (was_up) near_want(n); /* first: a message of which half was read is forgotten below, */
    near_hearing(n, line, false);
    if (!was_up) return;
    line->up = false;
    epoll_ctl(n->ready, EPOLL_CTL_DEL, line->fd, NULL);
    trust_the_least(n); /* and the copies stay for near_look_left */
}

/* Is something there, read or not, that is not heeded yet: a message, or the end of a line? Whoever has seen the answer to the write behind it
 * must not see less here, and the tracker may be a while in waking up. In this order: what is not in a socket any more is being heard. One question
 * for all lines, however many. */
static bool has_news(struct near *n)
{
    struct pollfd ready = {.fd = n->ready, .events = POLLIN};
    return poll(&ready, 1, 0) != 0 || atomic_load(&n->hearing) != 0;
}

uint64_t near_server(struct near *n) { return atomic_load(&n->server); }

bool near_is_whole(struct near *n) { return atomic_load(&n->trusted_until_us) != 0 && atomic_load(&n->missing) == 0; }

bool near_trusted(struct near *n, uint64_t mono_us)
{
    return mono_us < atomic_load(&n->trusted_until_us) && atomic_load(&n->missing) == 0 && !has_news(n);
}

struct blob *near_look(struct near *n, struct slice key, uint64_t now_ms, uint32_t *mark)
{
    return memory_look(n->memory, key, now_ms, mark);
}

struct blob *near_look_left(struct near *n, struct slice key, uint64_t now_ms, uint64_t *until_us)
{
    *until_us = atomic_load(&n->certain_until_us);
    return memory_get(n->memory, key, now_ms);
}

void near_keep(struct near *n, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms, uint32_t mark)
{
    memory_keep(n->memory, key, b, until_ms, now_ms, mark);
}

void near_watch(struct near *n, struct slice key) { n->watched = near_name(key); }

uint64_t near_news(struct near *n) { return atomic_load(&n->news); }

void near_listen(struct near *n, near_heard *heard, void *arg)
{
    n->heard = heard;
    n->heard_arg = arg;
}

void near_tell(struct near *n, struct slice record)
{
    if (n->heard) n->heard(n->heard_arg, record);
}

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
