/* Any bytes as JSON: what is accepted is what yyjson accepts and no deeper than the cap, compacting changes no value and
 * compacting again changes nothing, and cutting and unescaping agree with yyjson's tree. Members are cut from anything, within its bytes. */
#include "model/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <yyjson.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static struct slice text_of(yyjson_val *v)
{
    if (yyjson_is_raw(v)) return slice_from(yyjson_get_raw(v), yyjson_get_len(v));
    return slice_from(yyjson_get_str(v), yyjson_get_len(v));
}

static void expect_same(yyjson_val *a, yyjson_val *b)
{
    size_t i, n;
    yyjson_val *name, *value;
    expect(yyjson_get_tag(a) == yyjson_get_tag(b)); /* type, and length or number of members */
    if (yyjson_is_raw(a) || yyjson_is_str(a)) expect(slice_eq(text_of(a), text_of(b)));
    if (yyjson_is_arr(a)) {
        yyjson_val *other = yyjson_arr_get_first(b);
        yyjson_arr_foreach(a, i, n, value)
        {
            expect_same(value, other);
            other = unsafe_yyjson_get_next(other);
        }
    }
    if (yyjson_is_obj(a)) {
        yyjson_obj_iter others = yyjson_obj_iter_with(b);
        yyjson_obj_foreach(a, i, n, name, value)
        {
            yyjson_val *other = yyjson_obj_iter_next(&others);
            expect_same(name, other);
            expect_same(value, yyjson_obj_iter_get_val(other));
        }
    }
}

static yyjson_doc *parse(struct slice text)
{
    return text.n ? yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW) : NULL;
}

static size_t depth_of(yyjson_val *v)
{
    size_t i, n, deepest = 0;
    yyjson_val *name, *value;
    if (yyjson_is_arr(v)) yyjson_arr_foreach(v, i, n, value)
        {
            size_t depth = depth_of(value);
            if (depth > deepest) deepest = depth;
        }
    if (yyjson_is_obj(v)) yyjson_obj_foreach(v, i, n, name, value)
        {
            size_t depth = depth_of(value);
            if (depth > deepest) deepest = depth;
        }
    return yyjson_is_ctn(v) ? deepest + 1 : 0;
}

/* What was cut out of `compact`, level by level, against the tree of it. */
static void expect_cut_as(struct slice compact, yyjson_val *v, struct arena *arena);

static void expect_members(struct slice compact, yyjson_val *v, struct arena *arena)
{
    struct json_member *member;
    size_t n;
    expect(json_members(compact, arena, &member, &n, NULL) == OK);
    expect(n <= yyjson_obj_size(v));
    size_t i, all, found = 0;
    yyjson_val *name, *value;
    yyjson_obj_foreach(v, i, all, name, value)
    {
        for (size_t k = 0; k < n; k++)
            if (slice_eq(member[k].name, text_of(name))) {
                found++;
                break;
            }
    }
    expect(found == yyjson_obj_size(v)); /* no name is lost */
    for (size_t k = 0; k < n; k++) {
        yyjson_val *last = NULL;
        yyjson_obj_foreach(v, i, all, name, value) if (slice_eq(member[k].name, text_of(name))) last = value;
        expect_cut_as(member[k].value, last, arena);
        for (size_t j = 0; j < k; j++) expect(!slice_eq(member[j].name, member[k].name));
    }
}

static void expect_elements(struct slice compact, yyjson_val *v, struct arena *arena)
{
    struct slice *element;
    size_t n, i, all;
    yyjson_val *value;
    expect(json_elements(compact, arena, &element, &n, NULL) == OK);
    expect(n == yyjson_arr_size(v));
    yyjson_arr_foreach(v, i, all, value) expect_cut_as(element[i], value, arena);
}

static void expect_cut_as(struct slice compact, yyjson_val *v, struct arena *arena)
{
    switch (json_kind(compact)) {
    case JSON_NULL: expect(yyjson_is_null(v) && slice_eq(compact, SLICE("null"))); return;
    case JSON_FALSE: expect(yyjson_is_false(v) && slice_eq(compact, SLICE("false"))); return;
    case JSON_TRUE: expect(yyjson_is_true(v) && slice_eq(compact, SLICE("true"))); return;
    case JSON_STRING: expect(yyjson_is_str(v) && slice_eq(json_string(compact, arena), text_of(v))); return;
    case JSON_ARRAY: expect_elements(compact, v, arena); return;
    case JSON_OBJECT: expect_members(compact, v, arena); return;
    case JSON_INTEGER:
    case JSON_NUMBER: expect(yyjson_is_raw(v) && slice_eq(compact, text_of(v))); return;
    }
}

/* All members of an object, one after the other; of anything else whatever there is, but no byte outside it. */
static void expect_walk(struct slice text, bool is_object)
{
    struct json_member member;
    size_t at = 0, length = 1;
    char *exact = malloc(text.n ? text.n : 1);
    memcpy(exact, text.p, text.n);
    for (size_t before = 0; json_cut(slice_from(exact, text.n), &at, &member); before = at) {
        expect(at > before && at < text.n);
        expect(member.name.p == member.quoted.p + 1 && member.quoted.p == exact + before + 1);
        expect(member.value.n && member.value.p + member.value.n == exact + at);
        length += member.quoted.n + member.value.n + 2;
    }
    expect(at < text.n || text.n == 0);
    if (is_object) expect(at ? at == text.n - 1 && length == text.n : text.n == 2);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice text = {(const char *)data, n}, compact, again;
    struct problem why = {.detail = ""};
    struct arena arena;
    arena_init(&arena);
    yyjson_doc *doc = parse(text);
    enum status st = json_compact(text, &arena, &compact, &why);
    expect_walk(text, false);
    if (st == OK) {
        expect(doc && slice_is_utf8(text) && compact.n <= n);
        yyjson_doc *squeezed = parse(compact);
        expect(squeezed && depth_of(yyjson_doc_get_root(doc)) <= JSON_DEPTH_MAX);
        expect_same(yyjson_doc_get_root(doc), yyjson_doc_get_root(squeezed));
        expect(json_compact(compact, &arena, &again, NULL) == OK && again.p == compact.p && again.n == compact.n);
        expect((compact.p == text.p) == (compact.n == text.n));
        expect_walk(compact, json_kind(compact) == JSON_OBJECT);
        if (n <= 4096) expect_cut_as(compact, yyjson_doc_get_root(squeezed), &arena); /* quadratic in the members */
        yyjson_doc_free(squeezed);
    } else {
        const char *at = strstr(why.detail, " at byte ");
        expect(st == MALFORMED_JSON && at && strtoull(at + 9, NULL, 10) <= n);
        expect(!doc || depth_of(yyjson_doc_get_root(doc)) > JSON_DEPTH_MAX);
    }
    yyjson_doc_free(doc);
    arena_deinit(&arena);
    return 0;
}
