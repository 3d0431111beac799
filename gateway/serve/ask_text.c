/* serve/ask_text.c -- the border between handlers' questions and documents. */
#include "serve/ask_text.h"

#include "model/json.h"

enum status ask_read_key(const struct model *m, struct slice json, struct arena *arena, struct record_key *key,
                         struct problem *why)
{
    struct key_draft draft;
    struct json_member *member;
    size_t n;
    key_draft_init(&draft);
    enum status st = json_members(json, arena, &member, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        const struct field *f = model_field(m, member[i].name);
        if (f && field_is_key(f)) st = key_set_json(m, &draft, model_key_position(m, f), member[i].value, arena, why);
        else st = key_set_text(m, &draft, member[i].name, SLICE(""), arena, why); /* knows what to say of such a name */
    }
    return st == OK ? key_finish(m, &draft, arena, key, why) : st;
}

static enum status read_keys(struct slice json, struct documents *d, struct problem *why)
{
    struct slice *element;
    enum status st = json_elements(json, d->arena, &element, &d->n, why);
    if (st != OK) return st;
    if (d->n > ASK_MANY_MAX) return problem_set(why, DEPTH_EXCEEDED, NULL, "more than %d records", ASK_MANY_MAX);
    struct record_key *key = arena_alloc(d->arena, (d->n + 1) * sizeof *key);
    d->document = arena_zalloc(d->arena, (d->n + 1) * sizeof *d->document);
    for (size_t i = 0; st == OK && i < d->n; i++) {
        st = ask_read_key(d->served->model, element[i], d->arena, &key[i], why);
        d->document[i].key = &key[i];
    }
    return st;
}

/* depth and include mean what `_depth` and `_include` mean in a query. */
static enum status read_view(const struct ask *ask, struct documents *d, struct problem *why)
{
    const struct model *m = d->served->model;
    struct query_option depth = {.name = SLICE("_depth")}, include = {SLICE("_include"), ask->include};
    enum status st = OK;
    bool taken;
    d->view = view_default(m);
    if (ask->depth >= 0) {
        depth.value = arena_printf(d->arena, "%d", ask->depth);
        st = view_option(m, &depth, d->arena, &d->view, &taken, why);
    }
    if (st == OK && include.value.p) st = view_option(m, &include, d->arena, &d->view, &taken, why);
    return st;
}

enum status ask_read_documents(const struct ask *ask, struct documents *d, struct problem *why)
{
    enum status st = read_keys(ask->json, d, why);
    return st == OK ? read_view(ask, d, why) : st;
}

const struct ask_answer *ask_write_answers(const struct documents *d, struct buffer *text)
{
    struct ask_answer *answer = arena_zalloc(d->arena, (d->n + 1) * sizeof *answer);
    for (size_t i = 0, from = text->n; i < d->n; i++, from = text->n) {
        answer[i].status = d->document[i].status;
        if (answer[i].status == OK) compose_text(d, &d->document[i], text);
        else answer[i].problem = d->document[i].problem;
        answer[i].problem.status = answer[i].status;
        answer[i].text.n = text->n - from;
    }
    struct slice rest = buffer_view(text); /* where they stand is known when the buffer grows no more */
    for (size_t i = 0; i < d->n; i++) {
        answer[i].text.p = rest.p;
        rest = slice_skip(rest, answer[i].text.n);
    }
    return answer;
}
