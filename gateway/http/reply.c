/* http/reply.c -- collecting an answer. What it becomes on the wire is send.c's.
 *
 * Header lines start in the reply itself and move into the arena when they outgrow it; `head_lines` is a buffer
 * only in what it tells (p, n, cap), never grown by buffer_*. Body slices are kept as they are given. */
#include "http/reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define LINES_MOST 32768 /* bytes of header lines; a line that would pass it is left out */

void reply_init(struct reply *r, struct arena *arena)
{
    r->arena = arena;
    r->status = 0;
    r->close = r->gzip = r->head = false;
    r->head_lines = (struct buffer){.p = r->first, .cap = sizeof r->first, .max = LINES_MOST};
    r->piece = NULL;
    r->pieces = r->cap = r->body_bytes = 0;
}

static void forget_body(struct reply *r)
{
    for (size_t i = 0; i < r->pieces; i++) blob_unref(r->piece[i].blob);
    r->pieces = r->body_bytes = 0;
}

void reply_deinit(struct reply *r) { forget_body(r); }

void reply_begin(struct reply *r, int status)
{
    forget_body(r);
    buffer_reset(&r->head_lines);
    r->status = status;
    r->close = r->gzip = false;
}

/* Room for n more bytes of header lines, or NULL past the maximum. */
static char *room(struct reply *r, size_t n)
{
    struct buffer *b = &r->head_lines;
    if (n > b->max - b->n) {
        b->overflow = true;
        return NULL;
    }
    if (n > b->cap - b->n) {
        size_t cap = b->cap * 2 > b->n + n ? b->cap * 2 : b->n + n;
        char *larger = arena_bytes(r->arena, cap);
        memcpy(larger, b->p, b->n);
        b->p = larger;
        b->cap = cap;
    }
    return b->p + b->n;
}

static bool is_control(char c) { return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f; }

void reply_header(struct reply *r, const char *name, struct slice value)
{
    assert(r->status); /* reply_begin comes first */
    size_t name_n = strlen(name), n = name_n + value.n + 4;
    char *to = room(r, n);
    if (!to) return;
    memcpy(to, name, name_n);
    to += name_n;
    *to++ = ':';
    *to++ = ' ';
    for (size_t i = 0; i < value.n; i++) *to++ = is_control(value.p[i]) ? '?' : value.p[i];
    *to++ = '\r';
    *to = '\n';
    r->head_lines.n += n;
}

void reply_line(struct reply *r, struct slice line)
{
    char *to = room(r, line.n);
    if (!to) return;
    memcpy(to, line.p, line.n);
    r->head_lines.n += line.n;
}

void reply_headerf(struct reply *r, const char *name, const char *format, ...)
{
    char few[256], *text = few;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(few, sizeof few, format, args);
    assert(n >= 0);
    if ((size_t)n >= sizeof few) {
        text = arena_bytes(r->arena, (size_t)n + 1);
        vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    va_end(args);
    reply_header(r, name, (struct slice){text, (size_t)n});
}

void reply_body(struct reply *r, struct slice bytes, struct blob *blob)
{
    if (!bytes.n) {
        blob_unref(blob);
        return;
    }
    if (r->pieces == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        struct reply_piece *larger = arena_alloc(r->arena, cap * sizeof *larger);
        if (r->pieces) memcpy(larger, r->piece, r->pieces * sizeof *larger);
        r->piece = larger;
        r->cap = cap;
    }
    r->piece[r->pieces++] = (struct reply_piece){bytes, blob};
    r->body_bytes += bytes.n;
}

void reply_replace_body(struct reply *r, struct blob *body)
{
    forget_body(r);
    reply_body(r, blob_slice(body), body);
}

const char *http_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}
