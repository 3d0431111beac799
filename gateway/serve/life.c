/* serve/life.c -- arithmetic of times and chances. */
#include "serve/life.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS  5000

/* More than 0, at most 1. */
static double fraction(uint64_t chance) { return (double)((chance >> 11) + 1) * 0x1p-53; }

static uint64_t jittered(const struct model_options *o, uint64_t chance)
{
    if (o->expires_ms == CLOCK_NEVER || o->jitter == 0) return o->expires_ms;
    return o->expires_ms - (uint64_t)((double)o->expires_ms * o->jitter * fraction(chance));
}

void life_begin(const struct model *m, uint64_t life_ms, uint64_t now_ms, uint64_t chance, struct envelope *e)
{
    const struct model_options *o = &m->options;
    uint64_t stale = o->stale_while_revalidate_ms;
    if (stale < o->stale_if_error_ms) stale = o->stale_if_error_ms;
    if (e->kind == ENVELOPE_NEGATIVE || !m->loads) stale = 0;
    if (life_ms == LIFE_UNSAID) life_ms = jittered(o, chance);
    e->stored_ms = now_ms;
    e->fresh_until_ms = clock_add(now_ms, life_ms);
    e->stale_until_ms = clock_add(e->fresh_until_ms, stale);
}

void life_end(const struct model *m, uint64_t at_ms, struct envelope *e)
{
    struct envelope ends = *e;
    life_begin(m, 0, at_ms, 0, &ends);
    if (e->fresh_until_ms > at_ms) e->fresh_until_ms = at_ms;
    if (e->stale_until_ms > ends.stale_until_ms) e->stale_until_ms = ends.stale_until_ms;
}

void life_doubt(const struct model *m, uint64_t at_ms, struct envelope *e)
{
    if (e->fresh_until_ms > at_ms) e->fresh_until_ms = at_ms;
    uint64_t end = clock_add(e->fresh_until_ms, m->options.stale_if_error_ms);
    if (e->stale_until_ms > end) e->stale_until_ms = end;
}

static bool is_due(const struct model_options *o, const struct envelope *e, uint64_t load_us, uint64_t now_ms,
                   uint64_t chance)
{
    if (o->refresh == 0 || e->fresh_until_ms == CLOCK_NEVER || e->kind == ENVELOPE_NEGATIVE) return false;
    if (o->refresh == REFRESH_XFETCH)
        return (double)load_us / 1000 * -log(fraction(chance)) >= (double)(e->fresh_until_ms - now_ms);
    double age_ms = (double)now_ms - (double)e->stored_ms;
    return age_ms >= o->refresh * (double)(e->fresh_until_ms - e->stored_ms);
}

enum life life_of(const struct model *m, const struct envelope *e, uint64_t load_us, uint64_t now_ms, uint64_t chance)
{
    const struct model_options *o = &m->options;
    if (now_ms < e->fresh_until_ms) return m->loads && is_due(o, e, load_us, now_ms, chance) ? LIFE_DUE : LIFE_FRESH;
    if (now_ms >= e->stale_until_ms || !m->loads) return LIFE_DEAD;
    uint64_t stale_ms = now_ms - e->fresh_until_ms;
    if (stale_ms < o->stale_while_revalidate_ms) return LIFE_STALE_WHILE;
    return stale_ms < o->stale_if_error_ms ? LIFE_STALE_ERROR : LIFE_DEAD;
}

uint64_t life_backoff_ms(unsigned failures)
{
    assert(failures > 0);
    if (failures == 1) return 0;
    uint64_t ms = BACKOFF_FIRST_MS;
    for (; failures > 2 && ms < BACKOFF_LAST_MS; failures--) ms *= 2;
    return ms < BACKOFF_LAST_MS ? ms : BACKOFF_LAST_MS;
}
