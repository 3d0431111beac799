/* tests/unit/store/test_store.c -- the one door: what memory answers now and Redis later is the same. */
#include "support.h"

#include "base/log.h"
#include "store/store.h"

#define NOW 5000

struct op {
    struct store_op op;
    enum status status;
    struct blob *value;
    int answers;
};

static void on_done(struct store_op *op, enum status status, struct blob *value)
{
    struct op *o = container_of(op, struct op, op);
    o->status = status;
    o->value = value;
    o->answers++;
}

static bool is_done(void *op) { return ((struct op *)op)->status != PENDING; }

/* What the start function said, or what came later. */
static enum status settle(uv_loop_t *loop, struct op *o, enum status started)
{
    o->status = started;
    if (started != PENDING) {
        o->value = o->op.value;
        return started;
    }
    assert_true(run_until(loop, is_done, o, 5000));
    assert_int_equal(o->answers, 1);
    return o->status;
}

static struct op fresh(void)
{
    struct op o;
    memset(&o, 0xaa, sizeof o); /* whatever the stack held */
    o.op.level = o.op.doubts = false;
    o.op.done = on_done;
    o.op.fenced = o.op.level = o.op.doubts = false;
    o.op.when = NULL;
    o.answers = 0;
    o.value = NULL;
    return o;
}

/* A server of one key, for the peer. */
static char kept[64];

static void script_one_key(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("GET")) && kept[0]) {
        say_bulk(v, slice_of(kept));
    } else if (slice_eq(argv[0], SLICE("GETRANGE"))) {
        say_bulk(v, slice_from(kept, strnlen(kept, 8)));
    } else if (slice_eq(argv[0], SLICE("SET"))) {
        snprintf(kept, sizeof kept, "%.*s", SLICE_ARG(argv[2]));
        say(v, "+OK\r\n");
    } else if (slice_starts(argv[0],
                            SLICE("EVAL"))) { /* EVAL script, or EVALSHA hash, 2 key key head length value ttl */
        struct slice there = slice_of(kept), head = argv[5];
        bool same = there.n == strtoul(argv[6].p, NULL, 10) && slice_starts(there, head);
        say(v, !there.n ? ":-1\r\n" : same ? ":1\r\n" : ":0\r\n");
        if (same) snprintf(kept, sizeof kept, "%.*s", SLICE_ARG(argv[7]));
    } else if (slice_eq(argv[0], SLICE("DEL"))) {
        say(v, kept[0] ? ":1\r\n" : ":0\r\n");
        kept[0] = '\0';
    } else {
        say_sane(v, argc, argv);
    }
}

static void walk_through(struct store *s, uv_loop_t *loop)
{
    struct op o = fresh();
    struct blob *b = blob_copy(SLICE("PERIGEE1 body"));
    assert_int_equal(settle(loop, &o, store_get(s, SLICE("k"), NOW, &o.op)), MISSING);
    assert_null(o.value);

    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, SLICE("k"), b, NOW + 60000, NOW, &o.op)), OK);
    assert_int_equal(o.op.previous_n, 0);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, SLICE("k"), b, CLOCK_NEVER, NOW, &o.op)), OK);
    assert_int_equal(o.op.previous_n, 8);
    assert_memory_equal(o.op.previous, "PERIGEE1", 8);

    o = fresh();
    assert_int_equal(settle(loop, &o, store_get(s, SLICE("k"), NOW, &o.op)), OK);
    assert_true(slice_eq(blob_slice(o.value), blob_slice(b)));
    blob_unref(o.value);
    store_cancel(&o.op); /* finished: harmless */

    o = fresh();
    assert_int_equal(settle(loop, &o, store_delete(s, SLICE("k"), NOW, &o.op)), OK);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_delete(s, SLICE("k"), NOW, &o.op)), MISSING);

    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, SLICE("k"), b, CLOCK_NEVER, NOW, &o.op)), OK);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, SLICE("k"), b, NOW, NOW, &o.op)), OK); /* ends now: a delete */
    o = fresh();
    assert_int_equal(settle(loop, &o, store_get(s, SLICE("k"), NOW, &o.op)), MISSING);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, SLICE("k"), b, NOW, NOW, &o.op)), OK); /* though nothing was there */
    blob_unref(b);
}

static void walk_through_replacing(struct store *s, uv_loop_t *loop)
{
    struct op o = fresh();
    struct blob *one = blob_copy(SLICE("one")), *two = blob_copy(SLICE("two"));
    struct slice key = SLICE("r");
    assert_int_equal(settle(loop, &o, store_replace(s, key, blob_slice(one), two, CLOCK_NEVER, NOW, &o.op)), MISSING);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_put(s, key, one, CLOCK_NEVER, NOW, &o.op)), OK);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_replace(s, key, blob_slice(one), two, NOW + 60000, NOW, &o.op)), OK);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_replace(s, key, blob_slice(one), two, CLOCK_NEVER, NOW, &o.op)),
                     PRECONDITION_FAILED);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_get(s, key, NOW, &o.op)), OK);
    assert_true(slice_eq(blob_slice(o.value), blob_slice(two)));
    blob_unref(o.value);
    o = fresh();
    assert_int_equal(settle(loop, &o, store_replace(s, key, blob_slice(two), one, NOW, NOW, &o.op)),
                     OK); /* ends at once */
    o = fresh();
    settle(loop, &o, store_delete(s, key, NOW, &o.op));
    blob_unref(one);
    blob_unref(two);
}

static int64_t up(struct metrics *m) { return atomic_load(&metrics_counter(m, METRIC_STORE_UP, NULL)->v); }

static void test_memory(void **state)
{
    struct memory *memory = memory_new(1 << 20);
    struct metrics *metrics = metrics_new();
    struct store *s = store_new(memory, NULL, metrics);
    walk_through(s, NULL);
    walk_through_replacing(s, NULL);
    assert_int_equal(up(metrics), 1);
    memory_free(memory);
    store_free(s);
    metrics_free(metrics);
}

static void test_redis(void **state)
{
    struct world *w = world_new();
    kept[0] = '\0';
    w->peer.script = script_one_key;
    world_open(w);
    struct store *s = store_new(NULL, w->redis, w->metrics);
    assert_int_equal(up(w->metrics), 0);
    walk_through(s, &w->loop);
    walk_through_replacing(s, &w->loop);
    assert_int_equal(up(w->metrics), 1);

    struct op o = fresh();
    assert_int_equal(store_get(s, SLICE("k"), NOW, &o.op), PENDING);
    store_cancel(&o.op);
    store_cancel(&o.op);
    run_for(&w->loop, 50);
    assert_int_equal(o.answers, 0);

    peer_hang_up_all(&w->peer);
    assert_true(run_until(&w->loop, is_down, w->redis, 1000));
    assert_int_equal(up(w->metrics), 0);
    o = fresh();
    assert_int_equal(store_get(s, SLICE("k"), NOW, &o.op), STORE_UNAVAILABLE);
    store_cancel(&o.op); /* refused: harmless */
    store_free(s);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_redis),
    };
    log_set_level(SLICE("error"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
