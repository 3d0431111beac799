/* store/condition.c -- the judgement for a value in this process; redis_command.c has the same for one in Redis. */
#include "store/condition.h"

#define HEAD  52
#define KIND  4
#define FRESH 16
#define TAG   32

static uint64_t number_at(const char *p)
{
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--) number = number << 8 | (unsigned char)p[i];
    return number;
}

/* The tag of the record that it is, or absent. */
static struct slice tag_of(struct slice value, uint64_t now_ms)
{
    bool record = value.n >= HEAD && slice_starts(value, SLICE("PGE\1")) && value.p[KIND] != 1 &&
                  number_at(value.p + FRESH) > now_ms;
    return record ? slice_from(value.p + TAG, CONDITION_TAG) : (struct slice){NULL, 0};
}

static bool names(struct slice tags, struct slice tag)
{
    if (!tag.p || slice_eq(tags, CONDITION_ANY)) return tag.p != NULL;
    for (; tags.n >= CONDITION_TAG; tags = slice_skip(tags, CONDITION_TAG))
        if (slice_starts(tags, tag)) return true;
    return false;
}

bool condition_holds(const struct store_condition *c, struct slice value, uint64_t now_ms)
{
    struct slice tag = tag_of(value, now_ms);
    return (!c->is.p || names(c->is, tag)) && (!c->is_not.p || !names(c->is_not, tag));
}
