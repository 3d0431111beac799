/* script/define.c -- copies checked descriptions into the registry's arena. The values of `default` are judged here, by
 * the same code that judges what clients send. */
#include "script/define.h"

#include "base/clock.h"
#include "model/codec.h"
#include "model/key.h"
#include "script/convert.h"

#include <assert.h>
#include <lauxlib.h>

/* --- members of the table at the top ------------------------------------------------------------------------------ */

static struct slice text_member(lua_State *L, const char *name, struct arena *arena)
{
    struct slice s;
    lua_getfield(L, -1, name);
    s.p = lua_tolstring(L, -1, &s.n);
    s = arena_dup(arena, s);
    lua_pop(L, 1);
    return s;
}

/* A number, or `otherwise` where there is none. */
static uint64_t number_member(lua_State *L, const char *name, uint64_t otherwise)
{
    lua_getfield(L, -1, name);
    uint64_t v = lua_isnil(L, -1) ? otherwise : (uint64_t)lua_tonumber(L, -1);
    lua_pop(L, 1);
    return v;
}

static bool boolean_member(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

/* From the field's description at the top. */
static void define_field(lua_State *L, struct field *f, struct arena *arena)
{
    f->name = text_member(L, "name", arena);
    f->kind = slice_eq(text_member(L, "kind", arena), SLICE("key")) ? FIELD_KEY : FIELD_VALUE;
    f->required = boolean_member(L, "required");
    bool known = value_type_parse(text_member(L, "type", arena), &f->type);
    assert(known);
    (void)known;
}

/* --- defaults ----------------------------------------------------------------------------------------------------- */

/* The value at the top as the default of field i: compact JSON, for keys in canonical form. */
static enum status default_json(lua_State *L, const struct model *m, size_t i, struct arena *arena, struct slice *json,
                                struct problem *why)
{
    struct buffer text;
    buffer_init(&text, 2u << 20);
    enum status status = convert_write_json(L, -1, &text, why);
    struct slice copy = status == OK ? arena_dup(arena, buffer_view(&text)) : (struct slice){NULL, 0};
    buffer_deinit(&text);
    if (status != OK) return status;

    if (m->field[i].kind != FIELD_KEY) {
        struct record_draft draft;
        struct codec_reader reader = {.arena = arena};
        codec_draft_init(m, arena, &draft);
        status = codec_set(m, &draft, &m->field[i], copy, &reader, why);
        *json = draft.value[i];
        return status;
    }
    struct key_draft draft;
    size_t at = 0;
    while (m->key[at] != i) at++;
    key_draft_init(&draft);
    status = key_set_json(m, &draft, at, copy, arena, why);
    *json = draft.json[at];
    return status;
}

int define_default_fault(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct arena arena;
    struct field field = {.default_json = {NULL, 0}};
    struct model m = {.field = &field, .fields = 1};
    struct problem why = {.detail = ""};
    m.name = slice_of(luaL_checkstring(L, 1));
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);

    bool capped = vm->capped;
    vm->capped = false; /* nothing may raise while the arena is held */
    arena_init(&arena);
    define_field(L, &field, &arena);
    model_finish(&m, SLICE(""), &arena);
    lua_getfield(L, 2, "default");
    enum status status = default_json(L, &m, 0, &arena, &field.default_json, &why);
    model_deinit(&m);
    arena_deinit(&arena);
    vm->capped = capped;
    if (status == OK) return 0;
    lua_pushstring(L, why.detail[0] ? why.detail : status_title(status));
    return 1;
}

/* --- models ------------------------------------------------------------------------------------------------------- */

/* From the options at the top. */
static void define_options(lua_State *L, struct model_options *o, uint64_t hard_timeout_ms)
{
    o->expires_ms = number_member(L, "expires_ms", CLOCK_NEVER);
    o->negative_ms = number_member(L, "negative_ms", 0);
    o->hard_timeout_ms = number_member(L, "hard_timeout_ms", hard_timeout_ms);
    o->version = (uint32_t)number_member(L, "version", 0);
    o->jit = boolean_member(L, "jit");
}

/* From the list of fields at the top, once the model is finished: a default needs its type and place. */
static void define_defaults(lua_State *L, struct model *m, struct arena *arena)
{
    for (size_t i = 0; i < m->fields; i++) {
        struct problem why;
        lua_rawgeti(L, -1, (int)i + 1);
        lua_getfield(L, -1, "default"); /* stack: fields, field, default */
        if (!lua_isnil(L, -1)) {
            enum status status = default_json(L, m, i, arena, &m->field[i].default_json, &why);
            assert(status == OK); /* default_fault has said so */
            (void)status;
        }
        lua_pop(L, 2);
    }
}

/* From the description at the top. */
static void define_model(lua_State *L, struct vm *vm)
{
    struct arena *arena = &vm->registry.arena;
    struct model *m = registry_model_new(&vm->registry);
    m->name = text_member(L, "name", arena);
    m->file = text_member(L, "file", arena);
    m->line = (int)number_member(L, "line", 0);

    lua_getfield(L, -1, "options");
    define_options(L, &m->options, vm->config.hard_timeout_ms);
    lua_pop(L, 1);

    lua_getfield(L, -1, "from_miss");
    if (lua_isnil(L, -1)) {
        m->handler = -1;
        lua_pop(L, 1);
    } else {
        m->handler = luaL_ref(L, LUA_REGISTRYINDEX);
        m->loads = true;
    }

    lua_getfield(L, -1, "fields"); /* stack: description, fields */
    m->fields = lua_objlen(L, -1);
    m->field = arena_zalloc(arena, m->fields * sizeof *m->field);
    for (size_t i = 0; i < m->fields; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        define_field(L, &m->field[i], arena);
        lua_pop(L, 1);
    }
    model_finish(m, vm->config.prefix, arena);
    define_defaults(L, m, arena);
    lua_pop(L, 1);

    bool added = registry_add(&vm->registry, m);
    assert(added); /* the Lua half has refused a second model of the name */
    (void)added;
}

void define_models(lua_State *L, int index, struct vm *vm)
{
    lua_pushvalue(L, index); /* stack: list */
    size_t n = lua_objlen(L, -1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        define_model(L, vm);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
