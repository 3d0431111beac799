/* script/define.c -- copies checked descriptions into the registry's arena. The values of `default` are judged here, by
 * the same code that judges what clients send.
 *
 * Three rounds: the fields of all; then targets and owners, which may stand in later files, and with them the fingerprints; then defaults,
 * which need a finished model. */
#include "script/define.h"

#include "base/clock.h"
#include "model/codec.h"
#include "model/key.h"
#include "script/convert.h"

#include <assert.h>
#include <lauxlib.h>

/* --- members of the table at the top ------------------------------------------------------------------------------ */

/* Absent where there is none. */
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

/* The same for a number that may have a fraction; 0 where there is none. */
static double fraction_member(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    double v = lua_tonumber(L, -1);
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

/* The place of the text in the list, which has it. */
static int one_of(struct slice text, const char *const *list)
{
    int i = 0;
    while (!slice_eq(text, slice_of(list[i]))) {
        i++;
        assert(list[i] && "the Lua half has checked it");
    }
    return i;
}

static const char *const field_kinds[] = {[FIELD_KEY] = "key",
                                          [FIELD_VALUE] = "field",
                                          [FIELD_PACKED] = "packed",
                                          [FIELD_REFERENCE] = "reference",
                                          [FIELD_REFERENCES] = "references",
                                          [FIELD_ARGUMENT] = "argument",
                                          [FIELD_ARGUMENT + 1] = NULL};
static const char *const model_kinds[] = {[MODEL_RECORD] = "record",
                                          [MODEL_METHOD] = "method",
                                          [MODEL_FORM] = "form",
                                          [MODEL_FORM_METHOD] = "form_method",
                                          [MODEL_FORM_METHOD + 1] = NULL};
static const char *const policies[] = {[EDGE_FAIL] = "fail", [EDGE_NULL] = "null", [EDGE_SKIP] = "skip", NULL};

/* From the field's description at the top; its target comes later. */
static void define_field(lua_State *L, struct field *f, struct arena *arena)
{
    f->name = text_member(L, "name", arena);
    f->kind = (enum field_kind)one_of(text_member(L, "kind", arena), field_kinds);
    f->required = boolean_member(L, "required");
    f->cleaned = boolean_member(L, "clean");
    f->max = (uint32_t)number_member(L, "max", 1);
    struct slice missing = text_member(L, "missing", arena);
    if (missing.p) f->missing = (enum missing_policy)one_of(missing, policies);
    bool known = value_type_parse(text_member(L, "type", arena), &f->type);
    assert(known);
    (void)known;
}

/* --- defaults ----------------------------------------------------------------------------------------------------- */

/* The value at the top as the default of field i: compact JSON, for keys and arguments in canonical form. */
static enum status default_json(lua_State *L, const struct model *m, size_t i, struct arena *arena, struct slice *json,
                                struct problem *why)
{
    const struct field *f = &m->field[i];
    struct buffer text;
    buffer_init(&text, 2u << 20);
    enum status status = convert_write_json(L, -1, &text, why);
    struct slice copy = status == OK ? arena_dup(arena, buffer_view(&text)) : (struct slice){NULL, 0};
    buffer_deinit(&text);
    if (status != OK) return status;

    if (field_is_key(f)) {
        struct key_draft draft;
        size_t at = model_key_position(m, f);
        key_draft_init(&draft);
        status = key_set_json(m, &draft, at, copy, arena, why);
        *json = draft.json[at];
    } else {
        struct record_draft draft;
        struct codec_reader reader = {.arena = arena};
        codec_draft_init(m, arena, &draft);
        status = codec_set(m, &draft, f, copy, &reader, why);
        *json = draft.value[i];
    }
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
    luaL_checkstack(L, CONVERT_STACK, NULL);
    lua_settop(L, 2);

    bool capped = vm->capped;
    vm->capped = false; /* nothing may raise while the arena is held */
    arena_init(&arena);
    define_field(L, &field, &arena);
    if (field.kind == FIELD_ARGUMENT) m.kind = memchr(m.name.p, '.', m.name.n) ? MODEL_METHOD : MODEL_FORM;
    model_finish(&m, SLICE(""), &arena);
    lua_getfield(L, 2, "default");
    enum status status = default_json(L, &m, 0, &arena, &field.default_json, &why);
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
    o->jitter = fraction_member(L, "jitter");
    o->stale_while_revalidate_ms = number_member(L, "stale_while_revalidate_ms", 0);
    o->stale_if_error_ms = number_member(L, "stale_if_error_ms", 0);
    o->negative_ms = number_member(L, "negative_ms", 0);
    o->refresh = fraction_member(L, "refresh");
    o->soft_timeout_ms = number_member(L, "soft_timeout_ms", 0);
    o->max_loads = (unsigned)number_member(L, "max_loads", 0);
    o->hard_timeout_ms = number_member(L, "hard_timeout_ms", hard_timeout_ms);
    o->version = (uint32_t)number_member(L, "version", 0);
    o->depth = (unsigned)number_member(L, "depth", DEPTH_DEFAULT);
    o->jit = boolean_member(L, "jit");
    o->cache_groups = boolean_member(L, "cache_groups");
    o->validate = boolean_member(L, "validate");
    o->tags = boolean_member(L, "tags");
}

/* The function that makes what is missing, of the description at the top: a registry reference, or -1. */
static int handler_member(lua_State *L)
{
    lua_getfield(L, -1, "from_miss");
    const char *const others[] = {"from_misses", "handler"};
    for (int i = 0; i < 2 && lua_isnil(L, -1); i++) {
        lua_pop(L, 1);
        lua_getfield(L, -1, others[i]);
    }
    if (!lua_isnil(L, -1)) return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return -1;
}

/* Calls `each` for every field of m, with the field's description at the top. m's own stands there now. */
static void each_field(lua_State *L, struct vm *vm, struct model *m,
                       void each(lua_State *L, struct vm *vm, struct model *m, size_t i))
{
    lua_getfield(L, -1, "fields"); /* stack: description, fields */
    for (size_t i = 0; i < m->fields; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        each(L, vm, m, i);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void begin_field(lua_State *L, struct vm *vm, struct model *m, size_t i)
{
    define_field(L, &m->field[i], &vm->registry.arena);
}

/* First round. */
static void begin_model(lua_State *L, struct vm *vm, size_t at)
{
    struct arena *arena = &vm->registry.arena;
    struct model *m = registry_model_new(&vm->registry);
    m->name = text_member(L, "name", arena);
    m->kind = (enum model_kind)one_of(text_member(L, "kind", arena), model_kinds);
    m->file = text_member(L, "file", arena);
    m->line = (int)number_member(L, "line", 0);
    m->handler = handler_member(L);
    m->loads = m->handler >= 0;

    lua_getfield(L, -1, "options");
    define_options(L, &m->options, vm->config.hard_timeout_ms);
    lua_pop(L, 1);
    m->options.on_save = boolean_member(L, "on_save");
    m->options.from_misses = boolean_member(L, "from_misses");

    lua_getfield(L, -1, "fields");
    m->fields = lua_objlen(L, -1);
    lua_pop(L, 1);
    m->field = arena_zalloc(arena, m->fields * sizeof *m->field);
    each_field(L, vm, m, begin_field);

    bool added = registry_add(&vm->registry, m);
    assert(added && m->index == at); /* the Lua half has refused a second one of the name */
    (void)added, (void)at;
}

static void set_target(lua_State *L, struct vm *vm, struct model *m, size_t i)
{
    struct slice target = text_member(L, "target", &vm->registry.arena);
    if (!target.p) return;
    m->field[i].target = registry_find(&vm->registry, target);
    assert(m->field[i].target);
}

/* Second round. */
static void finish_model(lua_State *L, struct vm *vm, size_t at)
{
    struct model *m = vm->registry.model[at];
    struct slice owner = text_member(L, "owner", &vm->registry.arena);
    if (owner.p) m->owner = registry_find(&vm->registry, owner);
    each_field(L, vm, m, set_target);
    model_finish(m, vm->config.prefix, &vm->registry.arena);
}

static void set_default(lua_State *L, struct vm *vm, struct model *m, size_t i)
{
    lua_getfield(L, -1, "default");
    if (!lua_isnil(L, -1)) {
        struct problem why;
        enum status status = default_json(L, m, i, &vm->registry.arena, &m->field[i].default_json, &why);
        assert(status == OK); /* default_fault has said so */
        (void)status;
    }
    lua_pop(L, 1);
}

/* Third round. */
static void set_defaults(lua_State *L, struct vm *vm, size_t at)
{
    each_field(L, vm, vm->registry.model[at], set_default);
}

/* Calls `each` for every description of the list at the top, with it at the top. */
static void each_model(lua_State *L, struct vm *vm, void each(lua_State *L, struct vm *vm, size_t at))
{
    size_t n = lua_objlen(L, -1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        each(L, vm, i);
        lua_pop(L, 1);
    }
}

void define_models(lua_State *L, int index, struct vm *vm)
{
    lua_pushvalue(L, index);
    each_model(L, vm, begin_model);
    each_model(L, vm, finish_model);
    each_model(L, vm, set_defaults);
    lua_pop(L, 1);
}
