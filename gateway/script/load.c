/* script/load.c -- one load: from_miss or a method as a run, then what came of it becomes the record's or the result's JSON.
 *
 * In order of time: load_start; the arguments are pushed when the task first runs; load_ended reads the fields and calls done. */
#include "script/load.h"

#include "script/convert.h"
#include "script/explain.h"
#include "script/run.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#define TEXT_MAX (1u << 20)

struct load {
    struct run run;
    struct record_key key; /* in the arena */
    load_done *done;
    void *owner;
    struct arena arena;
};

/* --- start -------------------------------------------------------------------------------------------------------- */

static void push_values(struct run *run, lua_State *L);
static void load_ended(struct run *run, struct run_end *end);

struct load *load_start(struct vm *vm, const struct record_key *key, const struct trail *trail, load_done *done,
                        void *owner)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load) abort();
    assert(key->model->loads);
    load->done = done;
    load->owner = owner;
    arena_init(&load->arena);
    load->key = key_copy(key, &load->arena);
    load->run = (struct run){.kind = key->model->kind == MODEL_RECORD ? RUN_LOAD : RUN_METHOD,
                             .vm = vm,
                             .model = key->model,
                             .push = push_values,
                             .done = load_ended};
    run_start(&load->run, trail);
    return load;
}

void load_cancel(struct load *load)
{
    run_cancel(&load->run);
    arena_deinit(&load->arena);
    free(load);
}

/* The values of the key by name: keys of a record; attributes or inputs, and arguments, of a method. */
static void push_values(struct run *run, lua_State *L)
{
    struct load *load = container_of(run, struct load, run);
    const struct model *m = run->model;
    lua_createtable(L, 0, (int)m->keys); /* stack: values */
    for (size_t i = 0; i < m->keys; i++) {
        const struct field *f = &m->field[m->key[i]];
        if (!load->key.json[i].p) continue;
        lua_pushlstring(L, f->name.p, f->name.n);
        convert_push_json(L, load->key.json[i]);
        lua_rawset(L, -3);
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* The value of field f, at the top of L, into the draft. */
static bool take_field(struct load *load, struct run_end *end, const struct field *f, struct record_draft *draft,
                       struct buffer *json)
{
    struct codec_reader reader = {.arena = &load->arena, .packed = true};
    struct problem why = {.detail = ""};
    char name[MODEL_NAME_MAX + 1];
    field_path(f, name);
    buffer_reset(json);
    enum status status = convert_write_json(end->L, -1, json, &why);
    if (status != OK) {
        char what[128];
        snprintf(what, sizeof what, "it set field `%s` to what JSON cannot say", name);
        run_fail(&load->run, end, name, what);
        buffer_printf(&end->log, "field `%s`%s: %s", name, why.path, why.detail);
        return false;
    }
    status = codec_set(load->key.model, draft, f, arena_dup(&load->arena, buffer_view(json)), &reader, &why);
    if (status == OK) return true;
    run_fail(&load->run, end, why.path[0] ? why.path : name, why.detail);
    buffer_printf(&end->log, "%s", why.detail);
    return false;
}

/* From the table of fields by name, on the stack at end->first. */
static bool take_fields(struct load *load, struct run_end *end, struct record_draft *draft)
{
    const struct model *m = load->key.model;
    lua_State *L = end->L;
    struct buffer json;
    bool good = true;
    buffer_init(&json, 2 * TEXT_MAX);
    for (size_t i = 0; i < m->fields && good; i++) {
        const struct field *f = &m->field[i];
        if (f->kind == FIELD_KEY) continue;
        lua_pushlstring(L, f->name.p, f->name.n);
        lua_rawget(L, end->first);
        if (!lua_isnil(L, -1)) good = take_field(load, end, f, draft, &json);
        lua_pop(L, 1);
    }
    buffer_deinit(&json);
    return good;
}

/* The fields that the handler has set become the record's text, which the arena keeps. */
static void write_record(struct load *load, struct run_end *end, struct load_result *result)
{
    struct record_draft draft;
    struct problem why = {.detail = ""};
    codec_draft_init(load->key.model, &load->arena, &draft);
    if (!take_fields(load, end, &draft)) return;

    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    enum status status = codec_write(&load->key, &draft, &load->arena, &text, &result->refs, &result->n_refs, &why);
    if (status == OK && text.overflow) problem_set(&why, LOADER_ERROR, NULL, "the record is larger than 1 MiB");
    if (status == OK && !text.overflow) {
        result->text = arena_dup(&load->arena, buffer_view(&text));
    } else {
        run_fail(&load->run, end, why.path, why.detail);
        buffer_printf(&end->log, "%s", why.detail);
    }
    buffer_deinit(&text);
}

/* What a method has returned, on the stack at end->first. */
static void write_result(struct load *load, struct run_end *end, struct load_result *result)
{
    struct buffer text;
    struct problem why = {.detail = ""};
    buffer_init(&text, 2 * TEXT_MAX);
    if (convert_write_json(end->L, end->first, &text, &why) == OK) {
        result->text = arena_dup(&load->arena, buffer_view(&text));
    } else {
        run_fail(&load->run, end, NULL, "it returned what JSON cannot say");
        buffer_printf(&end->log, "its result%s: %s", why.path, why.detail);
    }
    buffer_deinit(&text);
}

static void read_end(struct load *load, struct run_end *end, struct load_result *result)
{
    lua_State *L = end->L;
    lua_settop(L, end->first + 2); /* stack: fields or result, life, tags */
    if (lua_isnumber(L, end->first + 1)) result->expires_ms = (uint64_t)lua_tonumber(L, end->first + 1);
    if (end->status != OK) return;
    result->tags = run_text(L, end->first + 2);
    if (load->key.model->kind == MODEL_RECORD) write_record(load, end, result);
    else write_result(load, end, result);
}

static void load_ended(struct run *run, struct run_end *end)
{
    struct load *load = container_of(run, struct load, run);
    struct load_result result = {.expires_ms = LOAD_EXPIRES_UNSET};
    if (end->status == OK || end->status == MISSING) read_end(load, end, &result);
    result.status = end->status;
    result.problem = end->problem;
    result.log = buffer_view(&end->log);

    load_done *done = load->done;
    void *owner = load->owner;
    struct arena arena = load->arena;
    free(load);
    done(owner, &result);
    arena_deinit(&arena);
}
