/* script/clean.c -- a form's `clean` functions as one run. */
#include "script/clean.h"

#include "script/convert.h"
#include "script/explain.h"
#include "script/run.h"

#include <stdlib.h>

#define MESSAGE_MAX 500
#define VALUE_MAX   (2u << 20) /* convert.h stops before */

struct clean {
    struct run run;
    struct slice json[MODEL_KEYS_MAX]; /* given; in the arena */
    struct slice refused[MODEL_KEYS_MAX];
    clean_done *done;
    void *owner;
    struct arena arena;
};

bool clean_needed(const struct model *form)
{
    for (size_t i = 0; i < form->fields; i++)
        if (form->field[i].cleaned) return true;
    return false;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static int push_inputs(struct run *run, lua_State *L);
static void clean_ended(struct run *run, struct run_end *end);

struct clean *clean_start(struct vm *vm, const struct model *form, const struct slice *json, const struct trail *trail,
                          clean_done *done, void *owner)
{
    struct clean *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->done = done;
    c->owner = owner;
    arena_init(&c->arena);
    for (size_t i = 0; i < form->keys; i++) c->json[i] = arena_dup(&c->arena, json[i]);
    c->run = (struct run){.kind = RUN_CLEAN, .vm = vm, .model = form, .push = push_inputs, .done = clean_ended};
    run_start(&c->run, trail);
    return c;
}

void clean_cancel(struct clean *c)
{
    run_cancel(&c->run);
    arena_deinit(&c->arena);
    free(c);
}

static const struct field *input(const struct clean *c, size_t i) { return &c->run.model->field[c->run.model->key[i]]; }

/* The given inputs that have a `clean`, by name. */
static int push_inputs(struct run *run, lua_State *L)
{
    struct clean *c = container_of(run, struct clean, run);
    lua_createtable(L, 0, (int)run->model->keys);
    for (size_t i = 0; i < run->model->keys; i++) {
        const struct field *f = input(c, i);
        if (!f->cleaned || !c->json[i].p) continue;
        lua_pushlstring(L, f->name.p, f->name.n);
        convert_push_json(L, c->json[i]);
        lua_rawset(L, -3);
    }
    return 1;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Pushes the input's member of the table at `index`. */
static void push_member(lua_State *L, int index, const struct field *f)
{
    lua_pushlstring(L, f->name.p, f->name.n);
    lua_rawget(L, index);
}

/* The cleaned value at the top of L in the place of the one that was given. */
static bool take_value(struct clean *c, struct run_end *end, size_t i)
{
    struct buffer text;
    struct problem why = {.detail = ""};
    char name[MODEL_NAME_MAX + 1];
    field_path(input(c, i), name);
    buffer_init(&text, VALUE_MAX);
    bool good = lua_isnil(end->L, -1) || convert_write_json(end->L, -1, &text, &why) == OK;
    c->json[i] = good && !lua_isnil(end->L, -1) ? arena_dup(&c->arena, buffer_view(&text)) : (struct slice){NULL, 0};
    buffer_deinit(&text);
    if (good) return true;
    run_fail(&c->run, end, name, "it returned what JSON cannot say");
    buffer_printf(&end->log, "clean of `%s`%s: %s", name, why.path, why.detail);
    return false;
}

/* The message at the top of L. */
static void take_message(struct clean *c, struct run_end *end, size_t i)
{
    struct buffer text;
    if (lua_isnil(end->L, -1)) return;
    buffer_init(&text, MESSAGE_MAX);
    explain_text(&text, run_text(end->L, -1), MESSAGE_MAX);
    c->refused[i] = arena_dup(&c->arena, buffer_view(&text));
    buffer_deinit(&text);
}

/* Stack, from end->first: cleaned values, messages. */
static void read_end(struct clean *c, struct run_end *end)
{
    lua_State *L = end->L;
    bool good = true;
    for (size_t i = 0; i < c->run.model->keys && good; i++) {
        const struct field *f = input(c, i);
        if (!f->cleaned || !c->json[i].p) continue;
        push_member(L, end->first, f);
        good = take_value(c, end, i);
        push_member(L, end->first + 1, f);
        if (good) take_message(c, end, i);
        lua_pop(L, 2);
    }
}

static void clean_ended(struct run *run, struct run_end *end)
{
    struct clean *c = container_of(run, struct clean, run);
    if (end->status == OK) read_end(c, end);
    struct clean_result result = {.status = end->status,
                                  .json = c->json,
                                  .refused = c->refused,
                                  .problem = end->problem,
                                  .log = buffer_view(&end->log)};
    c->done(c->owner, &result);
    arena_deinit(&c->arena);
    free(c);
}
