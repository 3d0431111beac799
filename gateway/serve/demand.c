/* serve/demand.c -- from directives to bounds. Directives are advice (RFC 9111 5.2.1): unknown ones, and those whose argument is no number of
 * seconds, are passed over. Of what is said twice the stricter counts. `no-store` changes nothing: answers are not stored here, only records,
 * and those are the models' own. */
#include "serve/demand.h"

#include "base/clock.h"

const struct demand demand_nothing = {.mode = FETCH_LOAD}, demand_anew = {.mode = FETCH_RELOAD};

/* -- directives -- */

/* Up to the comma that stands in no quotes. */
static struct slice cut_element(struct slice *rest)
{
    bool quoted = false;
    size_t n = 0;
    while (n < rest->n && (quoted || rest->p[n] != ',')) {
        if (rest->p[n] == '"') quoted = !quoted;
        if (rest->p[n] == '\\' && quoted && n + 1 < rest->n) n++;
        n++;
    }
    struct slice element = slice_from(rest->p, n);
    *rest = n < rest->n ? slice_skip(*rest, n + 1) : (struct slice){NULL, 0};
    return element;
}

bool demand_directive(struct slice *rest, struct slice *name, struct slice *argument)
{
    while (rest->p) {
        *argument = cut_element(rest);
        *name = slice_trim(slice_cut(argument, '='));
        if (argument->p) *argument = slice_trim(*argument);
        if (argument->n >= 2 && argument->p[0] == '"' && argument->p[argument->n - 1] == '"')
            *argument = slice_from(argument->p + 1, argument->n - 2);
        if (name->n) return true;
    }
    return false;
}

/* Digits only; what is too large to count is endless (RFC 9111 1.2.2). */
static bool read_seconds(struct slice text, uint64_t *ms)
{
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        if (seconds <= UINT32_MAX) seconds = seconds * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ms = seconds <= UINT32_MAX ? seconds * 1000 : CLOCK_NEVER;
    return text.n > 0;
}

/* What the headers say, before it is known what it comes to. */
struct said {
    bool no_cache, only_if_cached, max_age, min_fresh, max_stale;
    uint64_t max_age_ms, min_fresh_ms, max_stale_ms;
};

static void keep_stricter(bool *said, uint64_t *bound, uint64_t other, bool is_least)
{
    if (!*said || (is_least ? other > *bound : other < *bound)) *bound = other;
    *said = true;
}

static void read_directive(struct said *s, struct slice name, struct slice argument)
{
    uint64_t ms = CLOCK_NEVER;
    if (slice_ieq(name, SLICE("no-cache"))) s->no_cache = true;
    else if (slice_ieq(name, SLICE("only-if-cached"))) s->only_if_cached = true;
    else if (slice_ieq(name, SLICE("max-stale")) && (!argument.p || read_seconds(argument, &ms)))
        keep_stricter(&s->max_stale, &s->max_stale_ms, ms, false);
    else if (slice_ieq(name, SLICE("max-age")) && read_seconds(argument, &ms))
        keep_stricter(&s->max_age, &s->max_age_ms, ms, false);
    else if (slice_ieq(name, SLICE("min-fresh")) && read_seconds(argument, &ms))
        keep_stricter(&s->min_fresh, &s->min_fresh_ms, ms, true);
}

static void read_headers(const struct http_request *request, struct said *s)
{
    bool has_control = false;
    struct slice name, argument, pragma = {NULL, 0};
    for (size_t i = 0; i < request->headers; i++) {
        const struct http_header *h = &request->header[i];
        if (h->name.n == 13 && slice_ieq(h->name, SLICE("cache-control"))) {
            has_control = true;
            for (struct slice rest = h->value; demand_directive(&rest, &name, &argument);)
                read_directive(s, name, argument);
        }
        if (h->name.n == 6 && !pragma.p && slice_ieq(h->name, SLICE("pragma"))) pragma = h->value;
    }
    while (!has_control && demand_directive(&pragma, &name, &argument))
        s->no_cache |= slice_ieq(name, SLICE("no-cache"));
}

/* -- what they come to -- */

struct demand demand_of(const struct http_request *request, bool may_refresh)
{
    struct said s = {.max_age_ms = CLOCK_NEVER};
    read_headers(request, &s);
    struct demand d = {.mode = FETCH_LOAD, .only_if_cached = s.only_if_cached};
    if (s.only_if_cached || request->method == METHOD_HEAD) d.mode = FETCH_LOOK;
    else if (s.no_cache) d.mode = FETCH_RELOAD;
    if (d.mode == FETCH_LOOK && !s.only_if_cached) return d;
    if (d.mode == FETCH_LOAD && !may_refresh) s.max_age = s.min_fresh = false;
    d.is_picky = s.max_age || s.min_fresh || s.max_stale || (s.only_if_cached && s.no_cache);
    d.takes_stale = s.max_stale;
    d.max_stale_ms = s.max_stale_ms;
    d.max_age_ms = s.max_age ? s.max_age_ms : CLOCK_NEVER;
    d.min_fresh_ms = s.min_fresh ? s.min_fresh_ms : 0;
    if (s.only_if_cached && s.no_cache) d.max_age_ms = 0; /* what is here and was just made: nothing */
    return d;
}

/* Younger, not as young, so that max-age=0 takes nothing that is stored. */
bool demand_takes(const struct demand *d, const struct envelope *e, uint64_t now_ms)
{
    bool stale = now_ms >= e->fresh_until_ms;
    if (stale && (!d->takes_stale || now_ms - e->fresh_until_ms > d->max_stale_ms)) return false;
    if (d->max_age_ms != CLOCK_NEVER && now_ms >= clock_add(e->stored_ms, d->max_age_ms)) return false;
    return d->min_fresh_ms == 0 || e->fresh_until_ms >= clock_add(now_ms, d->min_fresh_ms);
}

enum use demand_use(const struct demand *d, const struct model *m, const struct envelope *e, enum life life,
                    uint64_t now_ms)
{
    bool doubtful = life == LIFE_STALE_ERROR; /* without a loader: only where the store is away */
    bool picky = d->is_picky && (m->loads || doubtful);
    if (doubtful && d->mode == FETCH_RELOAD) return USE_NOT;
    if (picky && !demand_takes(d, e, now_ms)) return USE_NOT;
    return doubtful && !(picky && d->takes_stale) ? USE_IF_NO_BETTER : USE_NOW;
}
