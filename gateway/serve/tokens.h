/* serve/tokens.h -- who may ask for what: the bearer tokens of one token file, a line each:
 *
 *     TOKEN NAME read,write,refresh,admin [Model,Form,...]
 *
 * Shared by all threads by reference, never changed after it is made. Holds no token, only their digests; and nothing said of a bad
 * line repeats a word of it, because any of them may be a token that stands in the wrong place. */
#ifndef PERIGEE_SERVE_TOKENS_H
#define PERIGEE_SERVE_TOKENS_H

#include "base/buffer.h"
#include "base/status.h"

/* clang-format off */
#define PERMISSION_MAP(X)          \
    X(PERMIT_READ,    1, "read")    \
    X(PERMIT_WRITE,   2, "write")   \
    X(PERMIT_REFRESH, 4, "refresh") \
    X(PERMIT_ADMIN,   8, "admin")
/* clang-format on */

enum permission {
#define X(permission, bit, label) permission = bit,
    PERMISSION_MAP(X)
#undef X
};

#define TOKENS_SHORT     16    /* characters of a token: fewer can be guessed */
#define TOKENS_MAX       512   /* the same: more are refused */
#define TOKENS_LINES_MAX 10000 /* of a file */
#define TOKENS_LINE_MAX  8192  /* bytes of a line */

/* What one token gives. */
struct grant {
    struct slice name;          /* how logs speak of it */
    unsigned permits;           /* bits of enum permission */
    const struct slice *models; /* names of models and forms it is for */
    size_t n;                   /* 0: for all */
    unsigned line;              /* of the file */
};

struct tokens;

/* Reads the text of a file. NULL: `findings` says why, `file:line: message` a line; else there may be warnings. */
struct tokens *tokens_read(struct slice text, const char *file, struct buffer *findings);

struct tokens *tokens_ref(struct tokens *t);
void tokens_unref(struct tokens *t); /* NULL is fine */

/* The grant of this token, or NULL; how long that takes tells nothing of the tokens there are, nor how many. */
const struct grant *tokens_find(const struct tokens *t, struct slice token);

/* All grants, in the order of their lines. */
size_t tokens_count(const struct tokens *t);
const struct grant *tokens_at(const struct tokens *t, size_t i);

/* The first of these permissions (bits) that it does not give for this model or form; 0: it gives all. `model` absent: what is asked is
 * of none. */
enum permission grant_lacks(const struct grant *g, unsigned permissions, struct slice model);

/* FORBIDDEN, in words: what was lacking, and for which model. */
enum status grant_forbids(enum permission lacking, struct slice model, struct problem *why);

const char *permission_label(enum permission p); /* "read" */

/* Only of characters that the header Authorization may carry as a token: b64token of RFC 6750. */
bool token_is_valid(struct slice token);

#endif
