/* References: what they are given as, the stubs and slots that are stored, and the records that are given inside others. */
#include "support.h"

#include "model/codec.h"
#include "model/merge.h"
#include "model/reference.h"

static struct arena arena;
static struct problem why;
static struct model user, place, thing;

static struct field user_fields[] = {
    FIELD("note", TYPE_ANY),
    KEY("username", TYPE_STRING),
    {.name = {"region", 6}, .kind = FIELD_KEY, .type = TYPE_STRING, .default_json = {"\"eu\"", 4}},
    {.name = {"work", 4}, .kind = FIELD_REFERENCE, .target = &place},
    {.name = {"mother", 6}, .kind = FIELD_REFERENCE, .target = &user},
    {.name = {"friends", 7}, .kind = FIELD_REFERENCES, .target = &user, .max = 3},
    {.name = {"things", 6}, .kind = FIELD_REFERENCES, .target = &thing, .max = 5000},
};
enum { AT_FRIENDS, AT_MOTHER, AT_NOTE, AT_REGION, AT_THINGS, AT_USERNAME, AT_WORK }; /* places of the user's fields */
static struct field place_fields[] = {
    KEY("name", TYPE_STRING),
    FIELD("phone", TYPE_STRING),
    {.name = {"head", 4}, .kind = FIELD_REFERENCE, .target = &user, .required = true},
    {.name = {"prefs", 5}, .kind = FIELD_PACKED},
};
static struct field thing_fields[] = {KEY("id", TYPE_ANY), FIELD("weight", TYPE_NUMBER)};

static int set_up(void **state)
{
    arena_init(&arena);
    model_of(&user, &arena, "User", user_fields, sizeof user_fields / sizeof *user_fields);
    model_of(&place, &arena, "Place", place_fields, sizeof place_fields / sizeof *place_fields);
    model_of(&thing, &arena, "Thing", thing_fields, sizeof thing_fields / sizeof *thing_fields);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

/* A body all the way to text and slots. */
struct saved {
    struct codec_reader reader;
    struct record_key key;
    struct buffer text;
    struct envelope_ref *refs;
    size_t n_refs;
};

static enum status save(const struct model *m, struct slice body, bool cascade, struct saved *s)
{
    struct key_draft draft;
    struct record_draft record;
    *s = (struct saved){.reader = {.arena = &arena, .cascade = cascade}};
    buffer_init(&s->text, SIZE_MAX);
    memset(&why, 0, sizeof why);
    key_draft_init(&draft);
    codec_draft_init(m, &arena, &record);
    enum status st = codec_read(m, body, &draft, &s->reader, &record, &why);
    if (st == OK) st = key_finish(m, &draft, &arena, &s->key, &why);
    if (st == OK) st = codec_write(&s->key, &record, &arena, &s->text, &s->refs, &s->n_refs, &why);
    return st;
}

/* Every slot is a stub of the text, and the record reads back from its envelope as it is. */
static void assert_sound(const struct model *m, const struct saved *s)
{
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = buffer_view(&s->text)};
    struct blob *blob = envelope_seal(&e, s->refs, s->n_refs);
    struct record_draft draft;
    struct envelope_ref *refs;
    struct buffer again;
    size_t n_refs;
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_true(merge_open(m, &e, &arena, &draft));
    buffer_init(&again, SIZE_MAX);
    buffer_slice(&again, SLICE("12345")); /* offsets count from where the text starts */
    assert_int_equal(codec_write(&s->key, &draft, &arena, &again, &refs, &n_refs, &why), OK);
    assert_bytes(slice_skip(buffer_view(&again), 5), buffer_view(&s->text), __FILE__, __LINE__);
    assert_int_equal(n_refs, s->n_refs);
    for (size_t i = 0; i < n_refs; i++) {
        assert_int_equal(refs[i].place, s->refs[i].place);
        assert_int_equal(refs[i].offset, s->refs[i].offset);
        assert_int_equal(refs[i].length, s->refs[i].length);
        assert_true(slice_eq(refs[i].pairs, s->refs[i].pairs));
    }
    buffer_deinit(&again);
    blob_unref(blob);
}

static void assert_saved(const char *body, const char *text)
{
    struct saved s;
    if (save(&user, slice_of(body), false, &s) != OK) fail_msg("%s: %s", body, why.detail);
    assert_bytes(buffer_view(&s.text), slice_of(text), body, 0);
    assert_sound(&user, &s);
    buffer_deinit(&s.text);
}

static void assert_refused_by(const struct model *m, bool cascade, const char *body, enum status st, const char *path,
                              const char *detail)
{
    struct saved s;
    enum status given = save(m, slice_of(body), cascade, &s);
    if (given != st) fail_msg("%s: %s: %s", body, status_code(given), why.detail);
    assert_int_equal(why.status, st);
    assert_string_equal(why.path, path);
    if (detail) assert_string_equal(why.detail, detail);
    buffer_deinit(&s.text);
}

static void assert_refused(const char *body, const char *path, const char *detail)
{
    assert_refused_by(&user, false, body, REFERENCE_INVALID, path, detail);
}

#define WORK "\"work\":{\"name\":\"Acme\",\"$ref\":\"/models/Place?name=Acme\"}"
#define EVE  "{\"username\":\"eve\",\"region\":\"eu\",\"$ref\":\"/models/User?username=eve&region=eu\"}"
#define BOB  "{\"username\":\"bob\",\"region\":\"us\",\"$ref\":\"/models/User?username=bob&region=us\"}"

/* -- what is stored -- */

static void a_stub_is_the_keys_and_where_to_read_it(void **state)
{
    assert_saved("{\"username\":\"u\",\"work\":{\"name\":\"Acme\"}}",
                 "{\"username\":\"u\",\"region\":\"eu\"," WORK "}");
    assert_saved("{\"username\":\"u\",\"mother\":{\"username\":\"eve\"}}",
                 "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" EVE "}"); /* keys have their defaults */
    assert_saved("{\"mother\":{\"region\":\"us\",\"username\":\"b\\u006fb\"},\"username\":\"u\"}",
                 "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB "}"); /* in order, in one spelling */
    assert_saved("{\"username\":\"u\",\"mother\":{\"username\":\"u\"}}",
                 "{\"username\":\"u\",\"region\":\"eu\",\"mother\":{\"username\":\"u\",\"region\":\"eu\",\"$ref\":"
                 "\"/models/User?username=u&region=eu\"}}"); /* itself */
    assert_saved(
        "{\"username\":\"u\",\"things\":[{\"id\":42.0},{\"id\":\"42\"},{\"id\":true},{\"id\":\"\\\"\\u00e9\"}]}",
        "{\"username\":\"u\",\"region\":\"eu\",\"things\":["
        "{\"id\":42,\"$ref\":\"/models/Thing?id=42\"},"
        "{\"id\":\"42\",\"$ref\":\"/models/Thing?id=%2242%22\"},"
        "{\"id\":true,\"$ref\":\"/models/Thing?id=true\"},"
        "{\"id\":\"\\\"é\",\"$ref\":\"/models/Thing?id=%22%5C%22%C3%A9%22\"}]}");
}

static void a_ref_that_agrees_is_taken(void **state)
{
    static const char *const refs[] = {"/models/User?username=eve&region=eu", "/models/User?region=eu&username=eve",
                                       "/models/User?username=eve", "/models/User?username=%65ve",
                                       "\\/models\\/User?username=\\u0065ve"};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        assert_saved(
            arena_printf(&arena, "{\"username\":\"u\",\"mother\":{\"$ref\":\"%s\",\"username\":\"eve\"}}", refs[i]).p,
            "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" EVE "}");
}

static void what_is_read_can_be_saved(void **state)
{
    const char *text = "{\"note\":1.50,\"username\":\"u\",\"region\":\"eu\"," WORK ",\"mother\":null,\"friends\":[" EVE
                       "," BOB "," EVE "],\"things\":[]}";
    assert_saved(text, text);
}

static void slots_tell_field_place_and_key(void **state)
{
    struct saved s;
    assert_int_equal(
        save(&user, SLICE("{\"username\":\"u\",\"friends\":[" EVE "," BOB "]," WORK ",\"mother\":null}"), false, &s),
        OK);
    struct slice text = buffer_view(&s.text);
    assert_int_equal(s.n_refs, 3);
    assert_int_equal(s.refs[0].place, AT_WORK);
    assert_int_equal(s.refs[1].place, AT_FRIENDS);
    assert_int_equal(s.refs[2].place, AT_FRIENDS);
    assert_slice(s.refs[0].pairs, "name=Acme");
    assert_slice(s.refs[1].pairs, "region=eu&username=eve");
    assert_slice(s.refs[2].pairs, "region=us&username=bob");
    assert_slice(slice_from(text.p + s.refs[1].offset, s.refs[1].length), EVE);
    assert_slice(slice_from(text.p + s.refs[2].offset, s.refs[2].length), BOB);
    assert_int_equal(s.refs[2].offset, s.refs[1].offset + s.refs[1].length + 1); /* one comma between two slots */
    assert_sound(&user, &s);
    buffer_deinit(&s.text);
}

static void a_long_key_stands_whole_in_the_stub(void **state)
{
    struct saved s;
    struct slice name = arena_printf(&arena, "%0400d", 1);
    struct slice body = arena_printf(&arena, "{\"username\":\"u\",\"work\":{\"name\":\"%s\"}}", name.p);
    assert_int_equal(save(&user, body, false, &s), OK);
    assert_int_equal(s.n_refs, 1);
    assert_int_equal(s.refs[0].pairs.n, 65); /* hashed */
    assert_true(s.refs[0].length > 800);
    assert_sound(&user, &s);
    buffer_deinit(&s.text);
}

static void null_unset_and_empty_have_no_slots(void **state)
{
    assert_saved("{\"username\":\"u\",\"work\":null,\"friends\":null,\"things\":[]}",
                 "{\"username\":\"u\",\"region\":\"eu\",\"work\":null,\"friends\":null,\"things\":[]}");
    assert_refused_by(&place, false, "{\"name\":\"x\"}", FIELD_REQUIRED, "head", NULL);
    assert_refused_by(&place, false, "{\"name\":\"x\",\"head\":null}", FIELD_REQUIRED, "head", NULL);
}

/* -- what is refused -- */

static void a_reference_takes_its_keys_and_nothing_else(void **state)
{
    assert_refused("{\"username\":\"u\",\"work\":\"Acme\"}", "work",
                   "a reference takes an object of the keys of model `Place`, not a string");
    assert_refused("{\"username\":\"u\",\"work\":[]}", "work", NULL);
    assert_refused("{\"username\":\"u\",\"work\":{}}", "work.name", "model `Place` needs the key `name`");
    assert_refused("{\"username\":\"u\",\"work\":{\"name\":7}}", "work.name",
                   "key `name` of model `Place` takes a string, not `7`");
    assert_refused("{\"username\":\"u\",\"work\":{\"name\":null}}", "work.name", NULL);
    assert_refused("{\"username\":\"u\",\"work\":{\"nmae\":\"x\"}}", "work.nmae", NULL);
    assert_refused("{\"username\":\"u\",\"work\":{\"name\":\"x\",\"phone\":\"1\"}}", "work.phone",
                   "`phone` is no key of model `Place`: a reference takes keys, and more only with `_cascade=1`, which "
                   "saves its target too");
    assert_refused("{\"username\":\"u\",\"work\":{\"name\":\"x\",\"\\uD83D\\uDE00\":\"1\"}}", "work.😀", NULL);
    assert_refused("{\"username\":\"u\",\"friends\":{\"username\":\"x\"}}", "friends",
                   "field `friends` of model `User` takes an array of references, not an object");
    assert_refused("{\"username\":\"u\",\"friends\":[{\"username\":\"x\"},{\"username\":\"y\"},{\"name\":\"z\"}]}",
                   "friends[2].name", NULL);
    assert_refused("{\"username\":\"u\",\"friends\":[{\"username\":\"x\"},null]}", "friends[1]",
                   "a reference takes an object of the keys of model `User`, not null");
    assert_refused("{\"username\":\"u\",\"friends\":[" EVE "," EVE "," EVE "," EVE "]}", "friends",
                   "field `friends` of model `User` takes 3 references at most, not 4");
}

static void a_ref_that_names_another_record_is_refused(void **state)
{
    static const char *const refs[] = {"\"/models/User?username=bob\"",
                                       "\"/models/User?username=eve&region=us\"",
                                       "\"/models/Person?username=eve\"",
                                       "\"/models/user?username=eve\"",
                                       "\"/models/User\"",
                                       "\"/models/User?\"",
                                       "\"/models/User?username=eve&_depth=1\"",
                                       "\"/models/User?username=eve&username=eve\"",
                                       "\"/models/User?username=eve&other=1\"",
                                       "\"/models/User?username=%zz\"",
                                       "\"/models/User/?username=eve\"",
                                       "\"http://host/models/User?username=eve\"",
                                       "\"models/User?username=eve\"",
                                       "\"\"",
                                       "null",
                                       "1",
                                       "{}"};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++)
        assert_refused(
            arena_printf(&arena, "{\"username\":\"u\",\"mother\":{\"username\":\"eve\",\"$ref\":%s}}", refs[i]).p,
            "mother.$ref", "`$ref` does not name the record of model `User` whose keys stand beside it");
    assert_refused("{\"username\":\"u\",\"mother\":{\"$ref\":\"/models/User?username=eve\"}}", "mother.username",
                   NULL); /* keys stand beside it */
}

static struct slice list_of_things(size_t n, const char *behind)
{
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    buffer_printf(&b, "{\"username\":\"u\",\"things\":[");
    for (size_t i = 0; i < n; i++) buffer_printf(&b, "%s{\"id\":%zu}", i ? "," : "", i);
    buffer_printf(&b, "]%s}", behind);
    struct slice body = arena_dup(&arena, buffer_view(&b));
    buffer_deinit(&b);
    return body;
}

static void a_record_holds_a_thousand_references(void **state)
{
    struct saved s;
    assert_int_equal(save(&user, list_of_things(ENVELOPE_REFS_MAX, ""), false, &s), OK);
    assert_int_equal(s.n_refs, ENVELOPE_REFS_MAX);
    assert_sound(&user, &s);
    buffer_deinit(&s.text);
    assert_refused(list_of_things(ENVELOPE_REFS_MAX + 1, "").p, "things", "a record has 1000 references at most");
    assert_refused(list_of_things(ENVELOPE_REFS_MAX, "," WORK).p, "work", "a record has 1000 references at most");
}

/* Only what a record holds in the end counts. */
static void references_that_go_make_room(void **state)
{
    const struct field *things = model_field(&user, SLICE("things")), *work = model_field(&user, SLICE("work"));
    struct codec_reader r = {.arena = &arena};
    struct record_draft d;
    struct saved s;
    struct slice body = list_of_things(ENVELOPE_REFS_MAX, ""),
                 list = slice_skip(body, strlen("{\"username\":\"u\",\"things\":"));
    list.n--;
    codec_draft_init(&user, &arena, &d);
    assert_int_equal(codec_set(&user, &d, things, list, &r, &why), OK);
    assert_int_equal(codec_set(&user, &d, things, list, &r, &why), OK);
    assert_int_equal(codec_set(&user, &d, work, SLICE("{\"name\":\"x\"}"), &r, &why), REFERENCE_INVALID);
    assert_int_equal(codec_set(&user, &d, things, SLICE("null"), &r, &why), OK);
    assert_int_equal(codec_set(&user, &d, work, SLICE("{\"name\":\"x\"}"), &r, &why), OK);

    assert_int_equal(save(&user, body, false, &s), OK);
    codec_draft_init(&user, &arena, &d);
    assert_int_equal(codec_set(&user, &d, things, list, &r, &why), OK);
    assert_int_equal(merge_patch(&s.key, SLICE("{\"things\":null,\"work\":{\"name\":\"x\"}}"), &arena, &d, &why), OK);
    assert_int_equal(references_held(&user, &d, NULL), 1);
    buffer_deinit(&s.text);
}

/* -- cascades -- */

static struct slice target_text(struct saved *s, size_t i)
{
    struct codec_target *t = &s->reader.target[i];
    struct envelope_ref *refs;
    struct buffer text;
    size_t n;
    buffer_init(&text, SIZE_MAX);
    if (codec_write(&t->key, &t->draft, &arena, &text, &refs, &n, &why) != OK) fail_msg("%s", why.detail);
    struct slice copy = arena_dup(&arena, buffer_view(&text));
    buffer_deinit(&text);
    return copy;
}

static void fields_inside_make_records_of_their_own(void **state)
{
    struct saved s;
    assert_int_equal(
        save(&user,
             SLICE("{\"work\":{\"phone\":\"1\",\"name\":\"Acme\",\"head\":{\"username\":\"eve\",\"note\":[1.0]}},"
                   "\"mother\":{\"username\":\"eve\"},"
                   "\"friends\":[{\"note\":null,\"username\":\"bob\",\"region\":\"us\"}],\"username\":\"u\"}"),
             true, &s),
        OK);
    assert_slice(buffer_view(&s.text),
                 "{\"username\":\"u\",\"region\":\"eu\"," WORK ",\"mother\":" EVE ",\"friends\":[" BOB "]}");
    assert_int_equal(s.reader.targets, 3); /* each before the one it was given in */
    assert_slice(target_text(&s, 0), "{\"note\":[1.0],\"username\":\"eve\",\"region\":\"eu\"}");
    assert_slice(target_text(&s, 1), "{\"name\":\"Acme\",\"phone\":\"1\",\"head\":" EVE "}");
    assert_slice(target_text(&s, 2), "{\"note\":null,\"username\":\"bob\",\"region\":\"us\"}");
    assert_true(s.reader.target[1].key.model == &place);
    assert_sound(&user, &s);
    buffer_deinit(&s.text);
}

static void keys_alone_save_nothing(void **state)
{
    struct saved s;
    assert_int_equal(
        save(&user, SLICE("{\"username\":\"u\"," WORK ",\"friends\":[" EVE ",{\"username\":\"u\"}]}"), true, &s), OK);
    assert_int_equal(s.reader.targets, 0);
    buffer_deinit(&s.text);
}

static void the_same_record_twice_is_given_equally(void **state)
{
    struct saved s;
    assert_int_equal(
        save(&user,
             SLICE("{\"username\":\"u\",\"mother\":{\"username\":\"eve\",\"note\":{\"a\":1},\"work\":{\"name\":\"x\"}},"
                   "\"friends\":["
                   "{\"work\":{\"name\":\"\\u0078\"},\"note\": {\"a\" : 1},\"region\":\"eu\",\"username\":\"eve\"}," EVE
                   "]}"),
             true, &s),
        OK);
    assert_int_equal(s.reader.targets, 1);
    buffer_deinit(&s.text);

    static const char *const others[] = {"\"note\":2",
                                         "\"note\":1.0",
                                         "\"note\":null",
                                         "\"mother\":null",
                                         "\"note\":1,\"mother\":null",
                                         "\"note\":1,\"friends\":[]",
                                         "\"note\":1,\"mother\":{\"username\":\"x\"}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_refused_by(
            &user, true,
            arena_printf(&arena,
                         "{\"username\":\"u\",\"mother\":{\"username\":\"eve\",\"note\":1},\"friends\":[" BOB
                         ",{\"username\":\"eve\",%s}]}",
                         others[i])
                .p,
            REFERENCE_INVALID, "friends[1]", "the same record of model `User` is given twice, with different fields");
    assert_refused_by(&user, true,
                      "{\"username\":\"u\",\"mother\":{\"username\":\"eve\",\"friends\":[{\"username\":\"bob\"}]},"
                      "\"friends\":[{\"username\":\"eve\",\"friends\":[{\"username\":\"bob\",\"region\":\"us\"}]}]}",
                      REFERENCE_INVALID, "friends[0]", NULL);
    /* A record that is given within itself is never equal. */
    assert_refused_by(&user, true,
                      "{\"username\":\"u\",\"mother\":{\"username\":\"eve\",\"note\":1,\"mother\":{\"username\":"
                      "\"eve\",\"note\":1}}}",
                      REFERENCE_INVALID, "mother", NULL);
}

static void a_record_is_not_saved_through_itself(void **state)
{
    const char *detail = "the record that is saved is given again inside itself";
    assert_refused_by(&user, true, "{\"username\":\"u\",\"mother\":{\"username\":\"u\",\"note\":1}}", REFERENCE_INVALID,
                      "mother", detail);
    assert_refused_by(
        &user, true,
        "{\"work\":{\"name\":\"x\",\"head\":{\"username\":\"u\",\"region\":\"eu\",\"note\":1}},\"username\":\"u\"}",
        REFERENCE_INVALID, "work.head", detail); /* its keys may come last */
    struct saved s;
    assert_int_equal(
        save(&user, SLICE("{\"username\":\"u\",\"work\":{\"name\":\"x\",\"head\":{\"username\":\"u\"}}}"), true, &s),
        OK);
    assert_int_equal(s.reader.targets, 1); /* it may be referred to */
    buffer_deinit(&s.text);
}

static void faults_inside_have_their_path(void **state)
{
    assert_refused_by(&user, true, "{\"username\":\"u\",\"work\":{\"name\":\"x\",\"phone\":1}}", FIELD_TYPE,
                      "work.phone", "field `phone` of model `Place` takes a string, not an integer");
    assert_refused_by(&user, true, "{\"username\":\"u\",\"work\":{\"name\":\"x\",\"phnoe\":1}}", UNKNOWN_FIELD,
                      "work.phnoe", "model `Place` has no field `phnoe` (did you mean `phone`?)");
    assert_refused_by(&user, true, "{\"username\":\"u\",\"work\":{\"name\":\"x\",\"head\":null}}", FIELD_REQUIRED,
                      "work.head", NULL);
    assert_refused_by(&user, true, "{\"username\":\"u\",\"work\":{\"name\":\"x\",\"prefs\":{\"$packed\":\"\"}}}",
                      FIELD_TYPE, "work.prefs", NULL);
    assert_refused_by(&user, true, "{\"username\":\"u\",\"work\":{\"phone\":\"1\"}}", REFERENCE_INVALID, "work.name",
                      NULL);
    assert_refused_by(&user, true,
                      "{\"username\":\"u\",\"friends\":[" EVE ",{\"username\":\"x\",\"work\":{\"name\":\"x\",\"head\":"
                      "{\"username\":\"y\",\"friends\":[{\"username\":7}]}}}]}",
                      REFERENCE_INVALID, "friends[1].work.head.friends[0].username", NULL);
}

static void as_deep_as_json_goes(void **state)
{
    struct buffer b;
    struct saved s;
    buffer_init(&b, SIZE_MAX);
    buffer_printf(&b, "{\"username\":\"u\"");
    for (int i = 1; i < JSON_DEPTH_MAX; i++) buffer_printf(&b, ",\"mother\":{\"note\":0,\"username\":\"%d\"", i);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) buffer_char(&b, '}');
    assert_int_equal(save(&user, buffer_view(&b), true, &s), OK);
    assert_int_equal(s.reader.targets, JSON_DEPTH_MAX - 1);
    assert_sound(&user, &s);
    buffer_deinit(&s.text);

    /* The innermost is at fault: its path is cut where it is too long to be told. */
    b.n -= JSON_DEPTH_MAX;
    buffer_printf(&b, ",\"work\":7");
    for (int i = 0; i < JSON_DEPTH_MAX; i++) buffer_char(&b, '}');
    assert_int_equal(save(&user, buffer_view(&b), true, &s), REFERENCE_INVALID);
    assert_true(slice_starts(slice_of(why.path), SLICE("mother.mother.mother.")));
    buffer_deinit(&s.text);
    buffer_deinit(&b);
}

static void a_cascade_is_capped(void **state)
{
    struct buffer b;
    struct saved s;
    buffer_init(&b, SIZE_MAX);
    for (int more = 0; more < 2; more++) {
        buffer_reset(&b);
        buffer_printf(&b, "{\"username\":\"u\",\"things\":[");
        for (int i = 0; i < CASCADE_MAX - 2; i++) buffer_printf(&b, "%s{\"id\":%d,\"weight\":1}", i ? "," : "", i / 2);
        buffer_printf(&b, "],\"work\":{\"name\":\"x\",\"phone\":\"1\",\"head\":{\"username\":\"v\",\"note\":1%s}}}",
                      more ? ",\"mother\":{\"username\":\"w\",\"note\":1}" : "");
        enum status st = save(&user, buffer_view(&b), true, &s);
        assert_int_equal(st, more ? REFERENCE_INVALID : OK);
        if (more) assert_string_equal(why.path, "work.head.mother");
        if (more) assert_string_equal(why.detail, "more than 1000 references carry fields");
        else assert_int_equal(s.reader.targets, (CASCADE_MAX - 2) / 2 + 2);
        buffer_deinit(&s.text);
    }
    buffer_deinit(&b);
}

/* -- stubs back -- */

static void only_records_with_their_own_table_are_opened(void **state)
{
    const struct slice text =
        SLICE("{\"username\":\"u\",\"region\":\"eu\"," WORK ",\"mother\":null,\"friends\":[" EVE "," BOB "]}");
    const uint32_t work = 37, eve = 111;
    const struct envelope_ref good[] = {
        {AT_WORK, work, sizeof WORK - 8, SLICE("name=Acme")},
        {AT_FRIENDS, eve, sizeof EVE - 1, SLICE("region=eu&username=eve")},
        {AT_FRIENDS, eve + sizeof EVE, sizeof BOB - 1, SLICE("region=us&username=bob")},
    };
    struct envelope_ref refs[4];
    struct record_draft draft;
#define OPENED(n, change, expected)                                                                                    \
    do {                                                                                                               \
        struct envelope e = {.kind = ENVELOPE_RECORD, .text = text};                                                   \
        memcpy(refs, good, sizeof good);                                                                               \
        change;                                                                                                        \
        struct blob *blob = envelope_seal(&e, refs, n);                                                                \
        assert_true(envelope_open(blob_slice(blob), &e));                                                              \
        assert_int_equal(merge_open(&user, &e, &arena, &draft), expected);                                             \
        blob_unref(blob);                                                                                              \
    } while (0)
    OPENED(3, (void)0, true);
    assert_int_equal(draft.reference[5].n, 2);
    assert_slice(draft.reference[5].at[1].pairs, "region=us&username=bob");
    OPENED(2, (void)0, false);
    OPENED(0, (void)0, false);
    OPENED(3, refs[0].place = AT_MOTHER, false);
    OPENED(3, refs[0].place = 300, false);
    OPENED(3, refs[2].place = AT_THINGS, false);
    OPENED(3, refs[0].offset++, false);
    OPENED(3, refs[0].length--, false);
    OPENED(3, refs[1].pairs = SLICE("region=us&username=eve"), false);
    OPENED(3, refs[2].pairs = SLICE(""), false);
    OPENED(4, (refs[3] = refs[2], refs[3].offset += sizeof BOB - 1, refs[3].length = 1), false);
    OPENED(4,
           (refs[3] = refs[2], refs[2] = refs[1], refs[1] = (struct envelope_ref){AT_MOTHER, work + 70, 1, SLICE("")}),
           false);
#undef OPENED
}

static void texts_that_are_no_records_are_not_opened(void **state)
{
    static const char *const texts[] = {"{\"work\":1}",      "{\"work\":[]}",        "{\"friends\":{}}",
                                        "{\"friends\":[1]}", "{\"friends\":[null]}", "{\"work\":{}}"};
    struct record_draft draft;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct envelope e = {.kind = ENVELOPE_RECORD, .text = slice_of(texts[i])};
        assert_false(merge_open(&user, &e, &arena, &draft));
        /* Nor where a table says that there is a stub. */
        struct slice text = slice_of(texts[i]);
        const char *value = strchr(text.p, ':') + 1;
        struct envelope_ref ref = {AT_WORK, (uint32_t)(value - text.p),
                                   (uint32_t)(text.n - 1 - (size_t)(value - text.p)), SLICE("name=x")};
        if (text.p[2] == 'f')
            ref = (struct envelope_ref){AT_FRIENDS, ref.offset + 1, ref.length - 2, SLICE("region=eu&username=x")};
        if (ref.length == 0) continue;
        struct blob *blob = envelope_seal(&e, &ref, 1);
        assert_true(envelope_open(blob_slice(blob), &e));
        assert_false(merge_open(&user, &e, &arena, &draft));
        blob_unref(blob);
    }
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = SLICE("{\"work\":null,\"friends\":[]}")};
    assert_true(merge_open(&user, &e, &arena, &draft));
}

/* A stub that is written otherwise than ours is none of ours. */
static void a_stub_has_one_spelling(void **state)
{
    struct draft_reference ref;
    assert_int_equal(
        reference_stub(&place, SLICE("{\"$ref\":\"/models/Place?name=%41\",\"name\":\"A\"}"), &arena, &ref, &why), OK);
    assert_slice(ref.stub, "{\"name\":\"A\",\"$ref\":\"/models/Place?name=A\"}");
    assert_slice(ref.pairs, "name=A");
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = SLICE("{\"work\":{\"name\":\"A\"}}")};
    struct envelope_ref slot = {AT_WORK, 8, 12, ref.pairs};
    struct record_draft draft;
    struct blob *blob = envelope_seal(&e, &slot, 1);
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_false(merge_open(&user, &e, &arena, &draft));
    blob_unref(blob);
}

/* What was stored under another order of declaration, of the model's fields and of the target's keys, is a record still. */
static void the_order_of_declaration_may_change(void **state)
{
    static struct field moved_fields[sizeof user_fields / sizeof *user_fields];
    struct saved s;
    struct model moved;
    struct record_draft draft;
    struct envelope_ref *refs;
    struct buffer again;
    size_t n_refs, n = sizeof user_fields / sizeof *user_fields;
    assert_int_equal(save(&user,
                          SLICE("{\"note\":1,\"username\":\"u\"," WORK ",\"mother\":" EVE ",\"friends\":[" BOB "]}"),
                          false, &s),
                     OK);
    for (size_t i = 0; i < n; i++) {
        moved_fields[i] = user_fields[n - 1 - i];
        if (moved_fields[i].target == &user) moved_fields[i].target = &moved;
    }
    model_of(&moved, &arena, "User", moved_fields, n);
    assert_string_equal(moved.fingerprint, user.fingerprint);

    struct envelope e = {.kind = ENVELOPE_RECORD, .text = buffer_view(&s.text)};
    struct blob *blob = envelope_seal(&e, s.refs, s.n_refs);
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_true(merge_open(&moved, &e, &arena, &draft));
    buffer_init(&again, SIZE_MAX);
    s.key.model = &moved;
    assert_int_equal(codec_write(&s.key, &draft, &arena, &again, &refs, &n_refs, &why), OK);
    assert_slice(
        buffer_view(&again),
        "{\"friends\":[{\"region\":\"us\",\"username\":\"bob\",\"$ref\":\"/models/User?region=us&username=bob\"}],"
        "\"mother\":{\"region\":\"eu\",\"username\":\"eve\",\"$ref\":\"/models/User?region=eu&username=eve\"}," WORK
        ",\"region\":\"eu\",\"username\":\"u\",\"note\":1}");
    assert_int_equal(refs[0].place, AT_FRIENDS);
    assert_int_equal(refs[1].place, AT_MOTHER);
    assert_int_equal(refs[2].place, AT_WORK);
    buffer_deinit(&again);
    buffer_deinit(&s.text);
    blob_unref(blob);
}

/* -- patches -- */

static void assert_patched(const char *body, const char *patch, const char *wanted)
{
    struct saved s;
    struct record_draft draft;
    if (save(&user, slice_of(body), false, &s) != OK) fail_msg("%s: %s", body, why.detail);
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = buffer_view(&s.text)};
    struct blob *blob = envelope_seal(&e, s.refs, s.n_refs);
    assert_true(envelope_open(blob_slice(blob), &e));
    assert_true(merge_open(&user, &e, &arena, &draft));
    if (merge_patch(&s.key, slice_of(patch), &arena, &draft, &why) != OK) fail_msg("%s: %s", patch, why.detail);
    buffer_reset(&s.text);
    assert_int_equal(codec_write(&s.key, &draft, &arena, &s.text, &s.refs, &s.n_refs, &why), OK);
    assert_bytes(buffer_view(&s.text), slice_of(wanted), patch, 0);
    assert_sound(&user, &s);
    blob_unref(blob);
    buffer_deinit(&s.text);
}

static enum status patch_of(const char *patch)
{
    struct saved s;
    struct key_draft keys;
    struct record_draft draft;
    assert_int_equal(save(&user, SLICE("{\"username\":\"u\",\"mother\":" BOB "," WORK "}"), false, &s), OK);
    key_draft_init(&keys);
    codec_draft_init(&user, &arena, &draft);
    assert_int_equal(codec_read(&user, buffer_view(&s.text), &keys, &s.reader, &draft, &why), OK);
    buffer_deinit(&s.text);
    return merge_patch(&s.key, slice_of(patch), &arena, &draft, &why);
}

static void patches_merge_the_keys_of_a_reference(void **state)
{
    const char *start = "{\"username\":\"u\",\"mother\":" BOB ",\"friends\":[" EVE "]}";
    assert_patched(start, "{}", "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB ",\"friends\":[" EVE "]}");
    assert_patched(start, "{\"note\":1}",
                   "{\"note\":1,\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB ",\"friends\":[" EVE "]}");
    assert_patched(start, "{\"mother\":{\"username\":\"eve\"}}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":{\"username\":\"eve\",\"region\":\"us\",\"$ref\":"
                   "\"/models/User?username=eve&region=us\"},\"friends\":[" EVE "]}"); /* the other key stays */
    assert_patched(start, "{\"mother\":{\"username\":\"eve\",\"region\":null}}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" EVE ",\"friends\":[" EVE "]}"); /* its default */
    assert_patched(start, "{\"mother\":{}}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB ",\"friends\":[" EVE "]}");
    assert_patched(start, "{\"mother\":" EVE "}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" EVE ",\"friends\":[" EVE "]}");
    assert_patched(start, "{\"mother\":null,\"friends\":null}", "{\"username\":\"u\",\"region\":\"eu\"}");
    assert_patched(start, "{\"friends\":[{\"username\":\"bob\",\"region\":\"us\"}," EVE "]}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB ",\"friends\":[" BOB "," EVE "]}");
    assert_patched(start, "{\"friends\":[]}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" BOB ",\"friends\":[]}");
    assert_patched("{\"username\":\"u\"}", "{\"mother\":{\"username\":\"eve\",\"region\":null}}",
                   "{\"username\":\"u\",\"region\":\"eu\",\"mother\":" EVE "}");
    assert_patched("{\"username\":\"u\",\"mother\":null}", "{\"work\":{\"name\":\"Acme\"}}",
                   "{\"username\":\"u\",\"region\":\"eu\"," WORK ",\"mother\":null}");
}

static void patches_of_references_are_checked(void **state)
{
    assert_int_equal(patch_of("{\"mother\":{\"username\":null}}"), REFERENCE_INVALID);
    assert_string_equal(why.path, "mother.username");
    assert_int_equal(patch_of("{\"mother\":{\"username\":7}}"), REFERENCE_INVALID);
    assert_int_equal(patch_of("{\"mother\":{\"note\":7}}"), REFERENCE_INVALID); /* there is no cascade */
    assert_string_equal(why.path, "mother.note");
    assert_int_equal(patch_of("{\"mother\":" EVE "}"), OK);
    assert_int_equal(patch_of("{\"mother\":{\"$ref\":\"/models/User?username=eve\"}}"), REFERENCE_INVALID);
    assert_string_equal(why.path, "mother.$ref");
    assert_int_equal(patch_of("{\"mother\":{\"$ref\":\"/models/User?username=bob&region=us\"}}"), OK);
    assert_int_equal(patch_of("{\"mother\":[]}"), REFERENCE_INVALID);
    assert_int_equal(patch_of("{\"friends\":{\"username\":\"eve\"}}"), REFERENCE_INVALID);
    assert_int_equal(patch_of("{\"friends\":[" EVE "," EVE "," EVE "," EVE "]}"), REFERENCE_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_stub_is_the_keys_and_where_to_read_it),
        TEST(a_ref_that_agrees_is_taken),
        TEST(what_is_read_can_be_saved),
        TEST(slots_tell_field_place_and_key),
        TEST(a_long_key_stands_whole_in_the_stub),
        TEST(null_unset_and_empty_have_no_slots),
        TEST(a_reference_takes_its_keys_and_nothing_else),
        TEST(a_ref_that_names_another_record_is_refused),
        TEST(a_record_holds_a_thousand_references),
        TEST(references_that_go_make_room),
        TEST(fields_inside_make_records_of_their_own),
        TEST(keys_alone_save_nothing),
        TEST(the_same_record_twice_is_given_equally),
        TEST(a_record_is_not_saved_through_itself),
        TEST(faults_inside_have_their_path),
        TEST(as_deep_as_json_goes),
        TEST(a_cascade_is_capped),
        TEST(only_records_with_their_own_table_are_opened),
        TEST(texts_that_are_no_records_are_not_opened),
        TEST(a_stub_has_one_spelling),
        TEST(the_order_of_declaration_may_change),
        TEST(patches_merge_the_keys_of_a_reference),
        TEST(patches_of_references_are_checked),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
