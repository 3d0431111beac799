/* store/redis_reply.h -- what a Redis server may say, and nothing else: the reader's object functions.
 *
 * hiredis believes what it reads: it allocates what a header claims and frees trees by recursion. These functions build no
 * trees. A connection has one reply object; what does not fit the oldest question is refused while it is read (the
 * reader then fails, and hiredis ends the connection), so a wrong, an extra or a nested reply never becomes an answer.
 * Private to store/redis*.c, store/tracking.c and script/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_REPLY_H
#define PERIGEE_STORE_REDIS_REPLY_H

#include "store/redis.h"
#include "store/redis_node.h"

#include <hiredis/async.h>

/* What a question may be answered with; an error reply always may. */
enum redis_expect {
    EXPECT_STATUS, /* +anything */
    EXPECT_OK,     /* +OK */
    EXPECT_VALUE,  /* a bulk string, or nil */
    EXPECT_PREFIX, /* a bulk string of at most 8 bytes */
    EXPECT_NUMBER, /* an integer */
    EXPECT_LEASE,  /* a bulk string, or an integer */
    EXPECT_VALUES, /* an array of bulk strings and nils, exactly as many as were asked for */
    EXPECT_ANY,    /* whatever RESP2 has */
    EXPECT_ROLE,   /* the same, to a link's own question: redis_link.c */
    EXPECT_MAP,    /* a map of RESP3, which is read and dropped */
};

struct redis_question {
    enum redis_expect expect;
    unsigned values; /* EXPECT_VALUES: how many; at most REDIS_MANY_MAX */
};

/* A question as it stands in hiredis' queue, in the place of a pointer. */
static inline void *question_pack(struct redis_question q) { return (void *)((uintptr_t)q.values << 8 | q.expect); }

static inline struct redis_question question_unpack(const void *p)
{
    return (struct redis_question){(uintptr_t)p & 0xff, (unsigned)((uintptr_t)p >> 8)};
}

/* Who wants to know of keys that have changed, as a server tells in push messages (CLIENT TRACKING). Called while such a message is read,
 * one key after the other, so that its length is of no account; it must not touch the connection. All other push messages are read and dropped. */
struct redis_pushes {
    void (*changed)(void *arg, struct slice key /* absent: any may have changed */); /* NULL: nobody */
    void (*hearing)(void *arg, bool hearing); /* true: before reading; false: what was read has been told */
    void *arg;
};

/* The one reply of a connection; good for the time of its callback. */
struct redis_reply {
    redisReply head;      /* hiredis looks at `type`, and at `elements` of a push (always 0): so this is first */
    struct blob *value;   /* EXPECT_VALUE: a reference, taken by setting it NULL; NULL also when it was too long */
    struct blob **values; /* EXPECT_VALUES: references, NULL for nil or what was too long; taken by setting them NULL */
    unsigned values_n;
    size_t values_bytes;
    struct buffer nodes; /* EXPECT_ANY: the parts; taken by setting it to zero */
    enum redis_expect asked;
    bool too_long; /* a value, or the nodes, were over max_value and are not here */
    bool too_much; /* values were over REDIS_MANY_BYTES together, and are not all here */
    unsigned char prefix[8];
    unsigned prefix_n;
    char error[32];    /* the first word of an error reply: what follows may quote our password */
    const char *where; /* what follows MOVED or ASK, or NULL */
};

struct redis_judge {
    const redisCallbackList *questions; /* hiredis' own queue: what its head expects decides */
    unsigned outstanding;               /* how many of them were sent: only these can have a reply */
    size_t max_value;
    const char *misfit; /* why a reply was refused, or NULL */
    struct redis_pushes pushes;
    bool tells; /* the push message that is being read names keys */
    struct redis_reply reply;
    struct blob *values[REDIS_MANY_MAX]; /* the reply's, as what follows */
    char where[REDIS_ADDRESS_TEXT + sizeof "16383 "];
};

/* Elements of an array, be it a push message that nobody reads; but not of a reply that may be any, or of keys that have changed. */
#define REPLY_ELEMENTS_MAX 1024

/* Makes ac's reader ask the judge, who must outlive ac. */
void redis_judge_attach(struct redis_judge *j, redisAsyncContext *ac, size_t max_value, struct redis_pushes pushes);

#endif
