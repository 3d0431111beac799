/* JSON written elsewhere: JSONTestSuite and the round trips of nativejson-benchmark, read where they lie. Skipped where they are
 * absent. */
#include "support.h"

#include "model/json.h"

#include <dirent.h>

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

/* Calls each(name, text) for all files of a folder of the corpus; how many there were. Skips the test when there is none. */
static size_t for_each_file(const char *folder, void (*each)(const char *name, struct slice text))
{
    char path[1024];
    snprintf(path, sizeof path, "%s/json/%s", data_folder(), folder);
    DIR *dir = opendir(path);
    if (!dir) {
        print_message("no %s (PERIGEE_TEST_DATA names the folder)\n", path);
        skip();
    }
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/json/%s/%s", data_folder(), folder, entry->d_name);
        each(entry->d_name, file_read(path, &arena));
        arena_reset(&arena);
        n++;
    }
    closedir(dir);
    return n;
}

static size_t accepted, refused, open_cases;

/* The cases that the suite leaves open, and are accepted here: numbers that no double holds stay as they are spelled. All
 * other open cases are refused: lone surrogates, what is not UTF-8, byte order marks, 500 arrays. */
static const char *const open_accepted[] = {
    "i_number_double_huge_neg_exp.json",   "i_number_huge_exp.json",          "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",   "i_number_real_neg_overflow.json", "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",        "i_number_too_big_neg_int.json",   "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
};

static bool is_to_be_accepted(const char *name)
{
    if (name[0] != 'i') return name[0] == 'y';
    open_cases++;
    for (size_t i = 0; i < sizeof open_accepted / sizeof *open_accepted; i++)
        if (strcmp(name, open_accepted[i]) == 0) return true;
    return false;
}

static void judge(const char *name, struct slice text)
{
    struct problem why = {.detail = ""};
    struct slice compact, again;
    enum status st = json_compact(text, &arena, &compact, &why);
    if ((st == OK) != is_to_be_accepted(name)) fail_msg("%s: %s %s", name, status_code(st), why.detail);
    if (st == OK) {
        accepted++;
        assert_int_equal(json_compact(compact, &arena, &again, &why), OK);
        assert_ptr_equal(again.p, compact.p);
        return;
    }
    refused++;
    const char *at = strstr(why.detail, " at byte ");
    if (st != MALFORMED_JSON || !at) fail_msg("%s: %s %s", name, status_code(st), why.detail);
    assert_true(strtoul(at + strlen(" at byte "), NULL, 10) <= text.n);
}

static void passes_json_test_suite(void **state)
{
    accepted = refused = open_cases = 0;
    assert_int_equal(for_each_file("JSONTestSuite/test_parsing", judge), 318);
    assert_int_equal(open_cases, 35);
    assert_int_equal(accepted, 95 + 10);
    assert_int_equal(refused, 188 + 25);
}

static void comes_back(const char *name, struct slice text)
{
    struct slice compact;
    while (text.n && strchr(" \r\n\t", text.p[text.n - 1])) text.n--;
    if (json_compact(text, &arena, &compact, NULL) != OK) fail_msg("%s", name);
    assert_bytes(compact, text, name, 0);
}

static void documents_come_back_byte_for_byte(void **state)
{
    assert_int_equal(for_each_file("roundtrip", comes_back), 27);
}

static void stays_or_is_refused(const char *name, struct slice text)
{
    struct slice compact;
    if (json_compact(text, &arena, &compact, NULL) != OK) {
        if (strncmp(name, "string_", 7) != 0) fail_msg("%s", name);
        return;
    }
    while (text.n && text.p[text.n - 1] == '\n') text.n--;
    if (strncmp(name, "number_", 7) == 0) assert_bytes(compact, text, name, 0);
}

static void numbers_that_others_transform_stay(void **state)
{
    assert_int_equal(for_each_file("JSONTestSuite/test_transform", stays_or_is_refused), 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_json_test_suite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(documents_come_back_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_others_transform_stay, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
