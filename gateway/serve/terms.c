/* serve/terms.c -- headers and query options of a write. */
#include "serve/terms.h"

#include "base/units.h"
#include "model/envelope.h"
#include "serve/answer.h"
#include "serve/demand.h"

static bool is_condition(struct slice name)
{
    if (name.n < 8 || name.p[2] != '-') return false; /* most names: none of them */
    return slice_ieq(name, SLICE("if-match")) || slice_ieq(name, SLICE("if-none-match")) ||
           slice_ieq(name, SLICE("if-unmodified-since"));
}

enum status terms_unconditional(const struct http_request *request, struct problem *why)
{
    for (size_t i = 0; i < request->headers; i++) {
        struct slice name = request->header[i].name;
        if (is_condition(name))
            return problem_set(why, NOT_IMPLEMENTED, NULL, "this operation takes no condition (%.*s)", SLICE_ARG(name));
    }
    return OK;
}

enum status terms_media(const struct http_request *request, struct problem *why)
{
    if (http_request_header(request, "content-encoding").p)
        return problem_set(why, UNSUPPORTED_MEDIA, NULL, "the body must come without Content-Encoding");
    struct slice type = http_request_header(request, "content-type");
    if (!type.p) return OK;
    struct slice essence = slice_trim(slice_cut(&type, ';'));
    if (slice_ieq(essence, SLICE("application/json-patch+json")))
        return problem_set(why, UNSUPPORTED_MEDIA, NULL,
                           "a list of operations (RFC 6902) is neither a record nor a merge patch");
    bool suffix = essence.n > 5 && slice_ieq(slice_skip(essence, essence.n - 5), SLICE("+json"));
    if (suffix || slice_ieq(essence, SLICE("application/json"))) return OK;
    return problem_set(why, UNSUPPORTED_MEDIA, NULL, "a body is application/json, not %.*s", SLICE_ARG(essence));
}

/* The first `return` of all lines counts (RFC 7240 2). What is not known is passed over. */
static void read_prefer(const struct http_request *request, struct terms *terms)
{
    for (size_t i = 0; i < request->headers; i++) {
        struct slice rest = request->header[i].value;
        if (!slice_ieq(request->header[i].name, SLICE("prefer"))) continue;
        for (struct slice name, value; demand_directive(&rest, &name, &value);) {
            value = slice_trim(slice_cut(&value, ';'));
            if (!slice_ieq(name, SLICE("return"))) continue;
            terms->represent = slice_ieq(value, SLICE("representation"));
            terms->minimal = slice_ieq(value, SLICE("minimal"));
            return;
        }
    }
}

/* Of several the least, as in a read. */
static enum status take_max_age(struct terms *terms, struct slice text, struct problem *why)
{
    uint64_t seconds;
    if (!units_uint(text, UINT32_MAX, &seconds))
        return problem_set(why, MALFORMED_REQUEST, NULL, "Cache-Control: max-age takes a number of seconds");
    if (!terms->has_life || seconds * 1000 < terms->life_ms) terms->life_ms = seconds * 1000;
    terms->has_life = true;
    return OK;
}

static enum status read_max_age(const struct http_request *request, struct terms *terms, struct problem *why)
{
    struct slice name, argument;
    for (size_t i = 0; i < request->headers; i++) {
        if (!slice_ieq(request->header[i].name, SLICE("cache-control"))) continue;
        for (struct slice rest = request->header[i].value; demand_directive(&rest, &name, &argument);)
            if (slice_ieq(name, SLICE("max-age")) && take_max_age(terms, argument, why) != OK) return why->status;
    }
    return OK;
}

static enum status read_option(enum operation op, const struct query_option *option, struct terms *terms,
                               struct problem *why)
{
    if (slice_eq(option->name, SLICE("_expires"))) {
        terms->has_life = true;
        if (units_duration(option->value, &terms->life_ms)) return OK;
        return problem_set(why, MALFORMED_REQUEST, "_expires", "_expires takes seconds or a duration such as 15m");
    }
    if (op == OP_PATCH)
        return problem_set(why, MALFORMED_REQUEST, NULL, "a patch knows no option `%.*s` (it knows `_expires`)",
                           SLICE_ARG(option->name));
    if (slice_eq(option->name, SLICE("_cascade"))) {
        terms->cascade = slice_eq(option->value, SLICE("1"));
        if (terms->cascade || slice_eq(option->value, SLICE("0"))) return OK;
        return problem_set(why, MALFORMED_REQUEST, "_cascade", "_cascade takes 1 or 0");
    }
    return problem_set(why, MALFORMED_REQUEST, NULL,
                       "a save knows no option `%.*s` (it knows `_expires` and `_cascade`)", SLICE_ARG(option->name));
}

static bool is_before(const struct query_option *option, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(option[i].name, name)) return true;
    return false;
}

enum status terms_read(const struct http_request *request, enum operation op, const struct query_option *option,
                       size_t n, struct terms *terms, struct problem *why)
{
    *terms = (struct terms){.represent = false};
    read_prefer(request, terms);
    enum status st = read_max_age(request, terms, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        struct slice name = option[i].name;
        if (!is_before(option, i, name)) st = read_option(op, &option[i], terms, why);
        else st = problem_set(why, MALFORMED_REQUEST, NULL, "the option `%.*s` is given twice", SLICE_ARG(name));
    }
    return st;
}

void terms_answer(const struct terms *terms, struct reply *reply, struct blob *blob)
{
    struct envelope e;
    char etag[19];
    envelope_open(blob_slice(blob), &e); /* our own: it is whole */
    answer_etag(e.tag, etag);
    reply_header(reply, "ETag", slice_of(etag));
    if (terms->minimal) reply_header(reply, "Preference-Applied", SLICE("return=minimal"));
    if (!terms->represent) return;
    reply_header(reply, "Preference-Applied", SLICE("return=representation"));
    reply_header(reply, "Content-Type", SLICE("application/json"));
    reply_body(reply, e.text, blob_ref(blob));
}
