/* A body, the first byte choosing the model and how it is read: what is taken is written as valid compact JSON whose slots are its stubs, reads
 * back from its envelope as it is, and saves to the same bytes again; the records that were given inside do, too, and none of them twice. Behind
 * a line feed may stand a patch of what was saved. */
#include "model/merge.h"
#include "model/reference.h"

#include <stdint.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { USER, PLACE, MODELS };

static struct model models[MODELS];

/* clang-format off */
static struct field user_fields[] = {
    {.name = {"n", 1}, .kind = FIELD_VALUE},
    {.name = {"u", 1}, .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = {"r", 1}, .kind = FIELD_KEY, .default_json = {"\"eu\"", 4}},
    {.name = {"w", 1}, .kind = FIELD_REFERENCE, .target = &models[PLACE]},
    {.name = {"m", 1}, .kind = FIELD_REFERENCE, .target = &models[USER]},
    {.name = {"f", 1}, .kind = FIELD_REFERENCES, .target = &models[USER], .max = 4},
    {.name = {"p", 1}, .kind = FIELD_PACKED},
};
static struct field place_fields[] = {
    {.name = {"i", 1}, .kind = FIELD_KEY, .type = TYPE_INTEGER},
    {.name = {"t", 1}, .kind = FIELD_VALUE, .type = TYPE_STRING, .default_json = {"\"x\"", 3}},
    {.name = {"h", 1}, .kind = FIELD_REFERENCE, .target = &models[USER], .required = true},
};
/* clang-format on */

static void make_models(void)
{
    static struct arena arena;
    models[USER] = (struct model){.name = SLICE("U"), .field = user_fields, .fields = 7};
    models[PLACE] = (struct model){.name = SLICE("P"), .field = place_fields, .fields = 3};
    model_finish(&models[USER], SLICE("p"), &arena);
    model_finish(&models[PLACE], SLICE("p"), &arena);
}

static void expect_told(enum status st, const struct problem *why)
{
    expect(why->status == st && why->detail[0]);
    expect(slice_is_utf8(slice_of(why->detail)) && slice_is_utf8(slice_of(why->path)));
}

/* The text of a draft, in a copy of its exact size, as it would be stored; NULL where something required is missing. */
static struct blob *seal(const struct record_key *key, struct record_draft *d, struct arena *arena)
{
    struct problem why = {.detail = ""};
    struct envelope_ref *refs;
    struct buffer text;
    size_t n;
    buffer_init(&text, SIZE_MAX);
    enum status st = codec_write(key, d, arena, &text, &refs, &n, &why);
    struct blob *blob = NULL;
    if (st == OK) {
        struct envelope e = {.kind = ENVELOPE_RECORD, .text = buffer_view(&text)};
        blob = envelope_seal(&e, refs, n);
    } else {
        expect(st == FIELD_REQUIRED);
        expect_told(st, &why);
    }
    buffer_deinit(&text);
    return blob;
}

/* What is stored is valid, reads back, and can be saved as it is. */
static void expect_sound(const struct record_key *key, const struct blob *blob, struct arena *arena)
{
    const struct model *m = key->model;
    struct codec_reader reader = {.arena = arena, .packed = true};
    struct record_draft opened, read;
    struct key_draft keys;
    struct record_key again;
    struct envelope e;
    struct slice compact;
    expect(envelope_open(blob_slice(blob), &e));
    expect(json_compact(e.text, arena, &compact, NULL) == OK && compact.p == e.text.p);
    expect(merge_open(m, &e, arena, &opened));
    struct blob *second = seal(key, &opened, arena);
    expect(second && slice_eq(blob_slice(second), blob_slice(blob)));
    blob_unref(second);

    key_draft_init(&keys);
    codec_draft_init(m, arena, &read);
    expect(codec_read(m, e.text, &keys, &reader, &read, NULL) == OK);
    expect(key_finish(m, &keys, arena, &again, NULL) == OK && slice_eq(again.stored, key->stored));
    expect(codec_is_written(&again, &read, e.text) == !m->refers);
    second = seal(&again, &read, arena);
    expect(second && slice_eq(blob_slice(second), blob_slice(blob)));
    blob_unref(second);
}

static void expect_targets(const struct codec_reader *r, const struct record_key *root, struct arena *arena)
{
    expect(r->targets <= CASCADE_MAX && (r->cascade || r->targets == 0));
    for (size_t i = 0; i < r->targets; i++) {
        struct codec_target *t = &r->target[i];
        expect(!slice_eq(t->key.stored, root->stored));
        for (size_t k = 0; k < i; k++) expect(!slice_eq(t->key.stored, r->target[k].key.stored));
        struct blob *blob = seal(&t->key, &t->draft, arena);
        if (blob) expect_sound(&t->key, blob, arena);
        blob_unref(blob);
    }
}

static void try_patch(const struct record_key *key, const struct blob *blob, struct slice text, struct arena *arena)
{
    struct problem why = {.detail = ""};
    struct record_draft draft;
    struct envelope e;
    struct slice patch;
    if (json_compact(text, arena, &patch, NULL) != OK) return;
    expect(envelope_open(blob_slice(blob), &e) && merge_open(key->model, &e, arena, &draft));
    enum status st = merge_patch(key, patch, arena, &draft, &why);
    if (st != OK) {
        expect_told(st, &why);
        return;
    }
    struct blob *patched = seal(key, &draft, arena);
    if (patched) expect_sound(key, patched, arena);
    blob_unref(patched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!models[USER].name.p) make_models();
    if (n == 0 || n > 16384) return 0;
    const struct model *m = &models[data[0] & 1];
    struct slice patch = {(const char *)data + 1, n - 1}, body = slice_cut(&patch, '\n');
    struct arena arena;
    struct codec_reader reader = {.arena = &arena, .packed = data[0] & 2, .cascade = data[0] & 4};
    struct problem why = {.detail = ""};
    struct record_draft draft;
    struct key_draft keys;
    struct record_key key;
    arena_init(&arena);
    key_draft_init(&keys);
    codec_draft_init(m, &arena, &draft);
    enum status st = codec_read(m, body, &keys, &reader, &draft, &why);
    if (st == OK) st = key_finish(m, &keys, &arena, &key, &why);
    if (st == OK) {
        struct blob *blob = seal(&key, &draft, &arena);
        if (blob) expect_sound(&key, blob, &arena);
        expect_targets(&reader, &key, &arena);
        if (blob && patch.p) try_patch(&key, blob, patch, &arena);
        blob_unref(blob);
    } else {
        expect_told(st, &why);
    }
    arena_deinit(&arena);
    return 0;
}
