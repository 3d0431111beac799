/* serve/compose.c -- a document's text, put together from the texts of its records: what stands between two stubs is taken as it was
 * stored, and for a stub comes what stands there now. No JSON is parsed.
 *
 * In a reply, small parts are gathered in the arena, since a slice of its own costs more than their copy; large ones are sent from where
 * they are stored. */
#include "serve/resolve.h"

#include "model/json.h"

#define GATHER_BELOW 1024 /* bytes: measured, a copy is cheaper than a slice of its own up to about 1.2 to 1.5 KiB */
#define CHUNK        4096

_Static_assert(GATHER_BELOW <= CHUNK, "what is gathered has room in one chunk");

/* Where the parts go: into `out`, or into `reply`. */
struct sink {
    struct buffer *out;
    struct reply *reply;
    char *start, *next, *end; /* gathered and not yet in the reply: start to next; room up to end */
};

static void flush(struct sink *to)
{
    reply_body(to->reply, slice_from(to->start, (size_t)(to->next - to->start)), NULL);
    to->start = to->next;
}

/* Bytes of any origin, copied. */
static void put(struct sink *to, struct slice bytes)
{
    if (to->out) {
        buffer_slice(to->out, bytes);
        return;
    }
    if (bytes.n > (size_t)(to->end - to->next)) {
        if (to->start) flush(to);
        to->start = to->next = arena_bytes(to->reply->arena, CHUNK);
        to->end = to->start + CHUNK;
    }
    if (bytes.n) to->next = mempcpy(to->next, bytes.p, bytes.n);
}

/* A part of a record's text. One reference to its blob is enough for all parts, since a reply gives back all of them together. */
static void put_part(struct sink *to, struct record *r, size_t from, size_t end)
{
    if (from >= end) return;
    struct slice part = slice_from(r->entry.text.p + from, end - from);
    if (to->out || part.n < GATHER_BELOW) {
        put(to, part);
        return;
    }
    if (to->start) flush(to);
    reply_body(to->reply, part, r->reply == to->reply ? NULL : blob_ref(r->blob));
    r->reply = to->reply;
}

static void compose(struct sink *to, const struct occurrence *o);

/* What goes with an element of a list that is left out: the comma before it, or, where that is gone or was never there, the one behind. */
static void take_comma(struct slice text, size_t from, size_t *start, size_t *behind)
{
    if (*start > from && text.p[*start - 1] == ',') --*start;
    else if (*behind < text.n && text.p[*behind] == ',') ++*behind;
}

/* The record's text between the two, with what stands for its stubs now; *child is the next one. */
static void compose_range(struct sink *to, const struct occurrence *o, size_t from, size_t end, size_t *child)
{
    for (; *child < o->children && o->child[*child].offset < end; ++*child) {
        const struct occurrence *c = &o->child[*child];
        size_t start = c->offset, behind = start + c->length;
        if (c->place == PLACE_DROPPED) take_comma(o->record->entry.text, from, &start, &behind);
        put_part(to, o->record, from, start);
        if (c->place == PLACE_SHOWN) compose(to, c);
        if (c->place == PLACE_NULL) put(to, SLICE("null"));
        from = behind;
    }
    put_part(to, o->record, from, end);
}

/* Only the members that are chosen. */
static void compose_chosen(struct sink *to, const struct occurrence *o)
{
    const struct model *m = o->record->served->model;
    struct slice text = o->record->entry.text;
    struct json_member member;
    size_t child = 0;
    const char *before = "{";
    for (size_t at = 0; json_cut(text, &at, &member);) {
        const struct field *f = model_field(m, member.name);
        if (!f || !o->fields->field[model_index(m, f)]) continue;
        put(to, slice_from(before, 1));
        compose_range(to, o, (size_t)(member.quoted.p - text.p), (size_t)(member.value.p + member.value.n - text.p),
                      &child);
        before = ",";
    }
    if (*before == '{') put(to, SLICE("{"));
    put(to, SLICE("}"));
}

/* As deep as the document. */
static void compose(struct sink *to, const struct occurrence *o)
{
    size_t child = 0;
    if (o->fields) compose_chosen(to, o);
    else compose_range(to, o, 0, o->record->entry.text.n, &child);
}

void compose_reply(const struct documents *d, const struct document *doc, struct reply *reply)
{
    struct sink to = {.reply = reply};
    compose(&to, doc->root);
    if (to.start) flush(&to);
}

void compose_text(const struct documents *d, const struct document *doc, struct buffer *out)
{
    compose(&(struct sink){.out = out}, doc->root);
}
