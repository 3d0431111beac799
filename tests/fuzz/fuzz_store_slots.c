/* tests/fuzz/fuzz_store_slots.c -- whatever a server says of its cluster: a map that is whole and in bounds, or none; and what MOVED and ASK say. */
#include "store/cluster_map.h"
#include "store/redis_reply.h"

#include <assert.h>
#include <stdlib.h>

static const struct redis_address asked = {.host = "10.0.0.9", .port = 7009};

static void check_address(const struct redis_address *a)
{
    struct redis_address again;
    assert(redis_address_set(&again, slice_of(a->host), (uint64_t)a->port));
}

static void read_map(const struct buffer *nodes)
{
    static struct cluster_map m;
    unsigned covered = 0;
    if (nodes->n == 0 || cluster_map_read(&m, nodes, &asked)) return;
    assert(m.masters <= CLUSTER_MASTERS_MAX);
    for (unsigned i = 0; i < m.masters; i++) check_address(&m.master[i]);
    for (unsigned i = 0; i < CLUSTER_SLOTS; i++) {
        assert(m.owner[i] == CLUSTER_NOBODY || m.owner[i] < m.masters);
        covered += m.owner[i] != CLUSTER_NOBODY;
    }
    assert(covered == m.covered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    redisAsyncContext ac = {0};
    redisCallback question = {.privdata = question_pack((struct redis_question){EXPECT_ANY, 0})};
    struct redis_judge judge;
    struct redis_address to;
    unsigned slot;
    if (cluster_redirection_read(slice_from(data, n), &asked, &slot, &to)) {
        assert(slot < CLUSTER_SLOTS);
        check_address(&to);
    }
    ac.replies.head = &question;
    ac.c.reader = redisReaderCreate();
    redis_judge_attach(&judge, &ac, 1 << 20, (struct redis_pushes){0});
    judge.outstanding = 1;
    void *reply = NULL;
    redisReaderFeed(ac.c.reader, (const char *)data, n);
    if (redisReaderGetReply(ac.c.reader, &reply) == REDIS_OK && reply) {
        const struct redis_reply *r = reply;
        if (r->head.type != REDIS_REPLY_PUSH && !r->too_long) read_map(&r->nodes);
        ac.c.reader->fn->freeObject(reply);
    }
    redisReaderFree(ac.c.reader);
    return 0;
}
