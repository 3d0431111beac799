/* script/http_origin.c -- origins, their places and their lines. */
#include "script/http_origin.h"

#include <assert.h>
#include <stdlib.h>

#define TEXT(number)  TEXT_(number)
#define TEXT_(number) #number

void http_origins_init(struct http_origins *o)
{
    *o = (struct http_origins){0};
    map_init(&o->by_name);
    list_init(&o->turns);
}

static void forget(struct http_origins *o, struct http_origin *origin)
{
    assert(origin->requests == 0 && origin->places == 0 && list_empty(&origin->waiting));
    list_remove(&origin->turn);
    map_remove(&o->by_name, origin->name);
    free(origin);
}

void http_origins_deinit(struct http_origins *o)
{
    size_t at = 0;
    for (struct http_origin *origin; (origin = map_next(&o->by_name, &at)); at = 0) forget(o, origin);
    map_deinit(&o->by_name);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* Room for one more origin: one that nobody asks now loses its budget. */
static bool make_room(struct http_origins *o)
{
    if (o->by_name.n < HTTP_ORIGINS_MAX) return true;
    size_t at = 0;
    for (struct http_origin *origin; (origin = map_next(&o->by_name, &at));) {
        if (origin->requests > 0) continue;
        forget(o, origin);
        return true;
    }
    return false;
}

static struct http_origin *origin_new(struct http_origins *o, struct slice name)
{
    struct http_origin *origin = calloc(1, sizeof *origin + name.n);
    if (!origin) abort();
    memcpy(origin + 1, name.p, name.n);
    origin->name = slice_from(origin + 1, name.n);
    list_init(&origin->waiting);
    list_init(&origin->turn);
    map_put(&o->by_name, origin->name, origin);
    return origin;
}

struct http_origin *http_origins_enter(struct http_origins *o, struct slice name, const char **why)
{
    struct http_origin *origin = map_get(&o->by_name, name);
    *why = NULL;
    if (o->requests >= HTTP_REQUESTS_MAX) *why = "more than " TEXT(HTTP_REQUESTS_MAX) " requests at once";
    else if (origin && origin->requests >= HTTP_ORIGIN_REQUESTS_MAX)
        *why = "more than " TEXT(HTTP_ORIGIN_REQUESTS_MAX) " requests to one server at once";
    else if (!origin && !make_room(o)) *why = "requests to more than " TEXT(HTTP_ORIGINS_MAX) " servers at once";
    if (*why) return NULL;

    if (!origin) origin = origin_new(o, name);
    o->requests++;
    origin->requests++;
    return origin;
}

void http_origins_leave(struct http_origins *o, struct http_origin *origin)
{
    o->requests--;
    origin->requests--;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

/* Lines up the origin where somebody could have a place there. Who leaves the line meanwhile leaves the origin in it: next looks. */
static void offer(struct http_origins *o, struct http_origin *origin)
{
    if (list_empty(&origin->waiting) || origin->places >= HTTP_ORIGIN_PLACES_MAX) return;
    if (list_empty(&origin->turn)) list_append(&o->turns, &origin->turn);
}

void http_origin_wait(struct http_origins *o, struct http_origin *origin, struct list *waiting)
{
    list_append(&origin->waiting, waiting);
    offer(o, origin);
}

struct list *http_origins_next(struct http_origins *o)
{
    while (o->places < HTTP_PLACES_MAX && !list_empty(&o->turns)) {
        struct http_origin *origin = container_of(list_shift(&o->turns), struct http_origin, turn);
        struct list *first = list_shift(&origin->waiting);
        if (!first) continue;
        o->places++;
        origin->places++;
        offer(o, origin);
        return first;
    }
    return NULL;
}

void http_origin_give_back(struct http_origins *o, struct http_origin *origin)
{
    o->places--;
    origin->places--;
    offer(o, origin);
}
