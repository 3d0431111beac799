/* store/redis_command.c -- what is asked of Redis: plain commands, and scripts where several steps must be one. */
#include "store/redis_inner.h"
#include "store/redis_link.h"

#include <assert.h>
#include <stdio.h>

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

/* A number as it stands in a command. */
struct digits {
    char text[24];
};

static struct slice digits(uint64_t number, struct digits *out)
{
    return slice_from(out->text, (size_t)snprintf(out->text, sizeof out->text, "%llu", (unsigned long long)number));
}

static struct slice ttl_digits(uint64_t ttl_ms, struct digits *out)
{
    return digits(ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS, out);
}

/* -- scripts: sent whole each time, since they are shorter than most records and a server that has forgotten one needs no second question.
 * KEYS: the record and its lease, or the lease alone; a write that has no lease to end names the record twice. */

#define SCRIPT_ARGUMENTS_MAX 5

/* Formats and sends EVAL. */
static void send_script(struct redis *r, struct redis_command *c, const char *script, struct slice key,
                        struct slice lease, size_t n, const struct slice *argument)
{
    struct slice argv[5 + SCRIPT_ARGUMENTS_MAX] = {SLICE("EVAL"), slice_of(script)};
    int argc = 2;
    assert(n <= SCRIPT_ARGUMENTS_MAX);
    argv[argc++] = key.p ? SLICE("2") : SLICE("1");
    if (key.p) argv[argc++] = key;
    argv[argc++] = lease.p ? lease : key;
    for (size_t i = 0; i < n; i++) argv[argc++] = argument[i];
    redis_send(r, c, argc, argv);
}

#define SET_TTL(value, ttl)                                                                                            \
    "if " ttl " == '0' then redis.call('SET', KEYS[1], " value ") "                                                    \
    "else redis.call('SET', KEYS[1], " value ", 'PX', " ttl ") end "

#define END_LEASE "if KEYS[2] ~= KEYS[1] then redis.call('DEL', KEYS[2]) end "

/* ARGV: value, ttl. What is no string is replaced like any other. */
static const char put_script[] = "local old = redis.pcall('GETRANGE', KEYS[1], 0, 7) " SET_TTL("ARGV[1]", "ARGV[2]")
    END_LEASE "return type(old) == 'string' and old or ''";

/* ARGV: head and length of what is expected, value, ttl. */
static const char replace_script[] =
    "local n = redis.call('STRLEN', KEYS[1]) "
    "if n == 0 then return -1 end "
    "if n ~= tonumber(ARGV[2]) "
    "or redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end " SET_TTL("ARGV[3]", "ARGV[4]")
        END_LEASE "return 1";

static const char delete_script[] = END_LEASE "return redis.call('DEL', KEYS[1])";

/* holds(): condition.c in Lua; its three arguments are the last in ARGV: now, then what the record must be and must not. */
#define HOLDS                                                                                                          \
    "local function holds(now, is, is_not) "                                                                           \
    "local head, tag, fresh = redis.pcall('GETRANGE', KEYS[1], 0, 51), nil, 0 "                                        \
    "if type(head) == 'string' and #head == 52 and head:sub(1, 4) == 'PGE\\1' and head:byte(5) ~= 1 then "             \
    "for i = 24, 17, -1 do fresh = fresh * 256 + head:byte(i) end "                                                    \
    "tag = fresh > tonumber(now) and head:sub(33, 40) or nil end "                                                     \
    "local function names(tags) "                                                                                      \
    "if not tag or tags == '*' then return tag ~= nil end "                                                            \
    "for i = 1, #tags, 8 do if tags:sub(i, i + 7) == tag then return true end end end "                                \
    "return (is == '-' or names(is)) and (is_not == '-' or not names(is_not)) end "

/* ARGV: value, ttl, condition. */
static const char put_when_script[] =
    HOLDS "if not holds(ARGV[3], ARGV[4], ARGV[5]) then return '!' end "
          "local old = redis.pcall('GETRANGE', KEYS[1], 0, 7) " SET_TTL("ARGV[1]", "ARGV[2]") END_LEASE
    "return type(old) == 'string' and #old == 8 and old or ''";

/* ARGV: condition. */
static const char delete_when_script[] = HOLDS "if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 0 end " END_LEASE
                                               "return redis.call('DEL', KEYS[1]) == 1 and 1 or -1";

/* ARGV: token, lease's life, known; without the last nobody looks. */
static const char take_script[] =
    "local known, n = ARGV[3], ARGV[3] and redis.pcall('STRLEN', KEYS[1]) "
    "if type(n) == 'number' and n > 0 and (known == '' "
    "or redis.call('GETRANGE', KEYS[1], 0, #known - 1) ~= known) then return redis.call('GET', KEYS[1]) end "
    "return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0";

#define UNLESS_OURS(lease) "if redis.call('GET', " lease ") ~= ARGV[1] then return 0 end "

/* ARGV: token, lease's life. */
static const char keep_script[] = UNLESS_OURS("KEYS[1]") "return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/* ARGV: token, value, ttl. */
static const char fill_script[] =
    UNLESS_OURS("KEYS[2]") SET_TTL("ARGV[2]", "ARGV[3]") "redis.call('DEL', KEYS[2]) return 1";

/* ARGV: token. */
static const char drop_script[] = UNLESS_OURS("KEYS[1]") "return redis.call('DEL', KEYS[1])";

enum status redis_put(struct redis *r, struct slice key, struct slice lease, struct slice value, uint64_t ttl_ms,
                      struct redis_command *c, redis_done *done)
{
    enum status st = redis_ask(r, lease.p ? REDIS_PUT_FENCED : REDIS_PUT, c, done);
    if (st != PENDING) return st;
    struct digits d;
    struct slice ttl = ttl_digits(ttl_ms, &d);
    if (lease.p) {
        send_script(r, c, put_script, key, lease, 2, (struct slice[]){value, ttl});
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
    send_script(r, c, replace_script, key, lease, 4,
                (struct slice[]){head, digits(expected.n, &length), value, ttl_digits(ttl_ms, &ttl)});
    return st;
}

enum status redis_delete(struct redis *r, struct slice key, struct slice lease, struct redis_command *c,
                         redis_done *done)
{
    enum status st = redis_ask(r, REDIS_DELETE, c, done);
    if (st == PENDING && lease.p) send_script(r, c, delete_script, key, lease, 0, NULL);
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
        send_script(r, c, put_when_script, key, lease, 5,
                    (struct slice[]){value, ttl_digits(ttl_ms, &ttl), digits(now_ms, &now), asked(when->is),
                                     asked(when->is_not)});
    return st;
}

enum status redis_delete_when(struct redis *r, struct slice key, struct slice lease, const struct store_condition *when,
                              uint64_t now_ms, struct redis_command *c, redis_done *done)
{
    struct digits now;
    enum status st = redis_ask(r, REDIS_DELETE_WHEN, c, done);
    if (st == PENDING)
        send_script(r, c, delete_when_script, key, lease, 3,
                    (struct slice[]){digits(now_ms, &now), asked(when->is), asked(when->is_not)});
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
        send_script(r, c, take_script, key, lease, known.p ? 3 : 2,
                    (struct slice[]){token, digits(lease_ms, &d), head});
    return st;
}

enum status redis_lease_keep(struct redis *r, struct slice lease, struct slice token, uint64_t lease_ms,
                             struct redis_command *c, redis_done *done)
{
    struct digits d;
    enum status st = redis_ask(r, REDIS_KEEP, c, done);
    if (st == PENDING)
        send_script(r, c, keep_script, (struct slice){NULL, 0}, lease, 2,
                    (struct slice[]){token, digits(lease_ms, &d)});
    return st;
}

enum status redis_lease_fill(struct redis *r, struct slice key, struct slice lease, struct slice token,
                             struct slice value, uint64_t ttl_ms, struct redis_command *c, redis_done *done)
{
    struct digits d;
    enum status st = redis_ask(r, REDIS_FILL, c, done);
    if (st == PENDING)
        send_script(r, c, fill_script, key, lease, 3, (struct slice[]){token, value, ttl_digits(ttl_ms, &d)});
    return st;
}

enum status redis_lease_drop(struct redis *r, struct slice lease, struct slice token, struct redis_command *c,
                             redis_done *done)
{
    enum status st = redis_ask(r, REDIS_DROP, c, done);
    if (st == PENDING) send_script(r, c, drop_script, (struct slice){NULL, 0}, lease, 1, &token);
    return st;
}
