/* store/near.h -- the near cache: copies, in this process, of what Redis holds, so that what is read often costs Redis nothing. Shared by all
 * workers, bounded in bytes really used.
 *
 * A copy is served only while each server tells us of every change (tracking.h), and all that has come of such messages is heeded: so it is old by
 * no more than a message's way, and by NEAR_LAG_MS if its server falls silent. Nothing ends by a guess at how long it might hold.
 *
 *     look       the copy; or none, and the key's mark: now ask Redis
 *     keep       what Redis has said, unless the key was forgotten since it was asked (it may have answered before that change)
 *     forget     the key has changed, there or by ourselves */
#ifndef PERIGEE_STORE_NEAR_H
#define PERIGEE_STORE_NEAR_H

#include "base/hash.h"
#include "base/list.h"
#include "store/memory.h"

struct near;

/* How far behind the server a copy may be when nothing is heard of it any more. */
#define NEAR_LAG_MS 1000

struct near *near_new(uint64_t max_bytes);
void near_free(struct near *n);

/* One server's way to tell of changes. Embed it. All functions of lines are the tracker's, on its thread. */
struct near_line {
    struct list link; /* private, as all of it */
    int fd;
    bool up, hearing;
    uint64_t until_us;
};

/* From now on copies are served only while this line is up, too. */
void near_add(struct near *n, struct near_line *line);

/* From now on every change at this server (redis_server) is told on this socket, which stays open until near_end. What is kept is good until then
 * (clock_mono_us), and longer when near_trust says so. */
void near_begin(struct near *n, struct near_line *line, int fd, uint64_t server, uint64_t until_us);
void near_trust(struct near *n, struct near_line *line, uint64_t until_us);

/* Before something is read from the line, and when all of it has been heeded (false). */
void near_hearing(struct near *n, struct near_line *line, bool hearing);

/* Changes may be missed from now on, or may have been: no copy is served as fresh until near_begin, which drops them all. Harmless on one that is not up. */
void near_end(struct near *n, struct near_line *line);

/* It is not waited for any more. It has ended. */
void near_remove(struct near *n, struct near_line *line);

/* A server is asked that has no line yet: no copy is served until it has, and near_unwant; what was kept of it meanwhile must be gone then. Any thread. */
void near_want(struct near *n);
void near_unwant(struct near *n);

/* May a copy be served? Not while a message waits. Any thread. */
bool near_trusted(struct near *n, uint64_t mono_us);

/* Are all lines up? Any thread. */
bool near_is_whole(struct near *n);

/* Whose changes are told, where there is one line: who reads from another server must not look here. */
uint64_t near_server(struct near *n);

/* A new reference, or NULL; and *mark. While it is not trusted nobody may be answered by it as fresh; what is kept then goes with the rest before the first
 * copy is served again. */
struct blob *near_look(struct near *n, struct slice key, uint64_t now_ms, uint32_t *mark);

/* For who cannot reach the store: what is left of the time when it was trusted, and *until_us (clock_mono_us), the end of that time: since then it may
 * have changed there. A new reference, or NULL. At any time. */
struct blob *near_look_left(struct near *n, struct slice key, uint64_t now_ms, uint64_t *until_us);

/* Borrows key; takes its own reference to b. `until_ms` is when the record itself ends. */
void near_keep(struct near *n, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms, uint32_t mark);

/* The key with this name has changed; or any may have. Any thread. */
void near_forget(struct near *n, uint64_t name);
void near_forget_all(struct near *n);

/* One key of which no copy is kept, but of whose changes those must know who have read it: the news is another number each time it may have
 * changed, and is never 0. Set it before near_begin. */
void near_watch(struct near *n, struct slice key);
uint64_t near_news(struct near *n);

/* Who wants to hear of each key of ours that has changed, be it a record's or that of its lease: by the record's key. Called on the tracker's thread, after
 * the copy is gone. Set it before anything begins. */
typedef void near_heard(void *arg, struct slice record);
void near_listen(struct near *n, near_heard *heard, void *arg);
void near_tell(struct near *n, struct slice record);

/* What to forget a key by, when the key itself is not at hand any more. */
static inline uint64_t near_name(struct slice key) { return hash_seeded(key); }

unsigned near_sweep(struct near *n, uint64_t now_ms, unsigned budget);
void near_stats(struct near *n, struct memory_stats *out);

#endif
