/* script/ask.c -- a handler asks the gateway around it:
 *
 *     ask(...)  value -> JSON -> gateway->start, the task parks ... on_answered: JSON -> values, the task wakes
 *
 * What is asked outlives nobody: when its task is stopped, the gateway is told, and forgets it. */
#include "script/ask.h"

#include "base/list.h"
#include "script/ask_word.h"
#include "script/convert.h"
#include "script/host_internal.h"
#include "script/problem.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#define JSON_MAX (2u << 20) /* convert.h stops before */

struct asking {
    struct ask ask;
    struct task *task;
    bool many;          /* a list was asked for, and a list is the answer */
    struct buffer text; /* what the texts of ask point to */
};

static struct asking *asking_new(void)
{
    struct asking *a = calloc(1, sizeof *a);
    if (!a) abort();
    buffer_init(&a->text, JSON_MAX);
    return a;
}

static void asking_free(struct asking *a)
{
    buffer_deinit(&a->text);
    free(a);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static int push_failure(lua_State *L, const struct asking *a, const struct ask_answer *answer)
{
    lua_pushnil(L);
    problem_push(L, &answer->problem, a->ask.model ? a->ask.model->name : SLICE(""), answer->errors);
    return 2;
}

static void push_missing(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)vm_of(L)->missing);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* What came of a list: documents, `missing` where there is none; as a whole it fails where one of them has failed. */
static int push_list(lua_State *L, const struct asking *a)
{
    for (size_t i = 0; i < a->ask.answers; i++)
        if (a->ask.answer[i].status != OK && a->ask.answer[i].status != MISSING)
            return push_failure(L, a, &a->ask.answer[i]);
    lua_pushboolean(L, 1);
    convert_push_json(L, SLICE("[]")); /* stack: true, list */
    for (size_t i = 0; i < a->ask.answers; i++) {
        const struct ask_answer *answer = &a->ask.answer[i];
        if (answer->status == OK) convert_push_json(L, answer->text);
        else push_missing(L);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 2;
}

static int push_answer(void *op, lua_State *L)
{
    const struct asking *a = op;
    const struct ask_answer *answer = a->ask.answer;
    luaL_checkstack(L, 8, NULL);
    if (a->many) return push_list(L, a);
    if (answer->status != OK) return push_failure(L, a, answer);
    lua_pushboolean(L, 1);
    if (!answer->text.p) return 1;
    convert_push_json(L, answer->text);
    return 2;
}

/* The answer lies with the gateway until this returns, so the asking is kept as long, whatever the woken handler does. */
static void on_answered(struct ask *ask)
{
    struct asking *a = container_of(ask, struct asking, ask);
    task_wake(a->task, push_answer, a);
    asking_free(a);
}

static void asking_cancel(void *op)
{
    struct asking *a = op;
    const struct ask_gateway *gateway = task_host(a->task)->gateway;
    gateway->cancel(gateway->owner, &a->ask);
    asking_free(a);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

/* In the order of enum ask_what; then the word for many at once. */
static const char *const questions[] = {
    "get", "save", "delete", "call", "forget", "invalidate_all", "invalidate_tags", "get_many", NULL};
#define GET_MANY (ASK_INVALIDATE_TAGS + 1)

/* Appends the value at index 3; an ASK_GET asks for a list also where there is but one. */
static enum status write_value(lua_State *L, struct asking *a, struct problem *why)
{
    bool wrap = a->ask.what == ASK_GET && !a->many;
    if (wrap) buffer_char(&a->text, '[');
    enum status status = convert_write_json(L, 3, &a->text, why);
    if (wrap) buffer_char(&a->text, ']');
    return status;
}

/* Reads the arguments. Raises nothing: they have been checked. */
static enum status write_question(lua_State *L, struct asking *a, struct problem *why)
{
    enum status status = write_value(L, a, why);
    size_t n = a->text.n;
    struct slice more = {NULL, 0}; /* of a get or a save */
    int at = a->ask.what == ASK_SAVE ? 6 : 5;
    if (lua_type(L, at) == LUA_TSTRING) more.p = lua_tolstring(L, at, &more.n);
    buffer_slice(&a->text, more);
    struct slice all = buffer_view(&a->text);
    a->ask.json = slice_from(all.p, n);
    if (more.p) *(a->ask.what == ASK_SAVE ? &a->ask.if_match : &a->ask.include) = slice_skip(all, n);
    a->ask.depth = lua_isnumber(L, 4) ? (int)lua_tointeger(L, 4) : -1;
    a->ask.expires_ms = lua_isnumber(L, 4) ? (uint64_t)lua_tonumber(L, 4) : ASK_EXPIRES_UNSET;
    a->ask.cascade = a->ask.expire = lua_toboolean(L, 5);
    return status;
}

/* false and a message: for the caller's line. */
static int misuse(lua_State *L, const char *format, const char *path, const char *what)
{
    lua_pushboolean(L, 0);
    lua_pushfstring(L, format, path, what);
    return 2;
}

/* ask(question, model's name, value, depth or life in ms, include or cascade or expire, if_match)
 *     -> true and what came of it; nil and a problem; or anything else and a message, which the Lua half raises at its caller's line */
static int word_ask(lua_State *L)
{
    struct vm *vm = vm_of(L);
    int question = luaL_checkoption(L, 1, NULL, questions);
    struct slice name = {NULL, 0};
    bool of_none = question == ASK_INVALIDATE_TAGS;
    if (!of_none) name.p = luaL_checklstring(L, 2, &name.n);
    const struct model *model = of_none ? NULL : registry_find(&vm->registry, name);
    lua_settop(L, 6);
    luaL_checkstack(L, CONVERT_STACK, NULL);
    const char *cannot = task_cannot_wait(L);
    if (cannot) return misuse(L, "%s%s", "cannot wait here: ", cannot);
    assert(model || of_none); /* the Lua half knows the same models */
    const struct ask_gateway *gateway = vm->host->gateway;
    if (!gateway) return misuse(L, "%s%s", "", "there is nobody to ask");

    struct asking *a = asking_new();
    struct problem why = {.detail = ""};
    a->many = question == GET_MANY;
    a->ask.what = a->many ? ASK_GET : (enum ask_what)question;
    a->ask.vm = vm;
    a->ask.model = model;
    if (write_question(L, a, &why) != OK) {
        asking_free(a);
        return misuse(L, why.path[0] ? "`%s`: %s" : "%s%s", why.path[0] == '.' ? why.path + 1 : why.path, why.detail);
    }
    a->task = task_current(L);
    a->ask.trail = task_trail(a->task);
    a->ask.done = on_answered;
    gateway->start(gateway->owner, &a->ask);
    return task_park(L, asking_cancel, a);
}

void ask_open(lua_State *L) /* stack: core */
{
    lua_pushcfunction(L, word_ask); /* no word of task.h: the Lua half raises what an answer's push has raised */
    lua_setfield(L, -2, "ask");
    problem_open(L);
}
