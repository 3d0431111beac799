/* JSON -> Lua -> JSON -> Lua: what comes back means the same. Members of objects come back sorted, doubles in their shortest
 * spelling; every integer, however long, keeps its digits, and [] and {} stay apart. */
#include "script/convert.h"

#include "model/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static lua_State *new_state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    convert_open(L);
    return L;
}

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < '0' || s.p[i] > '9') && !(i == 0 && s.p[i] == '-')) return false;
    return true;
}

static bool same(struct slice a, struct slice b, struct arena *arena);

static bool same_number(struct slice a, struct slice b)
{
    if (is_digits(a)) return is_digits(b) && slice_eq(a, b);
    char x[2048], y[2048];
    if (a.n >= sizeof x || b.n >= sizeof y) return true;
    memcpy(x, a.p, a.n), x[a.n] = 0;
    memcpy(y, b.p, b.n), y[b.n] = 0;
    return strtod(x, NULL) == strtod(y, NULL);
}

static bool same_array(struct slice a, struct slice b, struct arena *arena)
{
    struct slice *in, *out;
    size_t n_in, n_out;
    if (json_elements(a, arena, &in, &n_in, NULL) != OK || json_elements(b, arena, &out, &n_out, NULL) != OK)
        return false;
    bool equal = n_in == n_out;
    for (size_t i = 0; i < n_in && equal; i++) equal = same(in[i], out[i], arena);
    return equal;
}

static bool same_object(struct slice a, struct slice b, struct arena *arena)
{
    struct json_member *in, *out;
    size_t n_in, n_out;
    if (json_members(a, arena, &in, &n_in, NULL) != OK || json_members(b, arena, &out, &n_out, NULL) != OK)
        return false;
    bool equal = n_in == n_out;
    for (size_t i = 0; i < n_in && equal; i++) {
        size_t j = 0;
        while (j < n_out && !slice_eq(in[i].name, out[j].name)) j++;
        equal = j < n_out && same(in[i].value, out[j].value, arena);
    }
    return equal;
}

static bool same(struct slice a, struct slice b, struct arena *arena)
{
    enum json_kind kind = json_kind(a), other = json_kind(b);
    bool numbers = (kind == JSON_INTEGER || kind == JSON_NUMBER) && (other == JSON_INTEGER || other == JSON_NUMBER);
    if (numbers) return same_number(a, b);
    if (kind != other) return false;
    if (kind == JSON_ARRAY) return same_array(a, b, arena);
    if (kind == JSON_OBJECT) return same_object(a, b, arena);
    if (kind == JSON_STRING) return slice_eq(json_string(a, arena), json_string(b, arena));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static lua_State *L;
    static unsigned runs;
    if (!L) L = new_state();
    if (n > 65536) return 0;

    struct arena arena;
    struct slice in;
    arena_init(&arena);
    if (json_compact(slice_from(data, n), &arena, &in, NULL) == OK) {
        struct buffer out;
        struct problem why;
        buffer_init(&out, 1u << 20);
        convert_push_json(L, in);
        if (lua_gettop(L) != 1) abort();
        if (convert_write_json(L, 1, &out, &why) == OK) {
            if (!same(in, buffer_view(&out), &arena)) abort();
        } else if (!strstr(why.detail, "deep")) { /* a value may be one level less deep than a whole text */
            abort();
        }
        lua_settop(L, 0);
        buffer_deinit(&out);
    }
    arena_deinit(&arena);
    if (++runs % 4096 == 0) lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}
