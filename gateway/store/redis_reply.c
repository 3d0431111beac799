/* store/redis_reply.c -- the judge of replies; see the header for why. A NULL returned here ends the connection. */
#include "store/redis_reply.h"

#include <stdint.h>

#define PUSH_DEPTH_MAX 4

/* Stands for each element of an array: nobody reads them, nobody frees it. */
static redisReply element;

static struct redis_judge *judge_of(const redisReadTask *task) { return task->privdata; }

static void *refuse(struct redis_judge *j, const char *misfit)
{
    j->misfit = misfit;
    return NULL;
}

/* The reply object, cleared, if a reply of this type fits the oldest question. */
static struct redis_reply *admit(const redisReadTask *task, int type)
{
    struct redis_judge *j = judge_of(task);
    const redisCallback *question = j->questions->head;
    if (!question || j->outstanding == 0) return refuse(j, "a reply without a question");
    bool fits = type == REDIS_REPLY_ERROR;
    switch ((enum redis_expect)(uintptr_t)question->privdata) {
    case EXPECT_STATUS:
    case EXPECT_OK: fits |= type == REDIS_REPLY_STATUS; break;
    case EXPECT_VALUE: fits |= type == REDIS_REPLY_STRING || type == REDIS_REPLY_NIL; break;
    case EXPECT_PREFIX: fits |= type == REDIS_REPLY_STRING; break;
    case EXPECT_NUMBER: fits |= type == REDIS_REPLY_INTEGER; break;
    case EXPECT_ANY: fits = type != REDIS_REPLY_PUSH; break;
    }
    if (!fits) return refuse(j, "a reply of the wrong type");
    j->reply = (struct redis_reply){.head.type = type, .nodes.max = j->max_value};
    return &j->reply;
}

static enum redis_expect expectation(const redisReadTask *task)
{
    return (enum redis_expect)(uintptr_t)judge_of(task)->questions->head->privdata;
}

/* "WRONGTYPE Operation against..." -> "WRONGTYPE"; only letters, so that it may stand in a log. */
static void first_word(const char *text, size_t n, char *out, size_t out_n)
{
    size_t i = 0;
    while (i < n && i + 1 < out_n && text[i] >= 'A' && text[i] <= 'Z') {
        out[i] = text[i];
        i++;
    }
    out[i] = '\0';
}

/* ---- any reply: nodes, each a type, eight bytes of number or length, and the bytes */

struct redis_node redis_node_next(const struct buffer *nodes, size_t *at)
{
    const char *p = nodes->p + *at;
    struct redis_node node = {.type = *p};
    memcpy(&node.number, p + 1, sizeof node.number);
    *at += 1 + sizeof node.number;
    if (node.type != REDIS_REPLY_INTEGER && node.type != REDIS_REPLY_NIL && node.type != REDIS_REPLY_ARRAY) {
        node.bytes = slice_from(nodes->p + *at, (size_t)node.number);
        *at += node.bytes.n;
    }
    return node;
}

/* The rest of a reply that is too long is read and dropped. */
static void put_node(struct redis_reply *reply, int type, int64_t number, const char *bytes)
{
    char head[1 + sizeof number] = {(char)type};
    if (reply->too_long) return;
    memcpy(head + 1, &number, sizeof number);
    buffer_put(&reply->nodes, head, sizeof head);
    if (bytes) buffer_put(&reply->nodes, bytes, (size_t)number);
    if (!reply->nodes.overflow) return;
    reply->too_long = true;
    buffer_deinit(&reply->nodes);
}

/* Is it an element of a push message? */
static bool in_push(const redisReadTask *task)
{
    const redisReadTask *root = task;
    while (root->parent) root = root->parent;
    return root != task && root->type == REDIS_REPLY_PUSH;
}

/* An element of a reply that may be any. */
static void *add_element(const redisReadTask *task, int type, int64_t number, const char *bytes)
{
    static const unsigned good = 1u << REDIS_REPLY_STRING | 1u << REDIS_REPLY_STATUS | 1u << REDIS_REPLY_ERROR |
                                 1u << REDIS_REPLY_INTEGER | 1u << REDIS_REPLY_NIL | 1u << REDIS_REPLY_ARRAY;
    struct redis_judge *j = judge_of(task);
    if (!(good & 1u << type)) return refuse(j, "a reply of the wrong type");
    put_node(&j->reply, type, number, bytes);
    return task->parent ? (void *)&element : &j->reply;
}

/* ---- what hiredis calls */

static void *create_string(const redisReadTask *task, char *text, size_t n)
{
    /* hiredis has both bytes behind a bulk string, and does not look at them. */
    bool bulk = task->type == REDIS_REPLY_STRING || task->type == REDIS_REPLY_VERB;
    if (bulk && memcmp(text + n, "\r\n", 2) != 0) return refuse(judge_of(task), "a string longer than it said");
    if (in_push(task)) return &element;
    if (task->parent) return add_element(task, task->type, (int64_t)n, text);
    struct redis_reply *reply = admit(task, task->type);
    if (!reply) return NULL;
    struct redis_judge *j = judge_of(task);
    if (expectation(task) == EXPECT_ANY) return add_element(task, task->type, (int64_t)n, text);
    if (task->type == REDIS_REPLY_ERROR) {
        first_word(text, n, reply->error, sizeof reply->error);
        return reply;
    }
    switch (expectation(task)) {
    case EXPECT_OK:
        if (!slice_eq(slice_from(text, n), SLICE("OK"))) return refuse(j, "a status that is not OK");
        break;
    case EXPECT_VALUE:
        reply->too_long = n > j->max_value || n > UINT32_MAX;
        if (!reply->too_long) reply->value = blob_copy(slice_from(text, n));
        break;
    case EXPECT_PREFIX:
        if (n > sizeof reply->prefix) return refuse(j, "a longer string than was asked for");
        memcpy(reply->prefix, text, n);
        reply->prefix_n = (unsigned)n;
        break;
    case EXPECT_STATUS:
    case EXPECT_NUMBER:
    case EXPECT_ANY: break;
    }
    return reply;
}

static void *create_array(const redisReadTask *task, size_t n)
{
    struct redis_judge *j = judge_of(task);
    bool push = task->parent ? in_push(task) : task->type == REDIS_REPLY_PUSH;
    int depth = 1;
    for (const redisReadTask *t = task->parent; t; t = t->parent) depth++;
    if (depth > (push ? PUSH_DEPTH_MAX : REPLY_DEPTH_MAX)) return refuse(j, "a reply too deep");
    if (push) {
        if (n > REPLY_PUSH_MAX) return refuse(j, "a message too long");
        if (task->parent) return &element;
        j->reply = (struct redis_reply){.head.type = REDIS_REPLY_PUSH};
        return &j->reply;
    }
    if (!task->parent && !admit(task, task->type)) return NULL;
    return add_element(task, task->type, (int64_t)n, NULL);
}

static void *create_integer(const redisReadTask *task, long long v)
{
    if (in_push(task)) return &element;
    if (task->parent) return add_element(task, REDIS_REPLY_INTEGER, v, NULL);
    struct redis_reply *reply = admit(task, REDIS_REPLY_INTEGER);
    if (!reply) return NULL;
    reply->head.integer = v;
    return expectation(task) == EXPECT_ANY ? add_element(task, REDIS_REPLY_INTEGER, v, NULL) : reply;
}

static void *create_nil(const redisReadTask *task)
{
    if (in_push(task)) return &element;
    if (task->type != REDIS_REPLY_NIL && task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_ARRAY)
        return refuse(judge_of(task), "a reply of the wrong type");
    if (task->parent) return add_element(task, REDIS_REPLY_NIL, 0, NULL);
    struct redis_reply *reply = admit(task, REDIS_REPLY_NIL);
    if (!reply || expectation(task) != EXPECT_ANY) return reply;
    return add_element(task, REDIS_REPLY_NIL, 0, NULL);
}

static void *create_double(const redisReadTask *task, double v, char *text, size_t n)
{
    return in_push(task) ? &element : refuse(judge_of(task), "a reply of the wrong type");
}

static void *create_bool(const redisReadTask *task, int v)
{
    return in_push(task) ? &element : refuse(judge_of(task), "a reply of the wrong type");
}

static void free_object(void *object)
{
    struct redis_reply *reply = object;
    blob_unref(reply->value);
    reply->value = NULL;
    buffer_deinit(&reply->nodes);
}

void redis_judge_attach(struct redis_judge *j, redisAsyncContext *ac, size_t max_value)
{
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createDouble = create_double,
        .createNil = create_nil,
        .createBool = create_bool,
        .freeObject = free_object,
    };
    *j = (struct redis_judge){.questions = &ac->replies, .max_value = max_value};
    ac->c.reader->fn = &functions;
    ac->c.reader->privdata = j;
    ac->c.reader->maxelements = REPLY_ELEMENTS_MAX;
}
