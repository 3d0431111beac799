/* serve/call.h -- a cached method or a form's method, from its attributes, inputs and arguments to the key of its result:
 *
 *     call_start   parameters -> typed values                     now
 *       clean        a form's inputs (script/clean.h)             now or later
 *       attributes   of the record, where they were not given     now or later
 *     result: the key, under which fetch.h finds or makes it. */
#ifndef PERIGEE_SERVE_CALL_H
#define PERIGEE_SERVE_CALL_H

#include "script/clean.h"
#include "serve/fetch.h"

struct call;
typedef void call_done(struct call *c, enum status status);

/* Embed it; set the first part. While it is under way the owner holds a reference to served->generation. */
struct call {
    struct serve *serve;
    struct served *served;       /* of the method */
    struct arena *arena;         /* lives until done */
    struct slice query;          /* as sent; absent: none */
    struct slice form;           /* a body of type application/x-www-form-urlencoded; absent: none */
    struct slice json;           /* a body of JSON; absent: none */
    bool may_explain;            /* the query may have `_explain` */
    const struct demand *demand; /* for the record whose attributes are needed; kept */
    const struct trail *trail;   /* of who calls; kept */
    call_done *done;

    /* the result */
    struct record_key key;  /* OK */
    bool explain;           /* `_explain=1` was given */
    struct problem problem; /* otherwise */
    struct slice errors;    /* FORM_INVALID: {"input":["message"]} */

    struct call_work *work; /* private */
};

/* OK or a failure now, or PENDING, and done later. */
enum status call_start(struct call *c);

/* Gives back what it holds; cancels it when it is under way (done is not called then). */
void call_finish(struct call *c);

#endif
