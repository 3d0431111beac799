/* script/http.c -- the words of `http`: a request is started and waited for, its answer becomes a table.
 *
 * Everything before parking may raise; the exchange hangs on the client meanwhile (http_client_hold), so nothing leaks. */
#include "script/http.h"

#include "base/clock.h"
#include "model/json.h"
#include "script/convert.h"
#include "script/http_client.h"
#include "script/http_options.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 256 /* of a header field; longer ones are left out */

/* Their addresses are the registry keys of the metatables of answers, and of their `headers`. */
static char answer_key, fields_key;

/* --- the answer --------------------------------------------------------------------------------------------------- */

static void lower_case(struct slice name, char *lower)
{
    for (size_t i = 0; i < name.n; i++) lower[i] = (char)tolower((unsigned char)name.p[i]);
}

/* headers[name], where no member is spelled so */
static int fields_index(lua_State *L) /* stack: headers, name */
{
    char lower[NAME_MAX_BYTES];
    struct slice name;
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    name.p = lua_tolstring(L, 2, &name.n);
    if (name.n > sizeof lower) return 0;
    lower_case(name, lower);
    lua_pushlstring(L, lower, name.n);
    lua_rawget(L, 1);
    return 1;
}

/* Adds a field line to the table on top: the name in lower case; values of one name are joined by ", ". */
static void push_field(lua_State *L, struct slice line) /* stack: headers */
{
    char lower[NAME_MAX_BYTES];
    struct slice value = line, name = slice_cut(&value, ':');
    if (!value.p || !http_is_token(name) || name.n > sizeof lower) return;
    lower_case(name, lower);
    value = slice_trim(value);

    lua_pushlstring(L, lower, name.n);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3); /* stack: headers, name, earlier or nil */
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, value.p, value.n);
    } else {
        lua_pushliteral(L, ", ");
        lua_pushlstring(L, value.p, value.n);
        lua_concat(L, 3);
    }
    lua_rawset(L, -3);
}

static void push_fields(lua_State *L, struct slice head)
{
    lua_newtable(L);
    while (head.p) {
        struct slice line = slice_cut(&head, '\n');
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        push_field(L, line);
    }
    lua_pushlightuserdata(L, &fields_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

/* json(answer) -> the value of its body */
static int answer_json(lua_State *L)
{
    luaL_argcheck(L, lua_istable(L, 1), 1, "call it as answer:json()");
    lua_settop(L, 1);
    lua_pushliteral(L, "body");
    lua_rawget(L, 1); /* stack: answer, body */
    luaL_argcheck(L, lua_type(L, 2) == LUA_TSTRING, 1, "the answer has no body");

    struct arena *scratch = &vm_of(L)->host->scratch;
    arena_reset(scratch); /* pushing may raise: then it is given back here, the next time */
    struct slice text, compact;
    text.p = lua_tolstring(L, 2, &text.n);
    struct problem why;
    if (json_compact(text, scratch, &compact, &why) != OK)
        return luaL_error(L, "http: the body is not valid JSON: %s", why.detail);
    convert_push_json(L, compact);
    arena_reset(scratch);
    return 1;
}

static int push_answer(void *op, lua_State *L)
{
    struct http_exchange *x = op;
    struct http_client *c = x->client;
    http_client_hold(c, x); /* from here on anything may raise */
    if (*x->failure) {
        lua_pushfstring(L, "http: %s %s : %s", x->method, x->shown, x->failure);
        http_client_hold(c, NULL);
        return lua_error(L);
    }
    lua_newtable(L); /* stack: answer */
    lua_pushinteger(L, x->status);
    lua_setfield(L, -2, "status");
    push_fields(L, buffer_view(&x->head));
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, buffer_view(&x->body).p, x->body.n);
    lua_setfield(L, -2, "body");
    lua_pushlightuserdata(L, &answer_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    http_client_hold(c, NULL);
    return 1;
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static void request_cancel(void *op)
{
    struct http_exchange *x = op;
    http_client_cancel(x);
    http_exchange_free(x);
}

static void on_answer(struct http_exchange *x) { task_wake(x->owner, push_answer, x); }

/* The exchange is the client's until it starts. */
static struct http_exchange *new_exchange(struct http_client *c, const char *method, struct task *task)
{
    struct http_exchange *x = http_exchange_new();
    http_client_hold(c, x);
    snprintf(x->method, sizeof x->method, "%s", method);
    x->deadline_us = task_deadline(task);
    x->done = on_answer;
    x->owner = task;
    return x;
}

/* http.get(url, options) and its like; upvalues: word, method */
static int word_request(lua_State *L) /* stack: url, options */
{
    const char *word = lua_tostring(L, lua_upvalueindex(1));
    struct task *task = task_for_wait(L, word);
    lua_settop(L, 2);
    if (lua_type(L, 1) != LUA_TSTRING) task_raise(L, "%s: the URL must be a string, got %s", word, luaL_typename(L, 1));
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    if (!lua_istable(L, 2)) task_raise(L, "%s: the options must be a table, got %s", word, luaL_typename(L, 2));

    const char *why;
    if (!libcurl_load(&why)) task_raise(L, "%s: cannot load libcurl: %s", word, why);
    struct http_client *c = http_client_of(task_host(task));
    struct http_exchange *x = new_exchange(c, lua_tostring(L, lua_upvalueindex(2)), task);
    http_options_read(L, x);
    if (http_client_start(c, x) != PENDING) task_raise(L, "http: %s %s : %s", x->method, x->shown, x->failure);
    http_client_draw(c);
    return task_park(L, request_cancel, x);
}

static void register_metatables(lua_State *L)
{
    lua_pushlightuserdata(L, &answer_key);
    lua_newtable(L); /* stack: key, metatable */
    lua_newtable(L);
    lua_pushcfunction(L, answer_json);
    lua_setfield(L, -2, "json");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);

    lua_pushlightuserdata(L, &fields_key);
    lua_newtable(L); /* stack: key, metatable */
    lua_pushcfunction(L, fields_index);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "headers");
    lua_setfield(L, -2, "__metatable");
    convert_overlook(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void http_open(lua_State *L) /* stack: words */
{
    register_metatables(L);
    static const char *const words[][3] = {
        {"get", "http.get", "GET"},          {"post", "http.post", "POST"},      {"put", "http.put", "PUT"},
        {"delete", "http.delete", "DELETE"}, {"request", "http.request", "GET"},
    };
    lua_newtable(L); /* stack: words, http */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        lua_pushstring(L, words[i][1]);
        lua_pushstring(L, words[i][2]);
        task_push_word(L, word_request, 2);
        lua_setfield(L, -2, words[i][0]);
    }
    lua_setfield(L, -2, "http");
}
