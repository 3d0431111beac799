/* serve/condition.c -- lists of entity tags, from headers to bytes. */
#include "serve/condition.h"

/* -- one tag -- */

/* As we write it: an entity tag is compared byte for byte, so in capitals it is another one. */
static int tag_digit(char c) { return c >= 'A' && c <= 'F' ? -1 : hex_digit(c); }

/* "0d3a52ac4d1e7b90", as answer_etag writes it without its quotes, to the bytes that are stored: the last digits first. */
static bool read_tag(struct slice text, char out[CONDITION_TAG])
{
    struct slice coding = SLICE("-gzip"); /* the tag of a compressed answer is the same record's */
    if (text.n == 2 * CONDITION_TAG + coding.n && slice_eq(slice_skip(text, 2 * CONDITION_TAG), coding))
        text.n -= coding.n;
    if (text.n != 2 * CONDITION_TAG) return false;
    for (int i = 0; i < CONDITION_TAG; i++) {
        int high = tag_digit(text.p[2 * i]), low = tag_digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[CONDITION_TAG - 1 - i] = (char)(high << 4 | low);
    }
    return true;
}

/* Takes one entity tag off the front: what stands between its quotes. False: there is none. */
static bool take_tag(struct slice *rest, struct slice *text, bool *weak)
{
    *weak = slice_starts(*rest, SLICE("W/"));
    if (*weak) *rest = slice_skip(*rest, 2);
    if (!slice_starts(*rest, SLICE("\""))) return false;
    *rest = slice_skip(*rest, 1);
    const char *end = memchr(rest->p, '"', rest->n);
    if (!end) return false;
    *text = slice_from(rest->p, (size_t)(end - rest->p));
    *rest = slice_skip(*rest, text->n + 1);
    return true;
}

/* -- a list of them -- */

static enum status malformed(const char *name, struct problem *why)
{
    return problem_set(why, MALFORMED_REQUEST, NULL,
                       "%s takes entity tags in their quotes, with commas between them, or *", name);
}

enum status condition_parse(const char *name, struct slice list, bool weak, struct arena *arena, struct slice *tags,
                            struct problem *why)
{
    struct slice rest = slice_trim(list);
    if (slice_eq(rest, SLICE("*"))) {
        *tags = CONDITION_ANY;
        return OK;
    }
    rest = slice_next_element(rest);
    if (!rest.n) return malformed(name, why);
    char *out = arena_bytes(arena, rest.n / (2 * CONDITION_TAG) * CONDITION_TAG + CONDITION_TAG), *end = out;
    while (rest.n) { /* a tag may hold a comma */
        struct slice text;
        bool is_weak;
        if (!take_tag(&rest, &text, &is_weak)) return malformed(name, why);
        if ((weak || !is_weak) && read_tag(text, end)) end += CONDITION_TAG;
        rest = slice_trim(rest);
        if (rest.n && rest.p[0] != ',') return malformed(name, why);
        rest = slice_next_element(rest);
    }
    *tags = slice_from(out, (size_t)(end - out));
    return OK;
}

/* All lines of this header as one (RFC 9110 5.3); absent when there is none. */
static struct slice header_list(const struct http_request *request, const char *name, struct arena *arena)
{
    struct slice all = {NULL, 0};
    for (size_t i = 0; i < request->headers; i++) {
        const struct http_header *h = &request->header[i];
        if (!slice_ieq(h->name, slice_of(name))) continue;
        all = all.p ? arena_printf(arena, "%.*s, %.*s", SLICE_ARG(all), SLICE_ARG(h->value)) : h->value;
    }
    return all;
}

enum status condition_read(const struct http_request *request, struct arena *arena, struct store_condition *when,
                           struct problem *why)
{
    struct slice is = header_list(request, "if-match", arena), is_not = header_list(request, "if-none-match", arena);
    enum status st = OK;
    *when = (struct store_condition){{NULL, 0}, {NULL, 0}};
    if (!is.p && http_request_header(request, "if-unmodified-since").p)
        return problem_set(
            why, NOT_IMPLEMENTED, NULL,
            "records have no date that If-Unmodified-Since could ask for; If-Match takes their entity tag");
    if (is.p) st = condition_parse("If-Match", is, false, arena, &when->is, why);
    if (st == OK && is_not.p) st = condition_parse("If-None-Match", is_not, true, arena, &when->is_not, why);
    return st;
}

/* -- why not -- */

enum status condition_failed(const struct store_condition *when, const struct model *m, struct problem *why)
{
    bool any = slice_eq(when->is, CONDITION_ANY);
    if (!when->is.p)
        return problem_set(why, PRECONDITION_FAILED, NULL, "nothing was changed: %s",
                           slice_eq(when->is_not, CONDITION_ANY) ? "there is a record"
                                                                 : "the record has one of these tags");
    return problem_set(why, PRECONDITION_FAILED, NULL, "nothing was changed: %s%s",
                       any ? "there is no record" : "there is no record with such a tag",
                       m->refers && !any ? " (the tag of a document with its references is another one: HEAD with "
                                           "`_depth=0` tells the record's)"
                                         : "");
}
