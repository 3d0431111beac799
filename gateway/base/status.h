/* base/status.h -- every way an operation can end, one row each: name, HTTP status, public code, title.
 * The code is the last part of `urn:perigee:problem:CODE`, a metric label, and what Lua handlers see.
 * Closed: code outside this table never invents a failure. */
#ifndef PERIGEE_BASE_STATUS_H
#define PERIGEE_BASE_STATUS_H

#include "base/slice.h"

/* clang-format off */
#define STATUS_MAP(X)                                                                                 \
    X(OK,                   200, "ok",                   "done")                                      \
    X(PENDING,              202, "pending",              "the answer comes by callback")              \
    X(MISSING,              404, "missing",              "no such record")                            \
    X(UNKNOWN_MODEL,        404, "unknown-model",        "no such model")                             \
    X(NOT_FOUND,            404, "not-found",            "no such resource")                          \
    X(METHOD_NOT_ALLOWED,   405, "method-not-allowed",   "method not allowed here")                   \
    X(MALFORMED_JSON,       400, "malformed-json",       "the body is not valid JSON")                \
    X(MALFORMED_REQUEST,    400, "malformed-request",    "the request is malformed")                  \
    X(KEY_REQUIRED,         400, "key-required",         "a key is missing")                          \
    X(KEY_TYPE,             400, "key-type",             "a key has the wrong type")                  \
    X(UNKNOWN_KEY,          400, "unknown-key",          "the model has no such key")                 \
    X(KEY_CONFLICT,         400, "key-conflict",         "query and body disagree about a key")       \
    X(UNKNOWN_FIELD,        422, "unknown-field",        "the model has no such field")               \
    X(FIELD_TYPE,           422, "field-type",           "a field has the wrong type")                \
    X(FIELD_REQUIRED,       422, "field-required",       "a required field is missing")               \
    X(REFERENCE_INVALID,    422, "reference-invalid",    "a reference is invalid")                    \
    X(FORM_INVALID,         422, "form-invalid",         "the form is invalid")                       \
    X(DEPTH_EXCEEDED,       422, "depth-exceeded",       "the document is too large")                 \
    X(PRECONDITION_FAILED,  412, "precondition-failed",  "a precondition failed")                     \
    X(BODY_TOO_LARGE,       413, "body-too-large",       "the body is too large")                     \
    X(URI_TOO_LONG,         414, "uri-too-long",         "the request target is too long")            \
    X(UNSUPPORTED_MEDIA,    415, "unsupported-media",    "unsupported media type")                    \
    X(EXPECTATION_FAILED,   417, "expectation-failed",   "unknown expectation")                       \
    X(HEADERS_TOO_LARGE,    431, "headers-too-large",    "the header fields are too large")           \
    X(REQUEST_TIMEOUT,      408, "request-timeout",      "the request took too long to arrive")       \
    X(UNAUTHORIZED,         401, "unauthorized",         "a token is needed")                         \
    X(FORBIDDEN,            403, "forbidden",            "the token does not permit this")            \
    X(NOT_IMPLEMENTED,      501, "not-implemented",      "this is not implemented")                   \
    X(VERSION_UNSUPPORTED,  505, "version-unsupported",  "HTTP version not supported")                \
    X(LOADER_ERROR,         502, "loader-error",         "the loader failed")                         \
    X(LOADER_TIMEOUT,       504, "loader-timeout",       "the loader took too long")                  \
    X(NOT_CACHED,           504, "not-cached",           "not in the cache")                          \
    X(OVERLOADED,           503, "overloaded",           "too much is asked at once")                 \
    X(STORE_UNAVAILABLE,    503, "store-unavailable",    "the store cannot be reached")               \
    X(INTERNAL,             500, "internal",             "an error in Perigee itself")
/* clang-format on */

enum status {
#define X(name, http, code, title) name,
    STATUS_MAP(X)
#undef X
        STATUS_COUNT
};

int status_http(enum status s);          /* 404 for MISSING, ... */
const char *status_code(enum status s);  /* "missing" */
const char *status_title(enum status s); /* one sentence, no full stop */

/* What went wrong, for the one who asked: a status, one sentence, and where. Plain memory of the caller,
 * filled by the function that found the fault; nothing in it is secret. */
struct problem {
    enum status status;
    char detail[320]; /* a sentence, NUL-terminated, always valid UTF-8; "" = the title says it all */
    char path[128];   /* the key, field or edge concerned, or "" */
    unsigned retry_s; /* after how many seconds another try is worth while; 0: nothing is said of that */
};

/* Fills *p (may be NULL) and returns `status`, so that a check reads `return problem_set(p, KEY_TYPE, "id", "...")`.
 * `path` may be NULL. What does not fit is cut at a character border; bytes that are not UTF-8 and control
 * characters become '?'. */
enum status problem_set(struct problem *p, enum status status, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
