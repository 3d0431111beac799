/* serve/method.c -- a cached method's result as an answer. */
#include "serve/method.h"

#include "serve/problem.h"

#include <stdio.h>
#include <stdlib.h>

/* -- finding -- */

static struct served *lookup(const struct served *owner, struct slice name)
{
    char full[2 * MODEL_NAME_MAX + 2]; /* "Home.geocode" */
    if (name.n > MODEL_NAME_MAX) return NULL;
    int n = snprintf(full, sizeof full, "%.*s.%.*s", SLICE_ARG(owner->model->name), SLICE_ARG(name));
    return map_get(&owner->generation->models, slice_from(full, (size_t)n));
}

static struct slice nearest(const struct served *owner, struct slice name)
{
    const struct registry *r = vm_registry(owner->generation->vm);
    struct slice *names = malloc((r->models + 1) * sizeof *names);
    size_t n = 0;
    if (!names) abort();
    for (size_t i = 0; i < r->models; i++)
        if (r->model[i]->owner == owner->model) names[n++] = model_method_name(r->model[i]);
    struct slice near = nearest_name(name, names, n);
    free(names);
    return near;
}

struct served *method_find(struct served *owner, struct slice name, struct problem *why)
{
    struct served *method = lookup(owner, name);
    if (method) return method;
    struct slice near = nearest(owner, name);
    problem_set(why, NOT_FOUND, NULL, "%s `%.*s` has no method `%.*s`%s%.*s%s",
                owner->model->kind == MODEL_FORM ? "form" : "model", SLICE_ARG(owner->model->name), SLICE_ARG(name),
                near.p ? " (did you mean `" : "", SLICE_ARG(near), near.p ? "`?)" : "");
    return NULL;
}

/* -- answering -- */

void method_answer(struct exchange *ex, struct served *served, enum operation op)
{
    problem_reply(ex, served, op, &(struct problem){.status = NOT_FOUND}, NULL);
}
