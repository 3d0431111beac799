/* Stored values: the golden bytes, and that nothing else is taken for an envelope. */
#include "support.h"

#include "model/envelope.h"

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

#define STORED UINT64_C(1700000000000)

/* The bytes of a file of hexadecimal digits, blanks and comments from '#' to the end of the line. */
static struct slice hex_read(const char *name)
{
    struct slice rest = golden_read(name, &arena);
    char *bytes = arena_bytes(&arena, rest.n), *out = bytes;
    while (rest.p) {
        struct slice line = slice_cut(&rest, '\n'), digits = slice_cut(&line, '#');
        for (size_t i = 0; i + 1 < digits.n; i++) {
            unsigned byte;
            if (digits.p[i] == ' ' || sscanf(digits.p + i++, "%2x", &byte) != 1) continue;
            *out++ = (char)byte;
        }
    }
    return slice_from(bytes, (size_t)(out - bytes));
}

/* Sealing gives the golden bytes; opening them gives what was sealed. */
static void assert_golden(const char *name, const struct envelope *e, const struct envelope_ref *refs, size_t n_refs)
{
    struct slice golden = hex_read(name);
    struct blob *blob = envelope_seal(e, refs, n_refs);
    struct envelope opened;
    struct envelope_ref ref;
    size_t at = 0;
    assert_int_equal(blob->n, golden.n);
    assert_memory_equal(blob->p, golden.p, golden.n);
    assert_true(envelope_open(golden, &opened));
    assert_int_equal(opened.kind, e->kind);
    assert_int_equal(opened.stored_ms, e->stored_ms);
    assert_int_equal(opened.fresh_until_ms, e->fresh_until_ms);
    assert_int_equal(opened.stale_until_ms, e->stale_until_ms);
    assert_true(slice_eq(opened.text, e->text));
    assert_true(slice_eq(opened.sections, e->sections));
    assert_int_equal(opened.refs, n_refs);
    for (size_t i = 0; i < n_refs; i++) {
        assert_true(envelope_next_ref(&opened, &at, &ref));
        assert_int_equal(ref.place, refs[i].place);
        assert_int_equal(ref.offset, refs[i].offset);
        assert_int_equal(ref.length, refs[i].length);
        assert_true(slice_eq(ref.pairs, refs[i].pairs));
    }
    assert_false(envelope_next_ref(&opened, &at, &ref));
    assert_int_equal(envelope_is_record(slice_from(golden.p, 8)), e->kind != ENVELOPE_NEGATIVE);
    blob_unref(blob);
}

static void bytes_are_as_in_the_golden_files(void **state)
{
    struct envelope record = {.stored_ms = STORED,
                              .fresh_until_ms = STORED + 60000,
                              .stale_until_ms = STORED + 3660000,
                              .text = SLICE("{\"username\":\"bob\",\"n\":1.10}")};
    assert_golden("envelope_record.hex", &record, NULL, 0);

    struct envelope for_ever = {.stored_ms = STORED,
                                .fresh_until_ms = CLOCK_NEVER,
                                .stale_until_ms = CLOCK_NEVER,
                                .text = SLICE("{\"id\":\"x\"}")};
    assert_golden("envelope_for_ever.hex", &for_ever, NULL, 0);

    struct envelope negative = {.kind = ENVELOPE_NEGATIVE,
                                .stored_ms = STORED,
                                .fresh_until_ms = STORED + 5000,
                                .stale_until_ms = STORED + 5000};
    assert_golden("envelope_negative.hex", &negative, NULL, 0);

    struct envelope result = {.kind = ENVELOPE_RESULT,
                              .stored_ms = STORED,
                              .fresh_until_ms = STORED + 1000,
                              .stale_until_ms = STORED + 1000,
                              .text = SLICE("null")};
    assert_golden("envelope_result.hex", &result, NULL, 0);

    struct envelope with_refs = {
        .stored_ms = STORED,
        .fresh_until_ms = STORED + 60000,
        .stale_until_ms = STORED + 60000,
        .sections = SLICE("\x7f\x05\0\0later"),
        .text = SLICE("{\"username\":\"bob\",\"mother\":{\"username\":\"eve\"},\"friends\":[{\"username\":\"a&b\"}]}")};
    struct envelope_ref refs[] = {{1, 27, 18, SLICE("username=eve")}, {0, 57, 18, SLICE("username=a%26b")}};
    assert_golden("envelope_references.hex", &with_refs, refs, 2);

    struct envelope with_stubs = {.stored_ms = STORED,
                                  .fresh_until_ms = STORED + 60000,
                                  .stale_until_ms = STORED + 60000,
                                  .sections = SLICE("\x06\x08\0\0\x87\x75\xb9\x0f\x0f\x98\x7b\xd5\x02\x0f\0\0\x04"
                                                    "acme\x09"
                                                    "region:eu"),
                                  .text =
                                      SLICE("{\"username\":\"bob\",\"region\":\"eu\",\"work\":{\"name\":\"a "
                                            "b\",\"$ref\":\"/models/"
                                            "Place?name=a%20b\"},\"mother\":null,\"friends\":[{\"username\":\"eve\","
                                            "\"region\":\"eu\",\"$ref\":\"/models/User?username=eve&region=eu\"}]}")};
    struct envelope_ref stubs[] = {{4, 39, 48, SLICE("name=a%20b")}, {0, 113, 77, SLICE("region=eu&username=eve")}};
    assert_golden("envelope_stubs.hex", &with_stubs, stubs, 2);
}

static void the_tag_tells_texts_apart(void **state)
{
    struct envelope e = {.text = SLICE("{\"a\":1}")}, one, two, again;
    struct blob *first = envelope_seal(&e, NULL, 0), *second, *third;
    e.stored_ms = 1; /* times are no part of it */
    third = envelope_seal(&e, NULL, 0);
    e.text = SLICE("{\"a\":2}");
    second = envelope_seal(&e, NULL, 0);
    assert_true(envelope_open(blob_slice(first), &one) && envelope_open(blob_slice(second), &two));
    assert_true(envelope_open(blob_slice(third), &again));
    assert_int_not_equal(one.tag, two.tag);
    assert_int_equal(one.tag, again.tag);
    blob_unref(first);
    blob_unref(second);
    blob_unref(third);
}

static void sections_are_found_by_their_type(void **state)
{
    struct envelope e = {.text = SLICE("{}"), .sections = SLICE("\x7f\x02\0\0no\x02\0\0\0\x06\x01\0\0a\x02\x01\0\0b")};
    struct blob *blob = envelope_seal(&e, NULL, 0);
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_slice(envelope_section(&e, 0x7f), "no");
    assert_slice(envelope_section(&e, SECTION_KEY), "a");
    assert_slice(envelope_section(&e, SECTION_TAGS), ""); /* the first of its type; empty is not absent */
    assert_null(envelope_section(&e, 3).p);
    blob_unref(blob);
    e = (struct envelope){.text = SLICE("{}")};
    assert_null(envelope_section(&e, SECTION_KEY).p);
}

/* -- damage -- */

static bool opens(const char *bytes, size_t n)
{
    struct envelope e;
    char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a look beyond it */
    memcpy(exact, bytes, n);
    bool good = envelope_open(slice_from(exact, n), &e);
    free(exact);
    return good;
}

static const char *const golden_names[] = {"envelope_record.hex", "envelope_for_ever.hex", "envelope_negative.hex",
                                           "envelope_result.hex", "envelope_references.hex"};

static void no_byte_may_be_missing_or_left_over(void **state)
{
    for (size_t f = 0; f < 5; f++) {
        struct slice golden = hex_read(golden_names[f]);
        char *longer = arena_bytes(&arena, golden.n + 1);
        memcpy(longer, golden.p, golden.n);
        longer[golden.n] = 'x';
        assert_true(opens(longer, golden.n));
        for (size_t n = 0; n < golden.n; n++) assert_false(opens(longer, n));
        assert_false(opens(longer, golden.n + 1));
    }
}

/* Writes `value` over `bytes` little-endian bytes at `at` of the golden envelope with references: does it still open? */
static bool opens_with(size_t at, uint64_t value, size_t bytes)
{
    struct slice golden = hex_read("envelope_references.hex");
    char *copy = arena_bytes(&arena, golden.n);
    memcpy(copy, golden.p, golden.n);
    for (size_t i = 0; i < bytes; i++) copy[at + i] = (char)(value >> 8 * i);
    return opens(copy, golden.n);
}

static void every_rule_of_the_layout_is_checked(void **state)
{
    enum { FIRST = 52, SECOND = FIRST + 12 + 12, SECTION = SECOND + 12 + 14 };
    assert_true(opens_with(0, 0x01454750, 4));
    assert_false(opens_with(0, 0x01454751, 4)); /* magic */
    assert_false(opens_with(3, 2, 1));          /* format version */
    assert_false(opens_with(3, 0, 1));
    assert_true(opens_with(4, ENVELOPE_RESULT, 1));
    assert_false(opens_with(4, ENVELOPE_NEGATIVE, 1)); /* has a text */
    assert_false(opens_with(4, 3, 1));
    assert_false(opens_with(4, 0xff, 1));
    assert_false(opens_with(5, 1, 1)); /* flags */
    assert_false(opens_with(5, 0x80, 1));
    assert_false(opens_with(6, 1, 2)); /* number of references */
    assert_false(opens_with(6, 3, 2));
    assert_false(opens_with(6, 0, 2));
    assert_false(opens_with(24, STORED + 59999, 8)); /* useful for less long than fresh */
    assert_true(opens_with(24, CLOCK_NEVER, 8));
    assert_true(opens_with(32, 0, 8));       /* the text is not hashed again */
    for (size_t at = 40; at < 52; at += 4) { /* lengths: none can change alone */
        assert_false(opens_with(at, 0, 4));
        assert_false(opens_with(at, UINT32_MAX, 4));
    }
    assert_true(opens_with(FIRST, 65535, 2)); /* fields are the model's to know */
    assert_false(opens_with(FIRST + 2, 13, 2));
    assert_false(opens_with(FIRST + 2, 11, 2));
    assert_false(opens_with(FIRST + 2, UINT16_MAX, 2));
    assert_true(opens_with(FIRST + 4, 0, 4));
    assert_true(opens_with(FIRST + 8, 30, 4));
    assert_false(opens_with(FIRST + 8, 31, 4)); /* runs into the second */
    assert_false(opens_with(FIRST + 8, 0, 4));
    assert_false(opens_with(FIRST + 8, UINT32_MAX, 4));
    assert_false(opens_with(FIRST + 4, UINT32_MAX, 4));
    assert_true(opens_with(SECOND + 8, 20, 4));
    assert_false(opens_with(SECOND + 8, 21, 4)); /* runs out of the text */
    assert_false(opens_with(SECOND + 4, 44, 4)); /* out of order */
    assert_true(opens_with(SECOND + 4, 45, 4));
    assert_true(opens_with(SECTION, 0, 1)); /* a section of any type is skipped */
    assert_false(opens_with(SECTION + 1, 4, 3));
    assert_false(opens_with(SECTION + 1, 6, 3));
    assert_false(opens_with(SECTION + 1, 0xffffff, 3));
}

static void only_a_record_needs_a_text(void **state)
{
    struct slice golden = hex_read("envelope_negative.hex");
    char *copy = arena_bytes(&arena, golden.n);
    memcpy(copy, golden.p, golden.n);
    copy[4] = ENVELOPE_RECORD;
    assert_false(opens(copy, golden.n));
    copy[4] = ENVELOPE_RESULT;
    assert_false(opens(copy, golden.n));
}

static void a_record_is_an_object(void **state)
{
    struct slice golden = hex_read("envelope_record.hex");
    struct envelope e;
    char *copy = arena_bytes(&arena, golden.n);
    memcpy(copy, golden.p, golden.n);
    assert_true(envelope_open(slice_from(copy, golden.n), &e));
    size_t from = (size_t)(e.text.p - copy);
    copy[from] = '[';
    assert_false(opens(copy, golden.n));
    copy[from] = '{';
    copy[golden.n - 1] = ']';
    assert_false(opens(copy, golden.n));
    copy[4] = ENVELOPE_RESULT;
    assert_true(opens(copy, golden.n));

    copy[4] = ENVELOPE_RECORD;
    copy[48] = 1; /* one byte is no object, whichever it is */
    copy[49] = copy[50] = copy[51] = 0;
    assert_false(opens(copy, from + 1));
}

static void eight_bytes_tell_a_record(void **state)
{
    assert_true(envelope_is_record(SLICE("PGE\1\0\0\0\0")));
    assert_true(envelope_is_record(SLICE("PGE\1\2\0\5\0")));
    assert_false(envelope_is_record(SLICE("PGE\1\1\0\0\0")));
    assert_false(envelope_is_record(SLICE("PGE\1\3\0\0\0")));
    assert_false(envelope_is_record(SLICE("PGE\1\0\1\0\0")));
    assert_false(envelope_is_record(SLICE("PGE\2\0\0\0\0")));
    assert_false(envelope_is_record(SLICE("PGE\1\0\0\0")));
    assert_false(envelope_is_record((struct slice){NULL, 0}));
}

static void no_change_of_one_byte_makes_anything_else_than_a_view_or_a_refusal(void **state)
{
    for (size_t f = 0; f < 5; f++) {
        struct slice golden = hex_read(golden_names[f]);
        char *copy = arena_bytes(&arena, golden.n);
        for (size_t i = 0; i < golden.n && i < 200; i++)
            for (int v = 0; v < 256; v++) {
                struct envelope e;
                struct envelope_ref ref;
                size_t at = 0, refs = 0;
                memcpy(copy, golden.p, golden.n);
                copy[i] = (char)v;
                if (!envelope_open(slice_from(copy, golden.n), &e)) continue;
                while (envelope_next_ref(&e, &at, &ref)) refs++;
                assert_int_equal(refs, e.refs);
                assert_true(e.text.p + e.text.n == copy + golden.n);
            }
    }
}

static void the_most_references_fit(void **state)
{
    static struct envelope_ref refs[ENVELOPE_REFS_MAX + 1];
    char *text = arena_bytes(&arena, 2 * (ENVELOPE_REFS_MAX + 1));
    struct envelope e = {.text = slice_from(text, 2 * (ENVELOPE_REFS_MAX + 1))}, opened;
    memset(text, '1', e.text.n);
    text[0] = '{';
    text[e.text.n - 1] = '}';
    for (uint32_t i = 0; i <= ENVELOPE_REFS_MAX; i++)
        refs[i] = (struct envelope_ref){.offset = 2 * i, .length = 2, .pairs = SLICE("id=1")};
    struct blob *blob = envelope_seal(&e, refs, ENVELOPE_REFS_MAX);
    assert_true(envelope_open(blob_slice(blob), &opened));
    assert_int_equal(opened.refs, ENVELOPE_REFS_MAX);

    /* One more is refused: made by hand, since sealing it would be a mistake of ours. */
    struct slice whole = blob_slice(blob);
    size_t behind_table = ENVELOPE_HEADER + opened.table.n;
    struct buffer more;
    buffer_init(&more, SIZE_MAX);
    buffer_put(&more, whole.p, behind_table);
    buffer_slice(&more, SLICE("\0\0\4\0\xD0\x07\0\0\2\0\0\0id=1")); /* at 2000, 2 bytes */
    buffer_slice(&more, slice_skip(whole, behind_table));
    more.p[6]++;
    uint32_t table = (uint32_t)opened.table.n + 16;
    for (int i = 0; i < 4; i++) more.p[40 + i] = (char)(table >> 8 * i);
    assert_false(opens(more.p, more.n));
    buffer_deinit(&more);
    blob_unref(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_are_as_in_the_golden_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_tag_tells_texts_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sections_are_found_by_their_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_byte_may_be_missing_or_left_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_rule_of_the_layout_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_record_needs_a_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_is_an_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(eight_bytes_tell_a_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_change_of_one_byte_makes_anything_else_than_a_view_or_a_refusal, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_most_references_fit, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
