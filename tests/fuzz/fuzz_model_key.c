/* Two queries cut out of the input, one to a line, with the first byte choosing the model. A key that is derived is canonical: its
 * pairs, its location and its JSON lead to the same key; what leads to a key as a location is one of it. Two keys are stored alike exactly when their values are alike. */
#include "model/json.h"
#include "model/key.h"

#include <stdint.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { TYPES = 5, MODELS = 7, KEYS = 2 }; /* the last two are methods, whose arguments are optional */

static struct model models[MODELS];
static struct field fields[MODELS][KEYS];

/* Model t has the keys a and b of one type; a of model 0 has a default. Methods have a key and an argument. */
static void make_models(void)
{
    static const enum value_type types[MODELS] = {TYPE_STRING, TYPE_ANY, TYPE_NUMBER, TYPE_INTEGER, TYPE_BOOLEAN};
    static struct arena arena;
    for (size_t t = 0; t < TYPES; t++) {
        fields[t][0] = (struct field){.name = SLICE("b"), .kind = FIELD_KEY, .type = types[t]};
        fields[t][1] = (struct field){.name = SLICE("a"), .kind = FIELD_KEY, .type = types[t]};
        models[t] = (struct model){.name = SLICE("M"), .field = fields[t], .fields = KEYS};
        model_finish(&models[t], SLICE("p"), &arena);
    }
    for (size_t t = TYPES; t < MODELS; t++) {
        enum value_type type = t == TYPES ? TYPE_ANY : TYPE_STRING;
        fields[t][0] = (struct field){.name = SLICE("b"), .kind = FIELD_KEY, .type = type};
        fields[t][1] = (struct field){.name = SLICE("a"), .kind = FIELD_ARGUMENT, .type = type};
        models[t] = (struct model){
            .name = SLICE("M.m"), .kind = MODEL_METHOD, .owner = &models[0], .field = fields[t], .fields = KEYS};
        model_finish(&models[t], SLICE("p"), &arena);
    }
    fields[0][1].default_json = SLICE("\"eu\"");
}

static enum status derive(const struct model *m, struct slice query, struct arena *arena, struct record_key *key)
{
    struct key_draft draft;
    struct query_option *option;
    size_t options;
    struct problem why = {.detail = ""};
    key_draft_init(&draft);
    enum status st = key_parse_query(m, query, arena, &draft, &option, &options, &why);
    for (size_t i = 0; st == OK && i < options; i++)
        expect(option[i].name.p[0] == '_' && slice_is_utf8(option[i].name) && slice_is_utf8(option[i].value));
    if (st == OK) st = key_finish(m, &draft, arena, key, &why);
    if (st == OK) return OK;
    expect(why.status == st && why.detail[0]);
    expect(st == MALFORMED_REQUEST || st == UNKNOWN_KEY || st == KEY_TYPE || st == KEY_REQUIRED);
    return st;
}

static void expect_canonical(const struct record_key *key, struct arena *arena)
{
    struct record_key again;
    struct key_draft draft;
    struct slice compact, query = key_location(key, arena);
    const struct model *m = key->model;

    expect(key->pairs.n <= KEY_PAIRS_MAX && key->stored.n == m->key_prefix.n + key->pairs.n);
    for (size_t i = 0; i < key->stored.n; i++) expect(key->stored.p[i] > ' ' && key->stored.p[i] <= '~');
    expect(key_at_location(m, query, arena, &again) && slice_eq(again.stored, key->stored));
    slice_cut(&query, '?');
    expect(derive(m, query, arena, &again) == OK && slice_eq(again.stored, key->stored));
    if (key->pairs.n == 0 || key->pairs.p[0] != '#')
        expect(derive(m, key->pairs, arena, &again) == OK && slice_eq(again.stored, key->stored));

    key_draft_init(&draft);
    for (size_t i = 0; i < m->keys; i++) {
        if (!key->json[i].p && m->kind == MODEL_METHOD) continue;
        expect(json_compact(key->json[i], arena, &compact, NULL) == OK && compact.p == key->json[i].p);
        expect(key_set_json(m, &draft, i, compact, arena, NULL) == OK && slice_eq(draft.json[i], key->json[i]));
    }
    expect(key_finish(m, &draft, arena, &again, NULL) == OK && slice_eq(again.stored, key->stored));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!models[0].name.p) make_models();
    if (n == 0) return 0;
    const struct model *m = &models[data[0] % MODELS];
    struct slice second = {(const char *)data + 1, n - 1}, first = slice_cut(&second, '\n');
    struct record_key one, two;
    struct arena arena;
    arena_init(&arena);
    bool has_one = derive(m, first, &arena, &one) == OK, has_two = derive(m, second, &arena, &two) == OK;
    struct record_key named;
    if (key_at_location(m, second, &arena, &named)) expect_canonical(&named, &arena);
    if (has_one) expect_canonical(&one, &arena);
    if (has_two) expect_canonical(&two, &arena);
    if (has_one && has_two) {
        bool same = slice_eq(one.json[0], two.json[0]) &&
                    slice_eq(one.json[1], two.json[1]); /* what is absent has no bytes, what is there has some */
        expect(slice_eq(one.stored, two.stored) == same);
    }
    arena_deinit(&arena);
    return 0;
}
