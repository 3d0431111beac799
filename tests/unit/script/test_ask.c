/* What handlers ask of the gateway, against a gateway of the test's own: what arrives there, what handlers make of the answer, and that
 * nothing is asked or answered when the handler has gone. */
#include "world.h"

#include "script/ask.h"
#include "script/problem.h"

/* Keeps the question until the test answers it. */
struct fake {
    struct world *w;
    struct ask_gateway gateway;
    struct ask *ask;
    char json[4096], include[256];
    int started, cancelled;
};

static void fake_start(void *owner, struct ask *a)
{
    struct fake *f = owner;
    assert_null(f->ask);
    f->ask = a;
    f->started++;
    snprintf(f->json, sizeof f->json, "%.*s", SLICE_ARG(a->json));
    snprintf(f->include, sizeof f->include, "%.*s", SLICE_ARG(a->include));
}

static void fake_cancel(void *owner, struct ask *a)
{
    struct fake *f = owner;
    assert_ptr_equal(f->ask, a);
    f->ask = NULL;
    f->cancelled++;
}

static int setup(void **state)
{
    struct fake *f = calloc(1, sizeof *f);
    f->w = world_open();
    f->gateway = (struct ask_gateway){.owner = f, .start = fake_start, .cancel = fake_cancel};
    script_host_set_gateway(f->w->host, &f->gateway);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fake *f = *state;
    assert_null(f->ask);
    world_close(f->w);
    free(f);
    return 0;
}

static const char models[] =
    "model 'User' { username = key(), region = key{ default = 'eu' }, email = field(), n = "
    "field{ type = 'integer' } }\n"
    "model 'Home' { address = key(), zone = field(), geocode = cached_method{ on = { 'address' }, expires = 60, args = "
    "{ precision = arg{ type = 'integer', default = 5 } }, function() end } }\n"
    "form 'Lookup' { name = input(), friends = cached_form_method{ expires = 60, args = { most = arg() }, function() "
    "end } }\n"
    "model 'T' { id = key(), from_miss = function(...) %s\nend }";

/* One handler that is running, and how it ended. */
struct run {
    struct fake *f;
    struct vm *vm;
    struct task *task;
    struct outcome o;
};

static void run_start(struct run *r, struct fake *f, const char *body)
{
    char text[1 << 14], findings[1024];
    snprintf(text, sizeof text, models, body);
    r->f = f;
    f->started = f->cancelled = 0;
    r->vm = world_load(f->w, text, findings, sizeof findings);
    if (!r->vm) fail_msg("%s", findings);
    r->task = world_start(r->vm, 2000, no_arguments, &r->o);
}

/* Until the handler has asked, or has ended without. */
static struct ask *run_asked(struct run *r)
{
    while (!r->f->ask && !r->o.calls) uv_run(&r->f->w->loop, UV_RUN_ONCE);
    if (!r->f->ask) fail_msg("it ended and asked nothing: %s", r->o.text);
    return r->f->ask;
}

static void reply(struct run *r, const struct ask_answer *answer, size_t n)
{
    struct ask *a = run_asked(r);
    r->f->ask = NULL;
    a->answer = answer;
    a->answers = n;
    a->done(a);
}

static void reply_text(struct run *r, const char *text)
{
    struct ask_answer answer = {.status = OK, .text = slice_of(text)};
    reply(r, &answer, 1);
}

static void reply_done(struct run *r) { reply(r, &(struct ask_answer){.status = OK}, 1); }

static void reply_failure(struct run *r, enum status status, const char *path, const char *detail)
{
    struct ask_answer answer = {.status = status};
    problem_set(&answer.problem, status, path, "%s", detail);
    reply(r, &answer, 1);
}

/* The end of the handler: what it returned, or raised. */
static void run_ends(struct run *r, enum status status, const char *text)
{
    world_wait(r->f->w, &r->o);
    vm_retire(r->vm);
    if (r->o.status != status || !strstr(r->o.text, text))
        fail_msg("ended %s: %s; not with: %s", status_code(r->o.status), r->o.text, text);
}

/* A handler that raises before it asks. */
static void raises(struct fake *f, const char *body, const char *text)
{
    struct run r;
    run_start(&r, f, body);
    run_ends(&r, LOADER_ERROR, text);
    assert_int_equal(f->started, 0);
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    struct run r;
    run_start(&r, *state, "local u = User.get{ username = 'bob' }\n return u.email .. u.n .. u.region");
    struct ask *a = run_asked(&r);
    assert_int_equal(a->what, ASK_GET);
    assert_string_equal(r.f->json, "[{\"region\":\"eu\",\"username\":\"bob\"}]");
    assert_true(slice_eq(a->model->name, SLICE("User")));
    assert_ptr_equal(a->vm, r.vm);
    assert_int_equal(a->depth, -1);
    assert_null(a->include.p);
    assert_null(a->trail);
    reply_text(&r, "{\"username\":\"bob\",\"region\":\"eu\",\"email\":\"b@x\",\"n\":7}");
    run_ends(&r, OK, "b@x7eu");
}

static void test_options_of_get(void **state)
{
    struct run r;
    run_start(&r, *state, "return User.get({ username = 'a' }, { depth = 0, include = 'a,b.c' })");
    assert_int_equal(run_asked(&r)->depth, 0);
    assert_string_equal(r.f->include, "a,b.c");
    assert_string_equal(r.f->json, "[{\"region\":\"eu\",\"username\":\"a\"}]");
    reply_failure(&r, MISSING, NULL, "");
    run_ends(&r, OK, "nil");

    run_start(&r, *state, "return User.get({ username = 'a' }, { depth = 99999, include = { 'a', 'b.c' } })");
    assert_int_equal(run_asked(&r)->depth, 64);
    assert_string_equal(r.f->include, "a,b.c");
    reply_failure(&r, MISSING, NULL, "");
    run_ends(&r, OK, "nil");
}

static void test_problem(void **state)
{
    struct run r;
    run_start(&r, *state,
              "local u, p = User.get{ username = 'bob' }\n"
              "return table.concat({ tostring(u), p.code, p.status, p.detail, p.model, tostring(p.path), tostring(p), "
              "tostring(getmetatable(p)) }, '|')");
    reply_failure(&r, MISSING, NULL, "");
    run_ends(&r, OK, "nil|missing|404|no such record|User|nil|missing: no such record|problem");

    run_start(&r, *state, "local u, p = User.get{ username = 'bob' }\n return p.path .. tostring(p)");
    reply_failure(&r, LOADER_ERROR, "workplace", "the loader of model `Workplace` failed");
    run_ends(&r, OK, "workplaceloader-error: the loader of model `Workplace` failed");
}

/* What a raised problem says, which the log tells. */
static void raised_problem(void *owner, enum status status, lua_State *L, int first)
{
    struct outcome *o = owner;
    lua_State *main = vm_of(L)->L;
    o->calls++;
    o->status = status;
    lua_xmove(L, main, 1);
    bool is = problem_push_text(main, -1);
    snprintf(o->text, sizeof o->text, "%s", is ? lua_tostring(main, -1) : luaL_typename(main, -1));
    lua_settop(main, 0);
}

static void test_raised_problem(void **state)
{
    static const char *const handlers[][2] = {
        {"assert(User.get{ username = 'bob' })", "missing: no such record"},
        {"local _, p = User.get{ username = 'bob' }\n p.code, p.detail = {}, nil\n error(p)", "?: ?"},
        {"local _, p = User.get{ username = 'bob' }\n error{ code = p.code }", "table"},
    };
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        struct run r;
        run_start(&r, *state, handlers[i][0]);
        task_cancel(r.task);
        const struct model *m = registry_find(vm_registry(r.vm), SLICE("T"));
        task_start(r.vm, m->handler, clock_add(clock_mono_us(), 2000000), no_arguments, raised_problem, &r.o);
        reply_failure(&r, MISSING, NULL, "");
        run_ends(&r, LOADER_ERROR, handlers[i][1]);
    }
}

static void test_misuse_of_get(void **state)
{
    struct fake *f = *state;
    raises(f, "User.get()", "test.lua:4:");
    raises(f, "User.get 'bob'", "test.lua:4:");
    raises(f, "User.get{ usrname = 'bob' }", "`usrname` is no key of `User` (did you mean `username`?)");
    raises(f, "User.get{ username = 'bob', email = 1 }", "`email` is no key of `User`");
    raises(f, "User.get{ region = 'eu' }", "test.lua:4: model `User`: key `username` of `User` is missing");
    raises(f, "User.get{ username = print_it }", "unknown name");
    raises(f, "\nUser.get{ username = function() end }",
           "test.lua:5: User.get: `username`: a function is no JSON value");
    raises(f, "User.get({ username = 'a' }, { dept = 1 })", "User.get: unknown option `dept` (did you mean `depth`?)");
    raises(f, "User.get({ username = 'a' }, { depth = 1.5 })", "User.get: option `depth` wants a whole number");
    raises(f, "User.get({ username = 'a' }, { include = {} })", "option `include` wants a path, or a list of paths");
    raises(f, "User.get({ username = 'a' }, { include = { 1 } })", "option `include` wants paths, not a number");
    raises(f, "User.get({ username = 'a' }, 5)", "User.get: the options are a table, not a number");
    raises(f, "User.get(T{ id = 'x' })", "User.get: got a record of `T`");
    raises(f, "User.got{}", "model `User` has no function `got` (did you mean `get`?)");
}

/* What only the model can tell is wrong with the names of a call is misuse, too; with a value it is a problem. */
static void test_judged_by_the_gateway(void **state)
{
    struct run r;
    run_start(&r, *state, "\nlocal u = User.get({ username = 'a' }, { include = 'nosuch' })");
    reply_failure(&r, UNKNOWN_FIELD, "nosuch", "model `User` has no field `nosuch`");
    run_ends(&r, LOADER_ERROR, "test.lua:5: User.get: model `User` has no field `nosuch`");

    run_start(&r, *state, "local _, p = User.get{ username = 5 }\n return p.code");
    reply_failure(&r, KEY_TYPE, "username", "key `username` of model `User` takes a string, not `5`");
    run_ends(&r, OK, "key-type");
}

static void test_get_by_record(void **state)
{
    struct run r;
    run_start(&r, *state, "return User.get(User{ username = 'x', email = 'e' })");
    run_asked(&r);
    assert_string_equal(r.f->json, "[{\"region\":\"eu\",\"username\":\"x\"}]");
    reply_failure(&r, MISSING, NULL, "");
    run_ends(&r, OK, "nil");
}

/* --- get_many ----------------------------------------------------------------------------------------------------- */

static void test_get_many(void **state)
{
    struct ask_answer answers[3] = {
        {.status = OK, .text = SLICE("{\"username\":\"b\",\"region\":\"eu\",\"n\":1}")},
        {.status = MISSING},
        {.status = OK, .text = SLICE("{\"username\":\"a\",\"region\":\"eu\",\"n\":2}")},
    };
    struct run r;
    run_start(&r, *state,
              "local l = User.get_many{ { username = 'b' }, { username = 'c' }, User{ username = 'a' } }\n"
              "return #l .. l[1].n .. tostring(l[2] == missing) .. l[3].n .. l[3].username");
    run_asked(&r);
    assert_string_equal(r.f->json, "[{\"region\":\"eu\",\"username\":\"b\"},{\"region\":\"eu\",\"username\":\"c\"},"
                                   "{\"region\":\"eu\",\"username\":\"a\"}]");
    reply(&r, answers, 3);
    run_ends(&r, OK, "31true2a");

    run_start(&r, *state,
              "local l, p = User.get_many{ { username = 'b' }, { username = 'c' } }\n"
              "return tostring(l) .. p.code .. p.path");
    problem_set(&answers[1].problem, LOADER_TIMEOUT, "workplace", "too slow");
    answers[1].status = LOADER_TIMEOUT;
    reply(&r, answers, 2);
    run_ends(&r, OK, "nilloader-timeoutworkplace");

    run_start(&r, *state, "local l, p = User.get_many{ { username = 'b' } }\n return tostring(l[1])");
    reply(&r, &(struct ask_answer){.status = MISSING}, 1);
    run_ends(&r, OK, "missing");

    run_start(&r, *state, "local l = User.get_many{}\n return #l");
    run_asked(&r);
    assert_string_equal(r.f->json, "[]");
    reply(&r, answers, 0);
    run_ends(&r, OK, "0");
}

static void test_misuse_of_get_many(void **state)
{
    struct fake *f = *state;
    raises(f, "User.get_many()", "User.get_many: takes a list of keys");
    raises(f, "User.get_many(User{ username = 'a' })", "User.get_many: takes a list of keys");
    raises(f, "User.get_many{ username = 'a' }", "User.get_many: takes a list of keys, without holes");
    raises(f, "User.get_many{ { username = 'a' }, nil, { username = 'b' } }", "without holes");
    raises(f, "User.get_many{ { username = 'a' }, { nosuch = 'b' } }", "`nosuch` is no key of `User`");
    raises(f, "local l = {}\n for i = 1, 1001 do l[i] = { username = 'a' } end\n User.get_many(l)",
           "User.get_many: 1001 records at once; 1000 are allowed");
}

/* --- save, delete ------------------------------------------------------------------------------------------------- */

static void test_save(void **state)
{
    struct run r;
    run_start(&r, *state,
              "local u = User{ username = 'a', n = 1 }\n u.email = null\n"
              "return tostring(u:save{ expires = '1m', cascade = true })");
    struct ask *a = run_asked(&r);
    assert_int_equal(a->what, ASK_SAVE);
    assert_string_equal(r.f->json, "{\"email\":null,\"n\":1,\"region\":\"eu\",\"username\":\"a\"}");
    assert_int_equal(a->expires_ms, 60000);
    assert_true(a->cascade);
    assert_null(a->if_match.p);
    reply_done(&r);
    run_ends(&r, OK, "true");

    run_start(&r, *state, "return tostring(User{ username = 'a' }:save{ if_match = '\"x\", \"y\"' })");
    a = run_asked(&r);
    assert_true(slice_eq(a->if_match, SLICE("\"x\", \"y\"")));
    assert_null(a->include.p);
    reply_done(&r);
    run_ends(&r, OK, "true");

    run_start(&r, *state,
              "local ok, p = User{ username = 'a', n = 'x' }:save()\n return tostring(ok) .. p.code .. p.path");
    a = run_asked(&r);
    assert_true(a->expires_ms == ASK_EXPIRES_UNSET);
    assert_false(a->cascade);
    reply_failure(&r, FIELD_TYPE, "n", "field `n` of model `User` takes an integer, not a string");
    run_ends(&r, OK, "nilfield-typen");
}

static void test_misuse_of_save(void **state)
{
    struct fake *f = *state;
    raises(f, "User{ username = 'a' }:save{ expires = 'soon' }", "User:save: option `expires` wants seconds");
    raises(f, "User{ username = 'a' }:save{ cascade = 1 }", "option `cascade` is true or false");
    raises(f, "User{ username = 'a' }:save{ if_match = 1 }", "option `if_match` wants an entity tag");
    raises(f, "User{ username = 'a' }:save{ expire = 1 }", "unknown option `expire` (did you mean `expires`?)");
    raises(f, "User{ username = 'a' }.save()", "call it with a colon: record:save()");
    raises(f, "local u = User{ username = 'a' }\n u.n = 0/0\n u:save()", "test.lua:6: User:save: `n`: NaN");
    raises(f, "local u = User{ username = 'a' }\n u.email = { { function() end } }\n u:save()",
           "User:save: `email[1][1]`: a function is no JSON value");
}

static void test_delete(void **state)
{
    struct run r;
    run_start(&r, *state, "return tostring(User{ username = 'a', n = 1 }:delete())");
    assert_int_equal(run_asked(&r)->what, ASK_DELETE);
    assert_string_equal(r.f->json, "{\"region\":\"eu\",\"username\":\"a\"}");
    reply_done(&r);
    run_ends(&r, OK, "true");

    run_start(&r, *state, "local ok, p = User.invalidate{ username = 'a' }\n return tostring(ok) .. tostring(p)");
    assert_int_equal(run_asked(&r)->what, ASK_DELETE);
    reply_failure(&r, STORE_UNAVAILABLE, NULL, "nothing is known to be deleted");
    run_ends(&r, OK, "nilstore-unavailable: nothing is known to be deleted");
}

/* --- methods ------------------------------------------------------------------------------------------------------ */

static void test_call(void **state)
{
    struct run r;
    run_start(&r, *state, "return Home{ address = 'a', zone = 'z' }:geocode{ precision = 7 }");
    struct ask *a = run_asked(&r);
    assert_int_equal(a->what, ASK_CALL);
    assert_true(slice_eq(a->model->name, SLICE("Home.geocode")));
    assert_string_equal(r.f->json, "{\"address\":\"a\",\"precision\":7}");
    reply_text(&r, "false");
    run_ends(&r, OK, "false");

    run_start(&r, *state, "return tostring(Home{ address = 'a' }:geocode() == null)");
    run_asked(&r);
    assert_string_equal(r.f->json, "{\"address\":\"a\"}");
    reply_text(&r, "null");
    run_ends(&r, OK, "true");

    run_start(&r, *state,
              "local v, p = Lookup{ name = 5 }:friends{ most = 1 }\n return tostring(v) .. p.code .. p.errors.name[1]");
    a = run_asked(&r);
    assert_true(slice_eq(a->model->name, SLICE("Lookup.friends")));
    assert_string_equal(r.f->json, "{\"most\":1,\"name\":5}");
    reply(&r,
          &(struct ask_answer){
              .status = FORM_INVALID, .problem.status = FORM_INVALID, .errors = SLICE("{\"name\":[\"Enter text.\"]}")},
          1);
    run_ends(&r, OK, "nilform-invalidEnter text.");
}

static void test_forget(void **state)
{
    struct run r;
    run_start(&r, *state, "return tostring(Home{ address = 'a' }:forget('geocode', { precision = 7 }))");
    struct ask *a = run_asked(&r);
    assert_int_equal(a->what, ASK_FORGET);
    assert_true(slice_eq(a->model->name, SLICE("Home.geocode")));
    assert_string_equal(r.f->json, "{\"address\":\"a\",\"precision\":7}");
    reply_done(&r);
    run_ends(&r, OK, "true");
}

static void test_misuse_of_methods(void **state)
{
    struct fake *f = *state;
    raises(f, "local h = Home{ address = 'a' }:geocde()", "test.lua:4: model `Home` has no key or field `geocde`");
    raises(f, "local h = Home{ address = 'a' }:geocode(5)",
           "test.lua:4: Home:geocode: the arguments are a table, not a number");
    raises(f, "local h = Home{ address = 'a' }:geocode{ address = 'b' }", "Home:geocode: `address` is no argument");
    raises(f, "local h = Home{ address = 'a' }:geocode{ precision = function() end }",
           "Home:geocode: `precision`: a function is no JSON value");
    raises(f, "local h = Home{ address = 'a' }:forget()", "Home:forget: takes the name of a method, and its arguments");
    raises(f, "local h = Home{ address = 'a' }:forget 'nosuch'", "test.lua:4:");
    raises(f, "local h = Home{ address = 'a' }.forget 'geocode'", "call it with a colon: record:forget(");
    raises(f, "local h = Lookup{ name = 'a' }:save()", "form `Lookup` has no input or method `save`");
}

/* --- the life of a question --------------------------------------------------------------------------------------- */

static void test_many_questions_of_one_handler(void **state)
{
    struct run r;
    run_start(&r, *state, "local n = 0\n for i = 1, 20 do n = n + User.get{ username = 'u' .. i }.n end\n return n");
    for (int i = 1; i <= 20; i++) {
        char text[64];
        run_asked(&r);
        snprintf(text, sizeof text, "[{\"region\":\"eu\",\"username\":\"u%d\"}]", i);
        assert_string_equal(r.f->json, text);
        snprintf(text, sizeof text, "{\"username\":\"u%d\",\"n\":%d}", i, i);
        reply_text(&r, text);
    }
    run_ends(&r, OK, "210");
}

static void test_trail(void **state)
{
    struct trail trail = {.n = 1, .load = {42}};
    struct run r;
    run_start(&r, *state, "return User.get{ username = 'a' }");
    assert_null(task_trail(r.task));
    task_set_trail(r.task, &trail);
    assert_ptr_equal(run_asked(&r)->trail, &trail);
    reply_failure(&r, MISSING, NULL, "");
    run_ends(&r, OK, "nil");
}

static void test_cancelled_handler_asks_no_more(void **state)
{
    struct run r;
    run_start(&r, *state, "User.get{ username = 'a' }");
    run_asked(&r);
    task_cancel(r.task);
    assert_int_equal(r.f->cancelled, 1);
    assert_int_equal(r.o.calls, 0);
    vm_retire(r.vm);
}

static void test_deadline_ends_the_wait(void **state)
{
    struct run r;
    run_start(&r, *state, "pcall(User.get, { username = 'a' })");
    task_cancel(r.task);
    world_start(r.vm, 30, no_arguments, &r.o);
    run_asked(&r);
    run_ends(&r, LOADER_TIMEOUT, "");
    assert_int_equal(r.f->cancelled, 1);
    assert_true(r.o.cut);
}

static void test_an_answer_too_large_for_lua(void **state)
{
    size_t n = 70u << 20;
    char *text = malloc(n + 1);
    memset(text, 'x', n);
    memcpy(text, "{\"username\":\"", 13);
    memcpy(text + n - 2, "\"}", 3);
    struct run r;
    run_start(&r, *state,
              "local ok, e = pcall(function() local u = User.get{ username = 'a' } end)\n"
              "return tostring(ok) .. tostring(e)");
    reply_text(&r, text);
    run_ends(&r, OK, "falsetest.lua:4: User.get: not enough memory");
    free(text);
}

/* At the end of its stack a handler cannot ask; a little way back from there it can. What was not asked leaks nothing. */
static void test_end_of_the_stack(void **state)
{
    struct run r;
    run_start(&r, *state,
              "local many, refused = {}, 0\n"
              "for i = 1, 100 do many[i] = i end\n"
              "local function deep()\n"
              "  local ok, user = pcall(deep, unpack(many))\n"
              "  if not ok then ok, user = pcall(User.get, { username = 'a' }) end\n"
              "  if not ok then refused = refused + 1 error(user, 0) end\n"
              "  return user\n"
              "end\n"
              "return deep().email .. tostring(refused > 1)");
    reply_text(&r, "{\"username\":\"a\",\"region\":\"eu\",\"email\":\"a@x\"}");
    run_ends(&r, OK, "a@xtrue");
}

static void test_where_nobody_can_be_asked(void **state)
{
    struct fake *f = *state;
    script_host_set_gateway(f->w->host, NULL);
    raises(f, "User.get{ username = 'a' }", "test.lua:4: User.get: there is nobody to ask");
    script_host_set_gateway(f->w->host, &f->gateway);

    char findings[1024];
    assert_null(world_load(f->w, "model 'User' { id = key() }\nUser.get{ id = 'a' }", findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:2: model `User` is used inside handlers, not while files are loaded"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_options_of_get),
        TEST(test_problem),
        TEST(test_raised_problem),
        TEST(test_misuse_of_get),
        TEST(test_judged_by_the_gateway),
        TEST(test_get_by_record),
        TEST(test_get_many),
        TEST(test_misuse_of_get_many),
        TEST(test_save),
        TEST(test_misuse_of_save),
        TEST(test_delete),
        TEST(test_call),
        TEST(test_forget),
        TEST(test_misuse_of_methods),
        TEST(test_many_questions_of_one_handler),
        TEST(test_trail),
        TEST(test_cancelled_handler_asks_no_more),
        TEST(test_deadline_ends_the_wait),
        TEST(test_an_answer_too_large_for_lua),
        TEST(test_end_of_the_stack),
        TEST(test_where_nobody_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
