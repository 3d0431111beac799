/* model/registry.c -- an array for the order, a map for the names, an arena for the models themselves. */
#include "model/registry.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_MODELS 16

void registry_init(struct registry *r)
{
    *r = (struct registry){0};
    arena_init(&r->arena);
    map_init(&r->by_name);
}

void registry_deinit(struct registry *r)
{
    free(r->model);
    map_deinit(&r->by_name);
    arena_deinit(&r->arena);
}

struct model *registry_model_new(struct registry *r) { return arena_zalloc(&r->arena, sizeof(struct model)); }

static void grow(struct registry *r)
{
    r->cap = r->cap ? r->cap * 2 : FIRST_MODELS;
    r->model = realloc(r->model, r->cap * sizeof *r->model);
    if (!r->model) abort();
}

bool registry_add(struct registry *r, struct model *m)
{
    assert(m->name.p);
    if (map_get(&r->by_name, m->name)) return false;
    if (r->models == r->cap) grow(r);
    m->index = (unsigned)r->models;
    r->model[r->models++] = m;
    map_put(&r->by_name, m->name, m);
    return true;
}

const struct model *registry_find(const struct registry *r, struct slice name) { return map_get(&r->by_name, name); }

const char *registry_hint(const struct registry *r, enum model_kind kind, const struct model *owner, struct slice name,
                          struct hint *hint)
{
    struct slice *names = malloc((r->models + 1) * sizeof *names);
    size_t n = 0;
    if (!names) abort();
    for (size_t i = 0; i < r->models; i++) {
        const struct model *m = r->model[i];
        if (m->kind == kind && m->owner == owner) names[n++] = owner ? model_method_name(m) : m->name;
    }
    nearest_hint(name, names, n, hint);
    free(names);
    return hint->text;
}

size_t registry_count(const struct registry *r, enum model_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->models; i++) n += r->model[i]->kind == kind;
    return n;
}

enum status registry_unknown(const struct registry *r, enum model_kind kind, struct slice name, struct problem *why)
{
    bool form = kind == MODEL_FORM;
    struct hint hint;
    return problem_set(why, form ? NOT_FOUND : UNKNOWN_MODEL, NULL, "no %s `%.*s`%s", form ? "form" : "model",
                       SLICE_ARG(name), registry_hint(r, kind, NULL, name, &hint));
}
