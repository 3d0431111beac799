/* serve/call.c -- from parameters to the key of a result. What handlers of a form say of its inputs is for its users, and told; what
 * they raise goes to the log. */
#include "serve/call.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "model/merge.h"
#include "serve/parameters.h"
#include "serve/seal.h"

#include <stdio.h>

#define MESSAGE_MAX 1000 /* bytes of what `clean` says of one input */

struct call_work {
    struct call *call;
    struct parameters given;
    struct clean *clean; /* NULL when none runs */
    struct record_key record;
    struct fetch fetch;
    bool fetched; /* fetch holds something, or is under way */
};

/* -- the record's attributes -- */

/* The plain field that key i of the method stands for, or NULL: an argument, or a key of the record too. */
static const struct field *plain_attribute(const struct model *method, size_t i)
{
    const struct field *f = &method->field[method->key[i]];
    const struct field *of = f->kind == FIELD_KEY ? model_field(method->owner, f->name) : NULL;
    return of && !field_is_key(of) ? of : NULL;
}

static bool is_open(const struct call *c, size_t i)
{
    const struct parameters *given = &c->work->given;
    return plain_attribute(c->served->model, i) && !given->own.json[i].p && !given->unset[i];
}

static bool needs_record(const struct call *c)
{
    for (size_t i = 0; i < c->served->model->keys; i++)
        if (is_open(c, i)) return true;
    return false;
}

/* A value of the record becomes part of a key, or cannot. */
static enum status take_attribute(struct call *c, size_t i, struct slice json)
{
    const struct model *method = c->served->model;
    const struct field *f = &method->field[method->key[i]];
    char path[MODEL_NAME_MAX + 1];
    if (!json.p || json_kind(json) == JSON_NULL) return OK;
    json = arena_dup(c->arena, json); /* the record goes before the key does */
    if (key_set_json(method, &c->work->given.own, i, json, c->arena, &c->problem) == OK) return OK;
    return problem_set(&c->problem, FIELD_TYPE, field_path(f, path),
                       "no result of method `%.*s` can be kept by what the record's field `%s` holds: %s",
                       SLICE_ARG(method->name), path, json_kind_name(json_kind(json)));
}

static enum status take_attributes(struct call *c)
{
    const struct model *method = c->served->model, *owner = method->owner;
    struct fetch *f = &c->work->fetch;
    struct record_draft record;
    enum status st = OK;
    if (!merge_open(owner, &f->entry, c->arena, &record))
        return seal_damaged(c->serve, f->served, f->key->stored, f->blob->n);
    for (size_t i = 0; i < method->keys && st == OK; i++)
        if (is_open(c, i)) st = take_attribute(c, i, record.value[model_index(owner, plain_attribute(method, i))]);
    return st == OK ? key_finish(method, &c->work->given.own, c->arena, &c->key, &c->problem) : st;
}

static enum status attributes_end(struct call *c, enum status status)
{
    struct fetch *f = &c->work->fetch;
    if (status == OK) status = take_attributes(c);
    else c->problem = f->problem;
    if (status == MISSING)
        problem_set(&c->problem, MISSING, NULL, "there is no such record of model `%.*s`, whose attributes it needs",
                    SLICE_ARG(f->served->model->name));
    return status;
}

static void on_fetched(struct fetch *f, enum status status)
{
    struct call_work *w = container_of(f, struct call_work, fetch);
    struct call *c = w->call;
    c->done(c, attributes_end(c, status));
}

static enum status attributes_start(struct call *c)
{
    struct call_work *w = c->work;
    const struct model *method = c->served->model;
    /* What is not of the record must be there already. */
    enum status st = key_finish(method, &w->given.own, c->arena, &c->key, &c->problem);
    if (st != OK || !needs_record(c)) return st;
    st = key_finish(method->owner, &w->given.owner, c->arena, &w->record, &c->problem);
    if (st != OK) return st;
    w->fetched = true;
    w->fetch = (struct fetch){.serve = c->serve,
                              .served = served_of(c->served->generation, method->owner),
                              .key = &w->record,
                              .demand = c->demand,
                              .request = c->trail->request,
                              .trail = c->trail,
                              .done = on_fetched};
    st = fetch_start(&w->fetch, clock_wall_ms());
    return st == PENDING ? PENDING : attributes_end(c, st);
}

/* -- a form's inputs -- */

static struct slice cut(struct slice text)
{
    size_t n = 0, next;
    while ((next = slice_utf8_first(slice_skip(text, n))) && n + next <= MESSAGE_MAX) n += next;
    return slice_from(text.p, n);
}

/* {"username":["This field is required."]}: what is wrong, in the order of the form; absent when nothing is. */
static struct slice tell_faults(struct call *c, const struct slice *refused)
{
    const struct model *form = c->served->model->owner;
    struct buffer b;
    buffer_init(&b, MODEL_KEYS_MAX * (MODEL_NAME_MAX + 6 * (MESSAGE_MAX + 8)));
    for (size_t i = 0; i < form->fields; i++) {
        size_t at = model_key_position(form, &form->field[i]); /* a form has nothing but inputs */
        const char *fault = c->work->given.fault[at];
        struct slice message = fault ? slice_of(fault) : refused ? refused[at] : (struct slice){NULL, 0};
        if (!message.p) continue;
        buffer_char(&b, b.n ? ',' : '{');
        buffer_slice(&b, form->field[i].prefix);
        buffer_char(&b, '[');
        json_put_string(&b, cut(message));
        buffer_char(&b, ']');
    }
    if (b.n) buffer_char(&b, '}');
    struct slice errors = b.n ? arena_dup(c->arena, buffer_view(&b)) : (struct slice){NULL, 0};
    buffer_deinit(&b);
    return errors;
}

/* `cleaned` and `refused` by position in form->key[], of the inputs that have a `clean`; NULL where none was called. */
static enum status form_end(struct call *c, const struct slice *cleaned, const struct slice *refused)
{
    const struct model *method = c->served->model, *form = method->owner;
    struct parameters *given = &c->work->given;
    c->errors = tell_faults(c, refused);
    if (c->errors.p)
        return problem_set(&c->problem, FORM_INVALID, NULL, "`errors` tells what is wrong with which input");
    for (size_t i = 0; i < form->keys; i++) {
        const struct field *input = &form->field[form->key[i]];
        struct slice json = input->cleaned && cleaned ? arena_dup(c->arena, cleaned[i]) : given->owner.json[i];
        if (!json.p || json_kind(json) == JSON_NULL) continue;
        key_set_canonical(&given->own, model_key_position(method, model_field(method, input->name)), json);
    }
    return key_finish(method, &given->own, c->arena, &c->key, &c->problem);
}

static void log_failure(const struct call *c, const struct clean_result *r)
{
    char request[17];
    snprintf(request, sizeof request, "%016llx", (unsigned long long)c->trail->request);
    log_warn("form failed", LOG_TEXT("code", status_code(r->status)), LOG_TEXT("request", request),
             LOG_SLICE("model", c->served->model->owner->name), LOG_SLICE("error", r->log));
}

static void on_cleaned(void *owner, const struct clean_result *r)
{
    struct call *c = owner;
    enum status status = r->status;
    c->work->clean = NULL;
    if (status == OK) {
        status = form_end(c, r->json, r->refused);
    } else {
        c->problem = r->problem;
        c->problem.status = status;
        log_failure(c, r);
    }
    c->done(c, status);
}

static enum status form_start(struct call *c)
{
    const struct model *method = c->served->model, *form = method->owner;
    struct parameters *given = &c->work->given;
    bool needs_clean = false;
    enum status st = key_finish(method, &given->own, c->arena, &c->key, &c->problem); /* all arguments must be there */
    if (st != OK) return st;
    for (size_t i = 0; i < form->keys; i++) {
        const struct field *input = &form->field[form->key[i]];
        struct slice *json = &given->owner.json[i];
        if (given->fault[i]) *json = (struct slice){NULL, 0};
        else if (!json->p) *json = input->default_json;
        if (!json->p && !given->fault[i] && input->required) given->fault[i] = "This field is required.";
        if (json->p && input->cleaned) needs_clean = true;
    }
    if (!needs_clean) return form_end(c, NULL, NULL);
    c->work->clean = clean_start(c->served->generation->vm, form, given->owner.json, c->trail, on_cleaned, c);
    return PENDING;
}

/* -- calls -- */

enum status call_start(struct call *c)
{
    const struct model *method = c->served->model;
    const struct parameter_sources from = {
        .query = c->query, .form = c->form, .json = c->json, .may_explain = c->may_explain};
    struct call_work *w = arena_zalloc(c->arena, sizeof *w);
    w->call = c;
    c->work = w;
    c->errors = (struct slice){NULL, 0};
    enum status st = parameters_read(method, &from, c->arena, &w->given, &c->problem);
    c->explain = w->given.explain;
    if (st != OK) return st;
    return method->kind == MODEL_FORM_METHOD ? form_start(c) : attributes_start(c);
}

void call_finish(struct call *c)
{
    struct call_work *w = c->work;
    if (!w) return;
    if (w->clean) clean_cancel(w->clean);
    if (w->fetched) fetch_finish(&w->fetch);
    c->work = NULL;
}
