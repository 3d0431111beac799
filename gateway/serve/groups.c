/* serve/groups.c -- lists of strings as a structured field has them (RFC 9651). What such a string cannot say, a tag beyond ASCII, is left
 * out. */
#include "serve/groups.h"

#include "serve/resolve.h"

struct groups {
    struct slice name[GROUPS_MAX];
    size_t names;
    char text[GROUPS_BYTES];
    size_t n;
};

static bool can_be_said(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] < 0x20 || name.p[i] > 0x7e) return false;
    return true;
}

static bool is_said(const struct groups *g, struct slice name)
{
    for (size_t i = 0; i < g->names; i++)
        if (slice_eq(g->name[i], name)) return true;
    return false;
}

/* Each once. */
static void add(struct groups *g, struct slice name)
{
    size_t most = g->n + 2 * name.n + strlen(", \"\"");
    if (g->names == GROUPS_MAX || most > GROUPS_BYTES || !can_be_said(name) || is_said(g, name)) return;
    if (g->names) g->n += (size_t)(stpcpy(g->text + g->n, ", ") - (g->text + g->n));
    g->text[g->n++] = '"';
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\') g->text[g->n++] = '\\';
        g->text[g->n++] = name.p[i];
    }
    g->text[g->n++] = '"';
    g->name[g->names++] = name;
}

static bool tells(const struct model *m) { return (m->owner ? m->owner : m)->options.cache_groups; }

static void add_tags(struct groups *g, const struct model *m, const struct envelope *e)
{
    if (!tells(m)) return;
    for (struct slice rest = envelope_section(e, SECTION_TAGS); rest.n;) {
        size_t length = (unsigned char)rest.p[0];
        if (length >= rest.n) return;
        add(g, slice_from(rest.p + 1, length));
        rest = slice_skip(rest, 1 + length);
    }
}

static void put(struct reply *reply, const char *header, const struct groups *g)
{
    if (g->names) reply_header(reply, header, slice_from(g->text, g->n));
}

void groups_tell_record(struct reply *reply, const struct model *m, const struct envelope *e)
{
    if (!tells(m)) return;
    struct groups g;
    g.names = g.n = 0;
    add(&g, model_group(m));
    if (e) add_tags(&g, m, e);
    put(reply, "Cache-Groups", &g);
}

void groups_tell_document(struct reply *reply, const struct document *doc)
{
    struct groups g;
    g.names = g.n = 0;
    for (const struct occurrence *o = doc->root; o; o = o->next)
        if (tells(o->record->served->model)) add(&g, model_group(o->record->served->model));
    for (const struct occurrence *o = doc->root; o && g.names; o = o->next)
        if (o->record->blob) add_tags(&g, o->record->served->model, &o->record->entry);
    put(reply, "Cache-Groups", &g);
}

void groups_invalidate_all(struct reply *reply, const struct model *const *m, size_t n)
{
    struct groups g;
    g.names = g.n = 0;
    for (size_t i = 0; i < n; i++)
        if (tells(m[i])) add(&g, model_group(m[i]));
    put(reply, "Cache-Group-Invalidation", &g);
}

void groups_invalidate(struct reply *reply, const struct model *m) { groups_invalidate_all(reply, &m, 1); }

void groups_invalidate_tags(struct reply *reply, const struct generation *generation, const struct epoch_name *name,
                            size_t n)
{
    struct groups g;
    bool any = false;
    g.names = g.n = 0;
    for (struct served *const *served = generation->served; *served && !any; served++) any = tells((*served)->model);
    for (size_t i = 0; any && i < n; i++) add(&g, name[i].text);
    put(reply, "Cache-Group-Invalidation", &g);
}
