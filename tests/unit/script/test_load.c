/* A load from key to text: on a real loop, with real tasks. */
#include "script/load.h"

#include "script/vm_internal.h"
#include "texts.h"
#include "under_tsan.h"

struct outcome {
    int calls;
    enum status status;
    char text[4096], detail[400], path[128], log[2048], code[32];
    size_t log_n, refs;
    char tags[256], pairs[256], origin[2048];
    bool unmodified;
    uint64_t expires_ms;
};

struct world {
    uv_loop_t loop;
    struct metrics *metrics;
    struct script_host *host;
    struct arena arena;
};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    uv_loop_init(&w->loop);
    w->metrics = metrics_new();
    w->host = script_host_open(&w->loop, w->metrics);
    arena_init(&w->arena);
    *state = w;
    return 0;
}

static void on_closed(void *arg) { *(bool *)arg = true; }

static int close_world(void **state)
{
    struct world *w = *state;
    bool closed = false;
    script_host_close(w->host, on_closed, &closed);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    int failed = !closed || uv_loop_close(&w->loop) != 0;
    metrics_free(w->metrics);
    arena_deinit(&w->arena);
    free(w);
    return failed;
}

static struct vm *attach(struct world *w, const char *text)
{
    struct vm *vm = vm_of_text(text);
    vm_attach(vm, w->host);
    return vm;
}

/* A key of the model or method `name`. */
static struct record_key key_in(struct world *w, const struct vm *vm, const char *name, const char *query)
{
    struct key_draft draft;
    struct record_key key = {.model = NULL};
    struct query_option *options;
    size_t n_options;
    struct problem why;
    const struct model *m = registry_find(vm_registry(vm), slice_of(name));
    key_draft_init(&draft);
    if (key_parse_query(m, slice_of(query), &w->arena, &draft, &options, &n_options, &why) != OK ||
        key_finish(m, &draft, &w->arena, &key, &why) != OK)
        fail_msg("%s", why.detail);
    return key;
}

static struct record_key key_of(struct world *w, const struct vm *vm, const char *query)
{
    char name[MODEL_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(vm_registry(vm)->model[0]->name));
    return key_in(w, vm, name, query);
}

static void copy(char *to, size_t max, struct slice from)
{
    snprintf(to, max, "%.*s", (int)(from.n < max ? from.n : max - 1), from.p ? from.p : "");
}

static void on_done(void *owner, const struct load_result *result)
{
    struct outcome *o = owner;
    o->calls++;
    o->status = result->status;
    o->expires_ms = result->expires_ms;
    o->log_n = result->log.n;
    o->refs = result->n_refs;
    o->unmodified = result->unmodified;
    copy(o->tags, sizeof o->tags, result->tags);
    copy(o->origin, sizeof o->origin, result->origin);
    for (size_t i = 0; i < result->n_refs; i++)
        snprintf(o->pairs + strlen(o->pairs), sizeof o->pairs - strlen(o->pairs), "%u %.*s %.*s;",
                 result->refs[i].place, SLICE_ARG(result->refs[i].pairs), (int)result->refs[i].length,
                 result->text.p + result->refs[i].offset);
    copy(o->text, sizeof o->text, result->text);
    copy(o->log, sizeof o->log, result->log);
    copy(o->code, sizeof o->code, slice_of(status_code(result->status)));
    copy(o->detail, sizeof o->detail, slice_of(result->problem.detail));
    copy(o->path, sizeof o->path, slice_of(result->problem.path));
}

static void wait_for(struct world *w, const struct outcome *o)
{
    assert_int_equal(o->calls, 0); /* never before load_start has returned */
    while (!o->calls) uv_run(&w->loop, UV_RUN_ONCE);
}

static struct outcome load_in(struct world *w, struct vm *vm, const char *name, const char *query)
{
    struct outcome o = {0};
    struct record_key key = key_in(w, vm, name, query);
    load_start(vm, &key, NULL, NULL, on_done, &o);
    memset(&key, 0xff, sizeof key); /* the load has its own copy */
    wait_for(w, &o);
    return o;
}

static struct outcome load_of(struct world *w, struct vm *vm, const char *query)
{
    char name[MODEL_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(vm_registry(vm)->model[0]->name));
    return load_in(w, vm, name, query);
}

/* One load of `model "M" { id = key(), FIELDS, from_miss = function(self, ctx) BODY end }`. */
static struct outcome run_body(struct world *w, const char *fields, const char *body)
{
    char text[4096];
    snprintf(text, sizeof text,
             "model 'M' { id = key(), %s\noptions = { expires = 60, hard_timeout = '30s' }, from_miss = function(self, "
             "ctx)\n%s end }",
             fields, body);
    struct vm *vm = attach(w, text);
    struct outcome o = load_of(w, vm, "id=1");
    vm_retire(vm);
    return o;
}

#define FIELDS "s = field{ type = 'string' }, i = field{ type = 'integer' }, v = field(), b = field(),"

static void assert_text(struct world *w, const char *fields, const char *body, const char *text)
{
    struct outcome o = run_body(w, fields, body);
    if (o.status != OK) fail_msg("%s: %s: %s / %s", body, o.code, o.detail, o.log);
    assert_string_equal(o.text, text);
    assert_int_equal(o.log_n, 0);
}

static void test_records(void **state)
{
    struct world *w = *state;
    assert_text(w, FIELDS, "", "{\"id\":\"1\"}");
    assert_text(w, FIELDS, "return", "{\"id\":\"1\"}");
    assert_text(w, FIELDS, "return nil", "{\"id\":\"1\"}");
    assert_text(w, FIELDS, "self.v, self.s, self.i = true, 'x', 7", "{\"id\":\"1\",\"s\":\"x\",\"i\":7,\"v\":true}");
    assert_text(w, FIELDS, "self.s = 'x' self.s = nil", "{\"id\":\"1\"}");
    assert_text(w, FIELDS, "self.s, self.v = null, null", "{\"id\":\"1\",\"s\":null,\"v\":null}");
    assert_text(w, FIELDS, "self.i = 9007199254740993LL", "{\"id\":\"1\",\"i\":9007199254740993}");
    assert_text(w, FIELDS, "self.v = { {}, array(), { b = 1, a = { null } } }",
                "{\"id\":\"1\",\"v\":[{},[],{\"a\":[null],\"b\":1}]}");
    assert_text(w, FIELDS, "self.s = self.id .. tostring(self.v)", "{\"id\":\"1\",\"s\":\"1nil\"}");
    assert_text(w, "d = field{ default = { 1 } },", "", "{\"id\":\"1\",\"d\":[1]}");
    assert_text(w, FIELDS, "self.s = ('a-b'):gsub('%w', function(c) sleep(0.001) return c:upper() end)",
                "{\"id\":\"1\",\"s\":\"A-B\"}");
    assert_text(w, FIELDS, "sleep(0.001) self.s = 'waited'", "{\"id\":\"1\",\"s\":\"waited\"}");
}

static void test_keys(void **state)
{
    struct world *w = *state;
    struct vm *vm = attach(
        w, "model 'K' { s = key(), i = key{ type = 'integer' }, n = key{ type = 'number' },\n"
           "  b = key{ type = 'boolean' }, a = key{ type = 'any' }, v = field(), options = { expires = 1 },\n"
           "  from_miss = function(self)\n"
           "    self.v = { type(self.s), type(self.i), type(self.n), type(self.b), type(self.a), tostring(self.i) }\n"
           "  end }");
    struct outcome o = load_of(w, vm, "s=7&i=8&n=0.5&b=false&a=%229%22");
    assert_string_equal(o.text, "{\"s\":\"7\",\"i\":8,\"n\":0.5,\"b\":false,\"a\":\"9\","
                                "\"v\":[\"string\",\"number\",\"number\",\"boolean\",\"string\",\"8\"]}");
    o = load_of(w, vm, "s=&i=-9223372036854775808&n=1e2&b=true&a=9007199254740993");
    assert_non_null(
        strstr(o.text, "\"v\":[\"string\",\"cdata\",\"number\",\"boolean\",\"cdata\",\"-9223372036854775808LL\"]"));
    vm_retire(vm);
}

static void test_missing_and_expires(void **state)
{
    struct world *w = *state;
    struct outcome o = run_body(w, FIELDS, "return missing");
    assert_int_equal(o.status, MISSING);
    assert_true(o.expires_ms == LOAD_EXPIRES_UNSET);
    assert_true(run_body(w, FIELDS, "ctx.expires = 90").expires_ms == 90000);
    assert_true(run_body(w, FIELDS, "ctx.expires = '1.5h'").expires_ms == 5400000);
    assert_true(run_body(w, FIELDS, "ctx.expires = 0").expires_ms == 0);
    assert_true(run_body(w, FIELDS, "ctx.expires = 5 ctx.expires = nil").expires_ms == LOAD_EXPIRES_UNSET);
}

/* LOADER_ERROR that tells the client only what it may know. */
static void assert_error(struct world *w, const char *body, const char *path, const char *detail, const char *log)
{
    struct outcome o = run_body(w, FIELDS "r = field{ type = 'array' },", body);
    if (o.status != LOADER_ERROR) fail_msg("%s: %s %s", body, o.code, o.text);
    if (!strstr(o.detail, detail) || !strstr(o.detail, "model `M`")) fail_msg("%s: detail: %s", body, o.detail);
    if (!strstr(o.log, log)) fail_msg("%s: log: %s", body, o.log);
    assert_string_equal(o.path, path);
    assert_in_range(o.log_n, 1, 640);
    assert_true(slice_is_utf8(slice_of(o.log)));
    for (const char *c = o.log; *c; c++) assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
    assert_null(strstr(o.detail, "secret"));
}

static void test_values_without_json(void **state)
{
    struct world *w = *state;
    assert_error(w, "self.v = 0/0", "v", "field `v`", "field `v`: NaN");
    assert_error(w, "self.v = error", "v", "field `v`", "a function");
    assert_error(w, "self.v = { secret = { 1, error } }", "v", "field `v`", "field `v`.secret[2]: a function");
    assert_error(w, "local t = {} t.t = t self.v = t", "v", "field `v`", "contains itself");
    assert_error(w, "self.v = missing", "v", "field `v`", "a userdata");
    assert_error(w, "self.v = self", "v", "field `v`", "metatable");
    assert_error(w, "self.v = { 1, nil, 3 }", "v", "field `v`", "holes");
    assert_error(w, "self.v = '\\255secret'", "v", "field `v`", "UTF-8");
    assert_error(w, "self.v = ('x'):rep(2^20)", "v", "field `v`", "1 MiB");
    assert_error(w, "self.v, self.b = ('x'):rep(6e5), ('x'):rep(6e5)", "", "1 MiB", "1 MiB");
    assert_error(w, "local t = {} for i = 1, 1e6 do t['k' .. i] = i end self.v = t", "v", "field `v`", "1 MiB");
}

static void test_types(void **state)
{
    struct world *w = *state;
    assert_error(w, "self.s = 1", "s", "field `s`", "field `s`");
    assert_error(w, "self.i = 1.5", "i", "field `i`", "field `i`");
    assert_error(w, "self.i = 'secret'", "i", "field `i`", "field `i`");
    assert_error(w, "self.r = {}", "r", "field `r`", "field `r`"); /* {} is an object; array() is not */
    struct outcome o = run_body(w, "must = field{ required = true },", "");
    assert_int_equal(o.status, LOADER_ERROR);
    assert_string_equal(o.path, "must");
}

static void test_errors(void **state)
{
    struct world *w = *state;
    assert_error(w, "error 'secret'", "", "failed", "m.lua:3: secret | at m.lua:3");
    assert_error(w, "error('secret', 0)", "", "failed", "secret |");
    assert_error(w, "error()", "", "failed", "raised a nil value");
    assert_error(w, "error { secret = 1 }", "", "failed", "raised a table value");
    assert_error(w, "local t = {} t[1] = t error(t)", "", "failed", "raised a table value");
    assert_error(w, "error(42)", "", "failed", "42");
    assert_error(w, "error(('secret'):rep(2^18))", "", "failed", "secretsecret");
    assert_error(w, "error(('\\195\\169'):rep(2^18))", "", "failed", "\xc3\xa9\xc3\xa9");
    assert_error(w, "error '\\0\\255\\r\\n\\27[31m\\127 end'", "", "failed", "? [31m end");
    assert_error(w, "error(setmetatable({}, { __tostring = function() error 'x' end }))", "", "failed",
                 "raised a table");
    assert_error(w, "error(setmetatable({}, { __tostring = function() while true do end end }))", "", "failed",
                 "raised a table");
    assert_error(w, "self.nothing = 1", "", "failed", "m.lua:3: model `M` has no key or field `nothing`");
    assert_error(w, "self.id = 1", "", "failed", "m.lua:3: model `M`: key `id` cannot be changed");
    assert_error(w, "ctx.expire = 1", "", "failed", "m.lua:3: `ctx` has no member `expire` (did you mean `expires`?)");
    assert_error(w, "return M", "", "something else", "returned a table");
    assert_error(w, "model 'N' {}", "", "failed", "models are declared while");
    assert_error(w, "local function f() return f() + 1 end f()", "", "failed",
                 "stack overflow | at m.lua:3 in f, m.lua:3 in f");
    assert_error(w, "local function f() return f() + 1 end pcall(f) error 'x'", "", "failed", "x | at m.lua:3");
    assert_error(w, "local t = {} for i = 1, 7000 do t[i] = i end return unpack(t)", "", "several",
                 "returned 7000 values");
    assert_error(w, "local t = {} for i = 1, 1e8 do t[i] = { i } end", "", "failed", "not enough memory");
    assert_error(w, "self.v = ('x'):find '[a'", "", "failed", "m.lua:3: malformed pattern (missing ']')");
    assert_error(w, "self.v = ('x'):gsub('[a', function() end)", "", "failed",
                 "m.lua:3: malformed pattern (missing ']')");
    assert_error(w, "self.v = ('x'):gsub('x', function() return {} end)", "", "failed",
                 "m.lua:3: invalid replacement value (a table)");
    assert_error(w, "self.v = ('x'):gsub('x')", "", "failed", "m.lua:3: bad argument #2 to 'gsub'");
    assert_error(w, "return 1", "", "something else than `missing`", "returned a number");
    assert_error(w, "return self", "", "something else than `missing`", "returned a table");
    assert_error(w, "return false", "", "something else than `missing`", "returned a boolean");
    assert_error(w, "return nil, 'secret'", "", "several values", "returned 2 values");
    assert_error(w, "return missing, 1", "", "several values", "returned 2 values");
}

static void test_deadline(void **state)
{
    struct world *w = *state;
    static const char *const bodies[] = {"sleep(30)",
                                         "while true do pcall(sleep, 0.001) end",
#ifndef UNDER_TSAN
                                         "while true do end",
                                         "while true do pcall(function() while true do end end) end",
                                         "('x'):gsub('x', function() while true do end end)",
                                         "table.sort({ 2, 1 }, function() while true do end end)",
                                         "local function f() pcall(f) return f() end while true do pcall(f) end"
#endif
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[512];
        snprintf(
            text, sizeof text,
            "model 'M' { id = key(), options = { expires = 1, hard_timeout = 0.05 }, from_miss = function() %s end }",
            bodies[i]);
        struct vm *vm = attach(w, text);
        struct outcome o = load_of(w, vm, "id=1");
        assert_int_equal(o.status, LOADER_TIMEOUT);
        assert_non_null(strstr(o.detail, "the loader of model `M` took longer than 50 ms"));
        assert_in_range(o.log_n, 1, 640);
        vm_retire(vm);
    }
}

/* A load whose owner has left calls nobody; what it waits for ends; a vm that was retired meanwhile goes with it. */
static void test_cancel(void **state)
{
    struct world *w = *state;
    struct vm *vm =
        attach(w, "model 'M' { id = key(), options = { expires = 1 }, from_miss = function() sleep(30) end }");
    struct outcome never = {0};
    struct record_key key = key_of(w, vm, "id=1");
    struct load *fresh = load_start(vm, &key, NULL, NULL, on_done, &never);
    load_cancel(fresh); /* before it has run */
    struct load *parked = load_start(vm, &key, NULL, NULL, on_done, &never);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    vm_retire(vm);
    load_cancel(parked);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(never.calls, 0);
}

static void test_many_at_once(void **state)
{
    struct world *w = *state;
    struct vm *vm = attach(w, "model 'M' { id = key(), v = field(), options = { expires = 1 },\n"
                              "  from_miss = function(self) sleep(0.001) self.v = self.id end }");
    enum { N = 200 };
    struct outcome *o = calloc(N, sizeof *o);
    for (int i = 0; i < N; i++) {
        char query[32];
        snprintf(query, sizeof query, "id=%d", i);
        struct record_key key = key_of(w, vm, query);
        load_start(vm, &key, NULL, NULL, on_done, &o[i]);
    }
    vm_retire(vm); /* goes when the last one is done */
    for (int i = 0; i < N; i++) {
        char text[64];
        while (!o[i].calls) uv_run(&w->loop, UV_RUN_ONCE);
        snprintf(text, sizeof text, "{\"id\":\"%d\",\"v\":\"%d\"}", i, i);
        assert_string_equal(o[i].text, text);
        assert_int_equal(o[i].calls, 1);
    }
    free(o);
}

/* One record after another leaves nothing behind. */
static void test_memory_stays(void **state)
{
    struct world *w = *state;
    struct vm *vm =
        attach(w, "model 'M' { id = key(), v = field(), options = { expires = 1 },\n"
                  "  from_miss = function(self) if self.id == '0' then error 'x' end self.v = ('x'):rep(1000) end }");
    size_t before = 0;
    for (int i = 0; i < 400; i++) {
        load_of(w, vm, i % 2 ? "id=0" : "id=1");
        if (i != 199 && i != 399) continue;
        lua_gc(vm->L, LUA_GCCOLLECT, 0);
        if (i == 199) before = vm_bytes(vm);
    }
    assert_in_range(vm_bytes(vm), 0, before + 4096);
    assert_int_equal(lua_gettop(vm->L), 0);
    vm_retire(vm);
}

/* A load of id=1 that replaces this text, which came with the validator `tag`. */
static struct outcome replace(struct world *w, struct vm *vm, const char *name, const char *text,
                              enum envelope_kind kind)
{
    struct outcome o = {0};
    char old_text[512];
    char sections[] = {SECTION_TAGS, 2, 0, 0, 1, 'x', SECTION_ORIGIN, 3, 0, 0, 't', 'a', 'g'};
    struct record_key key = key_in(w, vm, name, "id=1");
    snprintf(old_text, sizeof old_text, "%s", text);
    struct envelope old = {.kind = kind, .text = slice_of(old_text), .sections = slice_from(sections, sizeof sections)};
    load_start(vm, &key, &old, NULL, on_done, &o);
    memset(old_text, 0xff, sizeof old_text); /* the load has its own copy */
    memset(sections, 0xff, sizeof sections);
    memset(&old, 0xff, sizeof old);
    wait_for(w, &o);
    return o;
}

static struct outcome replace_with(struct world *w, const char *body)
{
    char text[4096];
    snprintf(text, sizeof text,
             "model 'M' { id = key(), v = field(), one = reference 'M', p = packed(), i = field{ type = 'integer' },\n"
             "options = { expires = 60 }, from_miss = function(self, ctx)\n%s end }",
             body);
    struct vm *vm = attach(w, text);
    struct outcome o = replace(w, vm, "M",
                               "{\"id\":\"1\",\"v\":[1,null],\"one\":{\"id\":\"2\",\"$ref\":\"/models/M?id=2\"},"
                               "\"i\":9007199254740993}",
                               ENVELOPE_RECORD);
    vm_retire(vm);
    return o;
}

static void test_old(void **state)
{
    struct world *w = *state;
    struct outcome o =
        replace_with(w, "local s = ctx.stale self.v = { s.v[1], s.v[2] == null, s.one.id, s.p == nil, ctx.etag }\n"
                        "self.one, self.i = s.one, s.i");
    assert_string_equal(o.text, "{\"id\":\"1\",\"v\":[1,true,\"2\",true,\"tag\"],"
                                "\"one\":{\"id\":\"2\",\"$ref\":\"/models/M?id=2\"},\"i\":9007199254740993}");
    assert_int_equal(o.refs, 1);
    assert_string_equal(o.origin, ""); /* what is loaded now came without one */
    assert_false(o.unmodified);
    o = replace_with(w, "ctx.etag = 'new' ctx.tag 'y'");
    assert_string_equal(o.origin, "new");
    assert_string_equal(o.tags, "\1y");
    o = replace_with(w, "ctx.etag = ('x'):rep(1024)");
    assert_int_equal(strlen(o.origin), 1024);
    assert_non_null(strstr(replace_with(w, "ctx.etag = ('x'):rep(1025)").log, "m.lua:3: `ctx.etag` wants text"));
    assert_non_null(strstr(replace_with(w, "ctx.etag = 5").log, "m.lua:3: `ctx.etag` wants text"));
    assert_non_null(strstr(replace_with(w, "ctx.stale.v = 1").log, "m.lua:3: `v` cannot be changed in `ctx.stale`"));
    assert_non_null(
        strstr(replace_with(w, "return ctx.stale.one.v").log, "m.lua:3: only the keys of this `M` are known"));
}

static void test_not_modified(void **state)
{
    struct world *w = *state;
    struct outcome o = replace_with(w, "ctx.expires = 5 ctx.tag 'y' return ctx.not_modified()");
    assert_int_equal(o.status, OK);
    assert_true(o.unmodified && o.expires_ms == 5000 && o.refs == 0);
    assert_string_equal(o.text, "");
    assert_string_equal(o.tags, "");
    assert_string_equal(o.origin, "tag"); /* it goes on */
    assert_string_equal(replace_with(w, "ctx.etag = 'new' return ctx.not_modified()").origin, "new");
    assert_string_equal(replace_with(w, "ctx.etag = nil return ctx.not_modified()").origin, "");
    o = replace_with(w, "self.v = 1 return ctx.not_modified()");
    assert_int_equal(o.status, LOADER_ERROR);
    assert_string_equal(o.detail, "the loader of model `M` failed: it set fields of a record that was not modified");
    assert_error(w, "return ctx.not_modified()", "", "failed", "`ctx.not_modified`: there is no old record");

    struct vm *vm = attach(w, "model 'M' { id = key(), v = field(), options = { expires = 1 },\n"
                              "  from_miss = function(self, ctx) return ctx.not_modified() end,\n"
                              "  m = cached_method{ expires = 1, function(self, args, ctx)\n"
                              "    if ctx.stale and ctx.stale.same then return ctx.not_modified() end\n"
                              "    return { ctx.stale == null, ctx.etag } end } }");
    assert_true(replace(w, vm, "M.m", "{\"same\":true}", ENVELOPE_RESULT).unmodified);
    assert_string_equal(replace(w, vm, "M.m", "{}", ENVELOPE_RESULT).text, "[false,\"tag\"]");
    assert_string_equal(load_in(w, vm, "M.m", "id=1").text, "[false]");
    o = replace(w, vm, "M", "", ENVELOPE_NEGATIVE); /* which is no record */
    assert_int_equal(o.status, LOADER_ERROR);
    o = replace(w, vm, "M", "no JSON", ENVELOPE_RECORD); /* nobody has looked at it */
    assert_true(o.unmodified);
    vm_retire(vm);
}

/* Memory ends at any point of a load: the load fails, nothing leaks (LSan), and the next one with enough of it succeeds. */
static void test_out_of_memory(void **state)
{
    struct world *w = *state;
    struct vm *vm = attach(
        w, "local cjson = require 'cjson'\n"
           "model 'M' { id = key(), v = field(), options = { expires = 1 }, from_miss = function(self, ctx)\n"
           "  ctx.expires = '5s' sleep(0) self.v = cjson.decode(cjson.encode { 'x', { y = self.id .. 'text' } })\n"
           "  self.v[3] = ('a,b'):gsub('%a', function(c) return c .. c end) end }");
    size_t max = vm->config.memory_max;
    int good = 0, bad = 0;
    for (size_t room = 0; room < 24000; room += 96) {
        lua_gc(vm->L, LUA_GCCOLLECT, 0);
        vm->config.memory_max = vm->bytes + room;
        struct outcome o = load_of(w, vm, "id=1");
        assert_true(o.status == OK || o.status == LOADER_ERROR);
        o.status == OK ? good++ : bad++;
    }
    assert_in_range(good, 10, 240);
    assert_in_range(bad, 10, 240);
    vm->config.memory_max = max;
    assert_string_equal(load_of(w, vm, "id=1").text, "{\"id\":\"1\",\"v\":[\"x\",{\"y\":\"1text\"},\"aa,bb\"]}");
    vm_retire(vm);
}

static void test_jit(void **state)
{
    struct world *w = *state;
    struct vm *vm = attach(
        w, "model 'M' { id = key(), v = field(), options = { expires = 1, jit = true },\n"
           "  from_miss = function(self) local n = 0 for i = 1, 1e6 do n = n + i end self.v = n end,\n"
           "  m = cached_method{ expires = 1, function() local n = 0 for i = 1, 1e6 do n = n + i end return n end } }");
    assert_string_equal(load_of(w, vm, "id=1").text, "{\"id\":\"1\",\"v\":500000500000}");
    assert_string_equal(load_in(w, vm, "M.m", "id=1").text, "500000500000");
    vm_retire(vm);
}

#define REFERS                                                                                                         \
    "one = reference{ 'M', missing = 'null' }, many = references{ 'self', missing = 'skip', max = 3 }, p = packed(), " \
    "v = "                                                                                                             \
    "field(),"

static void test_references(void **state)
{
    struct world *w = *state;
    struct outcome o = run_body(w, REFERS, "self.one = M{ id = 'a' } self.many = { { id = 'b' }, M{ id = 'c' } }");
    assert_string_equal(o.text, "{\"id\":\"1\",\"one\":{\"id\":\"a\",\"$ref\":\"/models/M?id=a\"},"
                                "\"many\":[{\"id\":\"b\",\"$ref\":\"/models/M?id=b\"},"
                                "{\"id\":\"c\",\"$ref\":\"/models/M?id=c\"}]}");
    assert_string_equal(o.pairs, "2 id=a {\"id\":\"a\",\"$ref\":\"/models/M?id=a\"};"
                                 "1 id=b {\"id\":\"b\",\"$ref\":\"/models/M?id=b\"};"
                                 "1 id=c {\"id\":\"c\",\"$ref\":\"/models/M?id=c\"};");
    o = run_body(w, REFERS, "self.one, self.many = null, {}");
    assert_string_equal(o.text, "{\"id\":\"1\",\"one\":null,\"many\":[]}");
    assert_int_equal(o.refs, 0);
    o = run_body(w, REFERS, "self.one = self self.one = nil self.many = null");
    assert_string_equal(o.text, "{\"id\":\"1\",\"many\":null}");
}

static void assert_refused(struct world *w, const char *body, const char *path, const char *detail, const char *log)
{
    struct outcome o = run_body(w, REFERS, body);
    if (o.status != LOADER_ERROR) fail_msg("%s: %s %s", body, o.code, o.text);
    if (!strstr(o.detail, detail)) fail_msg("%s: detail: %s", body, o.detail);
    if (!strstr(o.log, log)) fail_msg("%s: log: %s", body, o.log);
    assert_string_equal(o.path, path);
}

static void test_wrong_references(void **state)
{
    struct world *w = *state;
    assert_refused(w, "self.one = 'a'", "", "failed", "m.lua:3: model `M`: reference `one` takes a record of `M`");
    assert_refused(w, "self.one = { id = 'a', v = 1 }", "", "failed",
                   "m.lua:3: model `M`: reference `one`: `v` is no key");
    assert_refused(w, "self.one = M{ id = 'a', v = 1 }", "one", "that was not saved", "nobody has saved");
    assert_refused(w, "self.one = M{ id = 5 }", "one.id", "failed", "");
    assert_refused(w, "self.many = { M{ id = 'a' }, M{ id = true } }", "many[1].id", "failed", "");
    assert_refused(w, "local l = {} for i = 1, 4 do l[i] = M{ id = 'a' } end self.many = l", "many", "failed", "");
    assert_refused(w, "self.many = { M{ id = 'a' } } self.many[3] = M{ id = 'b' }", "many", "cannot be kept",
                   "no list");
    assert_refused(w, "self.v = M{ id = 'a' }", "v", "what JSON cannot say", "metatable");
}

static void test_packed(void **state)
{
    struct world *w = *state;
    struct outcome o =
        run_body(w, REFERS, "self.p = { [3] = true, x = { 'y', array() } } if not self.p[3] then error 'x' end");
    if (o.status != OK) fail_msg("%s %s", o.detail, o.log);
    assert_non_null(strstr(o.text, "{\"id\":\"1\",\"p\":{\"$packed\":\""));
    assert_string_equal(run_body(w, REFERS, "self.p = null").text, "{\"id\":\"1\",\"p\":null}");
    assert_refused(w, "self.p = error", "p", "set field `p` to what cannot be kept",
                   "field `p`: a function cannot be packed");
    assert_refused(w, "self.p = { x = missing }", "p", "cannot be kept", "a userdata cannot be packed");
    assert_refused(w, "self.p = { M{ id = '1' } }", "p", "cannot be kept", "a table with a metatable");
    assert_refused(w, "local t = {} t.t = t self.p = t", "p", "cannot be kept", "contains itself");
    assert_refused(w, "local t = {} for i = 1, 40 do t = { t, t } end self.p = t", "p", "cannot be kept", "too large");
    assert_refused(w, "self.p = ('x'):rep(2^20)", "p", "", "1 MiB");
}

static void test_tags_and_validate(void **state)
{
    struct world *w = *state;
    struct vm *vm =
        attach(w, "model 'M' { id = key(), v = field{ default = 'd' }, options = { expires = 1,\n"
                  "  tags = function(self) return { 't:' .. self.v } end,\n"
                  "  validate = function(self) if self.id == '2' then return 'v', 'secret words' end\n"
                  "    if self.id == '3' then error 'secret' end end },\n"
                  "  from_miss = function(self, ctx) if self.id == '4' then self.v = 5 end ctx.tag 'a' end }");
    struct outcome o = load_of(w, vm, "id=1");
    assert_int_equal(o.status, OK);
    assert_string_equal(o.tags, "\1a\3t:d");
    o = load_of(w, vm, "id=2");
    assert_int_equal(o.status, LOADER_ERROR);
    assert_string_equal(o.path, "v");
    assert_string_equal(o.detail, "the loader of model `M` failed: `validate` has refused field `v`");
    assert_string_equal(o.log, "validate: field `v`: secret words");
    o = load_of(w, vm, "id=3");
    assert_string_equal(o.detail, "the loader of model `M` failed");
    assert_non_null(strstr(o.log, "m.lua:4: secret | at m.lua:4"));
    assert_string_equal(load_of(w, vm, "id=4").tags, "\1a\3t:5");
    vm_retire(vm);
}

static void test_methods(void **state)
{
    struct world *w = *state;
    struct vm *vm = attach(
        w,
        "model 'M' { id = key(), v = field{ type = 'string' },\n"
        "  m = cached_method{ on = { 'id', 'v' }, expires = 1, args = { n = arg{ type = 'integer', default = 2 },\n"
        "    o = arg{ required = false } }, function(self, args, ctx)\n"
        "    if args.n == 3 then return missing elseif args.n == 4 then return elseif args.n == 5 then return error\n"
        "    elseif args.n == 6 then return 1, 2 elseif args.n == 7 then error 'secret'\n"
        "    elseif args.n == 8 then return self.w elseif args.n == 9 then return { a = { error } } end\n"
        "    ctx.expires, ctx.tag = 5, nil end },\n"
        "  r = cached_method{ expires = 1, args = { n = arg{ type = 'integer' } }, function(self, args, ctx)\n"
        "    ctx.expires = 5 ctx.tag 'x' return { self.id, args.n, tostring(args.o) } end } }\n"
        "form 'F' { name = input(), page = input(),\n"
        "  m = cached_form_method{ expires = 1, args = { n = arg() }, function(self, args)\n"
        "    return { self.cleaned_data.name or null, self.cleaned_data.page or null, args.n } end } }");
    assert_string_equal(load_in(w, vm, "M.m", "id=a&n=4").text, "null");
    assert_int_equal(load_in(w, vm, "M.m", "id=a&n=3").status, MISSING);
    struct outcome o = load_in(w, vm, "M.m", "id=a&n=5");
    assert_int_equal(o.status, LOADER_ERROR);
    assert_string_equal(o.detail, "method `M.m` failed: it returned what JSON cannot say");
    assert_string_equal(o.log, "its result: a function is no JSON value");
    assert_string_equal(load_in(w, vm, "M.m", "id=a&n=9").log, "its result.a[1]: a function is no JSON value");
    assert_non_null(strstr(load_in(w, vm, "M.m", "id=a&n=6").detail, "it returned several values"));
    o = load_in(w, vm, "M.m", "id=a&n=7");
    assert_string_equal(o.detail, "method `M.m` failed");
    assert_non_null(strstr(o.log, "m.lua:5: secret | at m.lua:5"));
    assert_non_null(strstr(load_in(w, vm, "M.m", "id=a&n=8").log, "m.lua:6: method `m` has no attribute `w`"));
    assert_non_null(strstr(load_in(w, vm, "M.m", "id=a").log, "m.lua:7: `ctx.tag` is called"));
    o = load_in(w, vm, "M.r", "id=a&n=1");
    assert_int_equal(o.status, LOADER_ERROR); /* `o` is no argument of r */
    assert_non_null(strstr(o.log, "`args` has no member `o`"));

    struct key_draft draft;
    struct record_key key;
    struct problem why;
    const struct model *m = registry_find(vm_registry(vm), SLICE("F.m"));
    key_draft_init(&draft);
    assert_int_equal(key_set_text(m, &draft, SLICE("n"), SLICE("7"), &w->arena, &why), OK);
    assert_int_equal(key_finish(m, &draft, &w->arena, &key, &why), OK);
    o = (struct outcome){0};
    load_start(vm, &key, NULL, NULL, on_done, &o);
    wait_for(w, &o);
    assert_string_equal(o.text, "[null,null,7]");
    vm_retire(vm);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(test_records),
        TEST(test_keys),
        TEST(test_missing_and_expires),
        TEST(test_values_without_json),
        TEST(test_types),
        TEST(test_errors),
        TEST(test_deadline),
        TEST(test_cancel),
        TEST(test_jit),
        TEST(test_references),
        TEST(test_wrong_references),
        TEST(test_packed),
        TEST(test_tags_and_validate),
        TEST(test_methods),
        TEST(test_old),
        TEST(test_not_modified),
        TEST(test_out_of_memory),
        TEST(test_many_at_once),
        TEST(test_memory_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
