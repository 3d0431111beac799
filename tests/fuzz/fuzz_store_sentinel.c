/* tests/fuzz/fuzz_store_sentinel.c -- whatever a sentinel says: an address that is one, or none; and a list that stays within its bound, has no server
 * twice, and loses none that the URL names. */
#include "store/redis_reply.h"
#include "store/redis_sentinel.h"

#include <assert.h>
#include <stdlib.h>

enum { OF_THE_URL = 3, LEARNED = 2 };

static void check_address(const struct redis_address *a)
{
    struct redis_address again;
    assert(redis_address_set(&again, slice_of(a->host), (uint64_t)a->port));
    assert(redis_address_eq(&again, a));
}

static bool is_there(const struct redis_config *c, const struct redis_address *a)
{
    unsigned times = 0;
    for (unsigned i = 0; i < c->addresses; i++) times += redis_address_eq(&c->address[i], a);
    assert(times <= 1);
    return times;
}

static void learn(const struct redis_address *named, unsigned n)
{
    static struct redis_config before, after;
    before = (struct redis_config){.addresses = OF_THE_URL + LEARNED};
    for (unsigned i = 0; i < before.addresses; i++)
        before.address[i] =
            (struct redis_address){.host = "10.0.0.1", .port = 26379 + (int)i, .learned = i >= OF_THE_URL};
    after = before;
    sentinel_learn(&after, named, n);
    assert(after.addresses <= REDIS_ADDRESSES_MAX && redis_address_eq(&after.address[0], &before.address[0]));
    for (unsigned i = 0; i < after.addresses; i++) {
        check_address(&after.address[i]);
        is_there(&after, &after.address[i]);
    }
    for (unsigned i = 0; i < OF_THE_URL; i++) assert(is_there(&after, &before.address[i]));
}

static void read_both(const struct buffer *nodes)
{
    static struct redis_address named[REDIS_ADDRESSES_MAX];
    struct redis_address master;
    if (sentinel_read_master(nodes, &master)) check_address(&master);
    unsigned n = sentinel_read_others(nodes, named);
    assert(n <= REDIS_ADDRESSES_MAX);
    for (unsigned i = 0; i < n; i++) check_address(&named[i]);
    learn(named, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    redisAsyncContext ac = {0};
    redisCallback question = {.privdata = question_pack((struct redis_question){EXPECT_ANY, 0})};
    struct redis_judge judge;
    ac.replies.head = &question;
    ac.c.reader = redisReaderCreate();
    redis_judge_attach(&judge, &ac, 64 << 10, (struct redis_pushes){0});
    judge.outstanding = 1;
    void *reply = NULL;
    redisReaderFeed(ac.c.reader, (const char *)data, n);
    if (redisReaderGetReply(ac.c.reader, &reply) == REDIS_OK && reply) {
        const struct redis_reply *r = reply;
        bool usable = r->head.type != REDIS_REPLY_PUSH && r->head.type != REDIS_REPLY_ERROR && !r->too_long;
        if (usable) read_both(&r->nodes);
        ac.c.reader->fn->freeObject(reply);
    }
    redisReaderFree(ac.c.reader);
    return 0;
}
