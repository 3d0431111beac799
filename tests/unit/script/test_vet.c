/* validate and tags before a save: on a real loop, with real tasks. */
#include "script/vet.h"

#include "world.h"

struct vetted {
    int calls;
    enum status status;
    char tags[512], detail[400], path[128], log[700];
    bool has_log;
    uint64_t expires_ms;
};

static void on_vetted(void *owner, const struct vet_result *r)
{
    struct vetted *v = owner;
    v->calls++;
    v->status = r->status;
    v->has_log = r->log.n > 0;
    v->expires_ms = r->expires_ms;
    snprintf(v->tags, sizeof v->tags, "%.*s", SLICE_ARG(r->tags));
    snprintf(v->log, sizeof v->log, "%.*s", SLICE_ARG(r->log));
    snprintf(v->detail, sizeof v->detail, "%s", r->problem.detail);
    snprintf(v->path, sizeof v->path, "%s", r->problem.path);
}

static struct vm *load(struct world *w, const char *options, const char *on_save)
{
    char text[4096], findings[1024];
    snprintf(text, sizeof text,
             "model 'M' { id = key(), v = field(), p = packed(), other = reference 'O', others = references 'O',\n"
             "  options = { hard_timeout = 0.2, %s }%s }\nmodel 'O' { id = key(), v = field() }",
             options, on_save ? on_save : "");
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    if (!vm) fail_msg("%s", findings);
    return vm;
}

static struct vetted vet_step(struct world *w, struct vm *vm, enum vet_step step, const char *text)
{
    struct vetted v = {0};
    char copy[1024];
    const struct model *m = registry_find(vm_registry(vm), SLICE("M"));
    snprintf(copy, sizeof copy, "%s", text);
    vet_start(vm, m, step, slice_of(copy), NULL, on_vetted, &v);
    memset(copy, 0xff, sizeof copy); /* it has its own */
    assert_int_equal(v.calls, 0);
    while (!v.calls) uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(v.calls, 1);
    vm_retire(vm);
    return v;
}

static struct vetted vet_text(struct world *w, const char *options, const char *text)
{
    struct vm *vm = load(w, options, NULL);
    const struct model *m = registry_find(vm_registry(vm), SLICE("M"));
    assert_true(vet_needed(m) && !vet_saves(m));
    return vet_step(w, vm, VET_CHECK, text);
}

/* on_save of this body. */
static struct vetted save_text(struct world *w, const char *body, const char *text)
{
    char on_save[1024];
    snprintf(on_save, sizeof on_save, ", on_save = function(self, ctx)\n%s end", body);
    struct vm *vm = load(w, "", on_save);
    const struct model *m = registry_find(vm_registry(vm), SLICE("M"));
    assert_true(vet_saves(m) && !vet_needed(m));
    return vet_step(w, vm, VET_SAVE, text);
}

static void test_good(void **state)
{
    struct world *w = world_open();
    struct vetted v = vet_text(
        w,
        "validate = function(self)\n"
        "  if self.v ~= 5 or self.p.x ~= 1 or self.other.id ~= 'o' or self.others[2].id ~= 'q' then return 'v' end\n"
        "end",
        "{\"id\":\"1\",\"v\":5,\"p\":{\"$packed\":\"CAEhbBYeHwABAAAA\"}}");
    assert_int_equal(v.status, LOADER_ERROR); /* no packed value: reading it raises */
    assert_non_null(strstr(v.log, "packed field `p` cannot be decoded"));
    v = vet_text(w,
                 "validate = function(self)\n"
                 "  if self.v ~= 5 or self.other.id ~= 'o' or self.others[2].id ~= 'q' then return 'v' end\n"
                 "end, tags = function(self) return { 'b', 'a', self.id, 'b' } end",
                 "{\"id\":\"1\",\"v\":5,\"other\":{\"id\":\"o\",\"$ref\":\"/models/O?id=o\"},"
                 "\"others\":[{\"id\":\"p\",\"$ref\":\"\"},{\"id\":\"q\",\"$ref\":\"\"}]}");
    if (v.status != OK) fail_msg("%s", v.log);
    assert_string_equal(v.tags, "\1"
                                "1\1a\1b");
    assert_false(v.has_log);
    v = vet_text(w, "tags = function() end", "{\"id\":\"1\"}");
    assert_int_equal(v.status, OK);
    assert_string_equal(v.tags, "");
    world_close(w);
}

static void test_refused(void **state)
{
    struct world *w = world_open();
    struct vetted v = vet_text(
        w, "validate = function(self) return 'v', 'not an \\195\\169 address' end, tags = function() error 'x' end",
        "{\"id\":\"1\"}");
    assert_int_equal(v.status, FIELD_TYPE);
    assert_string_equal(v.path, "v");
    assert_string_equal(v.detail, "field `v` of model `M`: not an \xc3\xa9 address");
    assert_false(v.has_log);
    world_close(w);
}

static void test_failures(void **state)
{
    struct world *w = world_open();
    struct vetted v = vet_text(w, "validate = function(self)\nerror 'secret' end", "{\"id\":\"1\"}");
    assert_int_equal(v.status, LOADER_ERROR);
    assert_string_equal(v.detail, "`validate` or `tags` of model `M` failed");
    assert_non_null(strstr(v.log, "test.lua:3: secret | at test.lua:3"));
    v = vet_text(w, "tags = function(self) return { 5 } end", "{\"id\":\"1\"}");
    assert_int_equal(v.status, LOADER_ERROR);
    assert_string_equal(v.log, "tags: a tag is text, not a number");
    v = vet_text(w, "validate = function(self)\nself.v = 1 end", "{\"id\":\"1\"}");
    assert_non_null(strstr(v.log, "test.lua:3: `v` cannot be changed here"));
    v = vet_text(w, "validate = function(self)\nreturn self.other.v end",
                 "{\"id\":\"1\",\"other\":{\"id\":\"o\",\"$ref\":\"\"}}");
    assert_non_null(strstr(v.log, "test.lua:3: only the keys of this `O` are known"));
    v = vet_text(w, "validate = function(self) sleep(30) end", "{\"id\":\"1\"}");
    assert_int_equal(v.status, LOADER_TIMEOUT);
    assert_string_equal(v.detail, "`validate` or `tags` of model `M` took longer than 200 ms");
    v = vet_text(w, "validate = function(self) sleep(0.001) end", "{\"id\":\"1\"}");
    assert_int_equal(v.status, OK);
    world_close(w);
}

static void test_saves(void **state)
{
    struct world *w = world_open();
    static const char text[] = "{\"id\":\"1\",\"v\":[null,9007199254740993],\"other\":{\"id\":\"o\",\"$ref\":\"\"}}";
    struct vetted v = save_text(w,
                                "assert(self.id == '1' and self.v[1] == null and tostring(self.v[2]) == "
                                "'9007199254740993LL' and self.other.id == 'o' and self.p == nil) sleep(0.001)",
                                text);
    if (v.status != OK) fail_msg("%s", v.log);
    assert_true(v.expires_ms == VET_EXPIRES_UNSET);
    assert_string_equal(v.tags, "");
    assert_true(save_text(w, "ctx.expires = '1m'", text).expires_ms == 60000);
    assert_true(save_text(w, "ctx.expires = 0", text).expires_ms == 0);

    v = save_text(w, "error 'secret'", text);
    assert_int_equal(v.status, LOADER_ERROR);
    assert_string_equal(v.detail, "`on_save` of model `M` failed");
    assert_non_null(strstr(v.log, "test.lua:3: secret | at test.lua:3"));
    v = save_text(w, "return missing", text);
    assert_int_equal(v.status, LOADER_ERROR);
    assert_string_equal(v.detail, "`on_save` of model `M` failed: it returned something");
    assert_string_equal(
        v.log, "on_save returned a userdata; it returns nothing, and raises where the record is not to be stored");
    assert_non_null(strstr(save_text(w, "self.v = 1", text).log, "test.lua:3: `v` cannot be changed in `on_save`"));
    v = save_text(w, "sleep(30)", text);
    assert_int_equal(v.status, LOADER_TIMEOUT);
    assert_string_equal(v.detail, "`on_save` of model `M` took longer than 200 ms");
    world_close(w);
}

static void test_cancel(void **state)
{
    struct world *w = world_open();
    struct vetted never = {0};
    struct vm *vm = load(w, "validate = function(self) sleep(30) end", NULL);
    const struct model *m = registry_find(vm_registry(vm), SLICE("M"));
    vet_cancel(vet_start(vm, m, VET_CHECK, SLICE("{\"id\":\"1\"}"), NULL, on_vetted, &never)); /* before it has run */
    struct vet *parked = vet_start(vm, m, VET_CHECK, SLICE("{\"id\":\"1\"}"), NULL, on_vetted, &never);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    vm_retire(vm);
    vet_cancel(parked);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(never.calls, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),  cmocka_unit_test(test_refused), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_saves), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
