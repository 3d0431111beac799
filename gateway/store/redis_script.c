/* store/redis_script.c -- the scripts, and how each becomes a command.
 * KEYS[1] is the record and KEYS[2] its lease, or KEYS[1] the lease alone; a write that has no lease to end has the record twice. */
#include "store/redis_script.h"

#include "base/hash.h"
#include "store/redis_format.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

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

/* ARGV: the line to begin, the line and the moment that are known, how many names are kept, how many are reported at once, members.
 * A double holds microseconds exactly until the year 2255. Every name has a moment of its own, so that a report may end behind any. Who knows of a later
 * moment than the table has heard it before a failover, of which this server knows less: that moment is the last one again, if the server takes writes, so
 * that what is invalidated now is later than what was lost. */
static const char epochs_script[] =
    "local key, fresh, line, known, most, page = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), "
    "tonumber(ARGV[5]) "
    "local function text(n) return string.format('%.0f', n) end "
    "local function clock() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end "
    "local top = redis.pcall('ZRANGE', key, -1, -1, 'WITHSCORES') "
    "local floor = top[1] and redis.call('ZSCORE', key, '!floor') "
    "local now, at = top[1], tonumber(top[2]) "
    "if not floor or now:sub(1, 1) ~= '~' then "
    "redis.call('DEL', key) "
    "now, at = fresh, clock() "
    "floor = at "
    "redis.call('ZADD', key, text(at), '!floor', text(at), now) end "
    "if line ~= now then known = '-inf' "
    "elseif tonumber(known) > at then at = tonumber(known) redis.pcall('ZADD', key, known, now) end "
    "if #ARGV > 5 then "
    "at = math.max(clock(), at) "
    "for i = 6, #ARGV do at = at + 1 redis.call('ZADD', key, text(at), ARGV[i]) end "
    "redis.call('ZADD', key, text(at), now) "
    "local over = redis.call('ZCARD', key) - 2 - most "
    "if over > 0 then "
    "floor = redis.call('ZRANGE', key, over, over, 'WITHSCORES')[2] "
    "redis.call('ZREMRANGEBYRANK', key, 1, over) "
    "redis.call('ZADD', key, text(tonumber(floor)), '!floor') end end "
    "local list = redis.call('ZRANGEBYSCORE', key, '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, page + 2) "
    "local out, last, more = {}, at, 0 "
    "for i = 1, #list, 2 do local member = list[i] "
    "if member:find('^[re]') then "
    "if #out == page then more = 1 break end "
    "last = tonumber(list[i + 1]) "
    "out[#out + 1] = text(last) .. ' ' .. #member .. ' ' .. member .. '\\n' end end "
    "return now:sub(2) .. ' ' .. text(more == 1 and last or at) .. ' ' .. text(tonumber(floor)) .. ' ' .. more .. "
    "'\\n' "
    ".. table.concat(out)";

/* ---- as commands */

#define HASH 40 /* characters */

static const char *const text[REDIS_SCRIPTS] = {
    [SCRIPT_PUT] = put_script,
    [SCRIPT_PUT_WHEN] = put_when_script,
    [SCRIPT_REPLACE] = replace_script,
    [SCRIPT_DELETE] = delete_script,
    [SCRIPT_DELETE_WHEN] = delete_when_script,
    [SCRIPT_TAKE] = take_script,
    [SCRIPT_KEEP] = keep_script,
    [SCRIPT_FILL] = fill_script,
    [SCRIPT_DROP] = drop_script,
    [SCRIPT_EPOCHS] = epochs_script,
};

static char hashes[REDIS_SCRIPTS][HASH];
static pthread_once_t hashes_once = PTHREAD_ONCE_INIT;

static void make_hashes(void)
{
    unsigned char hash[HASH / 2];
    for (int i = 0; i < REDIS_SCRIPTS; i++) {
        hash_sha1(slice_of(text[i]), hash);
        hash_hex(hash, sizeof hash, hashes[i]);
    }
}

static sds format(struct slice name, struct slice script, int argc, const struct slice *argv)
{
    struct slice all[5 + REDIS_SCRIPT_ARGUMENTS] = {name, script};
    assert(argc <= 3 + REDIS_SCRIPT_ARGUMENTS);
    memcpy(all + 2, argv, (size_t)argc * sizeof *argv);
    return redis_format(2 + argc, all);
}

sds redis_script_whole(enum redis_script script, int argc, const struct slice *argv)
{
    return format(SLICE("EVAL"), slice_of(text[script]), argc, argv);
}

sds redis_script_by_hash(enum redis_script script, int argc, const struct slice *argv)
{
    pthread_once(&hashes_once, make_hashes);
    return format(SLICE("EVALSHA"), slice_from(hashes[script], HASH), argc, argv);
}

/* Between "*N" and the number of keys a command by hash always has the same bytes, but for the hash. */
sds redis_script_again(enum redis_script script, sds by_hash)
{
    size_t count = strcspn(by_hash, "\r"), skip = count + strlen("\r\n$7\r\nEVALSHA\r\n$40\r\n") + HASH + 2;
    sds whole =
        sdscatprintf(sdsnewlen(by_hash, count), "\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n", strlen(text[script]), text[script]);
    whole = sdscatlen(whole, by_hash + skip, sdslen(by_hash) - skip);
    if (!whole) abort();
    return whole;
}
