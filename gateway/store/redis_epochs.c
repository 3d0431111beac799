/* store/redis_epochs.c -- one question, and one script (redis_script.c). */
#include "store/redis_epochs.h"

#include "base/digits.h"
#include "base/hash.h"
#include "store/redis_inner.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

_Static_assert(REDIS_SCRIPT_ARGUMENTS >= 5 + EPOCHS_AT_ONCE, "the script takes all names at once");

#define MEMBER_MAX (EPOCHS_NAME_MAX + 16)

struct line_text {
    char text[1 + 16];
};

static struct slice line_member(uint64_t line, struct line_text *out)
{
    uint64_t highest_first = htobe64(line);
    out->text[0] = '~';
    hash_hex((const unsigned char *)&highest_first, sizeof highest_first, out->text + 1);
    return slice_from(out->text, sizeof out->text);
}

enum status redis_epochs_ask(struct redis *r, struct slice key, uint64_t line, struct redis_command *c,
                             redis_done *done)
{
    struct line_text member;
    enum status st = redis_ask(r, REDIS_EPOCHS_ASK, c, done);
    if (st == PENDING) redis_send(r, c, 3, (struct slice[]){SLICE("ZSCORE"), key, line_member(line, &member)});
    return st;
}

bool redis_epochs_is(const struct blob *digits, uint64_t at)
{
    struct digits room;
    return slice_eq(blob_slice(digits), digits_of(at, &room));
}

static struct slice member_of(enum epoch_mode mode, const struct epoch_name *name, char text[MEMBER_MAX])
{
    const char *kind = name->kind == EPOCH_TAG ? "tag" : "model";
    assert(name->text.n <= EPOCHS_NAME_MAX);
    int n = snprintf(text, MEMBER_MAX, "%s:%s:", mode == EPOCH_EXPIRE ? "expire" : "remove", kind);
    memcpy(text + n, name->text.p, name->text.n);
    return slice_from(text, (size_t)n + name->text.n);
}

enum status redis_epochs_raise(struct redis *r, struct slice key, uint64_t fresh, struct stamp asked,
                               enum epoch_mode mode, const struct epoch_name *name, size_t n, struct redis_command *c,
                               redis_done *done)
{
    char member[EPOCHS_AT_ONCE][MEMBER_MAX], at[24], most[16], page[16];
    struct slice argv[2 + REDIS_SCRIPT_ARGUMENTS];
    struct line_text fresh_member, line;
    int argc = 0;
    assert(n <= EPOCHS_AT_ONCE);
    enum status st = redis_ask(r, n ? REDIS_EPOCHS_RAISE : REDIS_EPOCHS_READ, c, done);
    if (st != PENDING) return st;
    argv[argc++] = SLICE("1");
    argv[argc++] = key;
    argv[argc++] = line_member(fresh, &fresh_member);
    argv[argc++] = line_member(asked.line, &line);
    argv[argc++] = slice_from(at, (size_t)snprintf(at, sizeof at, "%" PRIu64, asked.at));
    argv[argc++] = slice_from(most, (size_t)snprintf(most, sizeof most, "%d", EPOCHS_MAX));
    argv[argc++] = slice_from(page, (size_t)snprintf(page, sizeof page, "%d", EPOCHS_PAGE));
    for (size_t i = 0; i < n; i++) argv[argc++] = member_of(mode, &name[i], member[i]);
    redis_send_script(r, c, SCRIPT_EPOCHS, argc, argv);
    return st;
}
