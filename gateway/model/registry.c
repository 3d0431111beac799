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
    for (size_t i = 0; i < r->models; i++) model_deinit(r->model[i]);
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
    r->model[r->models++] = m;
    map_put(&r->by_name, m->name, m);
    return true;
}

const struct model *registry_find(const struct registry *r, struct slice name) { return map_get(&r->by_name, name); }

struct slice registry_nearest(const struct registry *r, struct slice name)
{
    struct slice *names = malloc((r->models + 1) * sizeof *names);
    if (!names) abort();
    for (size_t i = 0; i < r->models; i++) names[i] = r->model[i]->name;
    struct slice nearest = nearest_name(name, names, r->models);
    free(names);
    return nearest;
}

enum status registry_unknown(const struct registry *r, struct slice name, struct problem *why)
{
    struct slice near = registry_nearest(r, name);
    return problem_set(why, UNKNOWN_MODEL, NULL, "no model `%.*s`%s%.*s%s", SLICE_ARG(name),
                       near.p ? " (did you mean `" : "", SLICE_ARG(near), near.p ? "`?)" : "");
}
