/* tests/unit/store/conditions.h -- conditional writes by the door of a store: every condition against everything that may stand there. The
 * same for memory (test_condition.c) and for a real Redis (test_redis_server.c). */
#ifndef PERIGEE_TESTS_STORE_CONDITIONS_H
#define PERIGEE_TESTS_STORE_CONDITIONS_H

#include "support.h"

#include "store/store.h"

#define TIME  1700000000000u
#define TAG_1 "\1\0\0\0\0\xff\x80\n"
#define TAG_2 "\2\0\0\0\0\xff\x80\n"
#define TAG_3 "*\0\0\0\0\0\0\0"

/* What the head of an envelope says; `fresh` -1: for ever. */
static struct blob *value_of(char kind, long long fresh_until_ms, const char tag[8])
{
    char text[60] = "PGE\1";
    text[4] = kind;
    for (int i = 0; i < 8; i++) text[16 + i] = (char)((unsigned long long)fresh_until_ms >> (8 * i));
    memcpy(text + 32, tag, 8);
    return blob_copy(slice_from(text, sizeof text));
}

enum there { NOTHING, RECORD, RESULT, ETERNAL, NEGATIVE, STALE, SHORT, STRANGE, THERE_COUNT };

static struct blob *standing(enum there there)
{
    switch (there) {
    case RECORD: return value_of(0, TIME + 1, TAG_1);
    case RESULT: return value_of(2, TIME + 60000, TAG_1);
    case ETERNAL: return value_of(0, -1, TAG_1);
    case NEGATIVE: return value_of(1, TIME + 60000, TAG_1);
    case STALE: return value_of(0, TIME, TAG_1);
    case SHORT: return blob_copy(SLICE("PGE\1\0"));
    case STRANGE: return blob_copy(SLICE("something else that is longer than fifty-two bytes are..."));
    default: return NULL;
    }
}

static bool is_there(enum there there) { return there == RECORD || there == RESULT || there == ETERNAL; }

#define ABSENT                                                                                                         \
    {                                                                                                                  \
        NULL, 0                                                                                                        \
    }
#define TEXT(lit)                                                                                                      \
    {                                                                                                                  \
        lit, sizeof(lit) - 1                                                                                           \
    }

/* Whether the write is done where a record with TAG_1 is, and where none is. */
static const struct {
    struct store_condition when;
    bool with, without;
} conditions[] = {
    {{ABSENT, ABSENT}, true, true},
    {{TEXT("*"), ABSENT}, true, false},
    {{TEXT(TAG_1), ABSENT}, true, false},
    {{TEXT(TAG_2), ABSENT}, false, false},
    {{TEXT(TAG_2 TAG_3 TAG_1), ABSENT}, true, false},
    {{TEXT(TAG_3 TAG_2), ABSENT}, false, false},
    {{TEXT(""), ABSENT}, false, false},
    {{ABSENT, TEXT("*")}, false, true},
    {{ABSENT, TEXT(TAG_1)}, false, true},
    {{ABSENT, TEXT(TAG_2)}, true, true},
    {{ABSENT, TEXT(TAG_2 TAG_1)}, false, true},
    {{ABSENT, TEXT("")}, true, true},
    {{TEXT(TAG_1), TEXT(TAG_2)}, true, false},
    {{TEXT(TAG_1), TEXT("*")}, false, false},
};

struct write {
    struct store_op op;
    enum status status;
    struct blob *value;
};

static void on_written(struct store_op *op, enum status status, struct blob *value)
{
    struct write *w = container_of(op, struct write, op);
    w->status = status;
    w->value = value;
}

static bool is_written(void *w) { return ((struct write *)w)->status != PENDING; }

static enum status written(uv_loop_t *loop, struct write *w, enum status started)
{
    if (started != PENDING) {
        w->value = w->op.value;
        return started;
    }
    assert_true(run_until(loop, is_written, w, 5000));
    return w->status;
}

static struct write write_when(const struct store_condition *when, bool fenced)
{
    return (struct write){.op = {.done = on_written, .when = when, .fenced = fenced}, .status = PENDING};
}

static void arrange(struct store *s, uv_loop_t *loop, enum there there)
{
    struct write w = write_when(NULL, false);
    struct blob *b = standing(there);
    if (b) assert_int_equal(written(loop, &w, store_put(s, SLICE("k"), b, CLOCK_NEVER, TIME, &w.op)), OK);
    else written(loop, &w, store_delete(s, SLICE("k"), TIME, &w.op));
    blob_unref(b);
}

/* Exactly this, or nothing, stands there. */
static void assert_standing(struct store *s, uv_loop_t *loop, struct blob *b)
{
    struct write w = write_when(NULL, false);
    enum status st = written(loop, &w, store_get(s, SLICE("k"), TIME, &w.op));
    assert_int_equal(st, b ? OK : MISSING);
    if (b) assert_true(slice_eq(blob_slice(w.value), blob_slice(b)));
    blob_unref(w.value);
}

enum how { PUT, PUT_THAT_ENDS, REMOVE, HOWS };

static void walk_one(struct store *s, uv_loop_t *loop, enum there there, enum how how, size_t i, bool fenced)
{
    bool done = is_there(there) ? conditions[i].with : conditions[i].without;
    struct write w = write_when(&conditions[i].when, fenced);
    struct blob *before = standing(there), *next = value_of(0, TIME + 1000, TAG_3);
    enum status st, wanted = OK;
    arrange(s, loop, there);
    if (how == REMOVE) st = store_delete(s, SLICE("k"), TIME, &w.op);
    else st = store_put(s, SLICE("k"), next, how == PUT ? TIME + 100000 : TIME, TIME, &w.op);
    if (!done) wanted = PRECONDITION_FAILED;
    else if (how == REMOVE && there == NOTHING) wanted = MISSING;
    st = written(loop, &w, st);
    if (st != wanted) fail_msg("condition %zu, value %d, write %d: %s", i, there, how, status_code(st));
    if (done && how == PUT && is_there(there)) {
        assert_int_equal(w.op.previous_n, 8);
        assert_memory_equal(w.op.previous, before->p, 8);
    }
    if (done && how == PUT && there == NOTHING) assert_int_equal(w.op.previous_n, 0);
    assert_standing(s, loop, !done ? before : how == PUT ? next : NULL);
    blob_unref(before);
    blob_unref(next);
}

static void walk_conditions(struct store *s, uv_loop_t *loop)
{
    for (enum there there = 0; there < THERE_COUNT; there++)
        for (enum how how = 0; how < HOWS; how++)
            for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
                for (int fenced = 0; fenced < 2; fenced++) walk_one(s, loop, there, how, i, fenced);
}

#endif
