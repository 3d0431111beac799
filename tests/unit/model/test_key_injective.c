/* A million random key tuples: different ones never have the same stored key, equal ones always do, and the pairs of a stored
 * key that is not hashed say which tuple it was. Texts are made of what a careless encoding would mix up, so that near misses
 * are many. Arguments of methods may be absent, which is neither empty nor null. */
#include "support.h"

#include "base/hash.h"
#include "model/key.h"

enum { TUPLES = 1000000, SLOTS = 1 << 21, MODELS = 5, KEYS = 2 };

static struct field text_fields[] = {KEY("a", TYPE_STRING), KEY("b", TYPE_STRING)};
static struct field prefix_fields[] = {KEY("a", TYPE_STRING), KEY("ab", TYPE_STRING)};
static struct field any_fields[] = {KEY("a", TYPE_ANY), KEY("b", TYPE_ANY)};
static struct field argument_fields[] = {{.name = {"a", 1}, .kind = FIELD_ARGUMENT},
                                         {.name = {"b", 1}, .kind = FIELD_ARGUMENT}};
static struct field attribute_fields[] = {{.name = {"a", 1}, .kind = FIELD_KEY, .type = TYPE_STRING},
                                          {.name = {"b", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_STRING}};

/* 64 bits of a stored key, and 64 of the tuple it came from. */
struct seen {
    uint64_t stored, tuple;
};

/* The tuple behind this stored key when it was there before, or 0 and it is there now. */
static uint64_t remember(struct seen *seen, uint64_t stored, uint64_t tuple)
{
    size_t i = stored % SLOTS;
    while (seen[i].tuple && seen[i].stored != stored) i = (i + 1) % SLOTS;
    uint64_t before = seen[i].tuple;
    seen[i] = (struct seen){stored, before ? before : tuple};
    return before;
}

static struct slice random_text(uint64_t *seed, struct arena *arena)
{
    static const char *const parts[] = {"a",    "b",       "=",        "&",         "%",    "#",   ":",
                                        "+",    " ",       "%26",      "%3D",       "a=",   "&b=", "/",
                                        "\"",   "\\",      "0",        "1",         "-",    "1.0", "42",
                                        "true", "null",    "\xC3\xA9", "e\xCC\x81", "\x7f", "A",   "[]",
                                        "\n",   "\\u0061", "perigee:", "User",      "e1",   "😀"};
    struct buffer b;
    size_t n = chance_below(seed, 4);
    buffer_init(&b, 1 << 17);
    for (size_t i = 0; i < n; i++) {
        size_t which = chance_below(seed, sizeof parts / sizeof *parts + 1);
        if (which == sizeof parts / sizeof *parts) buffer_char(&b, '\0');
        else buffer_slice(&b, slice_of(parts[which]));
    }
    size_t longer = chance_below(seed, 100000);
    for (size_t i = 0; longer < 1000 && i < (longer < 3 ? 65536 : 250); i++) buffer_char(&b, i == longer ? '~' : 'x');
    struct slice text = arena_dup(arena, buffer_view(&b));
    buffer_deinit(&b);
    return text;
}

/* A value that is text, or where the model permits it none: not given, or null. */
static void set_random(const struct model *m, struct key_draft *d, size_t k, uint64_t *seed, struct arena *arena)
{
    size_t absent = m->kind == MODEL_METHOD ? chance_below(seed, 16) : 16;
    if (absent == 0) return;
    if (absent == 1) {
        assert_int_equal(key_set_json(m, d, k, SLICE("null"), arena, NULL), OK);
        return;
    }
    if (key_set_text(m, d, m->field[k].name, random_text(seed, arena), arena, NULL) != OK)
        key_set_text(m, d, m->field[k].name, SLICE("null and 1e999 are no keys"), arena, NULL);
}

/* 64 bits that tell drafts apart: model, and lengths (one that none has for what is absent) and bytes of the canonical values. */
static uint64_t tuple_of(size_t model, const struct key_draft *d, struct arena *arena)
{
    size_t a = d->json[0].n, b = d->json[1].n;
    uint32_t head[3] = {(uint32_t)model, d->json[0].p ? (uint32_t)a : UINT32_MAX,
                        d->json[1].p ? (uint32_t)b : UINT32_MAX};
    char *bytes = arena_bytes(arena, sizeof head + a + b), *end = mempcpy(bytes, head, sizeof head);
    if (a) end = mempcpy(end, d->json[0].p, a);
    if (b) end = mempcpy(end, d->json[1].p, b);
    return hash_fixed(slice_from(bytes, (size_t)(end - bytes))) | 1;
}

static void assert_pairs_say_what_they_were(const struct record_key *key, const struct key_draft *d,
                                            struct arena *arena)
{
    struct key_draft again;
    struct query_option *option;
    size_t options;
    struct problem why;
    key_draft_init(&again);
    if (key_parse_query(key->model, key->pairs, arena, &again, &option, &options, &why) != OK)
        fail_msg("%s", why.detail);
    for (size_t i = 0; i < KEYS; i++) {
        assert_true((again.json[i].p == NULL) == (d->json[i].p == NULL));
        assert_true(slice_eq(again.json[i], d->json[i]));
    }
}

static void a_million_tuples_never_meet(void **state)
{
    struct seen *seen = calloc(SLOTS, sizeof *seen);
    struct arena lasting, arena;
    struct model model[MODELS];
    size_t repeated = 0, hashed = 0;
    uint64_t seed = 20;
    arena_init(&lasting);
    arena_init(&arena);
    model_of(&model[0], &lasting, "Text", text_fields, KEYS);
    model_of(&model[1], &lasting, "Texta", prefix_fields, KEYS);
    model_of(&model[2], &lasting, "Any", any_fields, KEYS);
    model[3] = (struct model){.kind = MODEL_METHOD, .name = SLICE("M.a"), .field = argument_fields, .fields = KEYS};
    model[4] = (struct model){.kind = MODEL_METHOD, .name = SLICE("M.b"), .field = attribute_fields, .fields = KEYS};
    model_finish(&model[3], SLICE("perigee"), &lasting);
    model_finish(&model[4], SLICE("perigee"), &lasting);
    for (size_t i = 0; i < TUPLES; i++) {
        size_t which = chance_below(&seed, MODELS);
        const struct model *m = &model[which];
        struct key_draft d;
        struct record_key key;
        key_draft_init(&d);
        for (size_t k = 0; k < KEYS; k++) set_random(m, &d, k, &seed, &arena);
        assert_int_equal(key_finish(m, &d, &arena, &key, NULL), OK);
        uint64_t tuple = tuple_of(which, &d, &arena), before = remember(seen, hash_fixed(key.stored), tuple);
        if (before && before != tuple) fail_msg("two tuples have the key %.*s", SLICE_ARG(key.stored));
        if (before) repeated++;
        if (key.pairs.n && key.pairs.p[0] == '#') hashed++;
        else if (i % 8 == 0) assert_pairs_say_what_they_were(&key, &d, &arena);
        arena_reset(&arena);
    }
    assert_in_range(repeated, 1000, TUPLES / 2); /* chance has made equal ones, too, and long ones */
    assert_in_range(hashed, 1000, TUPLES / 2);
    arena_deinit(&arena);
    arena_deinit(&lasting);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_million_tuples_never_meet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
