/* store/redis_command.c -- what is asked of Redis: plain commands, and scripts where several steps must be one. */
#include "base/digits.h"
#include "store/redis_format.h"
#include "store/redis_inner.h"

#include <assert.h>

#define TTL_MAX_MS (100ull * 365 * 24 * 3600 * 1000)

enum status redis_get(struct redis *r, struct slice key, struct redis_command *c, redis_done *done)
{
    enum status st = redis_ask(r, REDIS_GET, c, done);
    if (st == PENDING) redis_send(r, c, 2, (struct slice[]){SLICE("GET"), key});
    return st;
}

enum status redis_get_many(struct redis *r, const struct slice *key, size_t n, struct blob **values,
                           struct redis_command *c, redis_done *done)
{
    assert(n > 0 && n <= REDIS_MANY_MAX);
    enum status st = redis_ask(r, REDIS_MGET, c, done);
    if (st != PENDING) return st;
    struct slice argv[REDIS_ARGUMENTS];
    argv[0] = SLICE("MGET");
    memcpy(argv + 1, key, n * sizeof *key);
    c->values = values;
    redis_expect_values(c, n);
    redis_send(r, c, (int)n + 1, argv);
    return st;
}

static struct slice ttl_digits(uint64_t ttl_ms, struct digits *out)
{
    return digits_of(ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS, out);
}

/* Sends a script. KEYS: the record and its lease, or the lease alone; a write that has no lease to end names the record twice. */
static void send_script(struct redis *r, struct redis_command *c, enum redis_script script, struct slice key,
                        struct slice lease, size_t n, const struct slice *argument)
{
    struct slice argv[3 + REDIS_SCRIPT_ARGUMENTS];
    int argc = 0;
    assert(n <= REDIS_SCRIPT_ARGUMENTS);
    argv[argc++] = key.p ? SLICE("2") : SLICE("1");
    if (key.p) argv[argc++] = key;
    argv[argc++] = lease.p ? lease : key;
    for (size_t i = 0; i < n; i++) argv[argc++] = argument[i];
    redis_send_script(r, c, script, argc, argv);
}

enum status redis_put(struct redis *r, struct slice key, struct slice lease, struct slice value, uint64_t ttl_ms,
                      struct redis_command *c, redis_done *done)
{
    bool as_script = lease.p || (r && redis_is_routed(r));
    enum status st = redis_ask(r, as_script ? REDIS_PUT_FENCED : REDIS_PUT, c, done);
    if (st != PENDING) return st;
    struct digits d;
    struct slice ttl = ttl_digits(ttl_ms, &d);
    if (as_script) {
        send_script(r, c, SCRIPT_PUT, key, lease, 2, (struct slice[]){value, ttl});
        return st;
    }
    redis_send(r, c, 4, (struct slice[]){SLICE("GETRANGE"), key, SLICE("0"), SLICE("7")});
    redis_send(r, c, ttl_ms ? 5 : 3, (struct slice[]){SLICE("SET"), key, value, SLICE("PX"), ttl});
    return st;
}

enum status redis_replace(struct redis *r, struct slice key, struct slice lease, struct slice expected,
                          struct slice value, uint64_t ttl_ms, struct redis_command *c, redis_done *done)
{
    assert(expected.n > 0);
    enum status st = redis_ask(r, REDIS_REPLACE, c, done);
    if (st != PENDING) return st;
    struct digits length, ttl;
    struct slice head = slice_from(expected.p, expected.n < REDIS_HEAD ? expected.n : REDIS_HEAD);
    send_script(r, c, SCRIPT_REPLACE, key, lease, 4,
                (struct slice[]){head, digits_of(expected.n, &length), value, ttl_digits(ttl_ms, &ttl)});
    return st;
}

enum status redis_delete(struct redis *r, struct slice key, struct slice lease, struct redis_command *c,
                         redis_done *done)
{
    enum status st = redis_ask(r, REDIS_DELETE, c, done);
    if (st == PENDING && lease.p) send_script(r, c, SCRIPT_DELETE, key, lease, 0, NULL);
    else if (st == PENDING) redis_send(r, c, 2, (struct slice[]){SLICE("DEL"), key});
    return st;
}

/* As the script takes it. */
static struct slice asked(struct slice tags) { return tags.p ? tags : SLICE("-"); }

enum status redis_put_when(struct redis *r, struct slice key, struct slice lease, const struct store_condition *when,
                           uint64_t now_ms, struct slice value, uint64_t ttl_ms, struct redis_command *c,
                           redis_done *done)
{
    struct digits now, ttl;
    enum status st = redis_ask(r, REDIS_PUT_WHEN, c, done);
    if (st == PENDING)
        send_script(r, c, SCRIPT_PUT_WHEN, key, lease, 5,
                    (struct slice[]){value, ttl_digits(ttl_ms, &ttl), digits_of(now_ms, &now), asked(when->is),
                                     asked(when->is_not)});
    return st;
}

enum status redis_delete_when(struct redis *r, struct slice key, struct slice lease, const struct store_condition *when,
                              uint64_t now_ms, struct redis_command *c, redis_done *done)
{
    struct digits now;
    enum status st = redis_ask(r, REDIS_DELETE_WHEN, c, done);
    if (st == PENDING)
        send_script(r, c, SCRIPT_DELETE_WHEN, key, lease, 3,
                    (struct slice[]){digits_of(now_ms, &now), asked(when->is), asked(when->is_not)});
    return st;
}

/* -- leases */

enum status redis_lease_take(struct redis *r, struct slice key, struct slice lease, struct slice known,
                             struct slice token, uint64_t lease_ms, struct redis_command *c, redis_done *done)
{
    struct digits d;
    struct slice head = slice_from(known.p, known.n < REDIS_HEAD ? known.n : REDIS_HEAD);
    enum status st = redis_ask(r, REDIS_TAKE, c, done);
    if (st == PENDING)
        send_script(r, c, SCRIPT_TAKE, key, lease, known.p ? 3 : 2,
                    (struct slice[]){token, digits_of(lease_ms, &d), head});
    return st;
}

enum status redis_lease_keep(struct redis *r, struct slice lease, struct slice token, uint64_t lease_ms,
                             struct redis_command *c, redis_done *done)
{
    struct digits d;
    enum status st = redis_ask(r, REDIS_KEEP, c, done);
    if (st == PENDING)
        send_script(r, c, SCRIPT_KEEP, (struct slice){NULL, 0}, lease, 2,
                    (struct slice[]){token, digits_of(lease_ms, &d)});
    return st;
}

enum status redis_lease_fill(struct redis *r, struct slice key, struct slice lease, struct slice token,
                             struct slice value, uint64_t ttl_ms, struct redis_command *c, redis_done *done)
{
    struct digits d;
    enum status st = redis_ask(r, REDIS_FILL, c, done);
    if (st == PENDING)
        send_script(r, c, SCRIPT_FILL, key, lease, 3, (struct slice[]){token, value, ttl_digits(ttl_ms, &d)});
    return st;
}

enum status redis_lease_drop(struct redis *r, struct slice lease, struct slice token, struct redis_command *c,
                             redis_done *done)
{
    enum status st = redis_ask(r, REDIS_DROP, c, done);
    if (st == PENDING) send_script(r, c, SCRIPT_DROP, (struct slice){NULL, 0}, lease, 1, &token);
    return st;
}

/* -- clusters */

enum status redis_slots(struct redis *r, struct redis_command *c, redis_done *done)
{
    enum status st = redis_ask(r, REDIS_SLOTS, c, done);
    if (st == PENDING) redis_send(r, c, 2, (struct slice[]){SLICE("CLUSTER"), SLICE("SLOTS")});
    return st;
}
