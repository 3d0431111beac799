/* serve/parameters.c -- names and values from wherever they stand: each belongs to the method (an attribute, an argument) or to the
 * model or form that has it (a key of the record, an input), whose key drafts judge it (model/key.h). */
#include "serve/parameters.h"

#include "model/json.h"
#include "serve/view.h"

struct reading {
    const struct model *method;
    struct arena *arena;
    struct parameters *p;
};

/* -- one value -- */

/* Who judges what has this name; the method also refuses what nobody knows. */
static const struct model *judge_of(const struct model *method, struct slice name)
{
    const struct field *own = model_field(method, name), *owners = model_field(method->owner, name);
    bool is_cleaned_input = own && own->kind == FIELD_KEY && method->kind == MODEL_FORM_METHOD;
    if (own && !is_cleaned_input) return method;
    return owners && field_is_key(owners) ? method->owner : method;
}

static struct key_draft *draft_of(const struct reading *r, const struct model *judge)
{
    return judge == r->method ? &r->p->own : &r->p->owner;
}

static bool empty_is_absent(const struct field *input)
{
    return input->required || (input->type != TYPE_STRING && input->type != TYPE_ANY);
}

static const char *fault_of(enum value_type type)
{
    switch (type) {
    case TYPE_INTEGER: return "Enter a whole number.";
    case TYPE_NUMBER: return "Enter a number.";
    case TYPE_BOOLEAN: return "Enter true or false.";
    default: return "Enter text.";
    }
}

/* What an input cannot be does not end the reading: all that is wrong is told at once. */
static enum status judged(struct reading *r, const struct model *judge, struct slice name, enum status status)
{
    if (status != KEY_TYPE || judge->kind != MODEL_FORM) return status;
    const struct field *f = model_field(judge, name);
    r->p->fault[model_key_position(judge, f)] = fault_of(f->type);
    return OK;
}

static enum status take_text(struct reading *r, struct slice name, struct slice text, struct problem *why)
{
    const struct model *judge = judge_of(r->method, name);
    if (judge->kind == MODEL_FORM && text.n == 0 && empty_is_absent(model_field(judge, name))) return OK;
    return judged(r, judge, name, key_set_text(judge, draft_of(r, judge), name, text, r->arena, why));
}

static enum status take_json(struct reading *r, struct slice name, struct slice json, struct problem *why)
{
    const struct model *judge = judge_of(r->method, name);
    const struct field *f = model_field(judge, name);
    if (!f || !field_is_key(f)) return key_set_text(judge, draft_of(r, judge), name, json, r->arena, why); /* refuses */
    size_t at = model_key_position(judge, f);
    bool is_null = json_kind(json) == JSON_NULL;
    if (judge->kind == MODEL_FORM && (is_null || (slice_eq(json, SLICE("\"\"")) && empty_is_absent(f)))) return OK;
    if (judge == r->method && f->kind == FIELD_KEY && !f->required && is_null) {
        r->p->unset[at] = true;
        return OK;
    }
    return judged(r, judge, name, key_set_json(judge, draft_of(r, judge), at, json, r->arena, why));
}

/* -- one source -- */

/* name=value&name=value, of a query or of a form. */
static enum status take_pairs(struct reading *r, struct slice pairs, bool may_explain, struct problem *why)
{
    bool explain_given = false, taken = false;
    struct slice rest = pairs.n ? pairs : (struct slice){NULL, 0};
    for (size_t i = 0; rest.p; i++) {
        struct query_option one;
        enum status st = key_take_parameter(&rest, i, r->arena, &one, why);
        if (st == OK && may_explain) st = view_explain_option(&one, &explain_given, &r->p->explain, &taken, why);
        if (st == OK && taken) continue;
        if (st == OK && slice_starts(one.name, SLICE("_")))
            st = problem_set(why, MALFORMED_REQUEST, NULL, "a call knows no option `%.*s`", SLICE_ARG(one.name));
        if (st == OK) st = take_text(r, one.name, one.value, why);
        if (st != OK) return st;
    }
    return OK;
}

static enum status take_members(struct reading *r, struct slice body, struct problem *why)
{
    struct slice compact;
    struct json_member *member;
    size_t n;
    enum status st = json_compact(body, r->arena, &compact, why);
    if (st == OK) st = json_members(compact, r->arena, &member, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) st = take_json(r, member[i].name, member[i].value, why);
    return st;
}

/* -- all of them -- */

static enum status join(const struct model *m, struct key_draft *into, const struct key_draft *from,
                        struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    for (size_t i = 0; i < m->keys; i++) {
        if (!from->json[i].p) continue;
        if (into->json[i].p && !slice_eq(into->json[i], from->json[i]))
            return problem_set(why, KEY_CONFLICT, field_path(&m->field[m->key[i]], path),
                               "`%s` is given twice, with different values", path);
        into->json[i] = from->json[i];
    }
    return OK;
}

/* The form's body by itself, so that a name that comes twice in it is told from one that the query has too. */
static enum status take_form(struct reading *r, struct slice form, struct problem *why)
{
    struct parameters sent = {0};
    struct reading body = {.method = r->method, .arena = r->arena, .p = &sent};
    enum status st = take_pairs(&body, form, false, why);
    if (st == OK) st = join(r->method, &r->p->own, &sent.own, why);
    if (st == OK) st = join(r->method->owner, &r->p->owner, &sent.owner, why);
    for (size_t i = 0; i < r->method->owner->keys; i++)
        if (sent.fault[i]) r->p->fault[i] = sent.fault[i];
    return st;
}

/* An attribute that is a key of the record is both: it names the record, and the result. */
static void share_keys(struct reading *r)
{
    const struct model *method = r->method, *owner = method->owner;
    for (size_t i = 0; i < owner->keys; i++) {
        const struct field *f = &owner->field[owner->key[i]], *own = model_field(method, f->name);
        if (!own || own->kind != FIELD_KEY) continue;
        struct slice *value = &r->p->own.json[model_key_position(method, own)];
        if (!value->p) *value = f->default_json;
        r->p->owner.json[i] = *value;
    }
}

enum status parameters_read(const struct model *method, const struct parameter_sources *from, struct arena *arena,
                            struct parameters *p, struct problem *why)
{
    struct reading r = {.method = method, .arena = arena, .p = p};
    *p = (struct parameters){0};
    enum status st = take_pairs(&r, from->query, from->may_explain, why);
    if (st == OK && from->form.p) st = take_form(&r, from->form, why);
    if (st == OK && from->json.p) st = take_members(&r, from->json, why);
    if (st == OK && method->kind == MODEL_METHOD) share_keys(&r);
    return st;
}
