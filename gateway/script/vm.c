/* script/vm.c -- makes a Lua state, runs the schema files in it, and lets it go when its last task has ended.
 *
 * In order: memory; opening the state; loading; the life after. */
#include "script/vm_internal.h"

#include "base/log.h"
#include "script/api.h"
#include "script/convert.h"
#include "script/define.h"
#include "script/embedded.h"
#include "script/http.h"
#include "script/parallel.h"
#include "script/postgres.h"
#include "script/redis_source.h"
#include "script/sandbox.h"
#include "script/sleep.h"
#include "script/sqlite.h"

#include <assert.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>

static char vm_key; /* its address is the registry key of the vm */

struct vm *vm_of(lua_State *L)
{
    lua_pushlightuserdata(L, &vm_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct vm *vm = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return vm;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* lua_Alloc: counts, and says no past the cap while a model's code runs. */
static void *allocate(void *ud, void *p, size_t old, size_t n)
{
    struct vm *vm = ud;
    if (n == 0) {
        free(p);
        vm->bytes -= old;
        return NULL;
    }
    if (n > old && vm->capped && (vm->stopping || vm->bytes + (n - old) > vm->config.memory_max)) {
        vm->failed = true;
        return NULL;
    }
    void *moved = realloc(p, n);
    if (!moved) {
        if (n > old) abort();
        return p; /* shrinking must not fail */
    }
    vm->bytes += n - old;
    return moved;
}

/* A full collection when the cap was met, or is near and much has been made since the last one. */
static void sweep(struct vm *vm)
{
    size_t max = vm->config.memory_max;
    if (!vm->failed && (vm->bytes < max / 4 * 3 || vm->bytes < vm->swept + max / 8)) return;
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    vm->swept = vm->bytes;
    vm->failed = false;
}

/* An error outside every protected call: ours. */
static int panic(lua_State *L)
{
    log_error("Lua error outside a protected call", LOG_TEXT("error", lua_tostring(L, -1)));
    abort();
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* package.preload for the Lua half: upvalue: index into embedded_modules */
static int open_embedded(lua_State *L)
{
    const struct embedded_module *m = &embedded_modules[lua_tointeger(L, lua_upvalueindex(1))];
    lua_pushfstring(L, "=%s", m->name);
    if (luaL_loadbufferx(L, m->text, m->n, lua_tostring(L, -1), "t")) return lua_error(L);
    luaJIT_setmode(L, -1, LUAJIT_MODE_ALLFUNC | LUAJIT_MODE_OFF);
    lua_call(L, 0, 1);
    return 1;
}

static void preload_embedded(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (int i = 0; embedded_modules[i].name; i++) {
        lua_pushinteger(L, i);
        lua_pushcclosure(L, open_embedded, 1);
        lua_setfield(L, -2, embedded_modules[i].name);
    }
    lua_pop(L, 2);
}

/* C modules only from where the system keeps them, never from the current folder. */
static void restrict_package_path(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "cpath");
    luaL_gsub(L, lua_tostring(L, -1), "./?.so;", "");
    lua_setfield(L, -3, "cpath");
    lua_pushliteral(L, "");
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

/* Opens all of Lua's libraries: for our half. The models' files see only what `push_vocabulary` makes. */
static void open_libraries(lua_State *L, struct vm *vm)
{
    luaL_openlibs(L);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_gc(L, LUA_GCSETPAUSE, 150);
    lua_pushlightuserdata(L, &vm_key);
    lua_pushlightuserdata(L, vm);
    lua_rawset(L, LUA_REGISTRYINDEX);
    restrict_package_path(L);
    preload_embedded(L);
    convert_open(L);
}

/* Pushes the words of C; the Lua half adds those that declare. */
static void push_vocabulary(lua_State *L)
{
    sandbox_push_words(L);
    api_open(L);
    http_open(L);
    sqlite_open(L);
    postgres_open(L);
    redis_source_open(L);
    parallel_open(L);
    sleep_open(L);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

/* Pushes { { path =, module =, text = }, ... }. */
static void push_sources(lua_State *L, const struct sources *sources)
{
    lua_createtable(L, (int)sources->files, 0);
    for (size_t i = 0; i < sources->files; i++) {
        const struct source *s = &sources->file[i];
        lua_createtable(L, 0, 3);
        lua_pushlstring(L, s->path.p, s->path.n);
        lua_setfield(L, -2, "path");
        lua_pushlstring(L, s->module.p, s->module.n);
        lua_setfield(L, -2, "module");
        lua_pushlstring(L, s->text.p, s->text.n);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Takes the functions that run handlers, from the table `handlers` of `perigee` at the top. */
static void take_handlers(lua_State *L, struct vm *vm)
{
    static const char *const names[] = {[RUN_LOAD] = "load", [RUN_LOADS] = "load_many", [RUN_METHOD] = "method",
                                        [RUN_VET] = "vet",   [RUN_SAVE] = "save",       [RUN_CLEAN] = "clean"};
    lua_getfield(L, -1, "handlers");
    for (int kind = 0; kind < RUN_KINDS; kind++) {
        lua_getfield(L, -1, names[kind]);
        vm->run[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_pop(L, 1);
}

/* findings.NAME(): one result, pushed. `perigee` is at index 1. */
static void call_findings(lua_State *L, const char *name)
{
    lua_getfield(L, 1, "findings");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_call(L, 0, 1);
}

struct load_run {
    struct vm *vm;
    const struct sources *sources;
    struct buffer *findings;
    bool good;
};

/* lua_cpcall: all of vm_new that may raise. */
static int load_all(lua_State *L)
{
    struct load_run *run = lua_touserdata(L, 1);
    struct vm *vm = run->vm;
    lua_settop(L, 0);
    open_libraries(L, vm);

    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    api_push_core(L);
    lua_setfield(L, -2, "perigee.core");
    lua_settop(L, 0);

    lua_getglobal(L, "require");
    lua_pushliteral(L, "perigee");
    lua_call(L, 1, 1); /* stack: perigee */
    take_handlers(L, vm);

    lua_getfield(L, 1, "load");
    push_sources(L, run->sources);
    push_vocabulary(L);
    lua_call(L, 2, 1); /* stack: perigee, descriptions */

    call_findings(L, "failed");
    run->good = !lua_toboolean(L, -1);
    call_findings(L, "render");
    struct slice text;
    text.p = lua_tolstring(L, -1, &text.n);
    buffer_slice(run->findings, text);
    if (run->good) define_models(L, 2, vm);
    return 0;
}

struct vm *vm_new(const struct vm_config *config, const struct sources *sources, struct buffer *findings)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) abort();
    list_init(&vm->tasks);
    list_init(&vm->batches);
    registry_init(&vm->registry);
    vm->config = *config;
    vm->config.prefix = arena_dup(&vm->registry.arena, config->prefix);
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) abort();
    lua_atpanic(vm->L, panic);

    struct load_run run = {.vm = vm, .sources = sources, .findings = findings};
    if (lua_cpcall(vm->L, load_all, &run)) {
        const char *message = lua_tostring(vm->L, -1);
        buffer_printf(findings, "perigee:0: %s\n", message ? message : "the Lua half failed");
        run.good = false;
    }
    lua_settop(vm->L, 0);
    if (!run.good) {
        vm_free(vm);
        return NULL;
    }
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    vm->swept = vm->bytes;
    vm->failed = false;
    return vm;
}

/* --- the life after ----------------------------------------------------------------------------------------------- */

void vm_free(struct vm *vm)
{
    assert(vm->n_tasks == 0);
    lua_close(vm->L);
    registry_deinit(&vm->registry);
    free(vm);
}

void vm_attach(struct vm *vm, struct script_host *host) { vm->host = host; }

void vm_task_begin(struct vm *vm)
{
    assert(!vm->retired || vm->running); /* a task may start others: parallel */
    vm->n_tasks++;
}

void vm_task_end(struct vm *vm)
{
    assert(vm->n_tasks > 0 && !vm->capped);
    vm->n_tasks--;
    if (vm->retired && vm->n_tasks == 0) vm_free(vm);
    else sweep(vm);
}

void vm_retire(struct vm *vm)
{
    vm->retired = true;
    if (vm->n_tasks == 0) vm_free(vm);
}

const struct registry *vm_registry(const struct vm *vm) { return &vm->registry; }

size_t vm_bytes(const struct vm *vm) { return vm->bytes; }

const char *vm_engine(void) { return LUAJIT_VERSION; }
