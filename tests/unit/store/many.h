/* tests/unit/store/many.h -- many gets as one, for the tests: questions that remember their answers, and a peer that knows the
 * value of every key. */
#ifndef PERIGEE_TESTS_STORE_MANY_H
#define PERIGEE_TESTS_STORE_MANY_H

#include "support.h"

#include "store/store.h"

/* Asks for the keys name[0] ... name[n - 1]. */
struct many {
    struct store_many op;
    char name[STORE_MANY_MAX][16];
    struct slice key[STORE_MANY_MAX];
    struct blob *value[STORE_MANY_MAX];
    enum status status; /* PENDING until answered */
    int answers;
    bool starting; /* inside the start function: no answer may come */
};

static inline void on_many(struct store_many *op, enum status status)
{
    struct many *m = container_of(op, struct many, op);
    assert_false(m->starting);
    m->status = status;
    m->answers++;
}

/* Keys k0, k1, ...; every `gap`th is nothing1, ... and missing (0: none is). */
static inline struct many *many_new(size_t n, size_t gap)
{
    struct many *m = malloc(sizeof *m);
    memset(m, 0xaa, sizeof *m); /* whatever was there */
    m->op.level = false;
    m->op.done = on_many;
    m->op.key = m->key;
    m->op.value = m->value;
    m->op.n = n;
    for (size_t i = 0; i < n; i++)
        snprintf(m->name[i], sizeof m->name[i], "%s%zu", gap && i % gap == 1 ? "nothing" : "k", i);
    return m;
}

static inline enum status ask_many(struct store *s, struct many *m)
{
    struct slice *key = malloc(m->op.n * sizeof *key + 1); /* gone when it is asked: it is borrowed for the call */
    for (size_t i = 0; i < m->op.n; i++) key[i] = slice_of(m->name[i]);
    m->op.key = key;
    m->answers = 0;
    m->starting = true;
    m->status = PENDING;
    m->status = store_get_many(s, 5000, &m->op);
    m->starting = false;
    free(key);
    return m->status;
}

static inline bool is_answered_many(void *many) { return ((struct many *)many)->status != PENDING; }

static inline enum status wait_for_many(uv_loop_t *loop, struct many *m)
{
    run_until(loop, is_answered_many, m, 20000);
    return m->status;
}

static inline enum status do_many(uv_loop_t *loop, struct store *s, struct many *m)
{
    ask_many(s, m);
    return wait_for_many(loop, m);
}

/* Each key k... has "value of k...", the others none. Gives the values back. */
static inline void assert_all_there(struct many *m)
{
    char wanted[40];
    assert_int_equal(m->status, OK);
    for (size_t i = 0; i < m->op.n; i++) {
        if (m->name[i][0] != 'k') {
            assert_null(m->value[i]);
            continue;
        }
        snprintf(wanted, sizeof wanted, "value of %s", m->name[i]);
        assert_non_null(m->value[i]);
        assert_true(slice_eq(blob_slice(m->value[i]), slice_of(wanted)));
        blob_unref(m->value[i]);
        m->value[i] = NULL;
    }
}

static inline void assert_nothing_there(struct many *m)
{
    for (size_t i = 0; i < m->op.n; i++) assert_null(m->value[i]);
}

/* ---- the peer's side */

static inline void say_value_of(struct visit *v, struct slice key)
{
    char value[128];
    if (key.p[0] == 'k') {
        say_bulk(v, slice_from(value, (size_t)snprintf(value, sizeof value, "value of %.*s", SLICE_ARG(key))));
    } else {
        say(v, "$-1\r\n");
    }
}

/* GET and MGET as a server that has all keys that begin with k. */
static inline void script_all_values(struct visit *v, int argc, struct slice *argv)
{
    bool one = slice_eq(argv[0], SLICE("GET")), many = slice_eq(argv[0], SLICE("MGET"));
    if (!one && !many) {
        say_sane(v, argc, argv);
        return;
    }
    if (many) say_array(v, argc - 1);
    for (int i = 1; i < argc; i++) say_value_of(v, argv[i]);
}

#endif
