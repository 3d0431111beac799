/* model/json.c -- one walk says yes (json_valid.c); to what it refuses one scan for depth and yyjson say why. Another walk leaves out white
 * space, if there is any. What comes after works on valid compact text, where the first byte of a value tells its kind and cutting needs no
 * care for errors. */
#include "model/json.h"

#include "base/map.h"
#include "model/json_valid.h"

#include <assert.h>
#include <stdlib.h>
#include <yyjson.h>

enum { OTHER, BLANK, OPEN, CLOSE, QUOTE };

static const unsigned char class_of[256] = {
    [' '] = BLANK, ['\t'] = BLANK, ['\n'] = BLANK, ['\r'] = BLANK, ['['] = OPEN,
    ['{'] = OPEN,  [']'] = CLOSE,  ['}'] = CLOSE,  ['"'] = QUOTE,
};

static int class_at(const char *p) { return class_of[(unsigned char)*p]; }

/* Behind the string that opens at `quote`; `end` when it does not close. Linear: runs of backslashes end at the quote before. */
static const char *string_end(const char *quote, const char *end)
{
    for (const char *p = quote + 1; (p = memchr(p, '"', (size_t)(end - p))); p++) {
        const char *before = p;
        while (before[-1] == '\\') before--;
        if ((p - before) % 2 == 0) return p + 1;
    }
    return end;
}

/* -- checking -- */

/* Does the text nest no deeper than it may? Else *at is where. Invalid text is read as yyjson reads it up to its first error, so what that
 * would nest is seen here. */
static bool is_flat(struct slice text, size_t *at)
{
    const char *p = text.p, *end = text.p + text.n;
    size_t depth = 0;
    while (p < end) {
        int class = class_at(p);
        if (class == OPEN && ++depth > JSON_DEPTH_MAX) {
            *at = (size_t)(p - text.p);
            return false;
        }
        if (class == CLOSE && depth > 0) depth--;
        p = class == QUOTE ? string_end(p, end) : p + 1;
    }
    return true;
}

/* What is wrong with a text that is refused. */
static enum status blame(struct slice text, struct problem *why)
{
    yyjson_read_err err;
    size_t at;
    if (text.n == 0) return problem_set(why, MALFORMED_JSON, NULL, "there is no value at byte 0");
    if (!is_flat(text, &at))
        return problem_set(why, MALFORMED_JSON, NULL, "nested deeper than %d at byte %zu", JSON_DEPTH_MAX, at);
    /* Without YYJSON_READ_INSITU the text is only read. */
    yyjson_doc *doc = yyjson_read_opts((char *)text.p, text.n, YYJSON_READ_NUMBER_AS_RAW, NULL, &err);
    assert(!doc); /* json_valid knows what is valid as well as yyjson does */
    yyjson_doc_free(doc);
    if (err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) abort();
    return problem_set(why, MALFORMED_JSON, NULL, "%s at byte %zu", err.msg, err.pos);
}

/* Copies all but white space outside strings. */
static struct slice squeeze(struct slice text, size_t blanks, struct arena *arena)
{
    struct slice compact = {arena_bytes(arena, text.n - blanks), text.n - blanks};
    const char *p = text.p, *run = p, *end = p + text.n;
    char *out = (char *)compact.p;
    while (p < end) {
        int class = class_at(p);
        if (class == BLANK) {
            out = mempcpy(out, run, (size_t)(p - run));
            run = p + 1;
        }
        p = class == QUOTE ? string_end(p, end) : p + 1;
    }
    memcpy(out, run, (size_t)(p - run));
    return compact;
}

enum status json_compact(struct slice text, struct arena *arena, struct slice *compact, struct problem *why)
{
    size_t blanks;
    if (text.n == 0 || !json_valid(text, &blanks)) return blame(text, why);
    *compact = blanks ? squeeze(text, blanks, arena) : text;
    return OK;
}

/* -- kinds -- */

enum json_kind json_kind(struct slice compact)
{
    switch (compact.p[0]) {
    case 'n': return JSON_NULL;
    case 'f': return JSON_FALSE;
    case 't': return JSON_TRUE;
    case '"': return JSON_STRING;
    case '[': return JSON_ARRAY;
    case '{': return JSON_OBJECT;
    }
    for (size_t i = 1; i < compact.n; i++)
        if (compact.p[i] == '.' || compact.p[i] == 'e' || compact.p[i] == 'E') return JSON_NUMBER;
    return JSON_INTEGER;
}

const char *json_kind_name(enum json_kind k)
{
    static const char *const name[] = {"null",     "false",    "true",     "an integer",
                                       "a number", "a string", "an array", "an object"};
    return name[k];
}

/* -- strings -- */

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* The escape at *p, which is moved behind it. Surrogates come in pairs: the text is valid. */
static char *put_escaped(char *out, const char **p)
{
    static const char named[128] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    const char *at = *p + 2;
    if (at[-1] != 'u') {
        *p = at;
        *out++ = named[(unsigned char)at[-1] & 0x7f];
        return out;
    }
    unsigned code = hex4(at);
    *p = at + 4;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(at + 6) - 0xDC00);
        *p = at + 10;
    }
    return put_utf8(out, code);
}

struct slice json_string(struct slice compact, struct arena *arena)
{
    struct slice inside = {compact.p + 1, compact.n - 2};
    if (!memchr(inside.p, '\\', inside.n)) return inside;
    char *text = arena_bytes(arena, inside.n), *out = text; /* an escape is never shorter than what it stands for */
    const char *p = inside.p, *end = p + inside.n;
    while (p < end) {
        if (*p == '\\') out = put_escaped(out, &p);
        else *out++ = *p++;
    }
    return slice_from(text, (size_t)(out - text));
}

/* -- cutting -- */

/* Behind the array or object that opens at p; `end` when it does not close. */
static const char *container_end(const char *p, const char *end)
{
    size_t depth = 0;
    do {
        int class = class_at(p);
        if (class == OPEN) depth++;
        if (class == CLOSE) depth--;
        p = class == QUOTE ? string_end(p, end) : p + 1;
    } while (depth > 0 && p < end);
    return p;
}

/* Behind the value that starts at p. */
static const char *value_end(const char *p, const char *end)
{
    if (class_at(p) == QUOTE) return string_end(p, end);
    if (class_at(p) == OPEN) return container_end(p, end);
    while (p < end && *p != ',' && class_at(p) != CLOSE) p++;
    return p;
}

/* Room for one more in an array of n. */
static void *make_room(void *items, size_t n, size_t *cap, size_t size, struct arena *arena)
{
    if (n < *cap) return items;
    *cap = *cap ? *cap * 2 : 8;
    void *larger = arena_alloc(arena, *cap * size);
    if (n) memcpy(larger, items, n * size);
    return larger;
}

static enum status refuse(enum json_kind wanted, struct slice given, struct problem *why)
{
    return problem_set(why, MALFORMED_REQUEST, NULL, "the JSON text is %s, not %s", json_kind_name(json_kind(given)),
                       json_kind_name(wanted));
}

#define FEW 12 /* members: so many are compared sooner than hashed */

/* The place of a name among n members; n: it is new. `seen` holds the places + 1, once there are more than a few. */
static size_t place_of(const struct json_member *list, size_t n, const struct map *seen, struct slice name)
{
    if (n > FEW) {
        uintptr_t place = (uintptr_t)map_get(seen, name);
        return place ? place - 1 : n;
    }
    for (size_t i = 0; i < n; i++)
        if (slice_eq(list[i].name, name)) return i;
    return n;
}

/* The last of n members is new. */
static void note(const struct json_member *list, size_t n, struct map *seen)
{
    if (n <= FEW) return;
    for (size_t i = n == FEW + 1 ? 0 : n - 1; i < n; i++) map_put(seen, list[i].name, (void *)(uintptr_t)(i + 1));
}

enum status json_members(struct slice compact, struct arena *arena, struct json_member **members, size_t *n,
                         struct problem *why)
{
    if (json_kind(compact) != JSON_OBJECT) return refuse(JSON_OBJECT, compact, why);
    const char *p = compact.p + 1, *end = compact.p + compact.n - 1; /* of what is between the braces */
    struct json_member *list = NULL;
    struct map seen;
    size_t cap = 0, count = 0;
    map_init(&seen);
    while (p < end) {
        const char *name_end = string_end(p, end), *value = name_end + 1, *behind = value_end(value, end);
        struct slice quoted = slice_from(p, (size_t)(name_end - p));
        struct json_member member = {json_string(quoted, arena), quoted, slice_from(value, (size_t)(behind - value))};
        size_t place = place_of(list, count, &seen, member.name);
        if (place == count) list = make_room(list, count, &cap, sizeof *list, arena);
        list[place] = member;
        if (place == count) note(list, ++count, &seen);
        p = behind + 1;
    }
    map_deinit(&seen);
    *members = list;
    *n = count;
    return OK;
}

enum status json_elements(struct slice compact, struct arena *arena, struct slice **elements, size_t *n,
                          struct problem *why)
{
    if (json_kind(compact) != JSON_ARRAY) return refuse(JSON_ARRAY, compact, why);
    const char *p = compact.p + 1, *end = compact.p + compact.n - 1; /* of what is between the brackets */
    struct slice *list = NULL;
    size_t cap = 0, count = 0;
    while (p < end) {
        const char *behind = value_end(p, end);
        list = make_room(list, count, &cap, sizeof *list, arena);
        list[count++] = slice_from(p, (size_t)(behind - p));
        p = behind + 1;
    }
    *elements = list;
    *n = count;
    return OK;
}

/* `*at` is where the byte before the next member stands: the brace or a comma. */
bool json_cut(struct slice object, size_t *at, struct json_member *member)
{
    const char *p = object.p + *at, *end = object.p + object.n;
    if (end - p < 2 || *p != (*at ? ',' : '{') || p[1] != '"') return false;
    const char *name = p + 1, *name_end = string_end(name, end);
    if (end - name_end < 2 || *name_end != ':') return false;
    const char *value = name_end + 1, *behind = value_end(value, end);
    if (behind == value || behind == end || (*behind != ',' && *behind != '}')) return false;
    struct slice quoted = slice_from(name, (size_t)(name_end - name));
    *member =
        (struct json_member){slice_from(name + 1, quoted.n - 2), quoted, slice_from(value, (size_t)(behind - value))};
    *at = (size_t)(behind - object.p);
    return true;
}
