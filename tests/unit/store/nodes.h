/* tests/unit/store/nodes.h -- replies of any shape (store/redis_node.h), written down in short. Include it behind cmocka's own headers. */
#ifndef PERIGEE_TESTS_STORE_NODES_H
#define PERIGEE_TESTS_STORE_NODES_H

#include "store/redis_node.h"

#include <hiredis/read.h>
#include <stdlib.h>

/* A small notation for replies: [ begins an array of as many elements as the digits behind it say, ' a string up to the next ', # a number, _ nil. */
static inline void write_nodes(struct buffer *nodes, const char *p)
{
    while (*p) {
        char *end = NULL;
        if (*p == '[') assert_true(redis_node_put(nodes, REDIS_REPLY_ARRAY, strtol(p + 1, &end, 10), NULL));
        if (*p == '#') assert_true(redis_node_put(nodes, REDIS_REPLY_INTEGER, strtoll(p + 1, &end, 10), NULL));
        if (*p == '_') assert_true(redis_node_put(nodes, REDIS_REPLY_NIL, 0, NULL));
        if (*p == '\'') {
            end = strchr(p + 1, '\'');
            assert_true(redis_node_put(nodes, REDIS_REPLY_STRING, end - p - 1, p + 1));
            end++;
        }
        p = end ? end : p + 1;
    }
}

#endif
