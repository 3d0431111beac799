/* tests/fuzz/fuzz_store_reply.c -- whatever a server says to a few questions: the reader and its judge never crash, leak or
 * hand out what was not asked for. First byte: which questions (the i-th that asks for many asks for i + 1), and by its bit 3 whether someone
 * wants to know of changed keys; second: how the rest is cut into reads. */
#include "store/redis_reply.h"

#include <assert.h>
#include <stdlib.h>

enum { QUESTIONS = 8, MAX_VALUE = 1024, KINDS = 8 };

/* In an order of their own, so that the seeds keep their meaning. */
static const enum redis_expect kinds[KINDS] = {EXPECT_STATUS, EXPECT_OK,     EXPECT_VALUE, EXPECT_PREFIX,
                                               EXPECT_NUMBER, EXPECT_VALUES, EXPECT_LEASE, EXPECT_ANY};

static void check_values(struct redis_question asked, const struct redis_reply *reply)
{
    assert(asked.expect == EXPECT_VALUES && reply->values_n == asked.values && !reply->too_much);
    for (unsigned i = 0; i < reply->values_n; i++) {
        assert(!reply->values[i] || reply->values[i]->n <= MAX_VALUE);
        if (i % 2) continue; /* the others are not taken */
        blob_unref(reply->values[i]);
        reply->values[i] = NULL;
    }
}

/* One node and its elements. */
static void walk(const struct buffer *nodes, size_t *at, int depth)
{
    assert(*at < nodes->n && depth <= REDIS_NODE_DEPTH_MAX);
    struct redis_node node = redis_node_next(nodes, at);
    assert(*at <= nodes->n && node.bytes.n <= MAX_VALUE);
    for (int64_t i = 0; node.type == REDIS_REPLY_ARRAY && i < node.number; i++) walk(nodes, at, depth + 1);
}

static void check_nodes(const struct redis_reply *reply)
{
    size_t at = 0;
    assert(reply->too_long ? reply->nodes.n == 0 : reply->nodes.n <= MAX_VALUE);
    if (!reply->too_long) walk(&reply->nodes, &at, 0);
    assert(at == reply->nodes.n);
}

static void check(struct redis_question question, const struct redis_reply *reply)
{
    enum redis_expect asked = question.expect;
    if (asked == EXPECT_ANY) {
        check_nodes(reply);
        return;
    }
    switch (reply->head.type) {
    case REDIS_REPLY_STRING:
        assert(asked == EXPECT_VALUE || asked == EXPECT_LEASE || asked == EXPECT_PREFIX);
        assert(asked == EXPECT_PREFIX || (reply->value && reply->value->n <= MAX_VALUE) || reply->too_long);
        assert(reply->prefix_n <= 8);
        break;
    case REDIS_REPLY_STATUS: assert(asked == EXPECT_STATUS || asked == EXPECT_OK); break;
    case REDIS_REPLY_INTEGER: assert(asked == EXPECT_NUMBER || asked == EXPECT_LEASE); break;
    case REDIS_REPLY_ARRAY: check_values(question, reply); break;
    case REDIS_REPLY_NIL: assert(asked == EXPECT_VALUE); break;
    case REDIS_REPLY_MAP: assert(asked == EXPECT_MAP); break;
    default: assert(reply->head.type == REDIS_REPLY_ERROR);
    }
}

static void on_changed(void *arg, struct slice key)
{
    size_t *bytes = arg;
    for (size_t i = 0; i < key.n; i++) *bytes += (unsigned char)key.p[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) return 0;
    redisAsyncContext ac = {0};
    redisCallback questions[QUESTIONS] = {0};
    struct redis_judge judge;
    bool tracks = data[0] & 8;
    size_t bytes = 0;
    for (unsigned i = 0; i < QUESTIONS; i++) {
        enum redis_expect expect = kinds[(data[0] + i * (data[0] >> 4)) % KINDS];
        if (tracks && expect == EXPECT_STATUS) expect = EXPECT_MAP;
        questions[i].privdata = question_pack((struct redis_question){expect, i + 1});
        questions[i].next = i + 1 < QUESTIONS ? &questions[i + 1] : NULL;
    }
    ac.replies.head = questions;
    ac.c.reader = redisReaderCreate();
    redis_judge_attach(&judge, &ac, MAX_VALUE,
                       (struct redis_pushes){.changed = tracks ? on_changed : NULL, .arg = &bytes});
    judge.outstanding = QUESTIONS;

    size_t step = data[1] + 1u;
    int state = REDIS_OK;
    for (size_t at = 2; at < n && state == REDIS_OK; at += step) {
        redisReaderFeed(ac.c.reader, (const char *)data + at, step < n - at ? step : n - at);
        void *reply = NULL;
        while ((state = redisReaderGetReply(ac.c.reader, &reply)) == REDIS_OK && reply) {
            struct redis_reply *r = reply;
            if (r->head.type != REDIS_REPLY_PUSH) {
                check(question_unpack(ac.replies.head->privdata), r);
                ac.replies.head = ac.replies.head->next;
                judge.outstanding--;
            }
            ac.c.reader->fn->freeObject(reply);
        }
    }
    redisReaderFree(ac.c.reader);
    return 0;
}
