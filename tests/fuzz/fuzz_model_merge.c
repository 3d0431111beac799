/* Any two JSON texts, the first line as target and the rest as patch: merging gives valid JSON, no longer than both and no deeper than
 * the deeper one; what yyjson's merge makes is the same value; merging again changes nothing, and an empty patch nothing either. */
#include "model/merge.h"

#include <stdint.h>
#include <stdlib.h>
#include <yyjson.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

/* yyjson takes the first of two members with one name, we the last. */
static bool has_twins(yyjson_val *v)
{
    size_t i, n;
    yyjson_val *name, *value;
    if (yyjson_is_arr(v)) yyjson_arr_foreach(v, i, n, value) if (has_twins(value)) return true;
    if (yyjson_is_obj(v)) yyjson_obj_foreach(v, i, n, name, value)
        {
            yyjson_val *first = yyjson_obj_getn(v, yyjson_get_str(name), yyjson_get_len(name));
            if (first != value || has_twins(value)) return true;
        }
    return false;
}

static yyjson_doc *parse(struct slice text)
{
    yyjson_doc *doc = yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW);
    expect(doc);
    return doc;
}

static void expect_as_yyjson(struct slice target, struct slice patch, struct slice merged)
{
    yyjson_doc *a = parse(target), *b = parse(patch), *c = parse(merged);
    yyjson_val *from = yyjson_doc_get_root(a), *changes = yyjson_doc_get_root(b);
    if (!has_twins(from) && !has_twins(changes)) {
        yyjson_mut_doc *wanted = yyjson_mut_doc_new(NULL), *given = yyjson_doc_mut_copy(c, NULL);
        expect(wanted && given);
        yyjson_mut_val *value = yyjson_merge_patch(wanted, from, changes);
        expect(value && yyjson_mut_equals(value, yyjson_mut_doc_get_root(given)));
        yyjson_mut_doc_free(wanted);
        yyjson_mut_doc_free(given);
    }
    yyjson_doc_free(a);
    yyjson_doc_free(b);
    yyjson_doc_free(c);
}

/* An object without its twins on the first level, as a record is. */
static bool is_record(struct slice text, struct arena *arena)
{
    struct json_member *member;
    size_t n, length = 2;
    if (json_members(text, arena, &member, &n, NULL) != OK) return false;
    for (size_t i = 0; i < n; i++) length += (i > 0) + member[i].quoted.n + 1 + member[i].value.n;
    return length == text.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice rest = {(const char *)data, n}, line = slice_cut(&rest, '\n'), target, patch, compact;
    struct arena arena;
    arena_init(&arena);
    if (rest.p && n <= 16384 && json_compact(line, &arena, &target, NULL) == OK &&
        json_compact(rest, &arena, &patch, NULL) == OK) {
        char *room = malloc(target.n); /* exact sizes, so that the sanitizer sees every byte beyond */
        memcpy(room, target.p, target.n);
        struct slice merged = merge_value(slice_from(room, target.n), patch, &arena);
        expect(merged.n <= target.n + patch.n);
        expect(json_compact(merged, &arena, &compact, NULL) == OK && compact.p == merged.p && compact.n == merged.n);
        expect_as_yyjson(target, patch, merged);
        expect(slice_eq(merge_value(merged, patch, &arena), merged));
        if (is_record(target, &arena)) expect(slice_eq(merge_value(target, SLICE("{}"), &arena), target));
        free(room);
    }
    arena_deinit(&arena);
    return 0;
}
