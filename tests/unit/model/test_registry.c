/* The models of one load: found by name, kept in order, no two of one name. */
#include "support.h"

#include "model/registry.h"

static bool add(struct registry *r, const char *name)
{
    struct model *m = registry_model_new(r);
    assert_null(m->field); /* cleared */
    m->name = arena_dup(&r->arena, slice_of(name));
    m->field = arena_zalloc(&r->arena, sizeof *m->field);
    m->field[0] = (struct field)KEY("id", TYPE_STRING);
    m->fields = 1;
    model_finish(m, SLICE("p"), &r->arena);
    bool added = registry_add(r, m);
    return added;
}

static void finds_what_was_added_in_order(void **state)
{
    struct registry r;
    char name[16];
    registry_init(&r);
    assert_null(registry_find(&r, SLICE("M0")));
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "M%d", i);
        assert_true(add(&r, name));
    }
    assert_int_equal(r.models, 100);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "M%d", i);
        assert_ptr_equal(registry_find(&r, slice_of(name)), r.model[i]);
        assert_true(slice_eq(r.model[i]->name, slice_of(name)));
    }
    assert_null(registry_find(&r, SLICE("m0")));
    registry_deinit(&r);
}

static void a_name_is_taken_once(void **state)
{
    struct registry r;
    registry_init(&r);
    assert_true(add(&r, "User"));
    const struct model *first = registry_find(&r, SLICE("User"));
    assert_false(add(&r, "User"));
    assert_ptr_equal(registry_find(&r, SLICE("User")), first);
    assert_int_equal(r.models, 1);
    registry_deinit(&r);
}

static void a_model_never_added_is_no_burden(void **state)
{
    struct registry r;
    registry_init(&r);
    registry_model_new(&r);
    assert_int_equal(r.models, 0);
    registry_deinit(&r);
}

static void assert_unknown(const struct registry *r, enum model_kind kind, const char *name, enum status status,
                           const char *detail)
{
    struct problem why;
    assert_int_equal(registry_unknown(r, kind, slice_of(name), &why), status);
    assert_int_equal(why.status, status);
    assert_string_equal(why.detail, detail);
}

static void knows_what_was_meant(void **state)
{
    struct registry r;
    registry_init(&r);
    add(&r, "User");
    add(&r, "Workplace");
    assert_unknown(&r, MODEL_RECORD, "Workplce", UNKNOWN_MODEL, "no model `Workplce` (did you mean `Workplace`?)");
    assert_unknown(&r, MODEL_RECORD, "user", UNKNOWN_MODEL, "no model `user` (did you mean `User`?)");
    assert_unknown(&r, MODEL_RECORD, "Invoice", UNKNOWN_MODEL, "no model `Invoice`");
    assert_unknown(&r, MODEL_FORM, "Workplce", NOT_FOUND, "no form `Workplce`"); /* no form, though a model is near */
    registry_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added_in_order),
        cmocka_unit_test(a_name_is_taken_once),
        cmocka_unit_test(a_model_never_added_is_no_burden),
        cmocka_unit_test(knows_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
