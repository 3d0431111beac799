/* serve/invalidate.c -- names raised in the store, and what names are. */
#include "serve/invalidate.h"

#include "base/clock.h"

void invalidation_count(struct serve *s, struct slice kind, enum epoch_mode mode, size_t n)
{
    struct slice labels[] = {kind, mode == EPOCH_EXPIRE ? SLICE("expire") : SLICE("remove")};
    counter_add(metrics_counter(s->metrics, METRIC_INVALIDATIONS, labels), (int64_t)n);
}

static enum status raised(struct invalidation *i, enum status status)
{
    if (status != OK) return problem_set(&i->problem, status, NULL, "nothing is known to be invalidated");
    bool tags = i->name[0].kind == EPOCH_TAG;
    invalidation_count(i->serve, tags ? SLICE("tag") : SLICE("model"), i->mode, i->n);
    return OK;
}

static void on_raised(struct store_op *op, enum status status, struct blob *none)
{
    struct invalidation *i = container_of(op, struct invalidation, op);
    i->done(i, raised(i, status));
}

enum status invalidation_start(struct invalidation *i)
{
    i->op.done = on_raised;
    enum status st = store_invalidate(i->serve->store, i->mode, i->name, i->n, clock_wall_ms(), &i->op);
    return st == PENDING ? PENDING : raised(i, st);
}

/* -- reading -- */

static enum status read_tag(struct slice json, size_t position, struct arena *arena, struct slice *tag,
                            struct problem *why)
{
    char path[32];
    snprintf(path, sizeof path, "tags[%zu]", position);
    if (json_kind(json) != JSON_STRING) return problem_set(why, MALFORMED_REQUEST, path, "a tag is a text");
    *tag = json_string(json, arena);
    if (tag->n >= 1 && tag->n <= EPOCHS_NAME_MAX) return OK;
    return problem_set(why, MALFORMED_REQUEST, path, "a tag has 1 to %d bytes, not %zu", EPOCHS_NAME_MAX, tag->n);
}

enum status invalidation_read_tags(struct slice json, struct arena *arena, const struct epoch_name **name, size_t *n,
                                   struct problem *why)
{
    struct slice *element;
    if (!json.p || json_kind(json) != JSON_ARRAY)
        return problem_set(why, MALFORMED_REQUEST, "tags", "`tags` is an array of texts");
    enum status st = json_elements(json, arena, &element, n, why);
    if (st == OK && (*n == 0 || *n > EPOCHS_AT_ONCE))
        st = problem_set(why, MALFORMED_REQUEST, "tags", "`tags` has 1 to %d of them, not %zu", EPOCHS_AT_ONCE, *n);
    if (st != OK) return st;
    struct epoch_name *names = arena_alloc(arena, *n * sizeof *names);
    for (size_t i = 0; st == OK && i < *n; i++) {
        names[i].kind = EPOCH_TAG;
        st = read_tag(element[i], i, arena, &names[i].text, why);
    }
    *name = names;
    return st;
}

enum status invalidation_read_mode(struct slice json, enum epoch_mode *mode, struct problem *why)
{
    *mode = slice_eq(json, SLICE("\"expire\"")) ? EPOCH_EXPIRE : EPOCH_REMOVE;
    if (!json.p || *mode == EPOCH_EXPIRE || slice_eq(json, SLICE("\"remove\""))) return OK;
    return problem_set(why, MALFORMED_REQUEST, "mode", "`mode` takes \"remove\" or \"expire\"");
}
