/* store/redis_node.h -- a reply of any shape, without a tree: its parts one behind the other in a buffer, an array's elements after
 * it. What EXPECT_ANY of redis_reply.h gives. */
#ifndef PERIGEE_STORE_REDIS_NODE_H
#define PERIGEE_STORE_REDIS_NODE_H

#include "base/buffer.h"

#define REDIS_NODE_DEPTH_MAX    32        /* arrays within arrays */
#define REDIS_NODE_ELEMENTS_MAX (1 << 20) /* of an array */

struct redis_node {
    int type;       /* REDIS_REPLY_STRING, _STATUS, _ERROR, _INTEGER, _NIL, _ARRAY of hiredis */
    int64_t number; /* an integer's, or how many elements */
    struct slice bytes;
};

/* Can it be a node's? */
bool redis_node_type(int type);

/* Appends one; `number` is the length of its bytes when there are any. False when the buffer is full. */
bool redis_node_put(struct buffer *nodes, int type, int64_t number, const char *bytes);

/* The node at *at, which moves on. */
struct redis_node redis_node_next(const struct buffer *nodes, size_t *at);

#endif
