/* Calls: from a query, a form or JSON to the key of a result, or to all that is wrong. Records stand in a memory store; `clean` is the
 * test's own. */
#include "base/clock.h"
#include "serve/call.h"
#include "serve/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(words)                                                                                                    \
    {                                                                                                                  \
        words, sizeof words - 1                                                                                        \
    }
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* -- a small world: homes that can be geocoded, and a form -- */

enum { HOME, GEOCODE, WEATHER, LOOKUP, FRIENDS, MODELS };

static struct field of_home[] = {
    {.name = TEXT("address"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = TEXT("region"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true, .default_json = TEXT("\"eu\"")},
    {.name = TEXT("city"), .kind = FIELD_VALUE, .type = TYPE_STRING},
    {.name = TEXT("more"), .kind = FIELD_VALUE, .type = TYPE_ANY},
    {.name = TEXT("big"), .kind = FIELD_VALUE, .type = TYPE_INTEGER},
};
static struct field of_geocode[] = {
    {.name = TEXT("address"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = TEXT("region"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = TEXT("precision"), .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER, .default_json = TEXT("5")},
    {.name = TEXT("label"), .kind = FIELD_ARGUMENT, .type = TYPE_ANY},
};
static struct field of_weather[] = {
    {.name = TEXT("city"), .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = TEXT("more"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("big"), .kind = FIELD_KEY, .type = TYPE_INTEGER},
    {.name = TEXT("day"), .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true},
};
static struct field of_lookup[] = {
    {.name = TEXT("username"), .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true, .cleaned = true},
    {.name = TEXT("age"), .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER},
    {.name = TEXT("height"), .kind = FIELD_ARGUMENT, .type = TYPE_NUMBER},
    {.name = TEXT("active"), .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN, .default_json = TEXT("true")},
    {.name = TEXT("nick"), .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .cleaned = true},
};
static struct field of_friends[] = {
    {.name = TEXT("username"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("age"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("height"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("active"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("nick"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("pending"), .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN, .default_json = TEXT("false")},
    {.name = TEXT("page"), .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER, .required = true},
};
static struct model model[MODELS] = {
    [HOME] = {.name = TEXT("Home"), .kind = MODEL_RECORD, .field = of_home, .fields = COUNT(of_home)},
    [GEOCODE] = {.name = TEXT("Home.geocode"),
                 .kind = MODEL_METHOD,
                 .owner = &model[HOME],
                 .field = of_geocode,
                 .fields = COUNT(of_geocode)},
    [WEATHER] = {.name = TEXT("Home.weather"),
                 .kind = MODEL_METHOD,
                 .owner = &model[HOME],
                 .field = of_weather,
                 .fields = COUNT(of_weather)},
    [LOOKUP] = {.name = TEXT("Lookup"), .kind = MODEL_FORM, .field = of_lookup, .fields = COUNT(of_lookup)},
    [FRIENDS] = {.name = TEXT("Lookup.friends"),
                 .kind = MODEL_FORM_METHOD,
                 .owner = &model[LOOKUP],
                 .field = of_friends,
                 .fields = COUNT(of_friends)},
};

static struct world {
    struct arena arena;
    uv_loop_t loop;
    struct memory *memory;
    struct metrics *metrics;
    struct flights *flights;
    struct served served[MODELS], *list[MODELS];
    struct generation generation;
    struct serve serve;
} w;

static int set_up(void **state)
{
    memset(&w, 0, sizeof w);
    arena_init(&w.arena);
    uv_loop_init(&w.loop);
    w.metrics = metrics_new();
    w.memory = memory_new(1 << 20);
    w.flights = flights_new();
    w.serve = (struct serve){.store = store_new(w.memory, NULL, w.metrics),
                             .store_detail = "memory",
                             .flights = flight_port_open(w.flights, &w.loop),
                             .metrics = w.metrics};
    w.generation.served = w.list;
    for (unsigned i = 0; i < MODELS; i++) {
        model[i].index = i;
        model_finish(&model[i], SLICE("t"), &w.arena);
        w.served[i] = (struct served){.model = &model[i], .generation = &w.generation};
        w.list[i] = &w.served[i];
    }
    return 0;
}

static int tear_down(void **state)
{
    flight_port_close(w.serve.flights);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    flights_free(w.flights);
    store_free(w.serve.store);
    memory_free(w.memory);
    metrics_free(w.metrics);
    arena_deinit(&w.arena);
    return 0;
}

/* -- cleaning, by the test -- */

static struct clean {
    bool running;
    unsigned started, cancelled;
    struct slice json[MODEL_KEYS_MAX];
    clean_done *done;
    void *owner;
} cleaning;

bool clean_needed(const struct model *form) { return true; }

struct clean *clean_start(struct vm *vm, const struct model *form, const struct slice *json, const struct trail *trail,
                          clean_done *done, void *owner)
{
    assert_ptr_equal(form, &model[LOOKUP]);
    assert_int_equal(trail->request, 7);
    cleaning.running = true;
    cleaning.started++;
    memcpy(cleaning.json, json, form->keys * sizeof *json);
    cleaning.done = done;
    cleaning.owner = owner;
    return &cleaning;
}

void clean_cancel(struct clean *c)
{
    assert_true(c->running);
    c->running = false;
    c->cancelled++;
}

static size_t at(const char *input)
{
    return model_key_position(&model[LOOKUP], model_field(&model[LOOKUP], slice_of(input)));
}

/* `username` becomes this, everything else is as it was. */
static void cleaned(const char *username, const char *refused)
{
    struct slice json[MODEL_KEYS_MAX], why[MODEL_KEYS_MAX] = {{NULL, 0}};
    memcpy(json, cleaning.json, sizeof json);
    json[at("username")] = slice_of(username);
    why[at("username")] = slice_of(refused);
    cleaning.running = false;
    cleaning.done(cleaning.owner, &(struct clean_result){.status = OK, .json = json, .refused = why});
}

/* -- calls -- */

static struct call call;
static enum status status;

static void on_done(struct call *c, enum status st)
{
    assert_ptr_equal(c, &call);
    status = st;
}

static const struct trail client = {.request = 7};

static enum status start(int method, struct call with)
{
    call_finish(&call);
    call = with;
    call.serve = &w.serve;
    call.served = &w.served[method];
    call.arena = &w.arena;
    call.trail = &client;
    call.demand = &demand_nothing;
    call.done = on_done;
    return status = call_start(&call);
}

static enum status query(int method, const char *text) { return start(method, (struct call){.query = slice_of(text)}); }

static enum status json(int method, const char *text) { return start(method, (struct call){.json = slice_of(text)}); }

static enum status form(int method, const char *text) { return start(method, (struct call){.form = slice_of(text)}); }

static void assert_slice(struct slice s, const char *wanted)
{
    if (s.n != strlen(wanted) || memcmp(s.p, wanted, s.n) != 0) fail_msg("%.*s is not %s", SLICE_ARG(s), wanted);
}

static void assert_pairs(const char *wanted)
{
    assert_int_equal(status, OK);
    assert_slice(call.key.pairs, wanted);
}

static void assert_problem(enum status wanted, const char *path)
{
    assert_int_equal(status, wanted);
    assert_int_equal(call.problem.status, wanted);
    assert_string_equal(call.problem.path, path);
}

static void query_form_and_json_mean_the_same(void **state)
{
    query(GEOCODE, "address=Main+St%2E+1&precision=7&label=42");
    assert_pairs("address=Main%20St.%201&label=42&precision=7&region=eu");
    form(GEOCODE, "precision=7&label=42&address=Main%20St.+1");
    assert_pairs("address=Main%20St.%201&label=42&precision=7&region=eu");
    json(GEOCODE, "{\"label\": 42, \"address\" : \"Main St. 1\", \"precision\": 7}");
    assert_pairs("address=Main%20St.%201&label=42&precision=7&region=eu");
    start(GEOCODE,
          (struct call){.query = SLICE("address=Main+St.+1"), .json = SLICE("{\"precision\":7,\"label\":42}")});
    assert_pairs("address=Main%20St.%201&label=42&precision=7&region=eu");
    start(GEOCODE,
          (struct call){.query = SLICE("address=Main+St.+1&precision=7"), .form = SLICE("precision=7&label=42")});
    assert_pairs("address=Main%20St.%201&label=42&precision=7&region=eu");
}

static void defaults_are_applied_before_the_key_is_made(void **state)
{
    query(GEOCODE, "address=a");
    assert_pairs("address=a&precision=5&region=eu");
    query(GEOCODE, "address=a&precision=5&region=eu");
    assert_pairs("address=a&precision=5&region=eu");
    json(GEOCODE, "{\"address\":\"a\",\"precision\":null,\"label\":null}");
    assert_pairs("address=a&precision=5&region=eu");
}

static void types_are_kept_apart(void **state)
{
    json(GEOCODE, "{\"address\":\"a\",\"label\":\"5\"}");
    assert_pairs("address=a&label=%225%22&precision=5&region=eu");
    json(GEOCODE, "{\"address\":\"a\",\"label\":5}");
    assert_pairs("address=a&label=5&precision=5&region=eu");
    json(GEOCODE, "{\"address\":\"a\",\"label\":\"\"}");
    assert_pairs("address=a&label=%22%22&precision=5&region=eu");
}

static void what_is_wrong_is_told_by_name(void **state)
{
    query(GEOCODE, "");
    assert_problem(KEY_REQUIRED, "address");
    query(WEATHER, "city=x");
    assert_problem(KEY_REQUIRED, "day");
    query(GEOCODE, "address=a&precision=x");
    assert_problem(KEY_TYPE, "precision");
    json(GEOCODE, "{\"address\":\"a\",\"precision\":\"5\"}");
    assert_problem(KEY_TYPE, "precision");
    json(GEOCODE, "{\"address\":null}");
    assert_problem(KEY_TYPE, "address");
    query(GEOCODE, "address=a&precison=5");
    assert_problem(UNKNOWN_KEY, "precison");
    assert_non_null(strstr(call.problem.detail, "precision"));
    json(GEOCODE, "{\"address\":\"a\",\"city\":\"b\"}"); /* a field of the model, and not among `on` */
    assert_problem(UNKNOWN_KEY, "city");
    query(FRIENDS, "username=b&page=x");
    assert_problem(KEY_TYPE, "page");
    query(FRIENDS, "username=b");
    assert_problem(KEY_REQUIRED, "page");
    query(FRIENDS, "usrname=b&page=1");
    assert_problem(UNKNOWN_KEY, "usrname");
}

static void what_is_malformed_is_refused(void **state)
{
    static const char *const bad[] = {"address=a&address=a", "address", "address=a&",        "&", "=", "address=%zz",
                                      "address=%ff",         "_x=1",    "address=a&_depth=1"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        enum status wanted = strcmp(bad[i], "=") == 0 ? UNKNOWN_KEY : MALFORMED_REQUEST;
        assert_int_equal(query(GEOCODE, bad[i]), wanted);
        assert_int_equal(form(GEOCODE, bad[i]), wanted);
    }
    assert_int_equal(json(GEOCODE, "{\"address\":"), MALFORMED_JSON);
    assert_int_equal(json(GEOCODE, "[]"), MALFORMED_REQUEST);
    struct buffer many;
    buffer_init(&many, 1000);
    for (int i = 0; i < 65; i++) buffer_printf(&many, "%saddress%d=", i ? "&" : "", i);
    assert_int_equal(form(GEOCODE, arena_dup(&w.arena, buffer_view(&many)).p), UNKNOWN_KEY);
    buffer_deinit(&many);
}

static void query_and_body_may_not_disagree(void **state)
{
    start(GEOCODE, (struct call){.query = SLICE("address=a"), .json = SLICE("{\"address\":\"b\"}")});
    assert_problem(KEY_CONFLICT, "address");
    start(GEOCODE, (struct call){.query = SLICE("address=a"), .form = SLICE("address=b")});
    assert_problem(KEY_CONFLICT, "address");
    start(FRIENDS, (struct call){.query = SLICE("username=a&page=1"), .form = SLICE("username=b")});
    assert_problem(KEY_CONFLICT, "username");
    start(WEATHER, (struct call){.query = SLICE("address=a&city=x&day=d"), .form = SLICE("address=b")});
    assert_problem(KEY_CONFLICT, "address"); /* a key of the record */
}

/* -- attributes of the record -- */

static void store(const char *pairs, const char *text)
{
    struct slice key = arena_printf(&w.arena, "%.*s%s", SLICE_ARG(model[HOME].key_prefix), pairs);
    struct envelope e = {.kind = ENVELOPE_RECORD,
                         .stored_ms = clock_wall_ms(),
                         .fresh_until_ms = CLOCK_NEVER,
                         .stale_until_ms = CLOCK_NEVER,
                         .text = slice_of(text)};
    struct store_op op = {0};
    struct blob *blob = seal_make(&w.serve, &e, NULL, 0, &(struct seal_notes){.load_us = 0}, key);
    assert_int_equal(store_put(w.serve.store, key, blob, CLOCK_NEVER, clock_wall_ms(), &op), OK);
    blob_unref(blob);
}

static void attributes_come_from_the_record(void **state)
{
    store("address=a&region=eu", "{\"address\":\"a\",\"region\":\"eu\",\"city\":\"Oslo\",\"more\":null}");
    query(WEATHER, "address=a&day=d");
    assert_pairs("city=Oslo&day=d");
    query(WEATHER, "address=a&day=d&more=7"); /* one that is given beats the record's */
    assert_pairs("city=Oslo&day=d&more=7");
    json(WEATHER, "{\"address\":\"a\",\"day\":\"d\",\"city\":null}"); /* and so does null */
    assert_pairs("day=d");
    call_finish(&call);
    assert_slice(call.key.json[model_key_position(&model[WEATHER], &of_weather[3])], "\"d\"");
}

static void a_record_that_is_not_needed_is_not_read(void **state)
{
    query(WEATHER, "day=d&city=Rome&more=1&big=2");
    assert_pairs("big=2&city=Rome&day=d&more=1");
    json(WEATHER, "{\"day\":\"d\",\"city\":\"Rome\",\"more\":null,\"big\":null}");
    assert_pairs("city=Rome&day=d");
}

static void the_key_outlives_the_record(void **state)
{
    store("address=a&region=eu", "{\"address\":\"a\",\"region\":\"eu\",\"city\":\"Oslo\",\"more\":true,\"big\":12}");
    query(WEATHER, "address=a&day=d");
    struct store_op op = {0};
    struct slice key = arena_printf(&w.arena, "%.*s%s", SLICE_ARG(model[HOME].key_prefix), "address=a&region=eu");
    call_finish(&call);
    store_delete(w.serve.store, key, clock_wall_ms(), &op);
    assert_slice(call.key.json[0], "12"); /* the record's text is gone, and the sanitizer watches */
    assert_slice(call.key.json[1], "\"Oslo\"");
    assert_pairs("big=12&city=Oslo&day=d&more=true");
}

static void a_missing_record_is_told(void **state)
{
    query(WEATHER, "address=nowhere&day=d");
    assert_problem(MISSING, "");
    assert_non_null(strstr(call.problem.detail, "Home"));
    query(WEATHER, "day=d");
    assert_problem(KEY_REQUIRED, "address");
}

static void what_no_key_can_hold_is_refused(void **state)
{
    store("address=a&region=eu", "{\"address\":\"a\",\"region\":\"eu\",\"more\":{\"x\":1}}");
    query(WEATHER, "address=a&day=d");
    assert_problem(FIELD_TYPE, "more");
    store("address=b&region=eu", "{\"address\":\"b\",\"region\":\"eu\",\"big\":123456789012345678901234567890}");
    query(WEATHER, "address=b&day=d");
    assert_problem(FIELD_TYPE, "big");
}

/* -- forms -- */

static void inputs_are_cleaned_and_the_result_is_kept_by_that(void **state)
{
    cleaning.started = 0;
    assert_int_equal(form(FRIENDS, "username=BOB&age=7&nick=&page=1"), PENDING);
    assert_slice(cleaning.json[at("username")], "\"BOB\"");
    assert_slice(cleaning.json[at("age")], "7");
    assert_slice(cleaning.json[at("active")], "true");
    assert_slice(cleaning.json[at("nick")], "\"\"");
    assert_null(cleaning.json[at("height")].p);
    cleaned("\"bob\"", NULL);
    assert_pairs("active=true&age=7&nick=%22%22&page=1&pending=false&username=%22bob%22");
    json(FRIENDS, "{\"username\":\"Bob\",\"age\":7,\"nick\":\"\",\"page\":1,\"pending\":false}");
    cleaned("\"bob\"", NULL);
    assert_pairs("active=true&age=7&nick=%22%22&page=1&pending=false&username=%22bob%22");
    assert_int_equal(cleaning.started, 2);
}

static void cleaned_data_are_any_json(void **state)
{
    query(FRIENDS, "username=x&page=1");
    cleaned("[1,{\"a\":null}]", NULL);
    assert_pairs("active=true&page=1&pending=false&username=%5B1%2C%7B%22a%22%3Anull%7D%5D");
    query(FRIENDS, "username=x&page=1");
    cleaned(NULL, NULL); /* nil */
    assert_pairs("active=true&page=1&pending=false");
    query(FRIENDS, "username=x&page=1");
    cleaned("null", NULL);
    assert_pairs("active=true&page=1&pending=false");
}

static void numbers_that_are_not_cleaned_keep_every_digit(void **state)
{
    query(FRIENDS, "username=x&age=9007199254740993&page=1");
    cleaning.json[at("age")] = SLICE("9007199254740992"); /* what a double makes of it */
    cleaned("\"x\"", NULL);
    assert_pairs("active=true&age=9007199254740993&page=1&pending=false&username=%22x%22");
}

static void all_faults_are_told_at_once(void **state)
{
    query(FRIENDS, "username=bad&age=old&height=tall&active=maybe&page=1");
    assert_int_equal(status, PENDING); /* the name can still be judged */
    assert_null(cleaning.json[at("age")].p);
    cleaned(NULL, "say \"please\"");
    assert_problem(FORM_INVALID, "");
    assert_slice(call.errors, "{\"username\":[\"say \\\"please\\\"\"],\"age\":[\"Enter a whole number.\"],"
                              "\"height\":[\"Enter a number.\"],\"active\":[\"Enter true or false.\"]}");
    json(FRIENDS, "{\"username\":5,\"age\":1.5,\"page\":1}");
    assert_problem(FORM_INVALID, "");
    assert_slice(call.errors, "{\"username\":[\"Enter text.\"],\"age\":[\"Enter a whole number.\"]}");
}

static void faults_of_a_body_count_as_those_of_a_query(void **state)
{
    form(FRIENDS, "username=b&age=old&page=1");
    cleaned("\"b\"", NULL);
    assert_problem(FORM_INVALID, "");
    assert_slice(call.errors, "{\"age\":[\"Enter a whole number.\"]}");
}

static void a_required_input_that_is_empty_is_absent(void **state)
{
    static const char *const bodies[] = {"{\"page\":1}", "{\"page\":1,\"username\":null}",
                                         "{\"page\":1,\"username\":\"\"}"};
    unsigned before = cleaning.started;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        json(FRIENDS, bodies[i]);
        assert_problem(FORM_INVALID, "");
        assert_slice(call.errors, "{\"username\":[\"This field is required.\"]}");
    }
    form(FRIENDS, "page=1&username=&age=&height="); /* as browsers send what nobody filled in */
    assert_problem(FORM_INVALID, "");
    assert_slice(call.errors, "{\"username\":[\"This field is required.\"]}");
    assert_int_equal(cleaning.started, before); /* there was nothing to clean */
}

static void long_messages_are_cut_at_a_character(void **state)
{
    char message[2002];
    for (size_t i = 0; i < 2000; i += 2) memcpy(message + i + 1, "\xC3\xA9", 3);
    message[0] = 'x';
    query(FRIENDS, "username=b&page=1");
    cleaned(NULL, message);
    assert_problem(FORM_INVALID, "");
    assert_int_equal(call.errors.n, strlen("{\"username\":[\"\"]}") + 999);
    assert_true(slice_is_utf8(call.errors));
}

static void a_failing_clean_ends_the_call(void **state)
{
    query(FRIENDS, "username=b&age=x&page=1");
    struct clean_result failed = {.status = LOADER_ERROR, .log = SLICE("models.lua:1: oh")};
    problem_set(&failed.problem, LOADER_ERROR, NULL, "a handler failed");
    cleaning.running = false;
    cleaning.done(cleaning.owner, &failed);
    assert_problem(LOADER_ERROR, "");
    assert_null(call.errors.p);
}

static void a_call_that_is_left_is_cancelled(void **state)
{
    cleaning.cancelled = 0;
    assert_int_equal(query(FRIENDS, "username=b&page=1"), PENDING);
    call_finish(&call);
    assert_int_equal(cleaning.cancelled, 1);
    call_finish(&call);
    assert_int_equal(cleaning.cancelled, 1);
}

static int after(void **state)
{
    call_finish(&call);
    call = (struct call){0};
    return tear_down(state);
}

#define CALLED(test) cmocka_unit_test_setup_teardown(test, set_up, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLED(query_form_and_json_mean_the_same),
        CALLED(defaults_are_applied_before_the_key_is_made),
        CALLED(types_are_kept_apart),
        CALLED(what_is_wrong_is_told_by_name),
        CALLED(what_is_malformed_is_refused),
        CALLED(query_and_body_may_not_disagree),
        CALLED(attributes_come_from_the_record),
        CALLED(a_record_that_is_not_needed_is_not_read),
        CALLED(the_key_outlives_the_record),
        CALLED(a_missing_record_is_told),
        CALLED(what_no_key_can_hold_is_refused),
        CALLED(inputs_are_cleaned_and_the_result_is_kept_by_that),
        CALLED(cleaned_data_are_any_json),
        CALLED(numbers_that_are_not_cleaned_keep_every_digit),
        CALLED(all_faults_are_told_at_once),
        CALLED(faults_of_a_body_count_as_those_of_a_query),
        CALLED(a_required_input_that_is_empty_is_absent),
        CALLED(long_messages_are_cut_at_a_character),
        CALLED(a_failing_clean_ends_the_call),
        CALLED(a_call_that_is_left_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
