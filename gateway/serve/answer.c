/* serve/answer.c -- the headers of a read tell only what is true of this record now. */
#include "serve/answer.h"

#include "base/clock.h"
#include "base/hash.h"
#include "serve/problem.h"

#include <stdio.h>

#define YEAR_S 31536000 /* the longest freshness anyone should claim (RFC 2616 14.21); said of what never expires */

void answer_etag(uint64_t tag, char out[19])
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(tag >> (56 - 8 * i));
    out[0] = out[17] = '"';
    hash_hex(bytes, sizeof bytes, out + 1);
    out[18] = '\0';
}

bool answer_etag_listed(struct slice header, const char *etag, bool weak)
{
    struct slice want = slice_of(etag);
    struct slice rest = slice_trim(header);
    if (slice_eq(rest, SLICE("*"))) return true;
    while (rest.p && rest.n) { /* entity tags may hold commas: walk by quotes, not by commas */
        bool is_weak = slice_starts(rest, SLICE("W/"));
        if (is_weak) rest = slice_skip(rest, 2);
        if (rest.n == 0 || rest.p[0] != '"') return false;
        const char *end = memchr(rest.p + 1, '"', rest.n - 1);
        if (!end) return false;
        struct slice tag = slice_from(rest.p, (size_t)(end - rest.p) + 1);
        if ((weak || !is_weak) && slice_eq(tag, want)) return true;
        rest = slice_trim(slice_skip(rest, tag.n));
        if (rest.n == 0) return false;
        if (rest.p[0] != ',') return false;
        rest = slice_trim(slice_skip(rest, 1));
    }
    return false;
}

struct slice cache_directive(struct slice header, const char *name)
{
    while (header.p) {
        struct slice value = slice_trim(slice_cut(&header, ','));
        struct slice directive = slice_trim(slice_cut(&value, '='));
        if (!slice_ieq(directive, slice_of(name))) continue;
        value = value.p ? slice_trim(value) : SLICE("");
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') value = slice_from(value.p + 1, value.n - 2);
        return value;
    }
    return (struct slice){NULL, 0};
}

/* Seconds left, rounded up, so that a record that is still good never claims 0. */
static uint64_t left_s(const struct envelope *e, uint64_t now_ms)
{
    if (e->fresh_until_ms == CLOCK_NEVER) return YEAR_S;
    return e->fresh_until_ms > now_ms ? (e->fresh_until_ms - now_ms + 999) / 1000 : 0;
}

/* RFC 9211: where this answer came from. `left` counts only when an entry was found or made. */
static void put_cache_status(struct reply *reply, const struct fetch *f, uint64_t left)
{
    bool forever = f->blob && f->entry.fresh_until_ms == CLOCK_NEVER;
    char ttl[32] = "";
    if (f->blob && !forever) snprintf(ttl, sizeof ttl, "; ttl=%llu", (unsigned long long)left);
    const char *forward = f->mode == FETCH_RELOAD ? "fwd=request" : "fwd=uri-miss";
    switch (f->source) {
    case SOURCE_STORE:
        reply_headerf(reply, "Cache-Status", "perigee; hit%s; detail=%s", ttl, f->serve->store_detail);
        break;
    case SOURCE_LOADED:
        if (f->stored)
            reply_headerf(reply, "Cache-Status", "perigee; %s; stored%s", forward, ttl);
        else
            reply_headerf(reply, "Cache-Status", "perigee; %s", forward);
        break;
    case SOURCE_COLLAPSED: reply_headerf(reply, "Cache-Status", "perigee; %s; collapsed", forward); break;
    case SOURCE_NOWHERE: reply_headerf(reply, "Cache-Status", "perigee; %s", forward); break;
    }
}

/* Age, Cache-Control and Cache-Status of the entry; an answer that was not kept must not be kept by others either. */
static void put_freshness(struct reply *reply, const struct fetch *f, uint64_t now_ms)
{
    bool kept = f->blob && (f->source == SOURCE_STORE || f->stored);
    uint64_t left = kept ? left_s(&f->entry, now_ms) : 0;
    if (f->blob) {
        uint64_t age = now_ms > f->entry.stored_ms ? (now_ms - f->entry.stored_ms) / 1000 : 0;
        reply_headerf(reply, "Age", "%llu", (unsigned long long)age);
    }
    if (kept)
        reply_headerf(reply, "Cache-Control", "max-age=%llu", (unsigned long long)left);
    else
        reply_header(reply, "Cache-Control", SLICE("no-store"));
    put_cache_status(reply, f, left);
}

static void answer_missing(struct exchange *ex, const struct fetch *f, uint64_t now_ms)
{
    struct problem p = {.status = MISSING};
    problem_fill(ex, &p, f->served->model, f->key);
    put_freshness(&ex->reply, f, now_ms);
}

static void answer_record(struct exchange *ex, struct fetch *f, uint64_t now_ms)
{
    char etag[19];
    answer_etag(f->entry.tag, etag);
    struct slice condition = http_request_header(&ex->request, "if-none-match");
    bool unchanged = condition.p && answer_etag_listed(condition, etag, true);
    reply_begin(&ex->reply, unchanged ? 304 : 200);
    reply_header(&ex->reply, "ETag", slice_of(etag));
    put_freshness(&ex->reply, f, now_ms);
    if (unchanged) return;
    reply_header(&ex->reply, "Content-Type", SLICE("application/json"));
    reply_body(&ex->reply, f->entry.text, f->blob);
    f->blob = NULL;
}

void answer_fetch(struct exchange *ex, struct fetch *f, enum status status, uint64_t now_ms)
{
    if (status == OK)
        answer_record(ex, f, now_ms);
    else
        answer_missing(ex, f, now_ms);
}

void answer_failure(struct exchange *ex, const struct fetch *f)
{
    problem_fill(ex, &f->problem, f->served->model, f->key);
    put_freshness(&ex->reply, f, 0);
}
