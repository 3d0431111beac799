/* serve/parameters.h -- what a call is given, in query and body, as typed values. Pure. */
#ifndef PERIGEE_SERVE_PARAMETERS_H
#define PERIGEE_SERVE_PARAMETERS_H

#include "model/key.h"

struct parameters {
    struct key_draft own;   /* the method's attributes and arguments */
    struct key_draft owner; /* the keys of its model's record; or the inputs of its form, as they came */

    bool unset[MODEL_KEYS_MAX]; /* as in `own`: an attribute that was given as null: the record has no such value */
    const char *fault[MODEL_KEYS_MAX]; /* as in `owner`: what is wrong with an input, which then is absent there */
    bool explain;                      /* `_explain=1` */
};

/* Where the values come from; each may be absent. */
struct parameter_sources {
    struct slice query; /* as sent */
    struct slice form;  /* a body of type application/x-www-form-urlencoded */
    struct slice json;  /* a body of JSON */
    bool may_explain;   /* the query may have `_explain` */
};

/* Reads them all for this method of a model or a form. What query and body both give must be equal (KEY_CONFLICT); names that nobody
 * knows are UNKNOWN_KEY, values of a wrong type KEY_TYPE: of inputs they are faults, and the result is OK. An empty text is an input
 * that is absent where it is required or no text is wanted, as HTML forms send it. Values lie in the arena or in the sources. */
enum status parameters_read(const struct model *method, const struct parameter_sources *from, struct arena *arena,
                            struct parameters *p, struct problem *why);

#endif
