/* serve/document.h -- records read with all they refer to: roots and then their references, level by level, one batched read of the store
 * a level, each record once however many refer to it; what is missing is loaded, all of a level at once. */
#ifndef PERIGEE_SERVE_DOCUMENT_H
#define PERIGEE_SERVE_DOCUMENT_H

#include "serve/fetch.h"
#include "serve/view.h"

#define DOCUMENT_RECORDS_MAX      1000   /* distinct ones below one root */
#define DOCUMENT_OCCURRENCES_MAX  10000  /* places below it where a record stands */
#define DOCUMENTS_OCCURRENCES_MAX 100000 /* the same of all that are read together */
#define DOCUMENTS_BYTES_MAX       (64u << 20)

/* How a reference of a document was resolved, for perigee_references_total. */
/* clang-format off */
#define EDGE_MAP(X)                  \
    X(EDGE_HIT,       "hit")         \
    X(EDGE_LOADED,    "loaded")      \
    X(EDGE_COLLAPSED, "collapsed")   \
    X(EDGE_MISSING,   "missing")     \
    X(EDGE_FAILED,    "failed")      \
    X(EDGE_CYCLE,     "cycle")       \
    X(EDGE_DEPTH,     "depth")
/* clang-format on */

enum edge_outcome {
#define X(outcome, label) outcome,
    EDGE_MAP(X)
#undef X
        EDGE_OUTCOMES
};

struct occurrence;
struct documents;

/* One root with all below it. The owner sets `key`. */
struct document {
    const struct record_key *key;

    /* the result */
    enum status status;     /* OK, MISSING or a failure; problem.path names the edge that was at fault */
    bool absent;            /* MISSING: what is missing is nowhere, not even known to be missing */
    struct problem problem; /* unless OK */
    struct freshness fresh; /* of the whole */
    uint64_t tag;           /* of the whole: for the entity tag */
    uint64_t bytes;         /* the composed text has no more */

    /* private */
    struct occurrence *root;
    struct occurrence *level, *last; /* the first of the level last found, and the last of all */
    size_t occurrences;              /* below the root */
};

typedef void documents_done(struct documents *d);

/* Embed it; set the first part. While it is under way the owner holds a reference to served->generation. */
struct documents {
    struct serve *serve;
    struct served *served; /* the model of all roots */
    struct arena *arena;   /* lives until documents_finish */
    struct view view;
    const struct demand *demand; /* kept */
    uint64_t request;            /* for the log */
    const struct trail *trail;
    struct document *document; /* n of them */
    size_t n;
    documents_done *done;

    struct resolve *resolve; /* private */
};

/* Reads all. OK: every document has its result now; PENDING: it will have when done is called. */
enum status documents_start(struct documents *d, uint64_t now_ms);

/* Gives back what they hold; cancels what is under way (done is not called then). */
void documents_finish(struct documents *d);

/* serve/compose.c: the text of a document that is OK, as slices of stored bytes between slices of stored bytes. The reply takes
 * references of its own; the buffer gets a copy. */
void compose_reply(const struct documents *d, const struct document *doc, struct reply *reply);
void compose_text(const struct documents *d, const struct document *doc, struct buffer *out);

#endif
