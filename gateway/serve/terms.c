/* serve/terms.c -- the headers and query options of a write. */
#include "serve/terms.h"

#include "base/units.h"
#include "model/envelope.h"
#include "serve/answer.h"

enum status terms_unconditional(const struct http_request *request, struct problem *why)
{
    static const char *const header[] = {"if-match", "if-none-match", "if-unmodified-since"};
    for (size_t i = 0; i < sizeof header / sizeof *header; i++)
        if (http_request_header(request, header[i]).p)
            return problem_set(why, NOT_IMPLEMENTED, NULL, "conditional writes (%s) are not served", header[i]);
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
    return problem_set(why, UNSUPPORTED_MEDIA, NULL, "a record is application/json, not %.*s", SLICE_ARG(essence));
}

static bool preference(struct slice prefer, const char *name, const char *value)
{
    while (prefer.p) {
        struct slice one = slice_trim(slice_cut(&prefer, ','));
        struct slice pair = slice_trim(slice_cut(&one, ';'));
        struct slice key = slice_trim(slice_cut(&pair, '='));
        if (slice_ieq(key, slice_of(name)) && pair.p && slice_ieq(slice_trim(pair), slice_of(value))) return true;
    }
    return false;
}

static enum status read_life(const struct http_request *request, const struct query_option *option, size_t n,
                             struct terms *terms, struct problem *why)
{
    struct slice max_age = cache_directive(http_request_header(request, "cache-control"), "max-age");
    uint64_t seconds;
    terms->has_life = max_age.p || n;
    if (max_age.p) {
        if (!units_uint(max_age, UINT32_MAX, &seconds))
            return problem_set(why, MALFORMED_REQUEST, NULL, "Cache-Control: max-age takes a number of seconds");
        terms->life_ms = seconds * 1000;
    }
    for (size_t i = 0; i < n; i++) {
        if (!slice_eq(option[i].name, SLICE("_expires")))
            return problem_set(why, MALFORMED_REQUEST, NULL, "a save knows no option `%.*s` (it knows `_expires`)",
                               SLICE_ARG(option[i].name));
        if (!units_duration(option[i].value, &terms->life_ms))
            return problem_set(why, MALFORMED_REQUEST, "_expires", "_expires takes seconds or a duration such as 15m");
    }
    return OK;
}

enum status terms_read(const struct http_request *request, const struct query_option *option, size_t n,
                       struct terms *terms, struct problem *why)
{
    *terms =
        (struct terms){.represent = preference(http_request_header(request, "prefer"), "return", "representation")};
    return read_life(request, option, n, terms, why);
}

void terms_answer(const struct terms *terms, struct reply *reply, struct blob *blob)
{
    struct envelope e;
    char etag[19];
    envelope_open(blob_slice(blob), &e); /* our own: it is whole */
    answer_etag(e.tag, etag);
    reply_header(reply, "ETag", slice_of(etag));
    if (!terms->represent) return;
    reply_header(reply, "Preference-Applied", SLICE("return=representation"));
    reply_header(reply, "Content-Type", SLICE("application/json"));
    reply_body(reply, e.text, blob_ref(blob));
}
