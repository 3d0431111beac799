/* store/redis_reply.h -- what a Redis server may say, and nothing else: the reader's object functions.
 *
 * hiredis believes what it reads: it allocates what a header claims and frees trees by recursion. These functions build no
 * trees. A connection has one reply object; what does not fit the oldest question is refused while it is read (the
 * reader then fails, and hiredis ends the connection), so a wrong, an extra or a nested reply never becomes an answer.
 * Private to store/redis*.c and script/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_REPLY_H
#define PERIGEE_STORE_REDIS_REPLY_H

#include "base/blob.h"
#include "store/redis_node.h"

#include <hiredis/async.h>

/* What a question may be answered with; an error reply always may. Stands as `privdata` in hiredis' queue of questions. */
enum redis_expect {
    EXPECT_STATUS, /* +anything */
    EXPECT_OK,     /* +OK */
    EXPECT_VALUE,  /* a bulk string, or nil */
    EXPECT_PREFIX, /* a bulk string of at most 8 bytes */
    EXPECT_NUMBER, /* an integer */
    EXPECT_ANY,    /* whatever RESP2 has */
};

/* The one reply of a connection; good for the time of its callback. */
struct redis_reply {
    redisReply head;     /* hiredis looks at `type`, and at `elements` of a push (always 0): so this is first */
    struct blob *value;  /* EXPECT_VALUE: a reference, taken by setting it NULL; NULL also when it was too long */
    struct buffer nodes; /* EXPECT_ANY: the parts; taken by setting it to zero */
    bool too_long;       /* the value, or the nodes, were over max_value and are not here */
    unsigned char prefix[8];
    unsigned prefix_n;
    char error[32]; /* the first word of an error reply: what follows may quote our password */
};

struct redis_judge {
    const redisCallbackList *questions; /* hiredis' own queue: what its head expects decides */
    unsigned outstanding;               /* how many of them were sent: only these can have a reply */
    size_t max_value;
    const char *misfit; /* why a reply was refused, or NULL */
    struct redis_reply reply;
};

/* Elements of a push message; of other replies only one that may be any has some. */
#define REPLY_ELEMENTS_MAX 1024

/* Makes ac's reader ask the judge, who must outlive ac. */
void redis_judge_attach(struct redis_judge *j, redisAsyncContext *ac, size_t max_value);

#endif
