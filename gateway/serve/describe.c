/* serve/describe.c -- descriptions are made, kept with what they describe, and answered like records: with a tag, or 304. */
#include "serve/describe.h"

#include "base/hash.h"
#include "serve/answer.h"
#include "serve/lists.h"
#include "serve/openapi.h"
#include "serve/problem.h"
#include "serve/schema.h"

#include <stdlib.h>

#define DESCRIPTION_BYTES_MAX (256u << 20)

static void put_schema(struct buffer *b, const struct model *m)
{
    jot(b, "{'$schema':'https://json-schema.org/draft/2020-12/schema','$id':'/models/%.*s/_schema',",
        SLICE_ARG(m->name));
    schema_put_record(b, m, SCHEMA_ALONE);
    buffer_char(b, '}');
}

/* Both lists in one text, a line each: they change together, and have one tag. */
static void put_lists(struct buffer *b, const struct registry *registry)
{
    lists_put_models(b, registry);
    buffer_char(b, '\n');
    lists_put_forms(b, registry);
}

static struct slice list_of(struct slice lists, bool forms)
{
    struct slice models = slice_cut(&lists, '\n');
    return forms ? lists : models;
}

/* False when it would be too long. */
static bool make(struct description *d, const struct registry *registry, const struct model *m, enum operation op)
{
    struct buffer b;
    buffer_init(&b, DESCRIPTION_BYTES_MAX);
    if (op == OP_LIST) put_lists(&b, registry);
    else if (op == OP_SCHEMA) put_schema(&b, m);
    else openapi_put(&b, registry);
    if (!b.overflow) {
        d->text = blob_copy(buffer_view(&b));
        d->tag = hash_text(buffer_view(&b));
    }
    buffer_deinit(&b);
    return d->text != NULL;
}

static void answer(struct exchange *ex, const struct description *d, enum operation op)
{
    const struct serve *s = ex->owner;
    struct slice text = blob_slice(d->text);
    if (op == OP_LIST) text = list_of(text, slice_eq(ex->request.path, SLICE(ROUTE_FORMS)));
    bool changed = answer_begin(ex, d->tag, text.n);
    reply_header(&ex->reply, "Cache-Control", /* a reload may change it at any time */
                 s->gate.tokens ? SLICE("private, no-cache") : SLICE("no-cache"));
    if (!changed) return;
    reply_header(&ex->reply, "Content-Type",
                 op == OP_SCHEMA ? SLICE("application/schema+json") : SLICE("application/json"));
    reply_body(&ex->reply, text, blob_ref(d->text));
}

void describe_answer(struct exchange *ex, struct served *served, enum operation op)
{
    struct serve *s = ex->owner;
    struct generation *g = s->now;
    struct description *d = op == OP_LIST ? &g->list : op == OP_SCHEMA ? &served->schema : &g->openapi;
    if (!d->text && !make(d, vm_registry(g->vm), served ? served->model : NULL, op)) {
        struct problem why;
        problem_set(&why, INTERNAL, NULL, "the models are too many, or their defaults too long, to be described");
        problem_reply(ex, served, op, &why, NULL);
        return;
    }
    answer(ex, d, op);
    serve_reply(ex, served, op, (enum outcome)OK);
}
