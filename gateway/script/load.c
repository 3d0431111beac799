/* script/load.c -- one load: from_miss or a method as a run, then what came of it becomes the record's or the result's JSON.
 *
 * In order of time: load_start; the arguments are pushed when the task first runs; load_land reads the fields and calls done. In between
 * it may be one of many (batch.c). */
#include "script/load_inner.h"

#include "script/convert.h"
#include "script/explain.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#define TEXT_MAX (1u << 20)

/* --- start -------------------------------------------------------------------------------------------------------- */

static int push_key_and_old(struct run *run, lua_State *L);
static void load_ended(struct run *run, struct run_end *end);

static void start_alone(struct load *load, struct vm *vm, const struct trail *trail)
{
    const struct model *m = load->key.model;
    load->run = (struct run){.kind = m->kind == MODEL_RECORD ? RUN_LOAD : RUN_METHOD,
                             .vm = vm,
                             .model = m,
                             .push = push_key_and_old,
                             .done = load_ended};
    run_start(&load->run, trail);
}

struct load *load_start(struct vm *vm, const struct record_key *key, const struct envelope *old,
                        const struct trail *trail, load_done *done, void *owner)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load) abort();
    assert(key->model->loads);
    load->done = done;
    load->owner = owner;
    arena_init(&load->arena);
    load->key = key_copy(key, &load->arena);
    load->replaces = old && old->kind != ENVELOPE_NEGATIVE;
    if (load->replaces) {
        load->old = arena_dup(&load->arena, old->text);
        load->origin = arena_dup(&load->arena, envelope_section(old, SECTION_ORIGIN));
    }
    if (key->model->options.from_misses) {
        if (trail) load->run.trail = *trail;
        batch_join(load, vm);
    } else {
        start_alone(load, vm, trail);
    }
    return load;
}

void load_cancel(struct load *load)
{
    if (load->batch) batch_leave(load);
    else run_cancel(&load->run);
    arena_deinit(&load->arena);
    free(load);
}

void load_push_key(const struct load *load, lua_State *L)
{
    const struct model *m = load->key.model;
    lua_createtable(L, 0, (int)m->keys); /* stack: values */
    for (size_t i = 0; i < m->keys; i++) {
        const struct field *f = &m->field[m->key[i]];
        if (!load->key.json[i].p) continue;
        lua_pushlstring(L, f->name.p, f->name.n);
        convert_push_json(L, load->key.json[i]);
        lua_rawset(L, -3);
    }
}

void load_push_old(const struct load *load, lua_State *L)
{
    if (load->replaces) lua_pushlstring(L, load->old.p, load->old.n);
    else lua_pushnil(L);
    if (load->origin.n > 0) lua_pushlstring(L, load->origin.p, load->origin.n);
    else lua_pushnil(L);
}

static int push_key_and_old(struct run *run, lua_State *L)
{
    const struct load *load = container_of(run, struct load, run);
    load_push_key(load, L);
    load_push_old(load, L);
    return 3;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* The value of field f, at the top of L, into the draft. */
static bool take_field(struct load *load, const struct run *run, struct run_end *end, const struct field *f,
                       struct record_draft *draft, struct buffer *json)
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
        run_fail(run, end, name, what);
        buffer_printf(&end->log, "field `%s`%s: %s", name, why.path, why.detail);
        return false;
    }
    status = codec_set(load->key.model, draft, f, arena_dup(&load->arena, buffer_view(json)), &reader, &why);
    if (status == OK) return true;
    run_fail(run, end, why.path[0] ? why.path : name, why.detail);
    buffer_printf(&end->log, "%s", why.detail);
    return false;
}

/* From the table of fields by name, on the stack at end->first. */
static bool take_fields(struct load *load, const struct run *run, struct run_end *end, struct record_draft *draft)
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
        if (!lua_isnil(L, -1)) good = take_field(load, run, end, f, draft, &json);
        lua_pop(L, 1);
    }
    buffer_deinit(&json);
    return good;
}

/* The fields that the handler has set become the record's text, which the arena keeps. */
static void write_record(struct load *load, const struct run *run, struct run_end *end, struct load_result *result)
{
    struct record_draft draft;
    struct problem why = {.detail = ""};
    codec_draft_init(load->key.model, &load->arena, &draft);
    if (!take_fields(load, run, end, &draft)) return;

    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    enum status status = codec_write(&load->key, &draft, &load->arena, &text, &result->refs, &result->n_refs, &why);
    if (status == OK && text.overflow) problem_set(&why, LOADER_ERROR, NULL, "the record is larger than 1 MiB");
    if (status == OK && !text.overflow) {
        result->text = arena_dup(&load->arena, buffer_view(&text));
    } else {
        run_fail(run, end, why.path, why.detail);
        buffer_printf(&end->log, "%s", why.detail);
    }
    buffer_deinit(&text);
}

/* What a method has returned, on the stack at end->first. */
static void write_result(struct load *load, const struct run *run, struct run_end *end, struct load_result *result)
{
    struct buffer text;
    struct problem why = {.detail = ""};
    buffer_init(&text, 2 * TEXT_MAX);
    if (convert_write_json(end->L, end->first, &text, &why) == OK) {
        result->text = arena_dup(&load->arena, buffer_view(&text));
    } else {
        run_fail(run, end, NULL, "it returned what JSON cannot say");
        buffer_printf(&end->log, "its result%s: %s", why.path, why.detail);
    }
    buffer_deinit(&text);
}

static void read_end(struct load *load, const struct run *run, struct run_end *end, struct load_result *result)
{
    lua_State *L = end->L;
    int life = end->first + 1, tags = life + 1, origin = tags + 1, unmodified = origin + 1;
    lua_settop(L, unmodified); /* stack, from end->first: fields or result, and these */
    if (lua_isnumber(L, life)) result->expires_ms = (uint64_t)lua_tonumber(L, life);
    result->tags = run_text(L, tags);
    if (end->status != OK) return;
    result->origin = run_text(L, origin);
    result->unmodified = lua_toboolean(L, unmodified);
    assert((!result->unmodified || load->replaces) && result->origin.n <= LOAD_ORIGIN_MAX);
    if (result->unmodified) return;
    if (load->key.model->kind == MODEL_RECORD) write_record(load, run, end, result);
    else write_result(load, run, end, result);
}

void load_land(struct load *load, const struct run *run, struct run_end *end)
{
    struct load_result result = {.expires_ms = LOAD_EXPIRES_UNSET};
    if (end->status == OK || end->status == MISSING) read_end(load, run, end, &result);
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

static void load_ended(struct run *run, struct run_end *end)
{
    load_land(container_of(run, struct load, run), run, end);
}
