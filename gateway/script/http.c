/* script/http.c -- the words of `http`: arguments to an exchange, its answer to a table.
 *
 * Everything between checking and parking may raise; what is allocated meanwhile hangs on the exchange, and that on the
 * client (http_client_hold), so nothing leaks. */
#include "script/http.h"

#include "base/clock.h"
#include "model/json.h"
#include "script/convert.h"
#include "script/duration.h"
#include "script/http_client.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX          (8 << 10)
#define FIELDS_MAX       64
#define FIELD_MAX        (8 << 10)
#define FOLLOW_MAX       5
#define BODY_MAX_DEFAULT (4 << 20)
#define OPTION_NAMES     "timeout, headers, body, json, method, follow, max_bytes, verify, ca"

static char response_key; /* its address is the registry key of the metatable of answers */

/* --- the URL ------------------------------------------------------------------------------------------------------ */

/* What messages show: scheme, host, port, path. Credentials and queries are secrets. */
static void show_url(struct http_exchange *x, const char *scheme)
{
    char *host = NULL, *port = NULL, *path = NULL;
    curl_url_get(x->url, CURLUPART_HOST, &host, 0);
    curl_url_get(x->url, CURLUPART_PORT, &port, 0);
    curl_url_get(x->url, CURLUPART_PATH, &path, 0);
    snprintf(x->shown, sizeof x->shown, "%s://%s%s%s%s", scheme, host ? host : "", port ? ":" : "", port ? port : "",
             path ? path : "");
    curl_free(host);
    curl_free(port);
    curl_free(path);
}

static void read_url(lua_State *L, struct http_exchange *x) /* stack: url, options */
{
    size_t n = 0;
    const char *text = lua_tolstring(L, 1, &n);
    if (n > URL_MAX) task_raise(L, "http: %s: URL of more than %d bytes", x->method, URL_MAX);
    if (strlen(text) != n) task_raise(L, "http: %s: bad URL: NUL byte", x->method);
    x->url = curl_url();
    CURLUcode code = curl_url_set(x->url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK) task_raise(L, "http: %s: bad URL: %s", x->method, curl_url_strerror(code));

    char *scheme = NULL;
    curl_url_get(x->url, CURLUPART_SCHEME, &scheme, 0);
    bool good = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (good) show_url(x, scheme);
    curl_free(scheme);
    if (!good) task_raise(L, "http: %s: bad URL: only http and https", x->method);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && (s[i] == 0 || !strchr("!#$%&'*+-.^_`|~", s[i]))) return false;
    return n > 0;
}

/* Those that frame the message, or would end the connection's reuse, are the client's. */
static bool is_ours(struct slice name)
{
    static const struct slice names[] = {
        SLICE("content-length"), SLICE("transfer-encoding"), SLICE("connection"), SLICE("upgrade"),         SLICE("te"),
        SLICE("expect"),         SLICE("trailer"),           SLICE("keep-alive"), SLICE("proxy-connection")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_ieq(name, names[i])) return true;
    return false;
}

static void add_field(struct http_exchange *x, const char *line)
{
    struct curl_slist *fields = curl_slist_append(x->fields, line);
    if (!fields) abort();
    x->fields = fields;
}

static bool has_field(const struct http_exchange *x, struct slice name)
{
    for (struct curl_slist *f = x->fields; f; f = f->next) {
        size_t n = strcspn(f->data, ":;");
        if (slice_ieq(slice_from(f->data, n), name)) return true;
    }
    return false;
}

static void read_field(lua_State *L, struct http_exchange *x) /* stack: ..., name, value */
{
    size_t name_n, value_n = 0;
    if (lua_type(L, -2) != LUA_TSTRING) task_raise(L, "http: headers: names must be strings");
    const char *name = lua_tolstring(L, -2, &name_n), *value = NULL;
    char number[40];
    if (!is_token(name, name_n) || name_n > 256) task_raise(L, "http: headers: bad name");
    if (is_ours(slice_from(name, name_n))) task_raise(L, "http: headers: `%s` is not for handlers to set", name);
    if (lua_type(L, -1) == LUA_TSTRING) {
        value = lua_tolstring(L, -1, &value_n);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        value_n = (size_t)snprintf(number, sizeof number, "%.14g", lua_tonumber(L, -1));
        value = number;
    } else {
        task_raise(L, "http: headers: `%s` must be a string or a number", name);
    }
    for (size_t i = 0; i < value_n; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) task_raise(L, "http: headers: control character in `%s`", name);
    }
    if (value_n > FIELD_MAX) task_raise(L, "http: headers: `%s` has more than %d bytes", name, FIELD_MAX);

    char line[256 + FIELD_MAX + 3];
    snprintf(line, sizeof line, value_n ? "%s: %s" : "%s;", name,
             value); /* libcurl's spelling of an empty one: "name;" */
    add_field(x, line);
}

static void read_fields(lua_State *L, struct http_exchange *x) /* stack: ..., headers */
{
    if (!lua_istable(L, -1)) task_raise(L, "http: headers must be a table");
    int n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) { /* stack: ..., headers, name, value */
        if (++n > FIELDS_MAX) task_raise(L, "http: more than %d headers", FIELDS_MAX);
        read_field(L, x);
    }
}

static void read_json(lua_State *L, struct http_exchange *x) /* stack: ..., value */
{
    struct problem why;
    if (convert_write_json(L, lua_gettop(L), &x->payload, &why) != OK)
        task_raise(L, "http: json%s%s: %s", *why.path ? ": " : "", why.path, why.detail);
    x->has_payload = true;
}

static void read_body(lua_State *L, struct http_exchange *x) /* stack: ..., body */
{
    size_t n;
    if (lua_type(L, -1) != LUA_TSTRING) task_raise(L, "http: body must be a string");
    const char *text = lua_tolstring(L, -1, &n);
    if (!buffer_put(&x->payload, text, n)) task_raise(L, "http: body of more than %d bytes", HTTP_PAYLOAD_MAX);
    x->has_payload = true;
}

static void read_method(lua_State *L, struct http_exchange *x) /* stack: ..., method */
{
    size_t n = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : "";
    bool upper = n > 0 && n < sizeof x->method;
    for (size_t i = 0; i < n && upper; i++) upper = text[i] >= 'A' && text[i] <= 'Z';
    if (!upper || strcmp(text, "CONNECT") == 0 || strcmp(text, "TRACE") == 0)
        task_raise(L, "http: method must be a name in capitals, such as \"PATCH\", other than CONNECT and TRACE");
    memcpy(x->method, text, n + 1);
}

static double read_number(lua_State *L, const char *name, double max) /* stack: ..., value */
{
    double v = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(v >= 0 && v <= max)) task_raise(L, "http: %s must be a number from 0 to %.0f", name, max);
    return v;
}

static void read_ca(lua_State *L, struct http_exchange *x) /* stack: ..., path */
{
    size_t n = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : "";
    if (n == 0 || strlen(text) != n) task_raise(L, "http: ca must be the path of a file");
    free(x->ca);
    x->ca = strdup(text);
}

static void read_option(lua_State *L, struct http_exchange *x, const char *name) /* stack: url, options, name, value */
{
    if (strcmp(name, "timeout") == 0) {
        x->timeout_us = clock_add(clock_mono_us(), duration_check(L, -1, "http: timeout"));
    } else if (strcmp(name, "headers") == 0) {
        read_fields(L, x);
    } else if (strcmp(name, "body") == 0) {
        read_body(L, x);
    } else if (strcmp(name, "json") == 0) {
        read_json(L, x);
    } else if (strcmp(name, "method") == 0) {
        read_method(L, x);
    } else if (strcmp(name, "follow") == 0) {
        x->redirects = (long)read_number(L, name, FOLLOW_MAX);
    } else if (strcmp(name, "max_bytes") == 0) {
        x->max_bytes = (size_t)read_number(L, name, HTTP_BODY_MAX);
    } else if (strcmp(name, "verify") == 0) {
        if (!lua_isboolean(L, -1)) task_raise(L, "http: verify must be true or false");
        x->verify = lua_toboolean(L, -1);
    } else if (strcmp(name, "ca") == 0) {
        read_ca(L, x);
    } else {
        task_raise(L, "http: unknown option `%.64s` (there are: " OPTION_NAMES ")", name);
    }
}

static void read_options(lua_State *L, struct http_exchange *x) /* stack: url, options */
{
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) { /* stack: url, options, name, value */
        if (lua_type(L, 3) != LUA_TSTRING) task_raise(L, "http: unknown option (there are: " OPTION_NAMES ")");
        read_option(L, x, lua_tostring(L, 3));
    }
    lua_getfield(L, 2, "json");
    lua_getfield(L, 2, "body");
    if (!lua_isnil(L, -1) && !lua_isnil(L, -2)) task_raise(L, "http: body and json exclude each other");
    /* libcurl would add types of its own, and wait for a 100 before large bodies */
    if (!has_field(x, SLICE("content-type")))
        add_field(x, lua_isnil(L, -2) ? "Content-Type:" : "Content-Type: application/json");
    lua_pop(L, 2);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* Adds a field line to the table on top: the name in lower case; values of one name are joined by ", ". */
static void push_field(lua_State *L, struct slice line) /* stack: headers */
{
    struct slice value = line, name = slice_cut(&value, ':');
    if (!value.p || !is_token(name.p, name.n) || name.n > 256) return;
    char lower[256];
    for (size_t i = 0; i < name.n; i++) lower[i] = (char)tolower((unsigned char)name.p[i]);
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
    lua_pushlightuserdata(L, &response_key);
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

/* The exchange is the client's until it starts. A timeout beyond the task's own deadline is left to that. */
static struct http_exchange *new_exchange(struct http_client *c, const char *method)
{
    struct http_exchange *x = http_exchange_new();
    http_client_hold(c, x);
    snprintf(x->method, sizeof x->method, "%s", method);
    x->max_bytes = BODY_MAX_DEFAULT;
    x->verify = true;
    x->timeout_us = CLOCK_NEVER;
    x->done = on_answer;
    add_field(x, "Expect:");
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

    struct http_client *c = http_client_of(task_host(task));
    struct http_exchange *x = new_exchange(c, lua_tostring(L, lua_upvalueindex(2)));
    read_options(L, x);
    read_url(L, x);
    if (x->timeout_us >= task_deadline(task)) x->timeout_us = CLOCK_NEVER;
    x->owner = task;
    if (http_client_start(c, x) != PENDING)
        task_raise(L, "http: %s %s : more than %d requests at once", x->method, x->shown, HTTP_CLIENT_INFLIGHT_MAX);
    http_client_draw(c);
    return task_park(L, request_cancel, x);
}

void http_open(lua_State *L) /* stack: words */
{
    lua_pushlightuserdata(L, &response_key);
    lua_newtable(L); /* stack: words, key, metatable */
    lua_newtable(L);
    lua_pushcfunction(L, answer_json);
    lua_setfield(L, -2, "json");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);

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
