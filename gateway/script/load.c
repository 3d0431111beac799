/* script/load.c -- one load: a coroutine for from_miss, then what it set becomes the record's JSON.
 *
 * In order of time: load_start; the arguments are pushed when the task first runs; load_ended when it is over, which reads the
 * fields, or explains the error for the log, and calls done. */
#include "script/load.h"

#include "base/clock.h"
#include "script/convert.h"
#include "script/problem.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#define LOG_MAX     640 /* so that with model, key and request the whole line stays within 1 KiB */
#define MESSAGE_MAX 320 /* of the log, for the error itself; the rest is for the traceback */
#define FRAMES_MAX  10
#define RECORD_MAX  (1u << 20)

struct load {
    struct vm *vm;
    struct task *task;
    struct record_key key; /* in the arena */
    struct trail trail;
    load_done *done;
    void *owner;
    int fields, answer; /* registry references to the tables behind `self` and `ctx` */
    struct arena arena;
};

/* --- start -------------------------------------------------------------------------------------------------------- */

static void load_ended(void *owner, enum status status, lua_State *L, int first);
static int push_arguments(void *owner, lua_State *L);

struct load *load_start(struct vm *vm, const struct record_key *key, const struct trail *trail, load_done *done,
                        void *owner)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load) abort();
    const struct model *m = key->model;
    assert(m->handler >= 0);
    load->vm = vm;
    load->done = done;
    load->owner = owner;
    load->fields = load->answer = LUA_NOREF;
    arena_init(&load->arena);
    load->key = key_copy(key, &load->arena);
    uint64_t deadline_us = clock_add(clock_mono_us(), m->options.hard_timeout_ms * 1000);
    load->task = task_start(vm, m->handler, deadline_us, push_arguments, load_ended, load);
    if (trail) load->trail = *trail;
    task_set_trail(load->task, &load->trail);
    return load;
}

/* Gives back all but the arena. */
static void release(struct load *load)
{
    luaL_unref(load->vm->L, LUA_REGISTRYINDEX, load->fields);
    luaL_unref(load->vm->L, LUA_REGISTRYINDEX, load->answer);
    free(load);
}

void load_cancel(struct load *load)
{
    struct task *task = load->task;
    struct arena arena = load->arena;
    release(load);
    arena_deinit(&arena);
    task_cancel(task); /* last: it may free a retired vm */
}

/* --- the handler's arguments -------------------------------------------------------------------------------------- */

/* Calls perigee.record's enter(model, keys) -> self, ctx, fields, answer. */
static int push_arguments(void *owner, lua_State *L)
{
    struct load *load = owner;
    const struct model *m = load->key.model;
    luaL_checkstack(L, 8, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, load->vm->enter);
    lua_pushlstring(L, m->name.p, m->name.n);
    lua_createtable(L, 0, (int)m->keys); /* stack: enter, name, keys */
    for (size_t i = 0; i < m->keys; i++) {
        const struct field *f = &m->field[m->key[i]];
        lua_pushlstring(L, f->name.p, f->name.n);
        convert_push_json(L, load->key.json[i]);
        lua_rawset(L, -3);
    }
    lua_call(L, 2, 4); /* stack: self, ctx, fields, answer */
    load->answer = luaL_ref(L, LUA_REGISTRYINDEX);
    load->fields = luaL_ref(L, LUA_REGISTRYINDEX);
    return 2;
}

/* --- the end: what the log says -----------------------------------------------------------------------------------
 *
 * The handler's coroutine may have come to its end with its stack full. So nothing is pushed on it here or below, and no
 * code of the model's is run for a look at its error: what needs room happens on the main thread. */

/* Appends at most `max` bytes of the text, cut at a character border, its white space and controls as one space. */
static void put_clean(struct buffer *out, struct slice text, size_t max)
{
    size_t n = text.n < max ? text.n : max;
    while (n < text.n && n > 0 && (text.p[n] & 0xC0) == 0x80) n--;
    bool utf8 = slice_is_utf8(slice_from(text.p, n)), space = true;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = c > ' ' && c != 0x7f;
        if (plain) buffer_char(out, c >= 0x80 && !utf8 ? '?' : (char)c);
        if (!plain && !space) buffer_char(out, ' ');
        space = !plain;
    }
}

/* A problem (script/problem.h) says more than its type; telling it takes room, and so it goes to the main thread. */
static void put_object(struct buffer *out, lua_State *L, lua_State *main)
{
    struct slice text;
    int top = lua_gettop(main);
    lua_xmove(L, main, 1);
    if (problem_push_text(main, -1)) {
        text.p = lua_tolstring(main, -1, &text.n);
        put_clean(out, text, MESSAGE_MAX);
    } else {
        buffer_printf(out, "the handler raised a %s value", luaL_typename(main, -1));
    }
    lua_settop(main, top);
}

/* The error value at the top of L. */
static void put_error(struct buffer *out, lua_State *L, lua_State *main)
{
    struct slice text;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text.p = lua_tolstring(L, -1, &text.n);
        put_clean(out, text, MESSAGE_MAX);
        break;
    case LUA_TNUMBER: buffer_printf(out, "%.14g", lua_tonumber(L, -1)); break;
    default: put_object(out, L, main);
    }
}

static bool is_authors(const lua_Debug *frame) { return frame->source[0] == '@'; /* of ours and of C: "=" */ }

/* " | at users.lua:7 in f, users.lua:12": the author's frames, innermost first. */
static void put_traceback(struct buffer *out, lua_State *L)
{
    lua_Debug frame;
    const char *before = " | at ";
    for (int level = 0, shown = 0; shown < FRAMES_MAX && lua_getstack(L, level, &frame); level++) {
        char text[160];
        lua_getinfo(L, "Snl", &frame);
        if (!is_authors(&frame)) continue;
        snprintf(text, sizeof text, "%s:%d%s%s", frame.short_src, frame.currentline, frame.name ? " in " : "",
                 frame.name ? frame.name : "");
        buffer_slice(out, slice_of(before));
        put_clean(out, slice_of(text), LOG_MAX - out->n);
        before = ", ";
        shown++;
    }
}

/* --- the end: the record ------------------------------------------------------------------------------------------ */

struct ending {
    struct load *load;
    struct load_result result;
    struct buffer log;
};

static void fail(struct ending *e, const char *path, const char *what)
{
    const struct model *m = e->load->key.model;
    e->result.status = LOADER_ERROR;
    problem_set(&e->result.problem, LOADER_ERROR, path, "the loader of model `%.*s` failed%s%s", SLICE_ARG(m->name),
                what ? ": " : "", what ? what : "");
}

/* The value of field f, at the top of L (the main thread), into the draft. */
static bool take_field(struct ending *e, lua_State *L, const struct field *f, struct record_draft *draft,
                       struct buffer *json)
{
    struct load *load = e->load;
    struct codec_reader reader = {.arena = &load->arena, .packed = true};
    struct problem why = {.detail = ""};
    char name[MODEL_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(f->name));
    buffer_reset(json);
    enum status status = convert_write_json(L, -1, json, &why);
    if (status != OK) {
        buffer_printf(&e->log, "field `%s`%s: %s", name, why.path, why.detail);
        char what[128];
        snprintf(what, sizeof what, "it set field `%s` to what JSON cannot say", name);
        fail(e, name, what);
        return false;
    }
    status = codec_set(load->key.model, draft, f, arena_dup(&load->arena, buffer_view(json)), &reader, &why);
    if (status == OK) return true;
    buffer_printf(&e->log, "%s", why.detail);
    fail(e, name, why.detail);
    return false;
}

static bool take_fields(struct ending *e, lua_State *L, struct record_draft *draft)
{
    const struct model *m = e->load->key.model;
    struct buffer json;
    bool good = true;
    buffer_init(&json, 2 * RECORD_MAX);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->load->fields); /* stack: fields */
    for (size_t i = 0; i < m->fields && good; i++) {
        const struct field *f = &m->field[i];
        if (f->kind == FIELD_KEY) continue;
        lua_pushlstring(L, f->name.p, f->name.n);
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1)) good = take_field(e, L, f, draft, &json);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    buffer_deinit(&json);
    return good;
}

/* The fields that the handler has set become the record's text, which the arena keeps. */
static void write_record(struct ending *e, lua_State *L)
{
    struct load *load = e->load;
    struct record_draft draft;
    struct problem why = {.detail = ""};
    codec_draft_init(load->key.model, &load->arena, &draft);
    if (!take_fields(e, L, &draft)) return;

    struct buffer text;
    buffer_init(&text, RECORD_MAX);
    enum status status = codec_write(&load->key, &draft, &load->arena, &text, &e->result.refs, &e->result.n_refs, &why);
    if (text.overflow) {
        buffer_printf(&e->log, "the record is larger than 1 MiB");
        fail(e, NULL, "the record is larger than 1 MiB");
    } else if (status != OK) {
        buffer_printf(&e->log, "%s", why.detail);
        fail(e, why.path, why.detail);
    } else {
        e->result.text = arena_dup(&load->arena, buffer_view(&text));
        e->result.status = OK;
    }
    buffer_deinit(&text);
}

static uint64_t expires_said(struct load *load)
{
    lua_State *L = load->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, load->answer);
    lua_pushliteral(L, "expires_ms");
    lua_rawget(L, -2);
    uint64_t ms = lua_isnumber(L, -1) ? (uint64_t)lua_tonumber(L, -1) : LOAD_EXPIRES_UNSET;
    lua_pop(L, 2);
    return ms;
}

/* The handler has returned: nothing (the record is filled), or `missing`. Anything else is a mistake. */
static void judge(struct ending *e, lua_State *L, int first)
{
    int results = lua_gettop(L) - first + 1;
    e->result.expires_ms = expires_said(e->load);
    if (results <= 0 || (results == 1 && lua_isnil(L, first))) {
        write_record(e, e->load->vm->L);
        return;
    }
    bool missing = lua_touserdata(L, first) == e->load->vm->missing;
    if (missing && results == 1) {
        e->result.status = MISSING;
    } else if (results == 1) {
        buffer_printf(&e->log, "from_miss returned a %s; it sets fields of `self`, or returns `missing`",
                      luaL_typename(L, first));
        fail(e, NULL, "it returned something else than `missing`");
    } else {
        buffer_printf(&e->log, "from_miss returned %d values; it sets fields of `self`, or returns `missing`", results);
        fail(e, NULL, "it returned several values");
    }
}

static void explain(struct ending *e, enum status status, lua_State *L)
{
    const struct model *m = e->load->key.model;
    if (status == LOADER_TIMEOUT) {
        e->result.status = LOADER_TIMEOUT;
        problem_set(&e->result.problem, LOADER_TIMEOUT, NULL, "the loader of model `%.*s` took longer than %llu ms",
                    SLICE_ARG(m->name), (unsigned long long)m->options.hard_timeout_ms);
        buffer_printf(&e->log, "stopped after %llu ms%s", (unsigned long long)m->options.hard_timeout_ms,
                      L ? "" : ", while it waited");
    } else {
        fail(e, NULL, NULL);
        if (L) put_error(&e->log, L, e->load->vm->L);
    }
    if (L) put_traceback(&e->log, L);
}

/* task_done */
static void load_ended(void *owner, enum status status, lua_State *L, int first)
{
    struct load *load = owner;
    struct ending e = {.load = load, .result.expires_ms = LOAD_EXPIRES_UNSET};
    struct arena arena;
    buffer_init(&e.log, LOG_MAX);
    if (status == OK) judge(&e, L, first);
    else explain(&e, status, L);
    e.result.log = buffer_view(&e.log);

    load_done *done = load->done;
    owner = load->owner;
    arena = load->arena;
    release(load);
    done(owner, &e.result);
    buffer_deinit(&e.log);
    arena_deinit(&arena);
}
