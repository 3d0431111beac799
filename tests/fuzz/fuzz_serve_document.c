/* Any bytes as stored records: a document is read of them and composed, whole and in parts, without a look outside of what is stored;
 * both ways of composing give the same bytes, and no more than were said. The input: one byte that chooses the query, two of length, then the
 * root's envelope of that length, then the envelope of the record it may refer to. */
#include "base/clock.h"
#include "base/log.h"
#include "serve/document.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

#define NOW 1000
#define TEXT(words)                                                                                                    \
    {                                                                                                                  \
        words, sizeof words - 1                                                                                        \
    }

static struct model user;
static struct field of_user[] = {
    {.name = TEXT("id"), .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = TEXT("note"), .kind = FIELD_VALUE},
    {.name = TEXT("mother"), .kind = FIELD_REFERENCE, .target = &user, .missing = EDGE_NULL},
    {.name = TEXT("friends"), .kind = FIELD_REFERENCES, .target = &user, .missing = EDGE_SKIP},
    {.name = TEXT("team"), .kind = FIELD_REFERENCES, .target = &user, .missing = EDGE_FAIL},
};
static struct model user = {.name = TEXT("U"), .field = of_user, .fields = 5, .options.depth = 8};

static struct {
    struct arena arena;
    uv_loop_t loop;
    struct memory *memory;
    struct served served, *list[1];
    struct generation generation;
    struct serve serve;
} world;

static void build_world(void)
{
    struct metrics *metrics = metrics_new();
    log_set_level(SLICE("error"));
    arena_init(&world.arena);
    uv_loop_init(&world.loop);
    model_finish(&user, SLICE("t"), &world.arena);
    world.memory = memory_new(16 << 20);
    world.served = (struct served){.model = &user, .generation = &world.generation};
    world.list[0] = &world.served;
    world.generation.served = world.list;
    world.serve = (struct serve){.store = store_new(world.memory, NULL, metrics),
                                 .store_detail = "memory",
                                 .flights = flight_port_open(flights_new(), &world.loop),
                                 .metrics = metrics};
}

static void put(const char *id, struct slice envelope)
{
    char key[64];
    int n = snprintf(key, sizeof key, "%.*sid=%s", SLICE_ARG(user.key_prefix), id);
    struct blob *blob = blob_copy(envelope);
    struct store_op op = {0};
    store_put(world.serve.store, slice_from(key, (size_t)n), blob, CLOCK_NEVER, NOW, &op);
    blob_unref(blob);
}

static void never(struct documents *d) { abort(); }

static void compose(struct documents *d, const struct document *doc, struct arena *arena)
{
    struct buffer text, sent;
    struct reply reply;
    buffer_init(&text, 64 << 20);
    buffer_init(&sent, 64 << 20);
    compose_text(d, doc, &text);
    reply_init(&reply, arena);
    reply_begin(&reply, 200);
    compose_reply(d, doc, &reply);
    documents_finish(d); /* the reply has references of its own */
    for (size_t i = 0; i < reply.pieces; i++) buffer_slice(&sent, reply.piece[i].bytes);
    expect(text.n <= doc->bytes && slice_eq(buffer_view(&text), buffer_view(&sent)));
    reply_deinit(&reply);
    buffer_deinit(&text);
    buffer_deinit(&sent);
}

static void read_document(struct slice query)
{
    struct arena arena;
    struct record_key key;
    struct problem why;
    struct document doc = {.key = &key};
    struct documents d = {.serve = &world.serve,
                          .served = &world.served,
                          .arena = &arena,
                          .demand = &demand_nothing,
                          .document = &doc,
                          .n = 1,
                          .done = never};
    arena_init(&arena);
    expect(view_query(&user, query, &arena, &key, &d.view, &why) == OK);
    expect(documents_start(&d, NOW) == OK);
    if (doc.status == OK) compose(&d, &doc, &arena);
    documents_finish(&d);
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const query[] = {"id=a",
                                        "id=a&_depth=1",
                                        "id=a&_fields=note,friends.note",
                                        "id=a&_fields=mother,team",
                                        "id=a&_include=friends.mother",
                                        "id=a&_fields=id,friends&_include=friends"};
    if (n < 3) return 0;
    if (!world.memory) build_world();
    size_t first = data[1] | (size_t)data[2] << 8;
    if (first > n - 3) first = n - 3;
    put("a", slice_from(data + 3, first));
    put("b", slice_from(data + 3 + first, n - 3 - first));
    read_document(slice_of(query[data[0] % (sizeof query / sizeof *query)]));
    return 0;
}
