/* script/redis_source.c -- `redis(url)`: words to a command, its reply to values.
 *
 * Memory as in http.c: what is allocated while something may raise hangs on the call, and that on the client. */
#include "script/redis_source.h"

#include "base/clock.h"
#include "base/json.h"
#include "script/convert.h"
#include "script/duration.h"
#include "script/redis_client.h"
#include "script/task.h"
#include "script/vm_internal.h"
#include "store/redis_reply.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>

#define WORDS_MAX    1024
#define URL_MAX      4096
#define OPTION_NAMES "timeout"

/* What redis(url) returns: a full userdata, no C object behind it. */
struct server {
    uint64_t timeout_us; /* of a command; CLOCK_NEVER: as long as the handler has */
    size_t n;
    char url[];
};

static char server_key; /* its address is the registry key of the metatable */

/* --- words -------------------------------------------------------------------------------------------------------- */

static struct server *server_at(lua_State *L, int index)
{
    struct server *server = lua_touserdata(L, index);
    if (!server || lua_islightuserdata(L, index) || !lua_getmetatable(L, index)) return NULL;
    lua_pushlightuserdata(L, &server_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? server : NULL;
}

/* Numbers as JSON spells them: 64-bit integers with all their digits, no NaN. Absent for what is no number. */
static struct slice spell_number(lua_State *L, int index, struct arena *arena)
{
    struct buffer text;
    struct slice spelled = {NULL, 0};
    bool good = lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) > LUA_TTHREAD || lua_isuserdata(L, index);
    buffer_init(&text, 1 << 10);
    if (good && !lua_islightuserdata(L, index) && convert_write_json(L, index, &text, NULL) == OK)
        spelled = arena_dup(arena, buffer_view(&text));
    buffer_deinit(&text);
    return spelled;
}

static void read_words(lua_State *L, struct redis_call *c) /* stack: server, words... */
{
    int n = lua_gettop(L) - 1;
    size_t bytes = 0;
    if (n < 1 || lua_type(L, 2) != LUA_TSTRING)
        task_raise(L, "redis: the command must be a string, got %s", luaL_typename(L, 2));
    if (n > WORDS_MAX) task_raise(L, "redis: more than %d words", WORDS_MAX);
    c->word = arena_alloc(&c->arena, (size_t)n * sizeof *c->word);
    c->length = arena_alloc(&c->arena, (size_t)n * sizeof *c->length);
    for (int i = 0; i < n; i++) {
        struct slice word = {NULL, 0};
        bool is_string = lua_type(L, 2 + i) == LUA_TSTRING;
        if (is_string) word.p = lua_tolstring(L, 2 + i, &word.n);
        bytes += word.n;
        if (bytes > REDIS_COMMAND_MAX) task_raise(L, "redis: a command of more than %d bytes", REDIS_COMMAND_MAX);
        word = is_string ? arena_dup(&c->arena, word) : spell_number(L, 2 + i, &c->arena);
        if (!word.p)
            task_raise(L, "redis: word %d is a %s; words are strings and numbers", i + 1,
                       lua_islightuserdata(L, 2 + i) ? "null" : luaL_typename(L, 2 + i));
        c->word[c->words] = word.p;
        c->length[c->words++] = word.n;
    }
    const char *why = redis_call_refused(c->word, c->length, c->words);
    if (why) task_raise(L, "redis: %.32s is refused: %s", c->word[0], why);
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static void push_integer(lua_State *L, int64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, v);
    convert_push_exact(L, slice_from(digits, (size_t)n));
}

static void push_node(lua_State *L, const struct redis_call *c, size_t *at)
{
    struct redis_node node = redis_node_next(&c->nodes, at);
    luaL_checkstack(L, 8, "a reply too deep");
    switch (node.type) {
    case REDIS_REPLY_NIL: lua_pushlightuserdata(L, NULL); break;
    case REDIS_REPLY_INTEGER: push_integer(L, node.number); break;
    case REDIS_REPLY_ARRAY: /* at most REDIS_NODE_DEPTH_MAX deep */
        convert_push_json(L, SLICE("[]"));
        for (int64_t i = 1; i <= node.number; i++) {
            push_node(L, c, at);
            lua_rawseti(L, -2, (int)i);
        }
        break;
    case REDIS_REPLY_ERROR: /* within an array: one answer of several */
        lua_createtable(L, 0, 1);
        lua_pushlstring(L, node.bytes.p, node.bytes.n);
        lua_setfield(L, -2, "err");
        break;
    default: lua_pushlstring(L, node.bytes.p, node.bytes.n);
    }
}

static int push_reply(void *op, lua_State *L)
{
    struct redis_call *c = op;
    struct redis_client *r = vm_of(L)->host->redis;
    size_t at = 0;
    redis_client_hold(r, c); /* from here on anything may raise */
    struct redis_node node = {.type = REDIS_REPLY_NIL};
    if (!*c->failure) node = redis_node_next(&c->nodes, &at);
    if (*c->failure || node.type == REDIS_REPLY_ERROR) {
        lua_pushliteral(L, "redis: ");
        if (*c->failure) lua_pushstring(L, c->failure);
        else lua_pushlstring(L, node.bytes.p, node.bytes.n < 1000 ? node.bytes.n : 1000);
        lua_concat(L, 2);
        redis_client_hold(r, NULL);
        return lua_error(L);
    }
    at = 0;
    push_node(L, c, &at);
    redis_client_hold(r, NULL);
    return 1;
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static void call_cancel(void *op) { redis_client_cancel(op); }
static void on_done(struct redis_call *c) { task_wake(c->owner, push_reply, c); }

/* server:command("GET", key) */
static int word_command(lua_State *L) /* stack: server, words... */
{
    struct server *server = server_at(L, 1);
    if (!server) task_raise(L, "redis: call it as server:command(\"GET\", key)");
    struct task *task = task_for_wait(L, "redis");
    struct redis_client *r = redis_client_of(task_host(task));
    struct redis_call *c = redis_call_new();
    redis_client_hold(r, c);
    c->url = arena_dup(&c->arena, slice_from(server->url, server->n));
    c->timeout_us = clock_add(clock_mono_us(), server->timeout_us);
    if (c->timeout_us >= task_deadline(task)) c->timeout_us = CLOCK_NEVER; /* left to the task's own */
    c->done = on_done;
    c->owner = task;
    read_words(L, c);
    if (redis_client_start(r, c) != PENDING)
        task_raise(L, "redis: more than %d servers, or %d commands or %d bytes under way to one", REDIS_SERVERS_MAX,
                   REDIS_CALLS_MAX, REDIS_BYTES_MAX);
    redis_client_draw(r);
    return task_park(L, call_cancel, c);
}

static void read_options(lua_State *L, struct server *server) /* stack: url, options, server */
{
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) { /* stack: url, options, server, name, value */
        const char *name = lua_type(L, 4) == LUA_TSTRING ? lua_tostring(L, 4) : "?";
        if (strcmp(name, "timeout") != 0)
            task_raise(L, "redis: unknown option `%.64s` (there are: " OPTION_NAMES ")", name);
        server->timeout_us = duration_check(L, 5, "redis: timeout");
    }
}

/* redis(url, options): waits for nothing, so schema files may call it while they are loaded */
static int word_redis(lua_State *L)
{
    struct slice url = {NULL, 0};
    struct redis_config config;
    struct problem why;
    lua_settop(L, 2);
    if (lua_type(L, 1) != LUA_TSTRING) task_raise(L, "redis: the URL must be a string, got %s", luaL_typename(L, 1));
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    if (!lua_istable(L, 2)) task_raise(L, "redis: the options must be a table, got %s", luaL_typename(L, 2));
    url.p = lua_tolstring(L, 1, &url.n);
    if (url.n > URL_MAX) task_raise(L, "redis: the URL is too long");
    if (redis_config_parse(url, &config, &why) != OK) task_raise(L, "redis: %s", why.detail);
    if (config.topology == REDIS_CLUSTER)
        task_raise(L, "redis: a cluster is for --store; handlers ask one server: redis://host:port/db");

    struct server *server = lua_newuserdata(L, sizeof *server + url.n + 1);
    *server = (struct server){.timeout_us = CLOCK_NEVER, .n = url.n};
    memcpy(server->url, url.p, url.n + 1);
    read_options(L, server);
    lua_pushlightuserdata(L, &server_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return 1;
}

void redis_source_open(lua_State *L) /* stack: words */
{
    lua_pushlightuserdata(L, &server_key);
    lua_newtable(L); /* stack: words, key, metatable */
    lua_newtable(L);
    task_push_word(L, word_command, 0);
    lua_setfield(L, -2, "command");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);

    task_push_word(L, word_redis, 0);
    lua_setfield(L, -2, "redis");
}
