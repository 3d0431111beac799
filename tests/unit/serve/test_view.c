/* `_depth`, `_include`, `_fields`: what they choose, and what they refuse. */
#include "serve/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;
static struct model user, workplace;
static struct problem why;

enum { USERNAME, EMAIL, WORKPLACE, MOTHER, FRIENDS };

#define TEXT(words)                                                                                                    \
    {                                                                                                                  \
        words, sizeof words - 1                                                                                        \
    }

static int set_up(void **state)
{
    static struct field of_workplace[] = {{.name = TEXT("name"), .kind = FIELD_KEY, .type = TYPE_STRING},
                                          {.name = TEXT("phone"), .kind = FIELD_VALUE}};
    static struct field of_user[] = {{.name = TEXT("username"), .kind = FIELD_KEY, .type = TYPE_STRING},
                                     {.name = TEXT("email"), .kind = FIELD_VALUE},
                                     {.name = TEXT("workplace"), .kind = FIELD_REFERENCE, .target = &workplace},
                                     {.name = TEXT("mother"), .kind = FIELD_REFERENCE, .target = &user},
                                     {.name = TEXT("friends"), .kind = FIELD_REFERENCES, .target = &user}};
    arena_init(&arena);
    workplace = (struct model){.name = SLICE("Workplace"), .field = of_workplace, .fields = 2};
    user = (struct model){.name = SLICE("User"), .field = of_user, .fields = 5, .options.depth = DEPTH_DEFAULT};
    model_finish(&workplace, SLICE("t"), &arena);
    model_finish(&user, SLICE("t"), &arena);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

static enum status query_of(const struct model *m, const char *query, struct view *v)
{
    struct record_key key;
    memset(&why, 0, sizeof why);
    return view_query(m, slice_of(query), &arena, &key, v, &why);
}

static struct view view_of(const char *options)
{
    char query[8192];
    struct view v;
    snprintf(query, sizeof query, "username=bob&%s", options);
    enum status st = query_of(&user, query, &v);
    if (st != OK) fail_msg("%s: %s %s", options, status_code(st), why.detail);
    return v;
}

static enum status refused(const char *options)
{
    char query[8192];
    struct view v;
    snprintf(query, sizeof query, "username=bob&%s", options);
    return query_of(&user, query, &v);
}

static void reads_are_as_deep_as_their_model_says(void **state)
{
    struct view v;
    assert_int_equal(query_of(&user, "username=bob", &v), OK);
    assert_int_equal(v.depth, DEPTH_DEFAULT);
    assert_null(v.include);
    assert_null(v.fields);
    assert_false(view_is_record(&v));
    assert_int_equal(query_of(&workplace, "name=acme&_depth=3", &v), OK);
    assert_true(view_is_record(&v)); /* it refers to nothing */
}

static void depth_is_a_whole_number(void **state)
{
    static const char *const bad[] = {"_depth=",   "_depth=-1",   "_depth=1.0", "_depth=x",
                                      "_depth=1e", "_depth=%2b1", "_depth=+1",  "_depth=0x1"};
    assert_true(view_is_record(&(struct view){0}));
    assert_int_equal(view_of("_depth=0").depth, 0);
    assert_int_equal(view_of("_depth=007").depth, 7);
    assert_int_equal(view_of("_depth=64").depth, 64);
    assert_int_equal(view_of("_depth=65").depth, 64);
    assert_int_equal(view_of("_depth=99999999999999999999999999").depth, 64);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(refused(bad[i]), MALFORMED_REQUEST);
}

static void include_chooses_references_and_the_depth(void **state)
{
    struct view v = view_of("_include=workplace,mother.workplace");
    const struct pick *below, *none;
    assert_int_equal(v.depth, 2);
    assert_true(pick_below(v.include, WORKPLACE, &below));
    assert_true(pick_below(v.include, MOTHER, &below));
    assert_false(pick_below(v.include, FRIENDS, &none));
    assert_true(pick_below(below, WORKPLACE, &none));
    assert_false(pick_below(below, MOTHER, &none));
    assert_int_equal(view_of("_include=workplace").depth, 1);
    assert_int_equal(view_of("_depth=1&_include=mother.mother").depth, 1);
    assert_int_equal(view_of("_include=mother.mother&_depth=5").depth, 5);
    v = view_of("_include=mother.friends,mother"); /* the shorter one takes nothing away */
    assert_true(pick_below(v.include, MOTHER, &below));
    assert_true(pick_below(below, FRIENDS, &none));
    assert_false(pick_below(none, FRIENDS, &below));
}

static void fields_choose_members(void **state)
{
    struct view v = view_of("_fields=email,workplace.phone");
    const struct pick *below, *all;
    assert_int_equal(v.depth, DEPTH_DEFAULT);
    assert_false(view_is_record(&v));
    assert_true(pick_below(v.fields, EMAIL, &below));
    assert_false(pick_below(v.fields, USERNAME, &below));
    assert_true(pick_below(v.fields, WORKPLACE, &below));
    assert_non_null(below);
    assert_false(pick_below(below, 0, &all));
    assert_true(pick_below(below, 1, &all));
    assert_null(all);                                                  /* everything below it */
    v = view_of("_fields=mother.email,mother,mother.workplace.phone"); /* whole stays whole */
    assert_true(pick_below(v.fields, MOTHER, &below));
    assert_null(below);
}

static void unknown_names_are_told_with_their_path_and_the_nearest(void **state)
{
    assert_int_equal(refused("_fields=emial"), UNKNOWN_FIELD);
    assert_string_equal(why.path, "emial");
    assert_non_null(strstr(why.detail, "did you mean `email`?"));
    assert_int_equal(refused("_include=mother.workplce"), UNKNOWN_FIELD);
    assert_string_equal(why.path, "mother.workplce");
    assert_non_null(strstr(why.detail, "did you mean `workplace`?"));
    assert_int_equal(refused("_fields=mother,mother.workplace.fone"),
                     UNKNOWN_FIELD); /* also where nothing is to be marked */
    assert_string_equal(why.path, "mother.workplace.fone");
    assert_int_equal(refused("_fields=%00"), UNKNOWN_FIELD);
}

static void a_path_goes_through_references_only(void **state)
{
    assert_int_equal(refused("_fields=email.x"), MALFORMED_REQUEST);
    assert_int_equal(refused("_fields=mother.email.x"), MALFORMED_REQUEST);
    assert_int_equal(refused("_include=email"), MALFORMED_REQUEST);
    assert_int_equal(refused("_include=username"), MALFORMED_REQUEST);
    assert_int_equal(refused("_include=workplace.phone"), MALFORMED_REQUEST);
    assert_non_null(strstr(why.detail, "`phone` of model `Workplace` is no reference"));
}

static void empty_names_and_second_options_are_refused(void **state)
{
    static const char *const bad[] = {"_include=",
                                      "_fields=",
                                      "_include=,workplace",
                                      "_fields=email,",
                                      "_fields=email,,x",
                                      "_fields=.email",
                                      "_include=mother.",
                                      "_fields=mother..x",
                                      "_depth=1&_depth=1",
                                      "_fields=email&_fields=email",
                                      "_include=mother&_include=mother",
                                      "_explain=1x",
                                      "_explain=1&_explain=0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (refused(bad[i]) != MALFORMED_REQUEST) fail_msg("%s: %s", bad[i], why.detail);
    assert_int_equal(refused("_dept=1"), MALFORMED_REQUEST);
    assert_non_null(strstr(why.detail, "knows no option `_dept`"));
}

/* Of a model with as many fields as there may be, each choice takes two kilobytes. */
static void what_a_query_chooses_is_bounded(void **state)
{
    char options[8000] = "_include=mother";
    for (int i = 1; i < DEPTH_MAX; i++) strcat(options, ".mother");
    assert_int_equal(view_of(options).depth, DEPTH_MAX);
    strcat(options, ".mother");
    assert_int_equal(refused(options), MALFORMED_REQUEST);

    strcpy(options, "_fields=");
    for (int branch = 0; branch < 10; branch++) { /* of 30 choices each */
        for (int i = 0; i < 4; i++) strcat(options, branch >> i & 1 ? "mother." : "friends.");
        for (int i = 0; i < 26; i++) strcat(options, "mother.");
        strcat(options, "email,");
    }
    size_t before = arena.used;
    assert_int_equal(refused(options), MALFORMED_REQUEST);
    assert_non_null(strstr(why.detail, "too much at once"));
    assert_true(arena.used - before < VIEW_PICKS_MAX * (sizeof(void *) * 5 + 64));
}

static void explanations_are_asked_for(void **state)
{
    assert_false(view_of("_depth=0").explain);
    assert_true(view_is_record(&(struct view){.depth = 0}));
    struct view v = view_of("_depth=0&_explain=1");
    assert_true(v.explain && !view_is_record(&v));
    v = view_of("_depth=0&_explain=0");
    assert_true(!v.explain && view_is_record(&v));
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(reads_are_as_deep_as_their_model_says),
        test(depth_is_a_whole_number),
        test(include_chooses_references_and_the_depth),
        test(fields_choose_members),
        test(unknown_names_are_told_with_their_path_and_the_nearest),
        test(a_path_goes_through_references_only),
        test(empty_names_and_second_options_are_refused),
        test(what_a_query_chooses_is_bounded),
        test(explanations_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
