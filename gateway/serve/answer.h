/* serve/answer.h -- a record as an HTTP answer: entity tag, age, what is left of its life, where it came from; 304 where the
 * client has it already (RFC 9110, RFC 9111, RFC 9211). */
#ifndef PERIGEE_SERVE_ANSWER_H
#define PERIGEE_SERVE_ANSWER_H

#include "serve/document.h"

/* Makes ex->reply what a fetch found: 200 or 304 for OK, a problem for MISSING. Takes f->blob where the body needs it. */
void answer_fetch(struct exchange *ex, struct fetch *f, enum status status, uint64_t now_ms);

/* Makes ex->reply the problem that a fetch ended in. */
void answer_failure(struct exchange *ex, const struct fetch *f);

/* The same two with what explains the answer beside it: {"value":...,"$explain":...}, or one more member of the problem. */
void answer_explained(struct exchange *ex, struct fetch *f, enum status status, uint64_t now_ms);

/* The first two for a document that has its result: 200, 304 or a problem; explained where its view wants that. */
void answer_document(struct exchange *ex, const struct documents *d, const struct document *doc, uint64_t now_ms);

/* The strong entity tag of a sealed record, with its quotes, 18 bytes and a NUL. */
void answer_etag(uint64_t tag, char out[19]);

/* Begins an answer of so many bytes, with its entity tag: 304 where the client has it already, else 200, to be compressed where it takes that.
 * Returns whether a body follows. */
bool answer_begin(struct exchange *ex, uint64_t tag, size_t bytes);

/* Has the client what has this tag, by the If-None-Match of its request? */
bool answer_is_known(const struct http_request *request, const char *etag);

/* Does an If-None-Match or If-Match value name this tag? `weak` compares weakly (RFC 9110 8.8.3.2). A list is walked; `*` names
 * every tag; what is no entity tag names none. */
bool answer_etag_listed(struct slice header, const char *etag, bool weak);

#endif
