/* serve/resolve.h -- what resolve.c finds and compose.c writes: the records of documents, and the places where they stand. Nobody else
 * includes it. */
#ifndef PERIGEE_SERVE_RESOLVE_H
#define PERIGEE_SERVE_RESOLVE_H

#include "serve/document.h"

/* One record, read once however many places it has. */
struct record {
    struct served *served;
    struct slice stored, pairs;   /* its key */
    const struct record_key *key; /* the same with its values; NULL: they are in the stub */
    struct slice stub;            /* of the reference that was met first */
    unsigned landings;            /* of its key's flights, before the store was asked */
    bool asked;
    enum status status; /* once it is read: OK, MISSING or a failure */
    const struct problem *problem;
    struct blob *blob;     /* of the record or negative, or NULL */
    struct envelope entry; /* a view into blob */
    enum fetch_source source;
    bool kept;
    struct record *next;       /* of all */
    const struct reply *reply; /* the last one that was given a reference to blob */
    unsigned mark;             /* the last count that it was in */
};

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

#endif
