/* Saving: what is stored in which order, what a failure in the middle leaves, and that nothing is stored before every model has been asked. The
 * store and the models' handlers are stand-ins, which answer when the test says. */
#include "serve/saving.h"

#include "base/clock.h"
#include "serve/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* -- stand-ins -- */

#define PUTS_MAX 64

static struct {
    enum status answer;  /* of every put that is not told otherwise; PENDING: by put_answers */
    const char *refuses; /* puts of keys that end so fail */
    struct {
        char pairs[32];
        struct store_op *op;
        uint64_t life_ms;
    } put[PUTS_MAX];
    unsigned puts;
} store_told;

enum status store_put(struct store *s, struct slice key, struct blob *value, uint64_t until_ms, uint64_t now_ms,
                      struct store_op *op)
{
    unsigned i = store_told.puts++;
    const char *colon = memrchr(key.p, ':', key.n);
    struct slice pairs = slice_skip(key, (size_t)(colon + 1 - key.p));
    assert_true(i < PUTS_MAX && pairs.n < sizeof store_told.put[i].pairs);
    memcpy(store_told.put[i].pairs, pairs.p, pairs.n);
    store_told.put[i].pairs[pairs.n] = '\0';
    store_told.put[i].op = op;
    struct envelope e;
    assert_true(envelope_open(blob_slice(value), &e));
    assert_int_equal(e.fresh_until_ms, until_ms);
    store_told.put[i].life_ms = until_ms - e.stored_ms;
    op->previous_n = 0;
    if (store_told.refuses && slice_eq(pairs, slice_of(store_told.refuses))) return STORE_UNAVAILABLE;
    return store_told.answer;
}

bool store_is_remote(const struct store *s) { return false; }

size_t store_room(struct store *s, struct slice key) { return 0; }

/* What is invalidated by name: nothing, unless a test has a table; then what is stored once more is counted. */
static struct {
    struct epochs *epochs;
    enum status answer;
    struct stamp stamp; /* of the last one */
    struct store_op *op;
    unsigned replaces;
} epochs_told;

struct epochs *store_epochs(const struct store *s) { return epochs_told.epochs; }

struct stamp store_stamp(const struct store *s)
{
    return epochs_told.epochs ? epochs_now(epochs_told.epochs) : (struct stamp){.line = 0, .at = 0};
}

enum status store_replace(struct store *s, struct slice key, struct slice expected, struct blob *value,
                          uint64_t until_ms, uint64_t now_ms, struct store_op *op)
{
    struct envelope e;
    assert_true(envelope_open(blob_slice(value), &e));
    epochs_told.stamp = seal_notes_of(&e).stamp;
    epochs_told.replaces++;
    epochs_told.op = op;
    return epochs_told.answer;
}

enum status store_delete(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op)
{
    fail_msg("nothing is deleted here");
    return OK;
}

static struct {
    enum status answer;
    struct blob *value;
    struct store_op *op;
    unsigned gets;
} look_told;

enum status store_get(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op)
{
    look_told.gets++;
    look_told.op = op;
    op->value = look_told.answer == OK ? blob_ref(look_told.value) : NULL;
    return look_told.answer;
}

static void put_answers(unsigned i, enum status status)
{
    struct store_op *op = store_told.put[i].op;
    op->done(op, status, NULL);
}

static struct {
    vet_done *done;
    void *owner;
    char text[512];
    uint64_t request;
    enum vet_step step;
    unsigned starts, cancelled;
} vet_told;

struct vet *vet_start(struct vm *vm, const struct model *m, enum vet_step step, struct slice text,
                      const struct trail *trail, vet_done *done, void *owner)
{
    assert_true(text.n < sizeof vet_told.text);
    memcpy(vet_told.text, text.p, text.n);
    vet_told.text[text.n] = '\0';
    vet_told.done = done;
    vet_told.owner = owner;
    vet_told.request = trail->request;
    vet_told.step = step;
    vet_told.starts++;
    return NULL;
}

void vet_cancel(struct vet *v) { vet_told.cancelled++; }

static void vet_answers(const struct vet_result *result) { vet_told.done(vet_told.owner, result); }

/* -- the bench -- */

static uv_loop_t loop;
static struct flights *flights;
static struct serve serve;
static struct registry registry;
static struct generation generation;
static struct served served[2], *served_all[] = {&served[0], &served[1]};
static struct arena arena;

static struct {
    int times;
    enum status status;
} ended;

static void on_done(struct saving *s, enum status status)
{
    ended.times++;
    ended.status = status;
}

static struct field field(const char *name, enum field_kind kind)
{
    return (struct field){
        .name = slice_of(name), .kind = kind, .type = kind == FIELD_KEY ? TYPE_STRING : TYPE_ANY, .max = 1000};
}

static struct model *declare(const char *name, const struct field *fields, size_t n)
{
    struct model *m = registry_model_new(&registry);
    m->name = slice_of(name);
    m->handler = -1;
    m->fields = n;
    m->field = arena_alloc(&registry.arena, n * sizeof *fields);
    memcpy(m->field, fields, n * sizeof *fields);
    m->options.expires_ms = 1000;
    for (size_t i = 0; i < n; i++)
        if (field_refers(&m->field[i]) && !m->field[i].target) m->field[i].target = m;
    model_finish(m, SLICE("p"), &registry.arena);
    assert_true(registry_add(&registry, m));
    return m;
}

/* Node: id, note (required where the test says so), next, list. Checked: the same, with handlers. */
static int set_up(void **state)
{
    const struct field fields[] = {field("id", FIELD_KEY), field("note", FIELD_VALUE), field("next", FIELD_REFERENCE),
                                   field("list", FIELD_REFERENCES)};
    uv_loop_init(&loop);
    flights = flights_new();
    registry_init(&registry);
    arena_init(&arena);
    serve = (struct serve){.flights = flight_port_open(flights, &loop)};
    list_init(&serve.vettings);
    struct model *node = declare("Node", fields, 4), *checked = declare("Checked", fields, 4);
    checked->options.validate = true;
    served[0] = (struct served){.model = node, .generation = &generation};
    served[1] = (struct served){.model = checked, .generation = &generation};
    generation = (struct generation){.refs = 1, .served = served_all};
    memset(&store_told, 0, sizeof store_told);
    memset(&vet_told, 0, sizeof vet_told);
    memset(&ended, 0, sizeof ended);
    return 0;
}

static int tear_down(void **state)
{
    flight_port_close(serve.flights);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    flights_free(flights);
    registry_deinit(&registry);
    arena_deinit(&arena);
    return 0;
}

static struct saving saving_of(struct served *of, const char *body)
{
    static const struct trail trail = {.request = 7};
    struct saving s = {.serve = &serve,
                       .served = of,
                       .arena = &arena,
                       .body = slice_of(body),
                       .cascade = true,
                       .trail = &trail,
                       .done = on_done};
    key_draft_init(&s.draft);
    return s;
}

static void assert_puts(unsigned from, unsigned n, const char *const *pairs)
{
    assert_int_equal(store_told.puts, from + n);
    for (unsigned i = 0; i < n; i++) assert_string_equal(store_told.put[from + i].pairs, pairs[i]);
}
#define ASSERT_PUTS(from, ...)                                                                                         \
    assert_puts(from, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

/* -- one record -- */

static void a_record_is_saved_now(void **state)
{
    struct saving s = saving_of(&served[0], "{\"id\":\"a\",\"note\":1.0}");
    s.has_life = true;
    s.life_ms = 50;
    assert_int_equal(saving_start(&s), OK);
    ASSERT_PUTS(0, "id=a");
    assert_int_equal(store_told.put[0].life_ms, 50);
    assert_false(s.was_there);
    assert_ptr_equal(s.key.model, served[0].model);
    struct envelope e;
    assert_true(envelope_open(blob_slice(s.blob), &e));
    assert_true(slice_eq(e.text, SLICE("{\"id\":\"a\",\"note\":1.0}")));
    blob_unref(s.blob);
    assert_int_equal(ended.times, 0);
}

static void a_record_is_saved_later(void **state)
{
    struct saving s = saving_of(&served[0], "{\"id\":\"a\"}");
    store_told.answer = PENDING;
    assert_int_equal(saving_start(&s), PENDING);
    store_told.put[0].op->previous_n = 8;
    memcpy(store_told.put[0].op->previous, "PGE\1\0\0\0\0", 8);
    put_answers(0, OK);
    assert_int_equal(ended.times, 1);
    assert_int_equal(ended.status, OK);
    assert_true(s.was_there);
    blob_unref(s.blob);
}

static void a_store_that_is_away_is_told(void **state)
{
    struct saving s = saving_of(&served[0], "{\"id\":\"a\"}");
    store_told.answer = OVERLOADED;
    assert_int_equal(saving_start(&s), OVERLOADED);
    assert_int_equal(s.problem.status, OVERLOADED);
    assert_string_equal(s.problem.detail, "nothing is known to be saved");
    assert_null(s.blob);
    assert_ptr_equal(s.key.model, served[0].model);
}

static void a_bad_body_has_no_key(void **state)
{
    struct saving s = saving_of(&served[0], "{\"note\":1}");
    assert_int_equal(saving_start(&s), KEY_REQUIRED);
    assert_null(s.key.model);
    assert_int_equal(store_told.puts, 0);
}

static void on_leader(struct flight_waiter *w, const struct flight_outcome *o) {}

static void a_load_that_stores_is_waited_for(void **state)
{
    struct saving s = saving_of(&served[0], "{\"id\":\"a\"}");
    struct flight_waiter leader = {.done = on_leader};
    struct flight *f;
    struct slice prefix = served[0].model->key_prefix;
    struct slice key = arena_printf(&arena, "%.*sid=a", SLICE_ARG(prefix));
    assert_int_equal(flight_join(serve.flights, key, &leader, &f), FLIGHT_LEAD);
    assert_true(flight_may_store(f));
    assert_int_equal(saving_start(&s), PENDING);
    assert_int_equal(store_told.puts, 0);
    flight_land(f, flight_outcome_new(MISSING));
    uv_run(&loop, UV_RUN_NOWAIT);
    ASSERT_PUTS(0, "id=a");
    assert_int_equal(ended.times, 1);
    assert_int_equal(ended.status, OK);
    blob_unref(s.blob);
}

/* -- records inside -- */

#define TREE                                                                                                           \
    "{\"id\":\"root\",\"next\":{\"id\":\"b\",\"note\":1,\"next\":{\"id\":\"c\",\"note\":2}},"                          \
    "\"list\":[{\"id\":\"d\",\"note\":3},{\"id\":\"e\"}]}"

static void targets_are_stored_first(void **state)
{
    struct saving s = saving_of(&served[0], TREE);
    s.has_life = true;
    s.life_ms = 50;
    store_told.answer = PENDING;
    assert_int_equal(saving_start(&s), PENDING);
    ASSERT_PUTS(0, "id=c", "id=d"); /* all that refers to none of the others, at once */
    assert_int_equal(store_told.put[0].life_ms, 1000);
    put_answers(1, OK);
    assert_int_equal(store_told.puts, 2);
    put_answers(0, OK);
    ASSERT_PUTS(2, "id=b");
    put_answers(2, OK);
    ASSERT_PUTS(3, "id=root");
    assert_int_equal(store_told.put[3].life_ms, 50);
    assert_int_equal(ended.times, 0);
    put_answers(3, OK);
    assert_int_equal(ended.times, 1);
    assert_int_equal(ended.status, OK);
    blob_unref(s.blob);
}

static void a_failure_stops_what_stands_above(void **state)
{
    struct saving s = saving_of(&served[0], TREE);
    store_told.answer = PENDING;
    assert_int_equal(saving_start(&s), PENDING);
    put_answers(0, STORE_UNAVAILABLE);
    assert_int_equal(ended.times, 0); /* the other is under way */
    put_answers(1, OK);
    assert_int_equal(store_told.puts, 2);
    assert_int_equal(ended.times, 1);
    assert_int_equal(ended.status, STORE_UNAVAILABLE);
    assert_string_equal(s.problem.detail, "it was not saved; of the records inside it some may be");
    assert_null(s.blob);
}

static void a_failure_now_stops_too(void **state)
{
    struct saving s = saving_of(&served[0], TREE);
    store_told.refuses = "id=b";
    assert_int_equal(saving_start(&s), STORE_UNAVAILABLE);
    ASSERT_PUTS(0, "id=c", "id=d", "id=b");
    s = saving_of(&served[0], TREE);
    store_told.refuses = "id=root";
    assert_int_equal(saving_start(&s), STORE_UNAVAILABLE);
    assert_string_equal(s.problem.detail, "nothing is known to be saved but the records inside it");
    assert_int_equal(ended.times, 0);
}

static void who_refers_to_a_later_one_waits_for_it(void **state)
{
    struct saving s =
        saving_of(&served[0], "{\"id\":\"root\",\"list\":[{\"id\":\"a\",\"note\":1,\"next\":{\"id\":\"b\"}},"
                              "{\"id\":\"b\",\"note\":2}]}");
    assert_int_equal(saving_start(&s), OK);
    ASSERT_PUTS(0, "id=b", "id=a", "id=root");
    blob_unref(s.blob);
}

static void a_ring_ends_with_the_record_asked_for(void **state)
{
    struct saving s =
        saving_of(&served[0], "{\"id\":\"root\",\"next\":{\"id\":\"a\",\"note\":1,\"next\":{\"id\":\"root\"},"
                              "\"list\":[{\"id\":\"b\",\"note\":2,\"next\":{\"id\":\"a\"}},{\"id\":\"a\"}]}}");
    assert_int_equal(saving_start(&s), OK);
    ASSERT_PUTS(0, "id=b", "id=a", "id=root");
    blob_unref(s.blob);
}

/* -- what models say -- */

static void every_model_is_asked_before_anything_is_stored(void **state)
{
    struct saving s = saving_of(&served[1], TREE);
    const struct vet_result fine = {.status = OK, .tags = SLICE("\1x")};
    assert_int_equal(saving_start(&s), PENDING);
    assert_string_equal(vet_told.text, "{\"id\":\"c\",\"note\":2}");
    assert_int_equal(vet_told.request, 7);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(vet_told.starts, i);
        assert_int_equal(store_told.puts, 0);
        vet_answers(&fine);
    }
    ASSERT_PUTS(0, "id=c", "id=d", "id=b", "id=root");
    assert_int_equal(vet_told.starts, 4);
    assert_int_equal(ended.status, OK);
    assert_int_equal(ended.times, 1);
    struct envelope e;
    assert_true(envelope_open(blob_slice(s.blob), &e));
    assert_true(slice_eq(envelope_section(&e, SECTION_TAGS), SLICE("\1x")));
    blob_unref(s.blob);
}

static void a_refusal_names_the_place(void **state)
{
    static const struct {
        unsigned good; /* before the one that is refused */
        const char *path;
    } row[] = {{0, "next.next.note"}, {1, "next.note"}, {2, "list[0].note"}, {3, "note"}};
    const struct vet_result fine = {.status = OK};
    struct vet_result bad = {.status = FIELD_TYPE};
    problem_set(&bad.problem, FIELD_TYPE, "note", "is bad");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct saving s = saving_of(&served[1], TREE);
        assert_int_equal(saving_start(&s), PENDING);
        for (unsigned n = 0; n < row[i].good; n++) vet_answers(&fine);
        vet_answers(&bad);
        assert_int_equal(ended.times, i + 1);
        assert_int_equal(ended.status, FIELD_TYPE);
        assert_int_equal(s.problem.status, FIELD_TYPE);
        assert_string_equal(s.problem.path, row[i].path);
        assert_string_equal(s.problem.detail, "is bad");
        assert_int_equal(store_told.puts, 0);
        assert_null(s.blob);
    }
}

static const struct vet_result good = {.status = OK, .tags = SLICE("\1x"), .expires_ms = VET_EXPIRES_UNSET};

static void all_are_good_before_one_is_written_through(void **state)
{
    struct saving s = saving_of(&served[1], TREE);
    registry.model[1]->options.on_save = true;
    s.has_life = true;
    s.life_ms = 50;
    assert_int_equal(saving_start(&s), PENDING);
    char first[sizeof vet_told.text];
    memcpy(first, vet_told.text, sizeof first);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vet_told.step, VET_CHECK);
        vet_answers(&good);
    }
    assert_string_equal(vet_told.text, first); /* the same again, from its beginning */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(vet_told.step, VET_SAVE);
        assert_int_equal(store_told.puts, 0);
        struct vet_result written = {.status = OK, .expires_ms = VET_EXPIRES_UNSET};
        if (i == 1) written.expires_ms = 77; /* of b */
        vet_answers(&written);
    }
    assert_int_equal(vet_told.starts, 8);
    ASSERT_PUTS(0, "id=c", "id=d", "id=b", "id=root");
    static const uint64_t life[] = {1000, 1000, 77, 50};
    for (unsigned i = 0; i < 4; i++) assert_int_equal(store_told.put[i].life_ms, life[i]);
    assert_int_equal(ended.status, OK);
    struct envelope e;
    assert_true(envelope_open(blob_slice(s.blob), &e));
    assert_true(slice_eq(envelope_section(&e, SECTION_TAGS), SLICE("\1x")));
    blob_unref(s.blob);
}

static void what_is_not_written_through_is_not_stored(void **state)
{
    struct vet_result bad = {.status = LOADER_ERROR};
    problem_set(&bad.problem, LOADER_ERROR, NULL, "no");
    registry.model[1]->options.on_save = true;
    for (unsigned written = 0; written < 4; written++) {
        struct saving s = saving_of(&served[1], TREE);
        assert_int_equal(saving_start(&s), PENDING);
        for (unsigned n = 0; n < 4 + written; n++) vet_answers(&good);
        vet_answers(&bad);
        assert_int_equal(ended.times, written + 1);
        assert_int_equal(ended.status, LOADER_ERROR);
        assert_int_equal(store_told.puts, 0);
        assert_null(s.blob);
    }
    registry.model[1]->options.validate = false; /* on_save alone; and what it says beats the request */
    struct saving s = saving_of(&served[1], "{\"id\":\"a\"}");
    struct vet_result written = {.status = OK, .expires_ms = 77};
    s.has_life = true;
    s.life_ms = 50;
    assert_int_equal(saving_start(&s), PENDING);
    assert_int_equal(vet_told.step, VET_SAVE);
    vet_answers(&written);
    assert_int_equal(store_told.put[0].life_ms, 77);
    assert_int_equal(ended.status, OK);
    blob_unref(s.blob);
}

/* -- conditions -- */

static const struct store_condition is_there = {.is = {"*", 1}};

static void the_store_judges_a_condition(void **state)
{
    struct saving s = saving_of(&served[0], "{\"id\":\"a\"}");
    s.when = &is_there;
    store_told.answer = PENDING;
    assert_int_equal(saving_start(&s), PENDING);
    assert_ptr_equal(store_told.put[0].op->when, &is_there);
    assert_int_equal(look_told.gets, 0);
    put_answers(0, PRECONDITION_FAILED);
    assert_int_equal(ended.times, 1);
    assert_int_equal(ended.status, PRECONDITION_FAILED);
    assert_int_equal(s.problem.status, PRECONDITION_FAILED);
    assert_non_null(strstr(s.problem.detail, "there is no record"));
    assert_null(s.blob);
}

static void a_condition_is_for_one_record(void **state)
{
    struct saving s = saving_of(&served[0], TREE);
    s.when = &is_there;
    assert_int_equal(saving_start(&s), NOT_IMPLEMENTED);
    assert_int_equal(store_told.puts, 0);
}

/* Is asked before the origin is told, and once more when the record is stored. */
static void a_condition_comes_before_writing_through(void **state)
{
    static const enum status answers[] = {MISSING, OK, STORE_UNAVAILABLE, OVERLOADED};
    static const enum status wanted[] = {PRECONDITION_FAILED, PRECONDITION_FAILED, STORE_UNAVAILABLE, OVERLOADED};
    const struct vet_result written = {.status = OK, .expires_ms = VET_EXPIRES_UNSET};
    struct envelope over = {.fresh_until_ms = 1, .stale_until_ms = CLOCK_NEVER, .text = SLICE("{}")};
    struct envelope lives = {.fresh_until_ms = CLOCK_NEVER, .stale_until_ms = CLOCK_NEVER, .text = SLICE("{}")};
    registry.model[1]->options.on_save = true;
    registry.model[1]->options.validate = false;
    look_told.value = envelope_seal(&over, NULL, 0);
    for (int later = 0; later < 2; later++) {
        for (unsigned i = 0; i < 4; i++) {
            struct saving s = saving_of(&served[1], "{\"id\":\"a\"}");
            s.when = &is_there;
            look_told.answer = later ? PENDING : answers[i];
            enum status st = saving_start(&s);
            if (later)
                look_told.op->done(look_told.op, answers[i], answers[i] == OK ? blob_ref(look_told.value) : NULL);
            assert_int_equal(later ? ended.status : st, wanted[i]);
            assert_int_equal(s.problem.status, wanted[i]);
        }
    }
    assert_int_equal(ended.times, 4);
    assert_int_equal(vet_told.starts, 0);
    assert_int_equal(store_told.puts, 0);

    blob_unref(look_told.value);
    look_told.value = envelope_seal(&lives, NULL, 0);
    look_told.answer = OK;
    struct saving s = saving_of(&served[1], "{\"id\":\"a\"}");
    s.when = &is_there;
    assert_int_equal(saving_start(&s), PENDING);
    assert_int_equal(vet_told.step, VET_SAVE);
    vet_answers(&written);
    assert_ptr_equal(store_told.put[0].op->when, &is_there);
    assert_int_equal(ended.status, OK);
    blob_unref(s.blob);
    blob_unref(look_told.value);
}

static void the_end_waits_for_no_handler(void **state)
{
    const struct vet_result fine = {.status = OK};
    struct saving first = saving_of(&served[1], TREE), second = saving_of(&served[1], "{\"id\":\"e\"}");
    assert_int_equal(saving_start(&first), PENDING);
    vet_answers(&fine);
    assert_int_equal(saving_start(&second), PENDING);
    vetting_stop_all(&serve);
    assert_int_equal(vet_told.cancelled, 2);
    assert_int_equal(ended.times, 2);
    assert_int_equal(ended.status, OVERLOADED);
    const struct saving *both[] = {&first, &second};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i]->problem.status, OVERLOADED);
        assert_string_equal(both[i]->problem.path, "");
        assert_non_null(strstr(both[i]->problem.detail, "shutting down"));
        assert_null(both[i]->blob);
    }
    struct saving late = saving_of(&served[1], TREE), plain = saving_of(&served[0], "{\"id\":\"f\"}");
    assert_int_equal(saving_start(&late), OVERLOADED);
    assert_int_equal(late.problem.status, OVERLOADED);
    assert_int_equal(vet_told.starts, 3);
    assert_int_equal(store_told.puts, 0);
    assert_int_equal(saving_start(&plain), OK); /* which asks nobody */
    blob_unref(plain.blob);
    assert_int_equal(ended.times, 2);
}

/* The record itself is the gate's to judge (access.h). */
static void records_inside_need_a_grant_of_their_own(void **state)
{
    struct slice name = SLICE("Checked");
    struct grant grant = {.permits = PERMIT_WRITE, .models = &name, .n = 1};
    struct saving s = saving_of(&served[1], "{\"id\":\"root\",\"note\":1}"), tree = saving_of(&served[0], TREE);
    s.grant = tree.grant = &grant;
    assert_int_equal(saving_start(&s), PENDING); /* its handler is asked */
    vet_answers(&(struct vet_result){.status = OK});
    assert_int_equal(ended.status, OK);
    blob_unref(s.blob);
    assert_int_equal(saving_start(&tree), FORBIDDEN);
    assert_int_equal(tree.problem.status, FORBIDDEN);
    assert_string_equal(tree.problem.path, "next.next");
    assert_non_null(strstr(tree.problem.detail, "`Node`"));
    assert_int_equal(store_told.puts, 1);
    name = SLICE("Node");
    tree = saving_of(&served[0], TREE);
    tree.grant = &grant;
    assert_int_equal(saving_start(&tree), OK);
    blob_unref(tree.blob);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_record_is_saved_now),
        TEST(a_record_is_saved_later),
        TEST(a_store_that_is_away_is_told),
        TEST(a_bad_body_has_no_key),
        TEST(a_load_that_stores_is_waited_for),
        TEST(targets_are_stored_first),
        TEST(a_failure_stops_what_stands_above),
        TEST(a_failure_now_stops_too),
        TEST(who_refers_to_a_later_one_waits_for_it),
        TEST(a_ring_ends_with_the_record_asked_for),
        TEST(every_model_is_asked_before_anything_is_stored),
        TEST(a_refusal_names_the_place),
        TEST(all_are_good_before_one_is_written_through),
        TEST(what_is_not_written_through_is_not_stored),
        TEST(the_store_judges_a_condition),
        TEST(a_condition_is_for_one_record),
        TEST(a_condition_comes_before_writing_through),
        TEST(the_end_waits_for_no_handler),
        TEST(records_inside_need_a_grant_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
