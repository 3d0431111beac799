/* tests/unit/serve/lease_store.h -- a store that knows leases and answers when, and what, the test says: for the tests of lease.c and fill.c.
 * Include it once a program; it stands in for store/store.c. */
#ifndef PERIGEE_TESTS_LEASE_STORE_H
#define PERIGEE_TESTS_LEASE_STORE_H

#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum question { TAKE, KEEP, FILL, DROP, GET, PUT, QUESTIONS };

#define UNDER_WAY_MAX 16

static struct {
    bool local;                    /* records live in this process */
    bool hears;                    /* it tells of changes */
    enum status answer[QUESTIONS]; /* PENDING: by store_answers */
    unsigned asked[QUESTIONS], cancelled;
    struct blob *found; /* what an immediate OK to TAKE or GET brings: one reference */
    struct {
        struct store_op *op;
        enum question question;
    } under_way[UNDER_WAY_MAX];
    unsigned n;
    char token[LEASE_TOKEN + 1]; /* of the last question about a lease */
    char known[64];              /* of the last TAKE: "-" where nobody looks */
    struct blob *stored;         /* by FILL or PUT: one reference */
    struct epochs *epochs;       /* NULL: nothing is ever invalidated by name */
} told;

struct epochs *store_epochs(const struct store *s) { return told.epochs; }

struct stamp store_stamp(const struct store *s)
{
    return told.epochs ? epochs_now(told.epochs) : (struct stamp){.line = 0, .at = 0};
}

static inline void told_reset(void)
{
    memset(&told, 0, sizeof told);
    for (int i = 0; i < QUESTIONS; i++) told.answer[i] = PENDING;
}

static inline enum status ask_store(enum question question, struct store_op *op)
{
    enum status answer = told.answer[question];
    told.asked[question]++;
    op->value = NULL;
    if (answer == PENDING) {
        assert_true(told.n < UNDER_WAY_MAX);
        told.under_way[told.n].op = op;
        told.under_way[told.n++].question = question;
    } else if (answer == OK && (question == TAKE || question == GET)) {
        op->value = blob_ref(told.found);
    }
    return answer;
}

static inline void note_token(const char *token) { memcpy(told.token, token, LEASE_TOKEN); }

enum status store_lease_take(struct store *s, struct slice key, struct slice known, const char *token, uint64_t now_ms,
                             struct store_op *op)
{
    note_token(token);
    snprintf(told.known, sizeof told.known, "%.*s", known.p ? (int)known.n : 1, known.p ? known.p : "-");
    return ask_store(TAKE, op);
}

enum status store_lease_keep(struct store *s, struct slice key, const char *token, struct store_op *op)
{
    assert_memory_equal(token, told.token, LEASE_TOKEN);
    return ask_store(KEEP, op);
}

enum status store_lease_fill(struct store *s, struct slice key, const char *token, struct blob *value,
                             uint64_t until_ms, uint64_t now_ms, struct store_op *op)
{
    assert_memory_equal(token, told.token, LEASE_TOKEN);
    blob_unref(told.stored);
    told.stored = blob_ref(value);
    return ask_store(FILL, op);
}

enum status store_lease_drop(struct store *s, struct slice key, const char *token, struct store_op *op)
{
    return ask_store(DROP, op);
}

enum status store_get(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op)
{
    return ask_store(GET, op);
}

enum status store_put(struct store *s, struct slice key, struct blob *value, uint64_t until_ms, uint64_t now_ms,
                      struct store_op *op)
{
    blob_unref(told.stored);
    told.stored = blob_ref(value);
    return ask_store(PUT, op);
}

bool store_is_remote(const struct store *s) { return !told.local; }

bool store_hears(const struct store *s) { return told.hears; }

size_t store_room(struct store *s, struct slice key) { return 0; }

/* Takes it from those under way. */
static inline void take_op(unsigned i)
{
    told.n--;
    for (; i < told.n; i++) told.under_way[i] = told.under_way[i + 1];
}

void store_cancel(struct store_op *op)
{
    for (unsigned i = 0; i < told.n; i++) {
        if (told.under_way[i].op != op) continue;
        take_op(i);
        told.cancelled++;
        return;
    }
}

/* Is such a question under way? */
static inline bool is_under_way(enum question question)
{
    for (unsigned i = 0; i < told.n; i++)
        if (told.under_way[i].question == question) return true;
    return false;
}

/* Answers the first such question. `found`: a reference that who asked takes. */
static inline void store_answers(enum question question, enum status status, struct blob *found)
{
    for (unsigned i = 0; i < told.n; i++) {
        if (told.under_way[i].question != question) continue;
        struct store_op *op = told.under_way[i].op;
        take_op(i);
        op->done(op, status, found);
        return;
    }
    fail_msg("no such question is under way: %d", question);
}

/* Runs the loop until so many have been asked. */
static inline void await_asked(uv_loop_t *loop, enum question question, unsigned times)
{
    while (told.asked[question] < times) {
        assert_true(uv_loop_alive(loop));
        uv_run(loop,
               UV_RUN_NOWAIT); /* UV_RUN_ONCE would wait on, for other handles, once the timer that asks has run */
        if (told.asked[question] < times) uv_sleep(1);
    }
}

#endif
