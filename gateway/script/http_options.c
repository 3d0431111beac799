/* script/http_options.c -- the arguments of `http`, checked and copied into an exchange.
 *
 * Everything here may raise; what is allocated meanwhile hangs on the exchange, and that on the client (http_client_hold), so
 * nothing leaks. Tables of strangers are read without their metamethods. */
#include "script/http_options.h"

#include "base/clock.h"
#include "model/model.h"
#include "script/convert.h"
#include "script/duration.h"
#include "script/task.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX           (8 << 10)
#define HOST_MAX          253
#define FIELDS_MAX        64
#define FIELD_MAX         (8 << 10)
#define FOLLOW_MAX        5
#define MAX_BYTES_DEFAULT (8 << 20)

/* --- the URL ------------------------------------------------------------------------------------------------------ */

/* What messages show: scheme, host, port, path. Credentials and queries are secrets. */
static void show_url(struct http_exchange *x, const char *scheme)
{
    char *host = NULL, *port = NULL, *path = NULL;
    libcurl.url_get(x->url, CURLUPART_HOST, &host, 0);
    libcurl.url_get(x->url, CURLUPART_PORT, &port, 0);
    libcurl.url_get(x->url, CURLUPART_PATH, &path, 0);
    snprintf(x->shown, sizeof x->shown, "%s://%s%s%s%s", scheme, host ? host : "", port ? ":" : "", port ? port : "",
             path ? path : "");
    libcurl.free(host);
    libcurl.free(port);
    libcurl.free(path);
}

/* Whom the request goes to: requests of one origin share its places and its budget. */
static bool name_origin(struct http_exchange *x, const char *scheme)
{
    char *host = NULL, *port = NULL;
    libcurl.url_get(x->url, CURLUPART_HOST, &host, 0);
    libcurl.url_get(x->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    bool good = host && port && strlen(host) <= HOST_MAX;
    if (good) snprintf(x->origin, sizeof x->origin, "%s://%s:%s", scheme, host, port);
    for (char *c = x->origin; *c; c++) *c = (char)tolower((unsigned char)*c);
    libcurl.free(host);
    libcurl.free(port);
    return good;
}

static void read_url(lua_State *L, struct http_exchange *x) /* stack: url, options */
{
    size_t n = 0;
    const char *text = lua_tolstring(L, 1, &n);
    if (n > URL_MAX) task_raise(L, "http: %s: URL of more than %d bytes", x->method, URL_MAX);
    if (strlen(text) != n) task_raise(L, "http: %s: bad URL: NUL byte", x->method);
    if (!(x->url = libcurl.url())) abort();
    CURLUcode code = libcurl.url_set(x->url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK) task_raise(L, "http: %s: bad URL: %s", x->method, libcurl.url_strerror(code));

    char *scheme = NULL;
    libcurl.url_get(x->url, CURLUPART_SCHEME, &scheme, 0);
    bool good = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0), named = false;
    if (good) {
        show_url(x, scheme);
        named = name_origin(x, scheme);
    }
    libcurl.free(scheme);
    if (!good) task_raise(L, "http: %s: bad URL: only http and https", x->method);
    if (!named) task_raise(L, "http: %s: bad URL: host name of more than %d bytes", x->method, HOST_MAX);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

bool http_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && (s.p[i] == 0 || !strchr("!#$%&'*+-.^_`|~", s.p[i]))) return false;
    return s.n > 0;
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
    struct curl_slist *fields = libcurl.slist_append(x->fields, line);
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
    if (!http_is_token(slice_from(name, name_n)) || name_n > 256) task_raise(L, "http: headers: bad name");
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
    if (x->has_payload) task_raise(L, "http: body and json exclude each other");
    if (convert_write_json(L, lua_gettop(L), &x->payload, &why) != OK)
        task_raise(L, "http: json%s%s: %s", *why.path ? ": " : "", why.path, why.detail);
    x->has_payload = true;
}

static void read_body(lua_State *L, struct http_exchange *x) /* stack: ..., body */
{
    size_t n;
    if (lua_type(L, -1) != LUA_TSTRING) task_raise(L, "http: body must be a string");
    if (x->has_payload) task_raise(L, "http: body and json exclude each other");
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

static unsigned read_whole(lua_State *L, const char *name, unsigned max) /* stack: ..., value */
{
    double v = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(v >= 0 && v <= max && v == floor(v)))
        task_raise(L, "http: %s must be a whole number from 0 to %u", name, max);
    return (unsigned)v;
}

static void read_timeout(lua_State *L, struct http_exchange *x)
{
    x->timeout_us = duration_check(L, -1, "http: timeout");
    if (x->timeout_us == 0) task_raise(L, "http: timeout must be more than 0");
}

static void read_follow(lua_State *L, struct http_exchange *x) { x->redirects = read_whole(L, "follow", FOLLOW_MAX); }

static void read_max_bytes(lua_State *L, struct http_exchange *x)
{
    x->max_bytes = read_whole(L, "max_bytes", HTTP_BODY_MAX);
}

static void read_retries(lua_State *L, struct http_exchange *x)
{
    x->retry.retries = read_whole(L, "retries", HTTP_RETRIES_MAX);
}

/* One reason to try again: a status, or "refused", "reset", "timeout". */
static void read_reason(lua_State *L, struct http_retry_rules *rules) /* stack: ..., reason */
{
    double status = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (status >= 400 && status <= 599 && status == floor(status))
        rules->statuses[rules->n_statuses++] = (unsigned short)status;
    else if (strcmp(name, "refused") == 0) rules->refused = true;
    else if (strcmp(name, "reset") == 0) rules->reset = true;
    else if (strcmp(name, "timeout") == 0) rules->timeout = true;
    else task_raise(L, "http: retry_on takes \"refused\", \"reset\", \"timeout\" and statuses from 400 to 599");
}

static void read_retry_on(lua_State *L, struct http_exchange *x) /* stack: ..., reasons */
{
    size_t n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    if (n == 0 || n > HTTP_RETRY_STATUSES_MAX)
        task_raise(L, "http: retry_on must be a list of 1 to %d reasons, such as { \"refused\", 503 }",
                   HTTP_RETRY_STATUSES_MAX);
    x->retry = (struct http_retry_rules){.retries = x->retry.retries, .chosen = true};
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        read_reason(L, &x->retry);
        lua_pop(L, 1);
    }
}

static void read_ca(lua_State *L, struct http_exchange *x) /* stack: ..., path */
{
    size_t n = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : "";
    if (n == 0 || strlen(text) != n) task_raise(L, "http: ca must be the path of a file");
    if (!(x->ca = strdup(text))) abort();
}

/* Each reads the value on top of the stack. */
static const struct option {
    struct slice name;
    void (*read)(lua_State *L, struct http_exchange *x);
} options[] = {
    {SLICE("timeout"), read_timeout},     {SLICE("headers"), read_fields},
    {SLICE("body"), read_body},           {SLICE("json"), read_json},
    {SLICE("method"), read_method},       {SLICE("retries"), read_retries},
    {SLICE("retry_on"), read_retry_on},   {SLICE("follow"), read_follow},
    {SLICE("max_bytes"), read_max_bytes}, {SLICE("ca"), read_ca},
};
#define OPTIONS      (sizeof options / sizeof *options)
#define OPTION_NAMES "timeout, headers, body, json, method, retries, retry_on, follow, max_bytes, ca"

static void raise_unknown(lua_State *L, struct slice name)
{
    struct slice names[OPTIONS];
    for (size_t i = 0; i < OPTIONS; i++) names[i] = options[i].name;
    struct slice near = nearest_name(name, names, OPTIONS);
    if (near.p) task_raise(L, "http: unknown option `%.*s` (did you mean `%.*s`?)", SLICE_ARG(name), SLICE_ARG(near));
    task_raise(L, "http: unknown option `%.64s` (there are: " OPTION_NAMES ")", name.p);
}

static void read_option(lua_State *L, struct http_exchange *x) /* stack: url, options, name, value */
{
    struct slice name = {NULL, 0};
    if (lua_type(L, 3) != LUA_TSTRING) task_raise(L, "http: unknown option (there are: " OPTION_NAMES ")");
    name.p = lua_tolstring(L, 3, &name.n);
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!slice_eq(name, options[i].name)) continue;
        options[i].read(L, x);
        return;
    }
    raise_unknown(L, name);
}

/* What only all options together tell. */
static void check_options(lua_State *L, struct http_exchange *x) /* stack: url, options */
{
    bool safe = strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0 || strcmp(x->method, "POST") == 0;
    if (x->redirects > 0 && !safe) task_raise(L, "http: follow is for GET, HEAD and POST, not for %s", x->method);
    if (x->retry.chosen && x->retry.retries == 0) task_raise(L, "http: retry_on needs retries");

    lua_pushliteral(L, "json");
    lua_rawget(L, 2); /* stack: url, options, json or nil */
    /* libcurl would add types of its own, and wait for a 100 before large bodies */
    if (!has_field(x, SLICE("content-type")))
        add_field(x, lua_isnil(L, -1) ? "Content-Type:" : "Content-Type: application/json");
    lua_pop(L, 1);
    x->as_it_comes = has_field(x, SLICE("accept-encoding"));
}

void http_options_read(lua_State *L, struct http_exchange *x) /* stack: url, options */
{
    x->max_bytes = MAX_BYTES_DEFAULT;
    x->timeout_us = CLOCK_NEVER;
    http_retry_rules_init(&x->retry);
    add_field(x, "Expect:");
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) read_option(L, x); /* stack: url, options, name, value */
    check_options(L, x);
    read_url(L, x);
}
