/* script/convert.c -- JSON text to Lua values and back.
 *
 * Reading: yyjson, numbers kept as text. Its document is held by a userdata, so that it is freed also when a push raises.
 * Writing: one walk that neither raises nor calls a metamethod; members of objects are sorted by name, so that the same value
 * gives the same bytes in every Lua state. Both recurse at most JSON_DEPTH_MAX deep. Over 400 lines, because what the one
 * direction makes of null, [], {} and long numbers the other must know again. */
#include "script/convert.h"

#include "base/json.h"
#include "model/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <yyjson.h>

#define LUA_TCDATA  10          /* LuaJIT's own type; lua.h does not name it */
#define EXACT_BELOW (1LL << 53) /* integers a Lua number holds without loss */
#define WRITE_MAX   (1u << 20)
#define ENTRIES_MAX (WRITE_MAX / 2)      /* of a table: each is two bytes at least, so more need not be counted */
#define NESTING_MAX (JSON_DEPTH_MAX - 1) /* one level is left for the record around the value */

/* Addresses of these are registry keys. */
static char array_key, exact_key, document_key, make64_key, spell64_key;

static void get_registered(lua_State *L, char *key)
{
    lua_pushlightuserdata(L, key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* Registers the value at the top under `key` and pops it. */
static void set_registered(lua_State *L, char *key)
{
    lua_pushlightuserdata(L, key);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

/* Whether the value at `index` has the metatable registered under `key`. */
static bool is_made_by(lua_State *L, int index, char *key)
{
    if (!lua_getmetatable(L, index)) return false;
    get_registered(L, key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* The 64-bit integers are cdata, which only Lua code can make and tell apart: make(negative, high, low), spell(cdata). */
static const char integers_64[] = "local ffi = require 'ffi'\n"
                                  "local signed, unsigned = ffi.typeof 'int64_t', ffi.typeof 'uint64_t'\n"
                                  "local istype, tostring = ffi.istype, tostring\n"
                                  "local function make(kind, high, low)\n"
                                  "  if kind == 'signed' then return signed(high) * 4294967296LL + low end\n"
                                  "  return unsigned(high) * 4294967296ULL + low\n"
                                  "end\n"
                                  "local function spell(v)\n"
                                  "  if istype(signed, v) or istype(unsigned, v) then return tostring(v) end\n"
                                  "end\n"
                                  "return make, spell\n";

static void push_64(lua_State *L, const char *kind, double high, double low)
{
    get_registered(L, &make64_key);
    lua_pushstring(L, kind);
    lua_pushnumber(L, high);
    lua_pushnumber(L, low);
    lua_call(L, 3, 1);
}

/* A number that neither a double nor 64 bits hold: its spelling, behind a metatable. */
static void push_exact(lua_State *L, struct slice text)
{
    char *copy = lua_newuserdata(L, text.n + 1);
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    get_registered(L, &exact_key);
    lua_setmetatable(L, -2);
}

static int exact_tostring(lua_State *L)
{
    luaL_argcheck(L, is_made_by(L, 1, &exact_key), 1, "number expected");
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* `text` is NUL-terminated: yyjson's raw numbers are. */
static void push_number(lua_State *L, struct slice text)
{
    if (json_kind(text) != JSON_INTEGER) {
        double v = strtod(text.p, NULL);
        if (isfinite(v)) lua_pushnumber(L, v);
        else push_exact(L, text);
        return;
    }
    if (slice_eq(text, SLICE("-0"))) {
        lua_pushnumber(L, -0.0);
        return;
    }
    errno = 0;
    long long v = strtoll(text.p, NULL, 10);
    if (errno == 0) {
        if (v > -EXACT_BELOW && v < EXACT_BELOW) lua_pushnumber(L, (double)v);
        else push_64(L, "signed", (double)(v >> 32), (double)(v & 0xffffffff));
        return;
    }
    errno = 0;
    unsigned long long u = strtoull(text.p, NULL, 10);
    if (errno == 0 && text.p[0] != '-') push_64(L, "unsigned", (double)(u >> 32), (double)(u & 0xffffffff));
    else push_exact(L, text);
}

/* Has it digits that a double loses? */
static bool needs_exact(struct slice text)
{
    size_t digits = 0, zeros = 0;
    for (size_t i = 0; i < text.n && text.p[i] != 'e' && text.p[i] != 'E'; i++) {
        if (text.p[i] == '-' || text.p[i] == '.') continue;
        if (text.p[i] == '0') {
            zeros += digits > 0; /* those in front do not count, nor those at the end */
        } else {
            digits += zeros + 1;
            zeros = 0;
        }
    }
    double v = fabs(strtod(text.p, NULL));
    return digits > 15 || (digits > 0 && !isnormal(v));
}

void convert_push_exact(lua_State *L, struct slice text)
{
    if (json_kind(text) != JSON_INTEGER && needs_exact(text)) push_exact(L, text);
    else push_number(L, text);
}

/* --- JSON to Lua -------------------------------------------------------------------------------------------------- */

static void push_value(lua_State *L, yyjson_val *v);

static void push_array(lua_State *L, yyjson_val *v)
{
    size_t i, n;
    yyjson_val *item;
    lua_createtable(L, (int)yyjson_arr_size(v), 0);
    get_registered(L, &array_key);
    lua_setmetatable(L, -2);
    yyjson_arr_foreach(v, i, n, item)
    {
        push_value(L, item); /* stack: array, item */
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_object(lua_State *L, yyjson_val *v)
{
    size_t i, n;
    yyjson_val *name, *item;
    lua_createtable(L, 0, (int)yyjson_obj_size(v));
    yyjson_obj_foreach(v, i, n, name, item)
    {
        lua_pushlstring(L, yyjson_get_str(name), yyjson_get_len(name));
        push_value(L, item); /* stack: object, name, item */
        lua_rawset(L, -3);   /* of a name that comes twice the last counts */
    }
}

static void push_value(lua_State *L, yyjson_val *v)
{
    luaL_checkstack(L, 8, "JSON nested too deep");
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: lua_pushlightuserdata(L, NULL); return;
    case YYJSON_TYPE_BOOL: lua_pushboolean(L, yyjson_get_bool(v)); return;
    case YYJSON_TYPE_STR: lua_pushlstring(L, yyjson_get_str(v), yyjson_get_len(v)); return;
    case YYJSON_TYPE_RAW: push_number(L, slice_from(yyjson_get_raw(v), yyjson_get_len(v))); return;
    case YYJSON_TYPE_ARR: push_array(L, v); return;
    case YYJSON_TYPE_OBJ: push_object(L, v); return;
    default: assert(!"a JSON type");
    }
}

static int document_gc(lua_State *L)
{
    yyjson_doc **doc = lua_touserdata(L, 1);
    yyjson_doc_free(*doc);
    *doc = NULL;
    return 0;
}

void convert_push_json(lua_State *L, struct slice json)
{
    luaL_checkstack(L, 8, NULL);
    yyjson_doc **doc = lua_newuserdata(L, sizeof *doc); /* stack: document */
    *doc = NULL;
    get_registered(L, &document_key);
    lua_setmetatable(L, -2);
    *doc = yyjson_read(json.p, json.n, YYJSON_READ_NUMBER_AS_RAW);
    if (!*doc) luaL_error(L, "not enough memory");
    push_value(L, yyjson_doc_get_root(*doc)); /* stack: document, value */
    yyjson_doc_free(*doc);
    *doc = NULL;
    lua_remove(L, -2);
}

/* --- Lua to JSON -------------------------------------------------------------------------------------------------- */

/* Where the writer is: the member taken at each level. */
struct step {
    const void *table; /* to see a cycle */
    struct slice name; /* or absent, then `position`, or 0: none yet */
    int position;
};

struct writer {
    lua_State *L;
    struct buffer *out;
    size_t start;
    struct problem *why;
    struct step step[NESTING_MAX];
    int depth;
};

/* ".a[3].b" as far as it fits. */
static void put_path(const struct writer *w, char *path, size_t max)
{
    size_t n = 0;
    path[0] = 0;
    for (int i = 0; i < w->depth && n < max; i++) {
        const struct step *s = &w->step[i];
        if (s->name.p)
            n += (size_t)snprintf(path + n, max - n, ".%.*s", s->name.n > 32 ? 32 : (int)s->name.n, s->name.p);
        else if (s->position) n += (size_t)snprintf(path + n, max - n, "[%d]", s->position);
    }
}

static bool refuse(const struct writer *w, const char *what)
{
    char path[sizeof w->why->path];
    put_path(w, path, sizeof path);
    problem_set(w->why, FIELD_TYPE, path, "%s", what);
    return false;
}

static bool write_value(struct writer *w);

static bool write_string(struct writer *w)
{
    struct slice s;
    s.p = lua_tolstring(w->L, -1, &s.n);
    if (!slice_is_utf8(s)) return refuse(w, "text that is not UTF-8 is no JSON value");
    json_put_string(w->out, s);
    return true;
}

/* Pushes the spelling of the cdata at `index`, "12LL", "12ULL"; of what is no 64-bit integer something that is no string. */
static void push_spelling(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    get_registered(L, &spell64_key);
    lua_insert(L, -2);
    lua_pcall(L, 1, 1, 0); /* raises in want of memory only; and then this is no number either */
}

static bool write_cdata(struct writer *w)
{
    push_spelling(w->L, -1);
    struct slice text = slice_of(lua_type(w->L, -1) == LUA_TSTRING ? lua_tostring(w->L, -1) : "");
    size_t digits = strspn(text.p, "-0123456789");
    buffer_put(w->out, text.p, digits);
    lua_pop(w->L, 1);
    return digits > 0 || refuse(w, "a C value is no JSON value");
}

/* What the keys of a table are. */
struct keys {
    size_t all, names;
    bool sequence; /* exactly 1..all */
};

static struct keys count_keys(lua_State *L)
{
    struct keys keys = {0};
    size_t last = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (++keys.all > ENTRIES_MAX) {
            lua_pop(L, 2);
            break;
        }
        if (lua_type(L, -2) == LUA_TSTRING) keys.names++;
        if (lua_type(L, -2) != LUA_TNUMBER) continue;
        lua_Number k = lua_tonumber(L, -2);
        if (k == floor(k) && k >= 1 && k <= INT32_MAX) last = (size_t)k > last ? (size_t)k : last;
        else last = SIZE_MAX;
    }
    keys.sequence = keys.names == 0 && last == keys.all; /* as many whole positions as the highest says: no holes */
    return keys;
}

static bool write_array(struct writer *w, size_t n)
{
    struct step *s = &w->step[w->depth - 1];
    buffer_char(w->out, '[');
    for (size_t i = 1; i <= n; i++) {
        if (i > 1) buffer_char(w->out, ',');
        s->position = (int)i;
        lua_rawgeti(w->L, -1, (int)i);
        bool good = write_value(w);
        lua_pop(w->L, 1);
        if (!good) return false;
    }
    buffer_char(w->out, ']');
    return true;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool write_members(struct writer *w, const struct slice *names, size_t n)
{
    struct step *s = &w->step[w->depth - 1];
    buffer_char(w->out, '{');
    for (size_t i = 0; i < n; i++) {
        s->name = names[i];
        if (!slice_is_utf8(names[i])) return refuse(w, "a member name that is not UTF-8 is no JSON");
        if (i) buffer_char(w->out, ',');
        json_put_string(w->out, names[i]);
        buffer_char(w->out, ':');
        lua_pushlstring(w->L, names[i].p, names[i].n); /* is interned already: allocates nothing */
        lua_rawget(w->L, -2);
        bool good = write_value(w);
        lua_pop(w->L, 1);
        if (!good) return false;
    }
    buffer_char(w->out, '}');
    return true;
}

/* `n` keys, all strings. Their bytes lie in the table's strings for as long as nobody changes it. */
static bool write_object(struct writer *w, size_t n)
{
    if (n > WRITE_MAX / 4) return refuse(w, "larger than 1 MiB as JSON");
    struct slice *names = malloc((n + 1) * sizeof *names);
    if (!names) abort();
    size_t i = 0;
    for (lua_pushnil(w->L); lua_next(w->L, -2); lua_pop(w->L, 1), i++)
        names[i].p = lua_tolstring(w->L, -2, &names[i].n);
    assert(i == n);
    qsort(names, n, sizeof *names, by_name);
    bool good = write_members(w, names, n);
    free(names);
    return good;
}

static bool write_table(struct writer *w)
{
    bool array = is_made_by(w->L, -1, &array_key);
    if (!array && !convert_is_plain(w->L, -1)) return refuse(w, "a table with a metatable is no JSON value");
    const void *table = lua_topointer(w->L, -1);
    for (int i = 0; i < w->depth; i++)
        if (w->step[i].table == table) return refuse(w, "a table that contains itself is no JSON value");
    if (w->depth == NESTING_MAX) return refuse(w, "nested too deep for JSON");

    struct keys keys = count_keys(w->L);
    if (keys.all > ENTRIES_MAX) return refuse(w, "larger than 1 MiB as JSON");
    bool sequence = keys.sequence && (array || keys.all > 0), object = keys.names == keys.all && !array;
    if (!sequence && !object)
        return refuse(w, keys.names ? "a table with names and positions is no JSON value"
                                    : "an array with holes is no JSON value");
    w->step[w->depth++] = (struct step){.table = table};
    bool good = sequence ? write_array(w, keys.all) : write_object(w, keys.all);
    if (good) w->depth--; /* after a failure the path has been told */
    return good;
}

static bool write_other(struct writer *w)
{
    if (lua_isuserdata(w->L, -1) && is_made_by(w->L, -1, &exact_key)) {
        buffer_slice(w->out, slice_of(lua_touserdata(w->L, -1)));
        return true;
    }
    char what[64];
    snprintf(what, sizeof what, "a %s is no JSON value", lua_typename(w->L, lua_type(w->L, -1)));
    return refuse(w, what);
}

/* Appends the value at the top. */
static bool write_value(struct writer *w)
{
    if (w->out->overflow || w->out->n - w->start > WRITE_MAX) return refuse(w, "larger than 1 MiB as JSON");
    switch (lua_type(w->L, -1)) {
    case LUA_TNIL: buffer_put(w->out, "null", 4); return true;
    case LUA_TBOOLEAN: buffer_slice(w->out, lua_toboolean(w->L, -1) ? SLICE("true") : SLICE("false")); return true;
    case LUA_TNUMBER:
        return json_put_double(w->out, lua_tonumber(w->L, -1)) || w->out->overflow ||
               refuse(w, "NaN and infinity are no JSON values");
    case LUA_TSTRING: return write_string(w);
    case LUA_TTABLE: return write_table(w);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(w->L, -1) == NULL) return buffer_put(w->out, "null", 4), true;
        return write_other(w);
    case LUA_TCDATA: return write_cdata(w);
    default: return write_other(w);
    }
}

enum status convert_write_json(lua_State *L, int index, struct buffer *out, struct problem *why)
{
    struct problem unwanted;
    struct writer w = {.L = L, .out = out, .start = out->n, .why = why ? why : &unwanted};
    bool overflow = out->overflow;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, CONVERT_STACK)) return problem_set(why, FIELD_TYPE, NULL, "nested too deep for JSON");
    lua_pushvalue(L, index);
    bool good = write_value(&w);
    if (good && (out->overflow || out->n - w.start > WRITE_MAX)) good = refuse(&w, "larger than 1 MiB as JSON");
    lua_settop(L, top);
    if (good) return OK;
    out->n = w.start;
    out->overflow = overflow;
    return FIELD_TYPE;
}

/* --- a new state -------------------------------------------------------------------------------------------------- */

/* array(t), array(): marks a table as an array, so that it is written as one also when it is empty. */
int convert_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (is_made_by(L, 1, &array_key)) return 1;
    if (lua_getmetatable(L, 1)) return luaL_argerror(L, 1, "the table has a metatable already");
    get_registered(L, &array_key);
    lua_setmetatable(L, 1);
    return 1;
}

void convert_overlook(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)lua_topointer(L, -1)); /* its own address is its registry key */
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

bool convert_is_plain(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) return true;
    lua_pushlightuserdata(L, (void *)lua_topointer(L, -1));
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool plain = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return plain;
}

bool convert_is_64(lua_State *L, int index)
{
    push_spelling(L, index);
    bool good = lua_type(L, -1) == LUA_TSTRING && strchr("-0123456789", *lua_tostring(L, -1));
    lua_pop(L, 1);
    return good;
}

/* A metatable that nobody can change, at the top. */
static void push_metatable(lua_State *L, const char *name)
{
    lua_newtable(L);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__metatable");
}

void convert_open(lua_State *L)
{
    push_metatable(L, "array");
    convert_overlook(L);
    set_registered(L, &array_key);

    push_metatable(L, "number");
    lua_pushcfunction(L, exact_tostring);
    lua_setfield(L, -2, "__tostring");
    set_registered(L, &exact_key);

    push_metatable(L, "document");
    lua_pushcfunction(L, document_gc);
    lua_setfield(L, -2, "__gc");
    set_registered(L, &document_key);

    if (luaL_loadbuffer(L, integers_64, sizeof integers_64 - 1, "=integers")) lua_error(L);
    lua_call(L, 0, 2); /* stack: make, spell */
    set_registered(L, &spell64_key);
    set_registered(L, &make64_key);
}
