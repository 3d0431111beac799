/* serve/view.c -- from the options of a query to choices among fields: a path is walked down the models it leads through, and
 * each step is marked in the pick of its model. */
#include "serve/view.h"

#include "model/codec.h"

const struct pick pick_all = {NULL}, pick_none = {NULL};

struct view view_default(const struct model *m) { return (struct view){.depth = m->refers ? m->options.depth : 0}; }

/* Digits only; what is more than DEPTH_MAX is DEPTH_MAX, however long. */
static bool parse_depth(struct slice text, unsigned *depth)
{
    *depth = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        *depth = *depth * 10 + (unsigned)(text.p[i] - '0');
        if (*depth > DEPTH_MAX) *depth = DEPTH_MAX;
    }
    return text.n > 0;
}

static enum status take_depth(struct slice text, struct view *v, struct problem *why)
{
    if (!parse_depth(text, &v->depth))
        return problem_set(why, MALFORMED_REQUEST, "_depth", "`_depth` takes a whole number, as in `_depth=2`");
    v->depth_given = true;
    return OK;
}

/* -- paths -- */

/* What one list of paths is read into. */
struct picking {
    const char *option; /* "_include" or "_fields" */
    const struct pick *leaf;
    struct arena *arena;
    struct problem *why;
    const struct pick *root;
    size_t picks;
    unsigned longest;
};

/* The pick at *place made one that can be marked. */
static const struct pick **choices(struct picking *p, const struct model *m, const struct pick **place)
{
    if (!*place || !(*place)->field) {
        if (p->picks++ == VIEW_PICKS_MAX) return NULL;
        struct pick *pick = arena_alloc(p->arena, sizeof *pick);
        pick->field = arena_zalloc(p->arena, m->fields * sizeof *pick->field);
        *place = pick;
    }
    return (const struct pick **)(*place)->field; /* ours, from just above */
}

static enum status too_much(struct picking *p)
{
    return problem_set(p->why, MALFORMED_REQUEST, p->option, "`%s` asks for too much at once", p->option);
}

/* UNKNOWN_FIELD with the path as far as it was followed. */
static enum status unknown(struct picking *p, const struct model *m, struct slice name, struct slice followed)
{
    struct problem nearest;
    codec_unknown_field(m, name, &nearest);
    struct slice path = arena_dup(p->arena, followed);
    return problem_set(p->why, UNKNOWN_FIELD, path.p, "%s", nearest.detail);
}

static enum status no_reference(struct picking *p, const struct model *m, struct slice name)
{
    return problem_set(p->why, MALFORMED_REQUEST, p->option, "`%s`: `%.*s` of model `%.*s` is no reference", p->option,
                       SLICE_ARG(name), SLICE_ARG(m->name));
}

static enum status take_path(struct picking *p, const struct model *m, struct slice path)
{
    bool fields = p->leaf == &pick_all;
    const struct pick **place = &p->root;
    unsigned depth = 0;
    for (struct slice rest = path; rest.p;) {
        struct slice name = slice_cut(&rest, '.');
        if (name.n == 0)
            return problem_set(p->why, MALFORMED_REQUEST, p->option, "`%s` has an empty name in it", p->option);
        const struct field *f = model_field(m, name);
        if (!f) return unknown(p, m, name, slice_from(path.p, (size_t)(name.p + name.n - path.p)));
        if (!field_refers(f) && (rest.p || !fields)) return no_reference(p, m, name);
        if (depth++ == DEPTH_MAX) return too_much(p);
        if (place && *place == &pick_all) place = NULL; /* chosen whole already: only the names are to be right */
        if (place) {
            const struct pick **choice = choices(p, m, place);
            if (!choice) return too_much(p);
            place = &choice[model_index(m, f)];
            if (!rest.p && (fields || !*place)) *place = p->leaf;
        }
        if (rest.p) m = f->target;
    }
    if (depth > p->longest) p->longest = depth;
    return OK;
}

static enum status take_paths(struct picking *p, const struct model *m, struct slice text)
{
    for (struct slice rest = text; rest.p;) {
        enum status st = take_path(p, m, slice_cut(&rest, ','));
        if (st != OK) return st;
    }
    return OK;
}

/* -- options -- */

enum status view_option(const struct model *m, const struct query_option *option, struct arena *arena, struct view *v,
                        bool *taken, struct problem *why)
{
    bool depth = slice_eq(option->name, SLICE("_depth"));
    bool include = slice_eq(option->name, SLICE("_include"));
    bool fields = slice_eq(option->name, SLICE("_fields"));
    *taken = depth || include || fields;
    if (!*taken) return OK;
    if (depth ? v->depth_given : include ? v->include != NULL : v->fields != NULL)
        return problem_set(why, MALFORMED_REQUEST, NULL, "the option `%.*s` is given twice", SLICE_ARG(option->name));
    if (depth) return take_depth(option->value, v, why);

    struct picking p = {.option = include ? "_include" : "_fields",
                        .leaf = include ? &pick_none : &pick_all,
                        .arena = arena,
                        .why = why};
    enum status st = take_paths(&p, m, option->value);
    if (include) v->include = p.root;
    else v->fields = p.root;
    if (include && !v->depth_given) v->depth = p.longest;
    return st;
}

enum status view_explain_option(const struct query_option *option, bool *given, bool *explain, bool *taken,
                                struct problem *why)
{
    *taken = slice_eq(option->name, SLICE("_explain"));
    if (!*taken) return OK;
    if (*given) return problem_set(why, MALFORMED_REQUEST, NULL, "the option `_explain` is given twice");
    *given = true;
    *explain = slice_eq(option->value, SLICE("1"));
    if (*explain || slice_eq(option->value, SLICE("0"))) return OK;
    return problem_set(why, MALFORMED_REQUEST, "_explain", "_explain takes 1 or 0");
}

/* -- the query -- */

enum status view_query(const struct model *m, struct slice query, struct arena *arena, struct record_key *key,
                       struct view *v, struct problem *why)
{
    struct key_draft draft;
    struct query_option *option;
    size_t options;
    bool taken = true, explain_given = false;
    key_draft_init(&draft);
    *v = view_default(m);
    enum status st = key_parse_query(m, query, arena, &draft, &option, &options, why);
    for (size_t i = 0; st == OK && i < options; i++) {
        st = view_option(m, &option[i], arena, v, &taken, why);
        if (!taken) st = view_explain_option(&option[i], &explain_given, &v->explain, &taken, why);
        if (!taken)
            return problem_set(why, MALFORMED_REQUEST, NULL, "this operation knows no option `%.*s`",
                               SLICE_ARG(option[i].name));
    }
    if (!m->refers) v->depth = 0;
    return st == OK ? key_finish(m, &draft, arena, key, why) : st;
}
