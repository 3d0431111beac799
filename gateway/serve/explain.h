/* serve/explain.h -- what `_explain=1` adds to an answer: for each record of a document, or for a method's result, its key, where it was found,
 * how old it is and how long it took. */
#ifndef PERIGEE_SERVE_EXPLAIN_H
#define PERIGEE_SERVE_EXPLAIN_H

#include "serve/document.h"

#define EXPLAIN_MEMBER                                                                                                 \
    "$explain" /* its name beside the members of the document, result or problem; no field can have it */

/* {"ms":...,"levels":[...],"tree":{...}} of a document that has its result, good or not; its view wants it. In the exchange's arena. */
struct slice explain_document(struct exchange *ex, const struct documents *d, const struct document *doc,
                              uint64_t now_ms);

/* The same of what a fetch ended in: {"ms":...,"tree":{...}}. */
struct slice explain_fetch(struct exchange *ex, const struct fetch *f, enum status status, uint64_t now_ms);

#endif
