/* Models described: the exact texts of a small one, and that whatever is written is one JSON value with no name twice. */
#include "model/json.h"
#include "serve/lists.h"
#include "serve/openapi.h"
#include "serve/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct field key_of_user = {
    .name = {"username", 8}, .prefix = {"\"username\":", 11}, .kind = FIELD_KEY, .type = TYPE_STRING};
static const struct model user = {.name = {"User", 4}, .field = &key_of_user, .fields = 1}; /* whom others refer to */
static struct registry registry;
static struct buffer text;

static struct model *declare(const char *name, const struct field *fields, size_t n, int handler)
{
    struct model *m = registry_model_new(&registry);
    m->name = slice_of(name);
    m->handler = handler;
    m->loads = handler >= 0;
    m->fields = n;
    m->field = arena_alloc(&registry.arena, n * sizeof *fields);
    memcpy(m->field, fields, n * sizeof *fields);
    model_finish(m, SLICE("perigee"), &registry.arena);
    assert_true(registry_add(&registry, m));
    return m;
}

static int set_up(void **state)
{
    registry_init(&registry);
    buffer_init(&text, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buffer_deinit(&text);
    registry_deinit(&registry);
    return 0;
}

#define TEXT(words)                                                                                                    \
    {                                                                                                                  \
        words, sizeof words - 1                                                                                        \
    }

static const struct field of_user[] = {
    {.name = TEXT("username"), .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = TEXT("region"), .kind = FIELD_KEY, .type = TYPE_STRING, .default_json = TEXT("\"eu\"")},
    {.name = TEXT("email"), .kind = FIELD_VALUE, .type = TYPE_STRING, .required = true},
    {.name = TEXT("age"), .kind = FIELD_VALUE, .type = TYPE_INTEGER, .required = true, .default_json = TEXT("18")},
    {.name = TEXT("more"), .kind = FIELD_VALUE, .type = TYPE_ANY},
};
#define OF_USER of_user, sizeof of_user / sizeof *of_user

/* One of everything that can be declared; the quotes in the defaults must come out as they went in. */
static const struct field of_all[] = {
    {.name = TEXT("k_any"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("k_integer"), .kind = FIELD_KEY, .type = TYPE_INTEGER, .default_json = TEXT("9223372036854775807")},
    {.name = TEXT("k_number"), .kind = FIELD_KEY, .type = TYPE_NUMBER},
    {.name = TEXT("k_boolean"), .kind = FIELD_KEY, .type = TYPE_BOOLEAN},
    {.name = TEXT("any"), .kind = FIELD_VALUE, .type = TYPE_ANY, .required = true},
    {.name = TEXT("string"),
     .kind = FIELD_VALUE,
     .type = TYPE_STRING,
     .default_json = TEXT("\"it's \\\"so\\\" 100%s\"")},
    {.name = TEXT("integer"), .kind = FIELD_VALUE, .type = TYPE_INTEGER, .default_json = TEXT("null")},
    {.name = TEXT("number"), .kind = FIELD_VALUE, .type = TYPE_NUMBER, .default_json = TEXT("1.10")},
    {.name = TEXT("boolean"), .kind = FIELD_VALUE, .type = TYPE_BOOLEAN},
    {.name = TEXT("array"), .kind = FIELD_VALUE, .type = TYPE_ARRAY, .required = true},
    {.name = TEXT("object"), .kind = FIELD_VALUE, .type = TYPE_OBJECT},
    {.name = TEXT("prefs"), .kind = FIELD_PACKED},
    {.name = TEXT("friend"), .kind = FIELD_REFERENCE, .target = &user},
    {.name = TEXT("boss"), .kind = FIELD_REFERENCE, .target = &user, .required = true, .missing = EDGE_NULL},
    {.name = TEXT("friends"), .kind = FIELD_REFERENCES, .target = &user, .missing = EDGE_SKIP, .max = 200},
};
#define OF_ALL of_all, sizeof of_all / sizeof *of_all

static struct slice written(void)
{
    assert_false(text.overflow);
    return buffer_view(&text);
}

static bool says(const char *words) { return memmem(text.p, text.n, words, strlen(words)) != NULL; }

#define assert_text(s, wanted)                                                                                         \
    do {                                                                                                               \
        struct slice got_ = s;                                                                                         \
        assert_int_equal(got_.n, strlen(wanted));                                                                      \
        assert_memory_equal(got_.p, wanted, got_.n);                                                                   \
    } while (0)

static void a_schema_has_types_defaults_and_what_must_be_there(void **state)
{
    schema_put_record(&text, declare("User", OF_USER, 0), SCHEMA_ALONE);
    assert_text(
        written(),
        "\"title\":\"User\",\"description\":\"A record of model User. Numbers stand as they were saved, every digit of "
        "them: read them with a parser that keeps long ones.\",\"type\":\"object\",\"properties\":{"
        "\"username\":{\"description\":\"Key: a string.\",\"type\":\"string\"},"
        "\"region\":{\"description\":\"Key: a string; its default is taken when it is left out.\",\"type\":\"string\","
        "\"default\":\"eu\"},"
        "\"email\":{\"description\":\"Field: a string; required.\",\"type\":\"string\"},"
        "\"age\":{\"description\":\"Field: an integer of any length; required; its default is taken when it is left "
        "out.\",\"type\":\"integer\",\"default\":18},"
        "\"more\":{\"description\":\"Field: any JSON value.\"}},"
        "\"required\":[\"username\",\"region\",\"email\",\"age\"],\"additionalProperties\":false,"
        "\"examples\":[{\"username\":\"text\",\"region\":\"eu\",\"email\":\"text\",\"age\":18,\"more\":\"text\"}]");
}

static void what_is_saved_may_lack_keys_and_defaults(void **state)
{
    schema_put_record(&text, declare("User", OF_USER, 0), SCHEMA_SAVE);
    written();
    assert_true(says("\"required\":[\"email\"],"));
}

static void the_list_has_keys_fields_loader_and_links(void **state)
{
    declare("User", OF_USER, 7);
    declare("Note", of_user, 1, -1);
    lists_put_models(&text, &registry);
    assert_text(
        written(),
        "{\"models\":[{\"name\":\"User\",\"keys\":[{\"name\":\"username\",\"type\":\"string\",\"required\":true},"
        "{\"name\":\"region\",\"type\":\"string\",\"required\":false,\"default\":\"eu\"}],"
        "\"fields\":[{\"name\":\"email\",\"type\":\"string\",\"required\":true},"
        "{\"name\":\"age\",\"type\":\"integer\",\"required\":true,\"default\":18},"
        "{\"name\":\"more\",\"type\":\"any\",\"required\":false}],\"methods\":[],\"loader\":true,"
        "\"links\":{\"record\":\"/models/User{?username,region}\",\"schema\":\"/models/User/_schema\","
        "\"bulk\":\"/models/User/_bulk\",\"touch\":\"/models/User/_touch\",\"invalidate\":\"/models/User/_invalidate\","
        "\"refresh\":\"/models/User/_refresh\"}},"
        "{\"name\":\"Note\",\"keys\":[{\"name\":\"username\",\"type\":\"string\",\"required\":true}],"
        "\"fields\":[],\"methods\":[],\"loader\":false,"
        "\"links\":{\"record\":\"/models/Note{?username}\",\"schema\":\"/models/Note/_schema\","
        "\"bulk\":\"/models/Note/_bulk\",\"touch\":\"/models/Note/_touch\",\"invalidate\":\"/models/Note/"
        "_invalidate\"}}],"
        "\"links\":{\"self\":\"/models\",\"forms\":\"/forms\",\"openapi\":\"/openapi.json\"}}");
}

static void each_type_has_its_schema(void **state)
{
    buffer_char(&text, '{');
    schema_put_record(&text, declare("All", OF_ALL, -1), SCHEMA_ALONE);
    written();
    assert_true(says("\"anyOf\":[{\"type\":\"string\"},{\"type\":\"number\"},{\"type\":\"boolean\"}]"));
    assert_true(says("\"type\":\"integer\",\"format\":\"int64\",\"default\":9223372036854775807}"));
    assert_true(says("\"any\":{\"description\":\"Field: any JSON value; required.\",\"not\":{\"type\":\"null\"}}"));
    assert_true(says("\"type\":[\"string\",\"null\"],\"default\":\"it's \\\"so\\\" 100%s\"}"));
    assert_true(says("\"type\":[\"integer\",\"null\"],\"default\":null}")); /* of any length: no format */
    assert_true(says("\"type\":[\"number\",\"null\"],\"default\":1.10}"));
    assert_true(says("\"type\":[\"boolean\",\"null\"]}"));
    assert_true(says("\"type\":\"array\",\"items\":{}}"));
    assert_true(says("\"type\":[\"object\",\"null\"]}"));
    assert_false(says("\"examples\"")); /* its boss would have to be shown, and the boss's */
}

#define STUB                                                                                                           \
    "\"type\":\"object\",\"properties\":{\"username\":{\"description\":\"Key: a "                                      \
    "string.\",\"type\":\"string\"},\"$ref\":{"                                                                        \
    "\"description\":\"Where it is read"

static void what_is_packed_is_only_read(void **state)
{
    const struct model *all = declare("All", OF_ALL, -1);
    schema_put_record(&text, all, SCHEMA_ALONE);
    written();
    assert_true(says("\"prefs\":{\"description\":\"Field: a value that only handlers can set, or null.\","
                     "\"readOnly\":true,\"type\":[\"object\",\"null\"],\"properties\":{\"$packed\":{"));
    buffer_reset(&text);
    schema_put_record(&text, all, SCHEMA_SAVE);
    assert_false(says("prefs"));
}

static void a_reference_is_read_as_a_document_a_stub_or_null(void **state)
{
    const struct model *all = declare("All", OF_ALL, -1);
    schema_put_record(&text, all, SCHEMA_ALONE);
    written();
    assert_true(says("\"friend\":{\"description\":\"Field: a record of model User, or null.\",\"oneOf\":[{\"$ref\":"
                     "\"/models/User/_schema\"},{" STUB ".\",\"type\":\"string\",\"format\":\"uri-reference\"}},"
                     "\"required\":[\"username\",\"$ref\"],\"additionalProperties\":false},{\"type\":\"null\"}]}"));
    assert_true(says(
        "\"boss\":{\"description\":\"Field: a record of model User; required, or null.\",")); /* when he has gone */
    assert_true(
        says("\"friends\":{\"description\":\"Field: records of model User, or null.\",\"type\":[\"array\",\"null\"],"
             "\"maxItems\":200,\"items\":{\"oneOf\":[{\"$ref\":\"/models/User/_schema\"},{"));
    buffer_reset(&text);
    schema_put_record(&text, all, SCHEMA_COMPONENT);
    assert_true(says("\"oneOf\":[{\"$ref\":\"#/components/schemas/User\"},{"));
    assert_false(says("/_schema"));
}

static void a_reference_is_saved_by_its_keys(void **state)
{
    schema_put_record(&text, declare("All", OF_ALL, -1), SCHEMA_SAVE);
    written();
    assert_true(
        says("\"boss\":{\"description\":\"Field: a record of model User; required, or null.\"," STUB
             "; may be left out.\",\"type\":\"string\",\"format\":\"uri-reference\"}},\"required\":[\"username\"]}"));
    assert_true(says("\"boss\":{\"username\":\"text\"},\"friends\":[{\"username\":\"text\"}]}]"));
}

/* -- methods and forms -- */

static struct model *declare_as(enum model_kind kind, const struct model *owner, const char *name,
                                const struct field *fields, size_t n)
{
    struct model *m = declare(name, fields, n, 7);
    m->kind = kind;
    m->owner = owner;
    return m;
}

#define COUNT(fields) (sizeof(fields) / sizeof *(fields))

static const struct field of_home[] = {
    {.name = TEXT("address"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = TEXT("floor"), .kind = FIELD_KEY, .type = TYPE_INTEGER, .required = true},
    {.name = TEXT("city"), .kind = FIELD_VALUE, .type = TYPE_STRING},
};
static const struct field of_geocode[] = {
    {.name = TEXT("address"), .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = TEXT("precision"), .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER, .default_json = TEXT("5")},
};
static const struct field of_weather[] = {
    {.name = TEXT("city"), .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = TEXT("day"), .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true},
};
static const struct field of_lookup[] = {
    {.name = TEXT("username"), .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true, .cleaned = true},
    {.name = TEXT("age"), .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER},
};
static const struct field of_friends[] = {
    {.name = TEXT("username"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("age"), .kind = FIELD_KEY, .type = TYPE_ANY},
    {.name = TEXT("pending"), .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN, .default_json = TEXT("false")},
};

static void declare_callable(void)
{
    const struct model *home = declare("Home", of_home, COUNT(of_home), -1);
    declare_as(MODEL_METHOD, home, "Home.geocode", of_geocode, COUNT(of_geocode));
    declare_as(MODEL_METHOD, home, "Home.weather", of_weather, COUNT(of_weather));
    const struct model *lookup = declare_as(MODEL_FORM, NULL, "Lookup", of_lookup, COUNT(of_lookup));
    declare_as(MODEL_FORM_METHOD, lookup, "Lookup.friends", of_friends, COUNT(of_friends));
}

static void methods_are_listed_with_their_models(void **state)
{
    declare_callable();
    lists_put_models(&text, &registry);
    written();
    assert_true(says("\"methods\":[{\"name\":\"geocode\",\"attributes\":[{\"name\":\"address\",\"type\":\"string\","
                     "\"required\":true}],"
                     "\"arguments\":[{\"name\":\"precision\",\"type\":\"integer\",\"required\":false,\"default\":5}],"
                     "\"links\":{\"call\":\"/models/Home/geocode{?address,precision}\"}},{\"name\":\"weather\","));
    assert_true(says("\"/models/Home/weather{?city,day,address,floor}\""));
    assert_false(says("Lookup"));
    assert_false(says("\"Home.geocode\""));
}

static void forms_are_listed_with_their_inputs(void **state)
{
    declare_callable();
    lists_put_forms(&text, &registry);
    assert_text(
        written(),
        "{\"forms\":[{\"name\":\"Lookup\",\"inputs\":[{\"name\":\"username\",\"type\":\"string\",\"required\":true},"
        "{\"name\":\"age\",\"type\":\"integer\",\"required\":false}],\"methods\":[{\"name\":\"friends\",\"arguments\":["
        "{\"name\":\"pending\",\"type\":\"boolean\",\"required\":false,\"default\":false}],"
        "\"links\":{\"call\":\"/forms/Lookup/friends{?username,age,pending}\"}}]}],"
        "\"links\":{\"self\":\"/forms\",\"models\":\"/models\",\"openapi\":\"/openapi.json\"}}");
}

static void parameters_have_a_schema(void **state)
{
    declare_callable();
    schema_put_parameters(&text, registry_find(&registry, SLICE("Home.weather")));
    assert_text(
        written(),
        "\"title\":\"Home.weather\",\"description\":\"What Home.weather is called "
        "with.\",\"type\":\"object\",\"properties\":{"
        "\"city\":{\"description\":\"Attribute: a string; that of the record is taken when it is left "
        "out.\",\"type\":\"string\"},"
        "\"day\":{\"description\":\"Argument: a string; required.\",\"type\":\"string\"},"
        "\"address\":{\"description\":\"Key: a string.\",\"type\":\"string\"},"
        "\"floor\":{\"description\":\"Key: an integer of 64 bits.\",\"type\":\"integer\",\"format\":\"int64\"}},"
        "\"required\":[\"day\"],\"additionalProperties\":false,"
        "\"examples\":[{\"city\":\"text\",\"day\":\"text\",\"address\":\"text\",\"floor\":1}]");
}

static void calls_have_paths(void **state)
{
    declare_callable();
    openapi_put(&text, &registry);
    written();
    assert_true(says("\"/models/Home/geocode\":{\"get\":{\"operationId\":\"callHome.geocode\",\"tags\":[\"Home\"]"));
    assert_true(says("\"/forms/Lookup/friends\":{\"get\":"));
    assert_true(says("\"operationId\":\"forgetLookup.friends\""));
    assert_true(says("\"#/components/schemas/Lookup.friends/properties/username\""));
    assert_true(says("{\"$ref\":\"#/components/responses/form-call.422\"}"));
    assert_true(says("\"enum\":[\"Home\"]")); /* the models that have a schema */
    assert_false(says("\"/models/Home.geocode\""));
    assert_false(says("\"/models/Lookup\""));
}

/* One JSON value, without white space; an object that had a name twice would be longer than its members. */
static void assert_json(struct slice json, struct arena *arena)
{
    struct json_member *member;
    struct slice *element;
    struct problem why;
    size_t n, bytes = 2;
    if (json_kind(json) == JSON_OBJECT) {
        assert_int_equal(json_members(json, arena, &member, &n, &why), OK);
        for (size_t i = 0; i < n; i++) {
            bytes += member[i].name.n + strlen("\"\":") + member[i].value.n + (i > 0);
            assert_json(member[i].value, arena);
        }
        assert_int_equal(bytes, json.n);
    } else if (json_kind(json) == JSON_ARRAY) {
        assert_int_equal(json_elements(json, arena, &element, &n, &why), OK);
        for (size_t i = 0; i < n; i++) assert_json(element[i], arena);
    }
}

static void assert_document(void)
{
    struct slice compact;
    struct problem why;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(json_compact(written(), &arena, &compact, &why), OK);
    assert_int_equal(compact.n, text.n);
    assert_json(compact, &arena);
    arena_deinit(&arena);
}

static void all_that_is_written_is_json(void **state)
{
    openapi_put(&text, &registry);
    assert_document();
    assert_false(says("_schema\"")); /* no model, no path to its schema */
    declare("All", OF_ALL, -1);
    declare("User", OF_USER, 7);
    declare_callable();
    buffer_reset(&text);
    openapi_put(&text, &registry);
    assert_document();
    assert_true(says("\"/models/{model}/_schema\""));
    assert_true(says("\"enum\":[\"All\",\"User\",\"Home\"]"));
    buffer_reset(&text);
    lists_put_models(&text, &registry);
    assert_document();
    buffer_reset(&text);
    lists_put_forms(&text, &registry);
    assert_document();
}

static void actions_have_paths(void **state)
{
    openapi_put(&text, &registry);
    assert_false(says("/_touch"));
    assert_false(says("\"_Touch\""));
    declare("Note", of_user, 1, -1);
    buffer_reset(&text);
    openapi_put(&text, &registry);
    assert_document();
    assert_true(says("\"/models/{model}/_bulk\":{\"parameters\":[{\"name\":\"model\""));
    assert_true(says("\"operationId\":\"touch\""));
    assert_false(says("/_refresh"));
    assert_false(says("\"_Refresh\""));
    assert_false(says("parameters/_depth"));
    declare("User", OF_USER, 7);
    declare("All", OF_ALL, -1);
    buffer_reset(&text);
    openapi_put(&text, &registry);
    assert_document();
    assert_true(says("\"/models/{model}/_refresh\""));
    assert_true(says("that loads what is missing.\",\"schema\":{\"type\":\"string\",\"enum\":[\"User\"]}"));
    assert_true(says("parameters/_depth"));
}

static void only_models_that_load_fail_in_loaders(void **state)
{
    declare("Note", of_user, 1, -1);
    openapi_put(&text, &registry);
    assert_false(says("{\"$ref\":\"#/components/responses/load."));
    declare("User", OF_USER, 7);
    buffer_reset(&text);
    openapi_put(&text, &registry);
    assert_true(says("\"502\":{\"$ref\":\"#/components/responses/load.502\"}"));
}

static void what_no_call_leads_to_is_left_out(void **state)
{
    static const char *const unused[] = {"\"_cascade\"", "\"_depth\"",       "\"forgotten\"",
                                         "\"vet-save.",  "\"load.",          "\"call.",
                                         "\"form-call.", "\"loader-error\"", "\"form-invalid\""};
    declare("Note", of_user, 1, -1);
    openapi_put(&text, &registry);
    written();
    for (size_t i = 0; i < COUNT(unused); i++)
        if (says(unused[i])) fail_msg("%s", unused[i]);
    declare_callable();
    declare("All", OF_ALL, -1);
    buffer_reset(&text);
    openapi_put(&text, &registry);
    for (size_t i = 0; i < COUNT(unused); i++)
        if (!says(unused[i])) fail_msg("no %s", unused[i]);
}

static void the_same_models_give_the_same_bytes(void **state)
{
    declare("User", OF_USER, 7);
    openapi_put(&text, &registry);
    size_t n = text.n;
    openapi_put(&text, &registry);
    assert_int_equal(text.n, 2 * n);
    assert_memory_equal(text.p, text.p + n, n);
}

#define DESCRIBED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESCRIBED(a_schema_has_types_defaults_and_what_must_be_there),
        DESCRIBED(what_is_saved_may_lack_keys_and_defaults),
        DESCRIBED(the_list_has_keys_fields_loader_and_links),
        DESCRIBED(each_type_has_its_schema),
        DESCRIBED(what_is_packed_is_only_read),
        DESCRIBED(a_reference_is_read_as_a_document_a_stub_or_null),
        DESCRIBED(a_reference_is_saved_by_its_keys),
        DESCRIBED(methods_are_listed_with_their_models),
        DESCRIBED(forms_are_listed_with_their_inputs),
        DESCRIBED(parameters_have_a_schema),
        DESCRIBED(calls_have_paths),
        DESCRIBED(all_that_is_written_is_json),
        DESCRIBED(actions_have_paths),
        DESCRIBED(only_models_that_load_fail_in_loaders),
        DESCRIBED(what_no_call_leads_to_is_left_out),
        DESCRIBED(the_same_models_give_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
