/* serve/resolve.h -- what resolve.c finds and compose.c and explain.c write: the places of documents where records stand. Nobody else includes it. */
#ifndef PERIGEE_SERVE_RESOLVE_H
#define PERIGEE_SERVE_RESOLVE_H

#include "serve/document.h"
#include "serve/gather.h"

enum place { PLACE_SHOWN, PLACE_NULL, PLACE_DROPPED };

/* One place in a document: the root, or a reference that is resolved. */
struct occurrence {
    struct record *record;
    struct occurrence *parent; /* NULL: the root */
    struct occurrence *next;   /* in the document, level by level */
    const struct field *edge;  /* of the parent's model */
    const struct pick *include, *fields;
    uint32_t offset, length; /* of the stub in the parent's text */
    uint16_t slot, element;  /* number of the stub in the parent, and in its list */
    uint16_t children;
    uint8_t depth;
    enum place place;
    struct occurrence *child; /* in the order of their stubs */
};

struct resolve {
    struct documents *owner;
    struct gather gather;
    size_t occurrences; /* of all documents */
    uint64_t bytes;
    unsigned marks;     /* the last that was set in a record */
    bool losses;        /* has any reference been lost? */
    uint64_t *level_us; /* how long each level took to be read; NULL: nobody wants to know */
    size_t levels;      /* of these */
};

#endif
