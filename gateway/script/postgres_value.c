/* script/postgres_value.c -- the types that become more than text, both ways. */
#include "script/postgres_value.h"

#include "model/json.h"
#include "script/libpq.h"

#include <string.h>

#define DIMENSIONS_MAX 6 /* PostgreSQL's own */
#define TYPE_BYTEA     17

/* Types of the system's catalogue, whose numbers never change, and those of their arrays. All others are text. */
static const struct type {
    unsigned number, array;
    enum postgres_kind kind;
} types[] = {
    {16, 1000, POSTGRES_TRUE},                                    /* bool */
    {TYPE_BYTEA, 1001, POSTGRES_TEXT}, {18, 1002, POSTGRES_TEXT}, /* "char" */
    {19, 1003, POSTGRES_TEXT},                                    /* name */
    {20, 1016, POSTGRES_NUMBER},                                  /* int8 */
    {21, 1005, POSTGRES_NUMBER},                                  /* int2 */
    {23, 1007, POSTGRES_NUMBER},                                  /* int4 */
    {25, 1009, POSTGRES_TEXT},                                    /* text */
    {26, 1028, POSTGRES_NUMBER},                                  /* oid */
    {114, 199, POSTGRES_JSON},                                    /* json */
    {700, 1021, POSTGRES_FLOAT},                                  /* float4 */
    {701, 1022, POSTGRES_FLOAT},                                  /* float8 */
    {869, 1041, POSTGRES_TEXT},                                   /* inet */
    {1042, 1014, POSTGRES_TEXT},                                  /* char(n) */
    {1043, 1015, POSTGRES_TEXT},                                  /* varchar */
    {1082, 1182, POSTGRES_TEXT},                                  /* date */
    {1083, 1183, POSTGRES_TEXT},                                  /* time */
    {1114, 1115, POSTGRES_TEXT},                                  /* timestamp */
    {1184, 1185, POSTGRES_TEXT},                                  /* timestamptz */
    {1700, 1231, POSTGRES_NUMBER},                                /* numeric */
    {2950, 2951, POSTGRES_TEXT},                                  /* uuid */
    {3802, 3807, POSTGRES_JSON},                                  /* jsonb */
};

static const struct type *find(unsigned number, bool as_array)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((as_array ? types[i].array : types[i].number) == number) return &types[i];
    return NULL;
}

/* --- cells: a byte for the kind, four for the length or the count, the bytes, a NUL ------------------------------- */

static bool put_cell(struct buffer *cells, enum postgres_kind kind, uint32_t n, const char *bytes)
{
    char head[5] = {(char)kind};
    memcpy(head + 1, &n, sizeof n);
    bool good = buffer_put(cells, head, sizeof head);
    return bytes ? good && buffer_put(cells, bytes, n) && buffer_char(cells, 0) : good;
}

struct postgres_cell postgres_next(const struct buffer *cells, size_t *at)
{
    const char *p = cells->p + *at;
    uint32_t n;
    memcpy(&n, p + 1, sizeof n);
    struct postgres_cell cell = {.kind = (enum postgres_kind) * p};
    *at += 5;
    switch (cell.kind) {
    case POSTGRES_NUMBER:
    case POSTGRES_FLOAT:
    case POSTGRES_TEXT:
    case POSTGRES_JSON:
        cell.text = slice_from(p + 5, n);
        *at += n + 1;
        break;
    case POSTGRES_ARRAY: cell.elements = n; break;
    case POSTGRES_NULL:
    case POSTGRES_TRUE:
    case POSTGRES_FALSE: break;
    }
    return cell;
}

bool postgres_put_null(struct buffer *cells) { return put_cell(cells, POSTGRES_NULL, 0, NULL); }

static bool put_bytea(struct buffer *cells, struct slice text)
{
    size_t n;
    unsigned char *bytes = libpq.unescapeBytea((const unsigned char *)text.p, &n);
    bool good = bytes && put_cell(cells, POSTGRES_TEXT, (uint32_t)n, (const char *)bytes);
    libpq.freemem(bytes);
    return good;
}

/* No array. */
static bool put_scalar(struct buffer *cells, const struct type *type, struct slice text)
{
    enum postgres_kind kind = type ? type->kind : POSTGRES_TEXT;
    if (kind == POSTGRES_TRUE)
        return put_cell(cells, slice_eq(text, SLICE("t")) ? POSTGRES_TRUE : POSTGRES_FALSE, 0, NULL);
    if (type && type->number == TYPE_BYTEA) return put_bytea(cells, text);
    return put_cell(cells, kind, (uint32_t)text.n, text.p);
}

/* --- arrays: {1,NULL,"a \"b\""}, {{1,2},{3,4}}, [0:1]={1,2} --------------------------------------------------------- */

struct array_reader {
    const char *p; /* the rest, to its NUL */
    const struct type *type;
    struct buffer *cells;
    struct buffer element;
};

/* An element, quoted or bare, without its escapes. */
static bool put_element(struct array_reader *r)
{
    bool quoted = *r->p == '"', open = quoted;
    buffer_reset(&r->element);
    for (r->p += quoted; open ? *r->p != '"' : *r->p && !strchr(",{}", *r->p); r->p++) {
        if (*r->p == '\\') r->p++;
        if (!*r->p) return false;
        buffer_char(&r->element, *r->p);
    }
    r->p += quoted;
    if (!quoted && slice_eq(buffer_view(&r->element), SLICE("NULL"))) return postgres_put_null(r->cells);
    if (!quoted && r->element.n == 0) return false;
    if (!buffer_char(&r->element, 0)) return false;
    return put_scalar(r->cells, r->type, slice_from(r->element.p, r->element.n - 1));
}

/* From its '{' to behind its '}'. */
static bool put_elements(struct array_reader *r, int depth)
{
    size_t head = r->cells->n;
    uint32_t n = 0;
    if (*r->p != '{' || depth > DIMENSIONS_MAX || !put_cell(r->cells, POSTGRES_ARRAY, 0, NULL)) return false;
    do {
        r->p++; /* '{', then ',' */
        if (n == 0 && *r->p == '}') break;
        if (!(*r->p == '{' ? put_elements(r, depth + 1) : put_element(r))) return false;
        n++;
    } while (*r->p == ',');
    if (*r->p++ != '}') return false;
    memcpy(r->cells->p + head + 1, &n, sizeof n);
    return true;
}

static bool put_array(struct buffer *cells, const struct type *type, struct slice text)
{
    const char *braces = text.p[0] == '[' ? strchr(text.p, '=') : NULL;
    struct array_reader r = {.p = braces ? braces + 1 : text.p, .type = type, .cells = cells};
    size_t before = cells->n;
    buffer_init(&r.element, text.n + 1);
    bool good = put_elements(&r, 1) && !*r.p;
    buffer_deinit(&r.element);
    if (good || cells->overflow) return good;
    cells->n = before; /* not as arrays are written: then it stays the text that it is */
    return put_cell(cells, POSTGRES_TEXT, (uint32_t)text.n, text.p);
}

bool postgres_put(struct buffer *cells, unsigned type, struct slice text)
{
    const struct type *of_elements = find(type, true);
    return of_elements ? put_array(cells, of_elements, text) : put_scalar(cells, find(type, false), text);
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

/* A JSON array as PostgreSQL writes arrays. Elements are quoted, whatever they are, so that no text is taken for NULL. */
static bool write_array(struct slice json, struct arena *arena, struct buffer *out)
{
    struct slice *element;
    size_t n;
    if (json_elements(json, arena, &element, &n, NULL) != OK) return false;
    buffer_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        enum json_kind kind = json_kind(element[i]);
        if (i) buffer_char(out, ',');
        if (kind == JSON_NULL) {
            buffer_slice(out, SLICE("NULL"));
        } else if (kind == JSON_ARRAY) {
            if (!write_array(element[i], arena, out)) return false;
        } else {
            struct slice text = kind == JSON_STRING ? json_string(element[i], arena) : element[i];
            buffer_char(out, '"');
            for (size_t k = 0; k < text.n; k++) {
                if (text.p[k] == '"' || text.p[k] == '\\') buffer_char(out, '\\');
                buffer_char(out, text.p[k]);
            }
            buffer_char(out, '"');
        }
    }
    return buffer_char(out, '}');
}

struct slice postgres_argument_for(const struct postgres_argument *a, unsigned type, struct arena *arena, bool *binary)
{
    struct slice text = a->text;
    *binary = a->is_string && type == TYPE_BYTEA;
    if (a->is_json && find(type, true) && find(type, true)->kind != POSTGRES_JSON) {
        struct buffer array;
        buffer_init(&array, 4 * text.n + 16);
        if (write_array(text, arena, &array)) text = arena_dup(arena, buffer_view(&array));
        buffer_deinit(&array);
    }
    return *binary || !memchr(text.p, 0, text.n) ? text : (struct slice){NULL, 0};
}
