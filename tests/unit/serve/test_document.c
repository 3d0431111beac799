/* Documents of records that stand in a memory store: what is composed of them, and what is told of the whole. Loads and Redis are
 * tests/e2e/references_spec.lua's. */
#include "base/clock.h"
#include "http/reply.h"
#include "serve/document.h"
#include "serve/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1000000u
#define TEXT(words)                                                                                                    \
    {                                                                                                                  \
        words, sizeof words - 1                                                                                        \
    }

/* -- a small world: people who refer to people and to a place -- */

static struct field of_place[] = {{.name = TEXT("name"), .kind = FIELD_KEY, .type = TYPE_STRING},
                                  {.name = TEXT("phone"), .kind = FIELD_VALUE}};
static struct model place = {.name = TEXT("Place"), .index = 0, .field = of_place, .fields = 2};

static const struct demand look_only = {.mode = FETCH_LOOK};

static struct model user;
static struct field of_user[] = {
    {.name = TEXT("id"), .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = TEXT("note"), .kind = FIELD_VALUE},
    {.name = TEXT("work"), .kind = FIELD_REFERENCE, .target = &place, .missing = EDGE_FAIL},
    {.name = TEXT("mother"), .kind = FIELD_REFERENCE, .target = &user, .missing = EDGE_NULL},
    {.name = TEXT("friends"), .kind = FIELD_REFERENCES, .target = &user, .missing = EDGE_SKIP, .max = 1000},
    {.name = TEXT("seats"), .kind = FIELD_REFERENCES, .target = &place, .missing = EDGE_NULL, .max = 1000},
    {.name = TEXT("team"), .kind = FIELD_REFERENCES, .target = &user, .missing = EDGE_FAIL, .max = 1000},
};
enum { ID, NOTE, WORK, MOTHER, FRIENDS, SEATS, TEAM, FIELDS };
#define AT(f) of_user[f].place
static struct model user = {.name = TEXT("User"), .index = 1, .field = of_user, .fields = FIELDS, .options.depth = 8};

struct world {
    struct arena arena;
    uv_loop_t loop;
    struct memory *memory;
    struct metrics *metrics;
    struct flights *flights;
    struct served served[2], *list[2];
    struct generation generation;
    struct serve serve;
};
static struct world w;

static int set_up(void **state)
{
    memset(&w, 0, sizeof w);
    arena_init(&w.arena);
    uv_loop_init(&w.loop);
    model_finish(&place, SLICE("t"), &w.arena);
    model_finish(&user, SLICE("t"), &w.arena);
    w.metrics = metrics_new();
    w.memory = memory_new(256 << 20);
    w.flights = flights_new();
    w.serve = (struct serve){.store = store_new(w.memory, NULL, w.metrics),
                             .store_detail = "memory",
                             .flights = flight_port_open(w.flights, &w.loop),
                             .metrics = w.metrics};
    for (int i = 0; i < 2; i++) {
        w.served[i] = (struct served){.model = i ? &user : &place, .generation = &w.generation};
        w.list[i] = &w.served[i];
    }
    w.generation.served = w.list;
    return 0;
}

static int tear_down(void **state)
{
    flight_port_close(w.serve.flights);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    flights_free(w.flights);
    store_free(w.serve.store);
    memory_free(w.memory);
    metrics_free(w.metrics);
    for (int i = 0; i < 2; i++) free(w.served[i].references);
    place.loads = user.loads = false;
    arena_deinit(&w.arena);
    return 0;
}

/* -- records, written as the codec writes them -- */

struct draft {
    struct buffer text;
    struct envelope_ref ref[ENVELOPE_REFS_MAX];
    size_t refs;
};

static struct slice pairs_of(const struct model *m, const char *id)
{
    return arena_printf(&w.arena, "%s=%s", m == &place ? "name" : "id", id);
}

/* `ids`, with a blank between: the members of one reference field. */
static void put_references(struct draft *d, int field, const char *ids)
{
    const struct field *f = &user.field[field];
    if (!ids) return;
    buffer_printf(&d->text, ",\"%.*s\":%s", SLICE_ARG(f->name), f->kind == FIELD_REFERENCES ? "[" : "");
    for (struct slice rest = slice_of(ids); rest.p && rest.n;) {
        struct slice id = arena_dup(&w.arena, slice_cut(&rest, ' '));
        size_t start = d->text.n;
        const char *name = f->target == &place ? "name" : "id";
        buffer_printf(&d->text, "{\"%s\":\"%s\",\"$ref\":\"/models/%.*s?%s=%s\"}", name, id.p,
                      SLICE_ARG(f->target->name), name, id.p);
        d->ref[d->refs++] = (struct envelope_ref){.place = f->place,
                                                  .offset = (uint32_t)start,
                                                  .length = (uint32_t)(d->text.n - start),
                                                  .pairs = pairs_of(f->target, id.p)};
        if (rest.p) buffer_char(&d->text, ',');
    }
    if (f->kind == FIELD_REFERENCES) buffer_char(&d->text, ']');
}

static void store(const struct model *m, const char *id, struct envelope e, const struct draft *d)
{
    struct slice key = arena_printf(&w.arena, "%.*s%.*s", SLICE_ARG(m->key_prefix), SLICE_ARG(pairs_of(m, id)));
    struct store_op op = {0};
    if (!e.stored_ms) e.stored_ms = NOW;
    if (!e.fresh_until_ms) e.fresh_until_ms = CLOCK_NEVER;
    e.stale_until_ms = e.fresh_until_ms;
    struct blob *blob =
        seal_make(&w.serve, &e, d ? d->ref : NULL, d ? d->refs : 0, &(struct seal_notes){.load_us = 0}, key);
    assert_int_equal(store_put(w.serve.store, key, blob, e.fresh_until_ms, NOW, &op), OK);
    blob_unref(blob);
}

struct person {
    const char *note, *work, *mother, *friends, *seats, *team;
    uint64_t stored_ms, fresh_until_ms;
    struct envelope_ref *first; /* what the first reference is made into, to damage it */
    size_t lacks;               /* the reference that the table lacks, likewise; not the first */
};

static void put_person(const char *id, struct person p)
{
    struct draft *d = test_calloc(1, sizeof *d);
    buffer_init(&d->text, 1 << 20);
    buffer_printf(&d->text, "{\"id\":\"%s\"", id);
    if (p.note) buffer_printf(&d->text, ",\"note\":\"%s\"", p.note);
    const char *references[] = {p.work, p.mother, p.friends, p.seats, p.team};
    for (int i = 0; i < 5; i++) put_references(d, WORK + i, references[i]);
    buffer_char(&d->text, '}');
    if (p.first) d->ref[0] = *p.first;
    if (p.lacks) memmove(&d->ref[p.lacks], &d->ref[p.lacks + 1], (--d->refs - p.lacks) * sizeof *d->ref);
    store(
        &user, id,
        (struct envelope){.text = buffer_view(&d->text), .stored_ms = p.stored_ms, .fresh_until_ms = p.fresh_until_ms},
        d);
    buffer_deinit(&d->text);
    test_free(d);
}

#define person(id, ...) put_person(id, (struct person){__VA_ARGS__})

static void put_place(const char *id, const char *phone)
{
    struct slice text = arena_printf(&w.arena, "{\"name\":\"%s\",\"phone\":\"%s\"}", id, phone);
    store(&place, id, (struct envelope){.text = text}, NULL);
}

static void put_negative(const struct model *m, const char *id, uint64_t fresh_until_ms)
{
    store(m, id, (struct envelope){.kind = ENVELOPE_NEGATIVE, .fresh_until_ms = fresh_until_ms}, NULL);
}

/* -- reading -- */

struct reading {
    struct arena arena;
    struct record_key key[4];
    struct view view;
    struct document document[4];
    struct documents documents;
    struct problem why;
};

static void never(struct documents *d) { fail_msg("a memory store answers at once"); }

static struct reading *begin(const struct model *m, const char *query, const struct demand *demand)
{
    struct reading *r = test_calloc(1, sizeof *r);
    arena_init(&r->arena);
    if (view_query(m, slice_of(query), &r->arena, &r->key[0], &r->view, &r->why) != OK)
        fail_msg("%s: %s", query, r->why.detail);
    r->document[0].key = &r->key[0];
    r->documents = (struct documents){.serve = &w.serve,
                                      .served = w.list[m->index],
                                      .arena = &r->arena,
                                      .view = r->view,
                                      .demand = demand,
                                      .document = r->document,
                                      .n = 1,
                                      .done = never};
    return r;
}

static struct reading *read_in(const char *query, const struct demand *demand)
{
    struct reading *r = begin(&user, query, demand);
    assert_int_equal(documents_start(&r->documents, NOW), OK);
    return r;
}

static void end(struct reading *r)
{
    documents_finish(&r->documents);
    arena_deinit(&r->arena);
    test_free(r);
}

/* The composed text, from both ways, in the test's arena. The reply is read when the documents are gone. */
static const char *text_of(struct reading *r, size_t i)
{
    struct document *doc = &r->document[i];
    struct buffer text, sent;
    struct reply reply;
    if (doc->status != OK) fail_msg("%s %s: %s", status_code(doc->status), doc->problem.path, doc->problem.detail);
    buffer_init(&text, 64 << 20);
    buffer_init(&sent, 64 << 20);
    compose_text(&r->documents, doc, &text);
    assert_true(text.n <= doc->bytes);
    reply_init(&reply, &w.arena);
    reply_begin(&reply, 200);
    compose_reply(&r->documents, doc, &reply);
    assert_int_equal(reply.body_bytes, text.n);
    if (r->documents.n == 1) documents_finish(&r->documents);
    for (size_t p = 0; p < reply.pieces; p++) buffer_slice(&sent, reply.piece[p].bytes);
    assert_int_equal(sent.n, text.n);
    assert_memory_equal(sent.p, text.p, text.n);
    const char *copy = arena_dup(&w.arena, buffer_view(&text)).p;
    reply_deinit(&reply);
    buffer_deinit(&text);
    buffer_deinit(&sent);
    return copy;
}

static const char *read_text(const char *query)
{
    struct reading *r = read_in(query, &demand_nothing);
    const char *text = text_of(r, 0);
    end(r);
    return text;
}

static uint64_t read_tag(const char *query)
{
    struct reading *r = read_in(query, &demand_nothing);
    assert_int_equal(r->document[0].status, OK);
    uint64_t tag = r->document[0].tag;
    end(r);
    return tag;
}

static void assert_fails(const char *query, const struct demand *demand, enum status status, const char *path)
{
    struct reading *r = read_in(query, demand);
    assert_string_equal(status_code(r->document[0].status), status_code(status));
    assert_int_equal(r->document[0].problem.status, status);
    assert_string_equal(r->document[0].problem.path, path);
    end(r);
}

static int64_t counted(const char *field, const char *outcome)
{
    struct slice labels[] = {SLICE("User"), slice_of(field), slice_of(outcome)};
    return metrics_counter(w.metrics, METRIC_REFERENCES, labels)->v;
}

#define ACME     "{\"name\":\"acme\",\"phone\":\"1\"}"
#define STUB(id) "{\"id\":\"" id "\",\"$ref\":\"/models/User?id=" id "\"}"

/* -- what a document is -- */

static void a_reference_is_what_it_refers_to(void **state)
{
    put_place("acme", "1");
    person("bob", .note = "n", .work = "acme", .mother = "eve");
    person("eve", .work = "acme", .friends = "");
    assert_string_equal(read_text("id=bob"), "{\"id\":\"bob\",\"note\":\"n\",\"work\":" ACME
                                             ",\"mother\":{\"id\":\"eve\",\"work\":" ACME ",\"friends\":[]}}");
    assert_int_equal(counted("work", "hit"), 2);
    assert_int_equal(counted("mother", "hit"), 1);
}

static void depth_leaves_stubs(void **state)
{
    person("a", .mother = "b");
    person("b", .mother = "c");
    person("c", .note = "end");
    assert_string_equal(read_text("id=a&_depth=1"),
                        "{\"id\":\"a\",\"mother\":{\"id\":\"b\",\"mother\":" STUB("c") "}}");
    assert_int_equal(counted("mother", "depth"), 1);
    assert_string_equal(read_text("id=a&_depth=0&_fields=id,mother"), "{\"id\":\"a\",\"mother\":" STUB("b") "}");
    user.options.depth = 1;
    assert_string_equal(read_text("id=a"), read_text("id=a&_depth=1"));
    user.options.depth = 8;
    assert_string_equal(read_text("id=a&_depth=64"),
                        "{\"id\":\"a\",\"mother\":{\"id\":\"b\",\"mother\":{\"id\":\"c\",\"note\":\"end\"}}}");
}

static void a_cycle_ends_in_a_stub(void **state)
{
    person("me", .mother = "me", .friends = "me you me");
    person("you", .friends = "me you");
    assert_string_equal(read_text("id=me"),
                        "{\"id\":\"me\",\"mother\":" STUB("me") ",\"friends\":[" STUB(
                            "me") ",{\"id\":\"you\",\"friends\":[" STUB("me") "," STUB("you") "]}," STUB("me") "]}");
    assert_int_equal(counted("friends", "cycle"), 4);
    assert_int_equal(counted("mother", "cycle"), 1);
}

static void one_record_may_stand_in_many_places(void **state)
{
    put_place("acme", "1");
    person("a", .work = "acme", .friends = "b c b", .team = "b c");
    person("b", .work = "acme");
    person("c", .work = "acme", .mother = "b");
#define B "{\"id\":\"b\",\"work\":" ACME "}"
#define C "{\"id\":\"c\",\"work\":" ACME ",\"mother\":" B "}"
    assert_string_equal(read_text("id=a"),
                        "{\"id\":\"a\",\"work\":" ACME ",\"friends\":[" B "," C "," B "],\"team\":[" B "," C "]}");
#undef B
#undef C
}

/* -- what is missing -- */

static void what_is_skipped_takes_its_comma_along(void **state)
{
    static const struct {
        const char *friends, *text;
    } lists[] = {{"x", ""},          {"x a", "A"},         {"a x", "A"},        {"x x", ""},        {"a x b", "A,B"},
                 {"x a b", "A,B"},   {"a b x", "A,B"},     {"x a x", "A"},      {"a x x b", "A,B"}, {"x x a b", "A,B"},
                 {"a b x x", "A,B"}, {"x a x b x", "A,B"}, {"x x x", ""},       {"x x x a", "A"},   {"x me x a", "M,A"},
                 {"me x", "M"},      {"x me", "M"},        {"me x x me", "M,M"}};
    person("a", .note = "A");
    person("b", .note = "B");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char wanted[512] = "{\"id\":\"me\",\"friends\":[";
        person("me", .friends = lists[i].friends);
        for (const char *c = lists[i].text; *c; c++)
            strcat(wanted, *c == 'A'   ? "{\"id\":\"a\",\"note\":\"A\"}"
                           : *c == 'B' ? "{\"id\":\"b\",\"note\":\"B\"}"
                           : *c == 'M' ? STUB("me")
                                       : ",");
        strcat(wanted, "]}");
        assert_string_equal(read_text("id=me"), wanted);
    }
}

static void null_stands_for_what_is_missing(void **state)
{
    put_place("acme", "1");
    person("a", .mother = "x", .seats = "x acme x");
    assert_string_equal(read_text("id=a"), "{\"id\":\"a\",\"mother\":null,\"seats\":[null," ACME ",null]}");
    assert_int_equal(counted("seats", "missing"), 2);
}

static void a_fail_edge_takes_who_refers_along(void **state)
{
    put_place("acme", "1");
    person("a", .work = "x");
    assert_fails("id=a", &demand_nothing, MISSING, "work");
    person("b", .mother = "a", .friends = "a c a", .seats = "acme");
    person("c", .work = "acme");
    assert_string_equal(read_text("id=b"), "{\"id\":\"b\",\"mother\":null,\"friends\":[{\"id\":\"c\",\"work\":" ACME
                                           "}],\"seats\":[" ACME "]}");
    person("d", .team = "c c e");
    person("e", .team = "c a");
    assert_fails("id=d", &demand_nothing, MISSING, "team[2].team[1].work");
    assert_fails("id=nobody", &demand_nothing, MISSING, "");
    person("e", .work = "x", .team = "x y");
    assert_fails("id=e", &demand_nothing, MISSING, "work"); /* the first one is told */
    person("f", .mother = "d", .note = "n");
    assert_string_equal(read_text("id=f"), "{\"id\":\"f\",\"note\":\"n\",\"mother\":null}");
}

/* What was lost on one level is not read further; the rest goes on. */
static void nothing_is_read_below_what_is_lost(void **state)
{
    person("a", .mother = "b", .friends = "c");
    person("b", .work = "x", .friends = "d");
    person("c", .mother = "d");
    person("d", .mother = "e");
    assert_string_equal(read_text("id=a"), "{\"id\":\"a\",\"mother\":null,\"friends\":[{\"id\":\"c\",\"mother\":"
                                           "{\"id\":\"d\",\"mother\":null}}]}");
    assert_int_equal(counted("mother", "hit"), 2);
    assert_int_equal(counted("mother", "missing"), 1);
}

static void what_is_known_to_be_missing_counts_for_how_long(void **state)
{
    put_negative(&user, "gone", NOW + 5000);
    person("a", .mother = "gone", .stored_ms = NOW - 7000, .fresh_until_ms = NOW + 60000);
    struct reading *r = read_in("id=a", &demand_nothing);
    struct freshness fresh = r->document[0].fresh;
    assert_string_equal(text_of(r, 0), "{\"id\":\"a\",\"mother\":null}");
    assert_true(fresh.known && fresh.stored);
    assert_int_equal(fresh.source, SOURCE_STORE);
    assert_int_equal(fresh.stored_ms, NOW - 7000);
    assert_int_equal(fresh.fresh_until_ms, NOW + 5000);
    end(r);
    assert_fails("id=gone", &demand_nothing, MISSING, "");
    person("a", .mother = "b", .fresh_until_ms = NOW + 60000);
    person("b", .team = "x c");
    person("c", .fresh_until_ms = NOW + 10); /* below what is lost: it does not count */
    r = read_in("id=a", &demand_nothing);
    assert_string_equal(text_of(r, 0), "{\"id\":\"a\",\"mother\":null}");
    assert_int_equal(r->document[0].fresh.fresh_until_ms, NOW + 60000);
    assert_false(r->document[0].fresh.stored); /* nobody knows for how long `x` is missing */
    end(r);
}

/* Looking only, nobody can know what a loader would say. */
static void who_looks_only_must_find_everything(void **state)
{
    person("a", .mother = "x", .friends = "b");
    person("b", .note = "n");
    user.loads = true;
    assert_fails("id=a", &look_only, MISSING, "mother");
    put_negative(&user, "x", NOW + 5000);
    struct reading *r = read_in("id=a", &look_only);
    assert_string_equal(text_of(r, 0), "{\"id\":\"a\",\"mother\":null,\"friends\":[{\"id\":\"b\",\"note\":\"n\"}]}");
    end(r);
    person("a", .friends = "y");
    r = read_in("id=a", &look_only);
    assert_int_equal(r->document[0].status, MISSING);
    assert_true(r->document[0].absent);
    end(r);
    person("a", .team = "x");
    r = read_in("id=a", &look_only);
    assert_int_equal(r->document[0].status, MISSING);
    assert_false(r->document[0].absent); /* it is known */
    end(r);
}

/* -- parts -- */

static void include_resolves_only_what_it_names(void **state)
{
    put_place("acme", "1");
    person("a", .work = "acme", .mother = "b", .friends = "b");
    person("b", .work = "acme", .mother = "c");
    person("c", .note = "n");
    assert_string_equal(read_text("id=a&_include=mother.work"),
                        "{\"id\":\"a\",\"work\":{\"name\":\"acme\",\"$ref\":\"/models/"
                        "Place?name=acme\"},\"mother\":{\"id\":\"b\",\"work\":" ACME
                        ",\"mother\":" STUB("c") "},\"friends\":[" STUB("b") "]}");
    assert_int_equal(counted("work", "depth"), 0); /* nobody asked */
}

static void fields_shows_only_what_it_names(void **state)
{
    put_place("acme", "1");
    person("a", .note = "n", .work = "x", .mother = "b", .friends = "b x b", .seats = "acme");
    person("b", .note = "m", .work = "acme");
    assert_string_equal(read_text("id=a&_fields=note"), "{\"note\":\"n\"}");
    assert_string_equal(read_text("id=a&_fields=friends.work.phone,note"),
                        "{\"note\":\"n\",\"friends\":[{\"work\":{\"phone\":\"1\"}},{\"work\":{\"phone\":\"1\"}}]}");
    assert_string_equal(read_text("id=a&_fields=seats,mother.id,mother.work"),
                        "{\"mother\":{\"id\":\"b\",\"work\":" ACME "},\"seats\":[" ACME "]}");
    assert_string_equal(read_text("id=a&_fields=team"), "{}"); /* unset */
    assert_string_equal(read_text("id=a&_fields=mother&_include=friends"), "{\"mother\":" STUB("b") "}");
    assert_fails("id=a&_fields=work", &demand_nothing, MISSING, "work"); /* what is not asked for may be missing */
}

/* -- the tag -- */

static void a_document_without_references_has_its_records_tag(void **state)
{
    person("a", .note = "n");
    person("b", .mother = "b");
    struct slice text = SLICE("{\"id\":\"a\",\"note\":\"n\"}");
    struct blob *blob = envelope_seal(&(struct envelope){.text = text}, NULL, 0);
    struct envelope e;
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_int_equal(read_tag("id=a"), e.tag);
    blob_unref(blob);
    assert_int_equal(read_tag("id=b"), read_tag("id=b&_depth=3")); /* a cycle: the stored text */
}

static void equal_tags_mean_equal_bytes(void **state)
{
    static const char *const friends[] = {"a", "b", "a b", "b a", "x a", "a x", "x", "", "a a", "m", "c"};
    static const char *const options[] = {"",
                                          "&_depth=1",
                                          "&_fields=friends",
                                          "&_fields=friends.note",
                                          "&_fields=id",
                                          "&_include=mother",
                                          "&_fields=id,friends"};
    enum { N = sizeof friends / sizeof *friends * (sizeof options / sizeof *options) };
    uint64_t tag[N];
    const char *text[N];
    size_t n = 0;
    person("a", .note = "1");
    person("b", .note = "1");
    person("m", .mother = "x");
    person("c", .mother = "a");
    for (size_t i = 0; i < sizeof friends / sizeof *friends; i++) {
        person("me", .friends = friends[i]);
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            char query[64];
            snprintf(query, sizeof query, "id=me%s", options[k]);
            text[n] = read_text(query);
            tag[n++] = read_tag(query);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (tag[i] == tag[k]) assert_string_equal(text[i], text[k]);
    person("me", .mother = "a", .team = "a");
    assert_true(read_tag("id=me&_include=mother") != read_tag("id=me&_include=team"));
    person("me", .friends = "x");
    uint64_t skipped = read_tag("id=me");
    user.field[FRIENDS].missing = EDGE_NULL;
    assert_true(read_tag("id=me") != skipped);
    user.field[FRIENDS].missing = EDGE_SKIP;
}

static void a_target_that_changes_changes_the_tag(void **state)
{
    person("a", .mother = "b");
    person("b", .mother = "c");
    person("c", .note = "1");
    uint64_t first = read_tag("id=a");
    assert_int_equal(read_tag("id=a"), first);
    person("c", .note = "2");
    assert_true(read_tag("id=a") != first);
    assert_true(read_tag("id=a&_depth=1") != first);
    person("c", .note = "1");
    assert_int_equal(read_tag("id=a"), first);
}

/* -- bounds -- */

static char *many(int from, int n)
{
    char *ids = arena_bytes(&w.arena, (size_t)n * 8 + 1), *p = ids;
    for (int i = from; i < from + n; i++) p += sprintf(p, "%su%d", i > from ? " " : "", i);
    return ids;
}

static void a_document_has_a_thousand_records_at_most(void **state)
{
    for (int i = 0; i < 1001; i++) put_person(many(i, 1), (struct person){.note = "n"});
    person("a", .friends = many(0, 1000));
    struct reading *r = read_in("id=a", &demand_nothing);
    assert_int_equal(r->document[0].status, OK);
    end(r);
    person("a", .friends = many(0, 999), .mother = "eve");
    person("eve", .mother = "u999");
    assert_fails("id=a", &demand_nothing, DEPTH_EXCEEDED, "mother.mother");
    person("eve", .mother = "u998");
    r = read_in("id=a", &demand_nothing);
    assert_int_equal(r->document[0].status, OK);
    end(r);
    person("a", .friends = many(0, 999), .mother = "a"); /* a cycle is no record more */
    r = read_in("id=a", &demand_nothing);
    assert_int_equal(r->document[0].status, OK);
    end(r);
}

/* Twenty records, each of which refers twice to the next: a million places. */
static void a_small_graph_may_be_a_large_tree(void **state)
{
    for (int i = 0; i < 20; i++) {
        const char *next = many(i + 1, 1);
        put_person(many(i, 1), (struct person){.mother = next, .friends = next});
    }
    struct reading *r = read_in("id=u0&_depth=12", &demand_nothing);
    assert_int_equal(r->document[0].status, OK);
    end(r);
    r = read_in("id=u0&_depth=64", &demand_nothing);
    assert_int_equal(r->document[0].status, DEPTH_EXCEEDED);
    assert_non_null(strstr(r->document[0].problem.detail, "too many places"));
    assert_true(r->arena.used < DOCUMENT_OCCURRENCES_MAX * 256);
    end(r);
}

static void a_document_has_so_many_bytes_at_most(void **state)
{
    char *note = test_malloc(900001);
    memset(note, 'x', 900000);
    note[900000] = 0;
    person("big", .note = note);
    char *ids = arena_bytes(&w.arena, 1000), *p = ids;
    for (int i = 0; i < 75; i++) p += sprintf(p, "%sbig", i ? " " : "");
    person("a", .friends = ids); /* 75 times 900 kB */
    struct reading *r = read_in("id=a", &demand_nothing);
    assert_int_equal(r->document[0].status, DEPTH_EXCEEDED);
    end(r);
    ids[4 * 70 - 1] = 0;
    person("a", .friends = ids);
    assert_int_equal(strlen(read_text("id=a")),
                     70 * (900000 + strlen("{'id':'big','note':''}")) + 69 + strlen("{'id':'a','friends':[]}"));
    test_free(note);
}

static void a_document_may_be_as_deep_as_the_limit(void **state)
{
    for (int i = 0; i < 70; i++) put_person(many(i, 1), (struct person){.mother = many(i + 1, 1)});
    const char *text = read_text("id=u0&_depth=100");
    assert_non_null(strstr(text, "{\"id\":\"u64\",\"mother\":{\"id\":\"u65\",\"$ref\""));
    assert_null(strstr(text, "{\"id\":\"u65\",\"mother\""));
}

/* -- what a store gives back -- */

static void references_that_do_not_fit_are_a_damaged_record(void **state)
{
    struct slice b = pairs_of(&user, "b");
    const struct envelope_ref good = {AT(MOTHER), 19, 37, b};
    struct envelope_ref bad[] = {{FIELDS, 19, 37, b},          {UINT16_MAX, 19, 37, b},  {AT(NOTE), 19, 37, b},
                                 {AT(ID), 19, 37, b},          {AT(FRIENDS), 19, 37, b}, {AT(WORK), 19, 37, b},
                                 {AT(MOTHER), 18, 38, b},      {AT(MOTHER), 20, 36, b},  {AT(MOTHER), 19, 36, b},
                                 {AT(MOTHER), 0, 57, b},       {AT(MOTHER), 0, 1, b},    {AT(MOTHER), 19, 1, b},
                                 {AT(MOTHER), 19, 37, {"", 0}}};
    person("b", .note = "n");
    person("a", .mother = "b", .first = (struct envelope_ref *)&good);
    assert_string_equal(read_text("id=a"), "{\"id\":\"a\",\"mother\":{\"id\":\"b\",\"note\":\"n\"}}");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        person("a", .mother = "b", .first = &bad[i]);
        assert_fails("id=a", &demand_nothing, MISSING, "");
    }
    assert_int_equal(metrics_counter(w.metrics, METRIC_DAMAGED, &user.name)->v, (int)(sizeof bad / sizeof *bad));
    person("a", .friends = "b b b", .lacks = 1);
    assert_fails("id=a", &demand_nothing, MISSING, "");
    person("c", .friends = "a b a");
    assert_string_equal(read_text("id=c"), "{\"id\":\"c\",\"friends\":[{\"id\":\"b\",\"note\":\"n\"}]}");
}

static void a_damaged_target_is_missing(void **state)
{
    struct slice key = arena_printf(&w.arena, "%.*sid=b", SLICE_ARG(user.key_prefix));
    struct blob *blob = blob_copy(SLICE("no envelope"));
    struct store_op op = {0};
    assert_int_equal(store_put(w.serve.store, key, blob, CLOCK_NEVER, NOW, &op), OK);
    blob_unref(blob);
    person("a", .mother = "b");
    assert_string_equal(read_text("id=a"), "{\"id\":\"a\",\"mother\":null}");
}

static void what_is_over_is_missing(void **state)
{
    person("a", .mother = "b");
    person("b", .fresh_until_ms = NOW + 1);
    struct reading *r = begin(&user, "id=a", &demand_nothing);
    assert_int_equal(documents_start(&r->documents, NOW + 2), OK);
    assert_string_equal(text_of(r, 0), "{\"id\":\"a\",\"mother\":null}");
    end(r);
}

/* -- how it is sent, and many at once -- */

static void large_parts_are_sent_from_where_they_are_stored(void **state)
{
    char note[3000];
    memset(note, 'x', sizeof note - 1);
    note[sizeof note - 1] = 0;
    person("big", .note = note);
    person("a", .friends = "big big b big", .mother = "big");
    person("b", .note = "small");
    struct reading *r = read_in("id=a", &demand_nothing);
    struct reply reply;
    size_t large = 0;
    reply_init(&reply, &w.arena);
    reply_begin(&reply, 200);
    compose_reply(&r->documents, &r->document[0], &reply);
    text_of(r, 0); /* another reply gets a reference of its own; and now the documents are finished */
    person("big", .note = "no more");
    for (size_t i = 0; i < reply.pieces; i++)
        large += memmem(reply.piece[i].bytes.p, reply.piece[i].bytes.n, note, 2999) != NULL;
    assert_int_equal(large, 4);
    assert_int_equal(reply.pieces, 9); /* and what stands between them, gathered */
    reply_deinit(&reply);
    end(r);
}

static void many_roots_share_what_they_refer_to(void **state)
{
    put_place("acme", "1");
    person("a", .work = "acme", .mother = "b");
    person("b", .work = "acme");
    person("c", .work = "x");
    struct reading *r = begin(&user, "id=a", &demand_nothing);
    const char *const queries[] = {"id=a", "id=c", "id=b", "id=a"};
    for (int i = 0; i < 4; i++) {
        struct view view;
        assert_int_equal(view_query(&user, slice_of(queries[i]), &r->arena, &r->key[i], &view, &r->why), OK);
        r->document[i].key = &r->key[i];
    }
    r->documents.n = 4;
    assert_int_equal(documents_start(&r->documents, NOW), OK);
    assert_string_equal(text_of(r, 0), "{\"id\":\"a\",\"work\":" ACME ",\"mother\":{\"id\":\"b\",\"work\":" ACME "}}");
    assert_int_equal(r->document[1].status, MISSING);
    assert_string_equal(r->document[1].problem.path, "work");
    assert_string_equal(text_of(r, 2), "{\"id\":\"b\",\"work\":" ACME "}");
    assert_string_equal(text_of(r, 3), text_of(r, 0));
    end(r);
}

static void a_reading_that_never_began_is_finished_too(void **state)
{
    struct reading *r = begin(&user, "id=a", &demand_nothing);
    end(r);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_reference_is_what_it_refers_to),
        test(depth_leaves_stubs),
        test(a_cycle_ends_in_a_stub),
        test(one_record_may_stand_in_many_places),
        test(what_is_skipped_takes_its_comma_along),
        test(null_stands_for_what_is_missing),
        test(a_fail_edge_takes_who_refers_along),
        test(nothing_is_read_below_what_is_lost),
        test(what_is_known_to_be_missing_counts_for_how_long),
        test(who_looks_only_must_find_everything),
        test(include_resolves_only_what_it_names),
        test(fields_shows_only_what_it_names),
        test(a_document_without_references_has_its_records_tag),
        test(equal_tags_mean_equal_bytes),
        test(a_target_that_changes_changes_the_tag),
        test(a_document_has_a_thousand_records_at_most),
        test(a_small_graph_may_be_a_large_tree),
        test(a_document_has_so_many_bytes_at_most),
        test(a_document_may_be_as_deep_as_the_limit),
        test(references_that_do_not_fit_are_a_damaged_record),
        test(a_damaged_target_is_missing),
        test(what_is_over_is_missing),
        test(large_parts_are_sent_from_where_they_are_stored),
        test(many_roots_share_what_they_refer_to),
        test(a_reading_that_never_began_is_finished_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
