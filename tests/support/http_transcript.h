/* tests/support/http_transcript.h -- what the parser made of some bytes, as text: so that two ways of feeding them can
 * be compared, and an expectation be written down. Every stretch is fed from a block of its own that is gone
 * afterwards: whoever keeps a pointer into the input is found by AddressSanitizer. */
#ifndef PERIGEE_TESTS_HTTP_TRANSCRIPT_H
#define PERIGEE_TESTS_HTTP_TRANSCRIPT_H

#include "http/parse.h"

#include <assert.h>
#include <stdlib.h>

struct transcript {
    struct http_parser parser;
    struct http_parse_limits limits;
    struct http_request request;
    struct arena arena;
    struct buffer text;
    bool refused;
};

static void transcript_init(struct transcript *t, const struct http_parse_limits *limits)
{
    t->limits = *limits;
    t->refused = false;
    buffer_init(&t->text, 1 << 26);
    arena_init(&t->arena);
    http_parser_init(&t->parser, &t->limits);
    http_parser_begin(&t->parser, &t->request, &t->arena);
}

static void transcript_deinit(struct transcript *t)
{
    http_parser_done(&t->parser);
    arena_deinit(&t->arena);
    buffer_deinit(&t->text);
}

static void transcript_request(struct transcript *t)
{
    const struct http_request *r = &t->request;
    buffer_printf(&t->text, "%.*s %.*s", SLICE_ARG(r->method_name), SLICE_ARG(r->path));
    if (r->query.p) buffer_printf(&t->text, " ?%.*s", SLICE_ARG(r->query));
    buffer_printf(&t->text, " 1.%d %s\n", r->minor, r->keep_alive ? "keep" : "close");
    for (size_t i = 0; i < r->headers; i++) {
        assert(r->header[i].value.p);
        buffer_slice(&t->text, r->header[i].name);
        buffer_printf(&t->text, "=");
        buffer_slice(&t->text, r->header[i].value);
        buffer_printf(&t->text, "\n");
    }
    if (r->body.p) buffer_printf(&t->text, "[%zu]", r->body.n);
    buffer_slice(&t->text, r->body);
    buffer_printf(&t->text, ".\n");
}

static void transcript_feed(struct transcript *t, struct slice in)
{
    char *block = malloc(in.n ? in.n : 1);
    if (in.n) memcpy(block, in.p, in.n);
    struct slice rest = {block, in.n};
    while (rest.n && !t->refused) {
        size_t used;
        enum http_parse_event event = http_parser_feed(&t->parser, rest, &used);
        assert(used <= rest.n);
        rest = slice_skip(rest, used);
        if (event == PARSE_MORE) assert(!rest.n);
        if (event == PARSE_HEAD) buffer_printf(&t->text, "continue\n");
        if (event == PARSE_REFUSED) {
            buffer_printf(&t->text, "refused %s\n", status_code(t->parser.refusal));
            t->refused = true;
        }
        if (event == PARSE_COMPLETE) {
            free(block); /* nothing of the request may point into it */
            block = NULL;
            transcript_request(t);
            http_parser_done(&t->parser);
            arena_reset(&t->arena);
            http_parser_begin(&t->parser, &t->request, &t->arena);
            if (!rest.n) break;
            block = malloc(rest.n);
            memcpy(block, in.p + in.n - rest.n, rest.n);
            rest.p = block;
        }
    }
    free(block);
}

#endif
