/* store/redis_node.c -- a node: its type, eight bytes of number or length, and the bytes. */
#include "store/redis_node.h"

#include <hiredis/read.h>

static bool has_bytes(int type)
{
    return type == REDIS_REPLY_STRING || type == REDIS_REPLY_STATUS || type == REDIS_REPLY_ERROR;
}

bool redis_node_type(int type)
{
    return has_bytes(type) || type == REDIS_REPLY_INTEGER || type == REDIS_REPLY_NIL || type == REDIS_REPLY_ARRAY;
}

bool redis_node_put(struct buffer *nodes, int type, int64_t number, const char *bytes)
{
    char head[1 + sizeof number] = {(char)type};
    memcpy(head + 1, &number, sizeof number);
    bool good = buffer_put(nodes, head, sizeof head);
    return has_bytes(type) ? good && buffer_put(nodes, bytes, (size_t)number) : good;
}

struct redis_node redis_node_next(const struct buffer *nodes, size_t *at)
{
    const char *p = nodes->p + *at;
    struct redis_node node = {.type = *p};
    memcpy(&node.number, p + 1, sizeof node.number);
    *at += 1 + sizeof node.number;
    if (has_bytes(node.type)) {
        node.bytes = slice_from(nodes->p + *at, (size_t)node.number);
        *at += node.bytes.n;
    }
    return node;
}
