/* Parameters of a method and of a form's method, as name=value pairs and as JSON. Whatever is taken is JSON; pairs mean the same in a
 * query and in a body, and given in both they never disagree. */
#include "model/json.h"
#include "serve/parameters.h"

#include <stdint.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { HOME, METHOD, FORM, FORM_METHOD, MODELS };

static struct field of_home[] = {{.name = {"k", 1}, .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
                                 {.name = {"r", 1}, .kind = FIELD_KEY, .type = TYPE_INTEGER, .default_json = {"1", 1}},
                                 {.name = {"f", 1}, .kind = FIELD_VALUE, .type = TYPE_ANY}};
static struct field of_method[] = {{.name = {"k", 1}, .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
                                   {.name = {"f", 1}, .kind = FIELD_KEY, .type = TYPE_ANY},
                                   {.name = {"a", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_NUMBER},
                                   {.name = {"b", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_ANY}};
static struct field of_form[] = {{.name = {"k", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true},
                                 {.name = {"f", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_ANY},
                                 {.name = {"r", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN}};
static struct field of_form_method[] = {{.name = {"k", 1}, .kind = FIELD_KEY, .type = TYPE_ANY},
                                        {.name = {"f", 1}, .kind = FIELD_KEY, .type = TYPE_ANY},
                                        {.name = {"r", 1}, .kind = FIELD_KEY, .type = TYPE_ANY},
                                        {.name = {"a", 1}, .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER}};

#define MODEL(title, kind_of, fields_of, owner_of)                                                                     \
    {                                                                                                                  \
        .name = {title, sizeof title - 1}, .kind = kind_of, .field = fields_of,                                        \
        .fields = sizeof fields_of / sizeof *fields_of, .owner = owner_of                                              \
    }
static struct model model[MODELS] = {
    [HOME] = MODEL("H", MODEL_RECORD, of_home, NULL),
    [METHOD] = MODEL("H.m", MODEL_METHOD, of_method, &model[HOME]),
    [FORM] = MODEL("F", MODEL_FORM, of_form, NULL),
    [FORM_METHOD] = MODEL("F.m", MODEL_FORM_METHOD, of_form_method, &model[FORM]),
};

static void expect_json(const struct model *m, const struct key_draft *d, struct arena *arena)
{
    for (size_t i = 0; i < m->keys; i++) {
        struct slice compact;
        if (!d->json[i].p) continue;
        expect(json_compact(d->json[i], arena, &compact, NULL) == OK);
        expect(slice_eq(compact, d->json[i]));
    }
}

static enum status read(const struct model *method, struct parameter_sources from, struct arena *arena,
                        struct parameters *p)
{
    struct problem why = {.detail = ""};
    enum status st = parameters_read(method, &from, arena, p, &why);
    if (st != OK) {
        expect(why.status == st && why.detail[0]);
        return st;
    }
    expect_json(method, &p->own, arena);
    expect_json(method->owner, &p->owner, arena);
    return st;
}

static void expect_alike(const struct model *m, const struct key_draft *a, const struct key_draft *b)
{
    for (size_t i = 0; i < m->keys; i++)
        expect((a->json[i].p != NULL) == (b->json[i].p != NULL) && slice_eq(a->json[i], b->json[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    static struct arena models;
    for (size_t i = 0; !made && i < MODELS; i++) model_finish(&model[i], SLICE("p"), &models);
    made = true;
    if (size == 0) return 0;
    const struct model *method = &model[data[0] & 1 ? METHOD : FORM_METHOD];
    struct slice text = slice_from((const char *)data + 1, size - 1);
    struct parameters query, form, both, json;
    struct arena arena;
    arena_init(&arena);
    read(method, (struct parameter_sources){.json = text}, &arena, &json);
    enum status st = read(method, (struct parameter_sources){.query = text}, &arena, &query);
    expect(read(method, (struct parameter_sources){.form = text}, &arena, &form) == st);
    expect(read(method, (struct parameter_sources){.query = text, .form = text}, &arena, &both) == st);
    if (st == OK) {
        expect_alike(method, &query.own, &form.own);
        expect_alike(method->owner, &query.owner, &form.owner);
        expect_alike(method, &query.own, &both.own);
        expect_alike(method->owner, &query.owner, &both.owner);
        expect(memcmp(query.fault, form.fault, sizeof form.fault) == 0);
    }
    arena_deinit(&arena);
    return 0;
}
