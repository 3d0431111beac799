/* store/store.h -- where sealed records live: bytes by key, with an end. One interface over memory (answers now) and
 * Redis (answers later). Knows no model. One store a worker; memory is shared behind it.
 *
 * Start functions answer now (OK, MISSING, STORE_UNAVAILABLE, OVERLOADED) or return PENDING and call op->done later, exactly
 * once, never before they have returned. */
#ifndef PERIGEE_STORE_STORE_H
#define PERIGEE_STORE_STORE_H

#include "base/blob.h"
#include "base/metrics.h"
#include "base/status.h"
#include "store/epochs.h"
#include "store/epochs_sync.h"
#include "store/memory.h"
#include "store/near.h"
#include "store/redis.h"

#include <uv.h>

struct store;
struct store_op;

/* `value`: for a get that found something, a reference that the callee takes; NULL otherwise. `op` is the caller's again. */
typedef void store_done(struct store_op *op, enum status status, struct blob *value);

/* One operation under way; embed it, set `done`, get back by container_of. */
struct store_op {
    store_done *done; /* set by the caller */
    bool fenced;      /* ... for the writes of a record that has a loader: ends the lease of who loads it */
    bool level;       /* ... for a get: near copies were up just now, so it is known what has been invalidated */
    bool doubts;      /* ... for a get: ask for that whatever tracking says, since a write depends on it */
    const struct store_condition *when; /* ... for a put or delete, kept until the end; NULL: always */
    struct blob *value;                 /* result of a get that answered now: a reference the caller takes */
    unsigned char previous[8];          /* result of a put: the first bytes of what it replaced */
    uint8_t previous_n;                 /* ... and how many there were; 0: nothing */
    bool replaced; /* result of a put that could only delete: something was there, of which no bytes are known */
    struct redis_command redis; /* private, as what follows: of a write, where a copy of its key may stand */
    struct near *near;
    uint64_t name;
    struct epochs_wait epochs;
    enum status status; /* of the command, when it has been answered first */
    bool answered;
};

/* Exactly one of the two is used: with `redis` NULL records live in `memory`. */
struct store *store_new(struct memory *memory, struct redis *redis, struct metrics *metrics);
struct store *store_new_cluster(struct cluster *cluster, struct metrics *metrics);
void store_free(struct store *s); /* borrows all parts: close them yourself, first */

/* With Redis: copies are looked up in, and kept in, this near cache, which the store borrows. NULL: there is none. */
void store_set_near(struct store *s, struct near *near);

/* May near copies be looked up now? It is asked once for all that one answer looks up at a time. What is said to whom has written here is seen
 * by all who ask later; writes through other processes reach us a message's way later, or NEAR_LAG_MS if there is no way. */
bool store_near_up(struct store *s);

/* Is this process told of every change of a record or its lease (near_listen)? Then who waits for one need not ask all the time. */
bool store_hears(const struct store *s);

/* What is invalidated by name (epochs.h), and the key of that in Redis; borrows the first. Without it nothing ever is. */
void store_set_epochs(struct store *s, struct epochs *epochs, struct slice key);
struct epochs *store_epochs(const struct store *s); /* NULL: none */

/* The stamp of what is loaded or saved from now on. */
struct stamp store_stamp(const struct store *s);

/* Invalidates all of these names, 1 to EPOCHS_AT_ONCE of at most EPOCHS_NAME_MAX bytes: OK, and known here; or it is not known whether it has been done, but if so,
 * whole. */
enum status store_invalidate(struct store *s, enum epoch_mode mode, const struct epoch_name *name, size_t n,
                             uint64_t now_ms, struct store_op *op);

/* Once a second. */
void store_tick(struct store *s);

/* How a look for a near copy went, and the way back for what is found in Redis instead. All zero: nobody has looked. */
struct near_look {
    bool hit;
    bool may_keep, older; /* private, as what follows; older: there is a copy that may not be answered as fresh */
    uint32_t mark;
};

/* The near copy of what the store holds, at once: a new reference; or NULL, and the store is to be asked. Only when they are up. */
struct blob *store_look_near(struct store *s, struct slice key, uint64_t now_ms, struct near_look *look);

/* They are not up, and the store is asked. What it says takes the place of an older copy, so that store_look_left finds nothing older than what clients
 * have seen. */
void store_mark_near(struct store *s, struct slice key, uint64_t now_ms, struct near_look *look);

/* The store is unavailable: the near copy that is left of the time before, a new reference, and since when it may be out of date, in wall time; or
 * NULL. Not to be answered as fresh, nor kept near. */
struct blob *store_look_left(struct store *s, struct slice key, uint64_t now_ms, uint64_t *since_ms);

/* Keeps near what the store has given, when asked after that look, until its own end. Borrows key; takes its own reference to value. */
void store_keep_near(struct store *s, struct slice key, const struct near_look *look, struct blob *value,
                     uint64_t until_ms, uint64_t now_ms);

/* It has given nothing of use: an older copy goes. */
void store_drop_near(struct store *s, struct slice key, const struct near_look *look);

/* OK when all that has been invalidated until now, by whatever process, is known here; or why not. Now, or PENDING and then by done. */
enum status store_catch_up(struct store *s, struct store_op *op);

/* What the store itself holds: never a copy. When it has answered, store_epochs knows all that was invalidated before it was asked; so do
 * store_get_many and store_lease_take, and when it is OK store_put. */
enum status store_get(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op);

/* Stores until `until_ms` (CLOCK_NEVER: without an end; not after now: same as a delete). Borrows key, takes its own
 * reference to value. Returns or reports OK when stored, with op->previous filled
 * (not by Redis for what ends at once), PRECONDITION_FAILED when op->when did not hold: then nothing has changed. */
enum status store_put(struct store *s, struct slice key, struct blob *value, uint64_t until_ms, uint64_t now_ms,
                      struct store_op *op);

/* Stores like store_put, but only where `expected` is what is stored still, byte for byte: OK. PRECONDITION_FAILED when it is something
 * else by now, MISSING when it is gone. (Redis compares length and the first REDIS_HEAD bytes: values must differ there if they
 * differ at all.) Borrows key and expected, which is not empty; op->previous is not filled. */
enum status store_replace(struct store *s, struct slice key, struct slice expected, struct blob *value,
                          uint64_t until_ms, uint64_t now_ms, struct store_op *op);

/* OK when it was there, MISSING when not, PRECONDITION_FAILED as store_put. */
enum status store_delete(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op);

/* Leases: who may load a missing record, among all processes that share the store. A lease is known by a token of its holder and lasts for
 * LEASE_MS unless it is kept. A fenced write ends it, and then what its holder brings is not stored. Where records live in this process
 * there is nobody else, and the lease is always one's own (flights order the loads, flight.h).
 *
 * take: OK with the value that stands there, if there is one that does not begin as `known` does (empty: any; absent: nobody looks); MISSING: the lease is ours;
 * PRECONDITION_FAILED: another has it. keep, fill (stores, and ends the lease) and drop (ends it): OK, or PRECONDITION_FAILED: it is
 * not ours any more. */
#define LEASE_MS    3000
#define LEASE_TOKEN 32 /* characters */

enum status store_lease_take(struct store *s, struct slice key, struct slice known, const char *token, uint64_t now_ms,
                             struct store_op *op);
enum status store_lease_keep(struct store *s, struct slice key, const char *token, struct store_op *op);
enum status store_lease_fill(struct store *s, struct slice key, const char *token, struct blob *value,
                             uint64_t until_ms, uint64_t now_ms, struct store_op *op);
enum status store_lease_drop(struct store *s, struct slice key, const char *token, struct store_op *op);

/* The caller no longer wants the answer: done will not be called. Harmless on one that is finished. A put or delete may
 * still take effect. */
void store_cancel(struct store_op *op);

#define STORE_MANY_MAX 1000

struct store_many;

typedef void store_many_done(struct store_many *op, enum status status);

/* A part of many gets that goes as one command. */
struct store_part {
    struct store_many *many;
    struct redis_command redis;
};

/* Many gets as one: all are answered or none is. Embed it, set the first four, get back by container_of. */
struct store_many {
    store_many_done *done;
    const struct slice *key; /* n of them, borrowed for the call; one may stand there twice */
    struct blob **value;     /* room for n, kept until the end: in the keys' order, NULL where there is none */
    size_t n;                /* at most STORE_MANY_MAX */
    bool level;              /* as in struct store_op */

    /* private */
    struct store_part own[(STORE_MANY_MAX + REDIS_MANY_MAX - 1) / REDIS_MANY_MAX];
    struct store_part *part; /* own; of a cluster one for each key, allocated */
    struct epochs_wait epochs;
    unsigned parts, left; /* left: of them and the wait, those without an answer */
    size_t bytes;         /* of a cluster: of the values that have come */
};

/* OK with every value, references that the caller takes; or with all of them NULL STORE_UNAVAILABLE, OVERLOADED, or DEPTH_EXCEEDED:
 * the values of REDIS_MANY_MAX keys, or of all in a cluster, had more than REDIS_MANY_BYTES in Redis. Now, or PENDING and then by done. */
enum status store_get_many(struct store *s, uint64_t now_ms, struct store_many *op);

/* As store_cancel; what values have come are given back, and `value` is not touched any more. */
void store_many_cancel(struct store_many *op);

/* Do records live outside this process, where answers come from somebody else? */
bool store_is_remote(const struct store *s);

/* Room that a blob wants behind it to be kept well under this key (blob_new_with_room); 0 where it is sent away. */
size_t store_room(struct store *s, struct slice key);

#endif
