/* serve/lease.h -- the right to load one record, among all gateways that share a store: taken before a load, kept while it runs, given up by storing.
 *
 *     lease_start ... ours     lease_fill, lease_yield or lease_end
 *                 ... found    somebody has made the record meanwhile
 *                 ... alone    the store is away: load for those who wait, there is nothing to store in
 *                 ... late     another has held it for too long
 *
 * Whoever has it not asks again when the store tells of a change (lease_news), and where it tells nothing again and again, at growing intervals: what the
 * holder stores is found, and where the holder has died, or brought nothing, the lease is taken over. A write of the record takes the lease from its holder (store/store.h), whose load is then answered but
 * not stored. */
#ifndef PERIGEE_SERVE_LEASE_H
#define PERIGEE_SERVE_LEASE_H

#include "store/store.h"

enum lease_outcome { LEASE_OURS, LEASE_FOUND, LEASE_ALONE, LEASE_LATE };

struct lease;

/* `found`: a reference that the callee takes; NULL but for LEASE_FOUND. */
typedef void lease_done(struct lease *l, enum lease_outcome outcome, struct blob *found);

/* OK: it stands in the store now (or could); PRECONDITION_FAILED: a write came meanwhile, and stands. */
typedef void lease_filled(struct lease *l, enum status status);

/* Embed it in something that lives until lease_closed; set the first part. */
struct lease {
    struct store *store;
    struct slice key; /* kept */
    lease_done *done;
    lease_filled *filled;

    /* private */
    char token[LEASE_TOKEN + 1];
    uv_timer_t timer;
    struct store_op op;
    bool busy, ours;
    bool news;          /* has come since the question under way was asked */
    struct slice known; /* kept */
    uint64_t began_us, deadline_us;
    void (*closed)(struct lease *l);
};

/* Asks for the lease, until deadline_us (clock_mono_us). `known`: the value that is there already and shall be replaced, kept; empty: there
 * was none; absent: whatever is there shall be replaced.
 * done is called once, later; never before this has returned. */
void lease_start(struct lease *l, uv_loop_t *loop, struct slice known, uint64_t deadline_us);

/* What was found will not do: asks again, knowing it. Only from within `done`. */
void lease_again(struct lease *l, struct slice known);

/* The record or its lease has changed: who waits for it asks at once. */
void lease_news(struct lease *l);

/* Stores under the lease, which it ends; only once, and only when it is ours. Answers as `filled` does, or PENDING and then by it. */
enum status lease_fill(struct lease *l, struct blob *value, uint64_t until_ms, uint64_t now_ms);

/* The same, but stores nothing: OK where no write has come meanwhile. */
enum status lease_yield(struct lease *l);

/* Gives up what is held, cancels what is under way; `closed` is called later, once, and then the memory is the owner's. */
void lease_end(struct lease *l, void (*closed)(struct lease *l));

#endif
