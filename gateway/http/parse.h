/* http/parse.h -- bytes to struct http_request, on llhttp (strict), plus what llhttp leaves to its caller: exactly one
 * valid Host, no '*' but for OPTIONS, versions 1.0 and 1.1 only, no empty or unknown Transfer-Encoding, none in 1.0, never
 * with Content-Length, harmless trailers, at most one Content-Type, and every limit (RFC 9110, RFC 9112).
 * Pure: no uv, no clock. Bytes that must outlive the input are copied into the given arena. */
#ifndef PERIGEE_HTTP_PARSE_H
#define PERIGEE_HTTP_PARSE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "http/request.h"

#include <llhttp.h>

struct http_parse_limits {
    size_t max_uri; /* request target, bytes (URI_TOO_LONG) */
    size_t
        max_headers; /* header block as sent, bytes, and trailers likewise (HEADERS_TOO_LARGE; also above 64 fields) */
    size_t max_body; /* BODY_TOO_LARGE, said before the body is read when Content-Length tells */
};

enum http_parse_event {
    PARSE_MORE,     /* all input used, the request is not complete */
    PARSE_HEAD,     /* the head is complete and asks for `100-continue`: send it, then go on with the rest */
    PARSE_COMPLETE, /* a whole request stands in *request; the rest of the input belongs to the next */
    PARSE_REFUSED,  /* refused: `refusal` says why; the connection must close after the answer */
};

/* Private to parse.c, but for `refusal`. */
struct http_parser {
    llhttp_t llhttp;
    const struct http_parse_limits *limits;
    struct http_request *request; /* NULL between requests */
    struct arena *arena;
    struct buffer *body; /* in the arena, but with memory of its own; NULL: no body */
    char *span;          /* the target, header name or value being gathered, in the arena */
    size_t span_n, span_cap;
    struct slice target;
    size_t line_at;         /* bytes of the current part of the request line */
    size_t head_bytes;      /* of the header block, or of the trailers, so far */
    size_t extension;       /* bytes of chunk extensions so far */
    size_t extension_value; /* and of the value under way */
    enum status refusal;
    uint8_t phase, line; /* where in the request, and where in its first line */
    uint8_t field;       /* which header is under way */
    bool saw_cr, host, content_length, transfer_encoding, content_type, expects_continue, pause;
};

/* Prepares for the first request of a connection. */
void http_parser_init(struct http_parser *p, const struct http_parse_limits *limits);

/* Begins a request: where it is to be written and what memory it may use (both kept until http_parser_done). */
void http_parser_begin(struct http_parser *p, struct http_request *request, struct arena *arena);

/* Feeds bytes; *used says how many were taken. Call again with the rest after PARSE_HEAD and, after http_parser_done and
 * the next http_parser_begin, after PARSE_COMPLETE. A request split anywhere gives the same result as whole. */
enum http_parse_event http_parser_feed(struct http_parser *p, struct slice in, size_t *used);

/* The request is answered, or given up: gives back the body and gets ready for the next http_parser_begin. */
void http_parser_done(struct http_parser *p);

/* True once the first byte of a request was taken and until it is complete; blank lines before it do not count. */
bool http_parser_started(const struct http_parser *p);

/* True while it stands between two requests, and not within a blank line either. */
bool http_parser_untouched(const struct http_parser *p);

/* True once the method is known to be HEAD, also where the request is refused for something behind it. */
bool http_parser_is_head(const struct http_parser *p);

/* True once the header block is complete. */
bool http_parser_in_body(const struct http_parser *p);

#endif
