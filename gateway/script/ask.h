/* script/ask.h -- what handlers ask of the gateway around them: records read, saved, deleted, methods called and forgotten. The words are in
 * ask.c and lua/perigee; who answers is serve/ask.c, which stands above and is reached by callback only. */
#ifndef PERIGEE_SCRIPT_ASK_H
#define PERIGEE_SCRIPT_ASK_H

#include "base/arena.h"
#include "model/model.h"
#include "script/trail.h"
#include "script/vm.h"

enum ask_what {
    ASK_GET,             /* json: an array of objects of keys; documents are read for all of them together */
    ASK_SAVE,            /* json: the record, packed fields as {"$packed":...} */
    ASK_DELETE,          /* json: an object of the keys */
    ASK_CALL,            /* json: an object of attributes (for a form: inputs) and arguments; `model` is the method */
    ASK_FORGET,          /* the same */
    ASK_INVALIDATE_ALL,  /* of `model`, also a form */
    ASK_INVALIDATE_TAGS, /* json: an array of them; of no model */
};

#define ASK_EXPIRES_UNSET UINT64_MAX
#define ASK_MANY_MAX      1000 /* records a get_many may ask for */

/* What came of one record or result. */
struct ask_answer {
    enum status status;     /* OK, MISSING, or why not */
    struct slice text;      /* OK of a get: the document's JSON; of a call: the result's */
    struct problem problem; /* unless OK */
    struct slice errors;    /* FORM_INVALID: {"input":["message"]} */
};

struct ask;
typedef void ask_done(struct ask *a);

/* One question. The asker fills in the first part and keeps it, all texts too, until done or cancel. */
struct ask {
    enum ask_what what;
    struct vm *vm;
    const struct model *model; /* NULL: of none */
    struct slice json;         /* compact */
    bool cascade;              /* ASK_SAVE */
    bool expire;               /* ASK_INVALIDATE_*: not to be removed */
    struct slice if_match;     /* ASK_SAVE: as the value of If-Match; absent: always */
    uint64_t expires_ms;       /* ASK_SAVE: the record's life, ASK_EXPIRES_UNSET: the model's */
    int depth;                 /* ASK_GET: levels of references; -1: the model's */
    struct slice include;      /* ASK_GET: as the query's `_include`; absent: all */
    const struct trail *trail;
    ask_done *done;

    /* The answers, valid during done: as many as ASK_GET has asked for, otherwise one. When the question itself is bad there is
     * one, too, and it is no OK. */
    const struct ask_answer *answer;
    size_t answers;

    void *operation; /* the gateway's own */
};

/* Who answers: set by the gateway for each worker's host (script/host.h). */
struct ask_gateway {
    void *owner;
    /* done is called later, exactly once, never before start has returned. */
    void (*start)(void *owner, struct ask *a);
    /* The asker is gone: done will not be called. A save or delete may still take effect. */
    void (*cancel)(void *owner, struct ask *a);
};

#endif
