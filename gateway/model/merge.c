/* model/merge.c -- a walk over both objects of a merge, side by side. It goes down only where the patch does, and a patch is at most
 * JSON_DEPTH_MAX deep; what it makes is never longer than what it reads, so it is written into one piece of memory. */
#include "model/merge.h"

#include "model/reference.h"

static bool is_null(struct slice compact) { return compact.p[0] == 'n'; }

static bool is_object(struct slice compact) { return compact.p && compact.p[0] == '{'; }

/* The members of an object; none of what is no object. */
static size_t members_of(struct slice value, struct arena *arena, struct json_member **member)
{
    size_t n = 0;
    if (is_object(value)) json_members(value, arena, member, &n, NULL);
    return n;
}

static char *put(char *out, struct slice s) { return mempcpy(out, s.p, s.n); }

static char *put_object(char *out, struct slice target, struct slice patch, struct arena *arena);

static char *put_value(char *out, struct slice target, struct slice patch, struct arena *arena)
{
    return is_object(patch) ? put_object(out, target, patch, arena) : put(out, patch);
}

/* `,"name":`, without the comma when it comes first. */
static char *put_name(char *out, const char *first, struct slice quoted)
{
    if (out != first) *out++ = ',';
    out = put(out, quoted);
    *out++ = ':';
    return out;
}

static char *put_object(char *out, struct slice target, struct slice patch, struct arena *arena)
{
    struct json_member *old, *new;
    size_t n_old = members_of(target, arena, &old), n_new = members_of(patch, arena, &new);
    struct map changes; /* name -> its member of the patch */
    map_init(&changes);
    for (size_t i = 0; n_old && i < n_new; i++) map_put(&changes, new[i].name, &new[i]);

    *out++ = '{';
    const char *first = out;
    for (size_t i = 0; i < n_old; i++) {
        struct json_member *change = map_get(&changes, old[i].name);
        if (!change) {
            out = put(put_name(out, first, old[i].quoted), old[i].value);
            continue;
        }
        if (!is_null(change->value))
            out = put_value(put_name(out, first, old[i].quoted), old[i].value, change->value, arena);
        change->quoted.p = NULL; /* it is done */
    }
    for (size_t i = 0; i < n_new; i++)
        if (new[i].quoted.p && !is_null(new[i].value))
            out = put_value(put_name(out, first, new[i].quoted), (struct slice){NULL, 0}, new[i].value, arena);
    *out++ = '}';
    map_deinit(&changes);
    return out;
}

struct slice merge_value(struct slice target, struct slice patch, struct arena *arena)
{
    if (!is_object(patch)) return patch;
    size_t room = patch.n + (is_object(target) ? target.n : 0); /* braces and commas of two make those of one */
    char *text = arena_bytes(arena, room);
    return slice_from(text, (size_t)(put_object(text, target, patch, arena) - text));
}

/* -- records -- */

/* Takes one reference out of a record's text: the next entry of the table must stand for just this stub, and the stub must have the members
 * that are stored for that key, if perhaps in another order: the target's keys may have been declared so then. */
static bool open_stub(const struct model *m, const struct envelope *e, const struct field *f, struct slice stub,
                      size_t *at, struct arena *arena, struct draft_reference *out)
{
    struct envelope_ref ref;
    return envelope_next_ref(e, at, &ref) && ref.place == f->place && ref.offset == (size_t)(stub.p - e->text.p) &&
           ref.length == stub.n && reference_stub(f->target, stub, arena, out, NULL) == OK && out->stub.n == stub.n &&
           slice_eq(out->pairs, ref.pairs);
}

static bool open_references(const struct model *m, const struct envelope *e, const struct field *f, struct slice value,
                            size_t *at, struct arena *arena, struct draft_references *list)
{
    struct slice *stub = &value;
    list->n = 1;
    if (is_null(value)) list->n = 0;
    else if (f->kind == FIELD_REFERENCES && json_elements(value, arena, &stub, &list->n, NULL) != OK) return false;
    list->at = arena_alloc(arena, list->n * sizeof *list->at);
    for (size_t i = 0; i < list->n; i++)
        if (!open_stub(m, e, f, stub[i], at, arena, &list->at[i])) return false;
    return true;
}

bool merge_open(const struct model *m, const struct envelope *e, struct arena *arena, struct record_draft *d)
{
    struct json_member *member;
    struct slice compact;
    size_t n, at = 0; /* in the reference table */
    if (json_compact(e->text, arena, &compact, NULL) != OK) return false;
    if (json_members(compact, arena, &member, &n, NULL) != OK) return false;
    if (e->refs && compact.p != e->text.p) return false; /* offsets count from the start of a compact text */
    codec_draft_init(m, arena, d);
    for (size_t i = 0; i < n; i++) {
        const struct field *f = model_field(m, member[i].name);
        if (!f) return false;
        size_t index = model_index(m, f);
        d->value[index] = member[i].value;
        if (field_refers(f) && !open_references(m, e, f, member[i].value, &at, arena, &d->reference[index]))
            return false;
    }
    return at == e->table.n;
}

/* A key may be repeated. */
static enum status check_key(const struct record_key *key, const struct field *f, struct slice json,
                             struct arena *arena, struct problem *why)
{
    size_t position = model_key_position(key->model, f);
    char path[MODEL_NAME_MAX + 1];
    struct key_draft held;
    if (is_null(json))
        return problem_set(why, KEY_CONFLICT, field_path(f, path), "key `%s` of model `%.*s` cannot be removed", path,
                           SLICE_ARG(key->model->name));
    key_draft_init(&held);
    held.json[position] = key->json[position];
    return key_set_json(key->model, &held, position, json, arena, why);
}

/* The stub without its `$ref`, which is for a patch to change; absent when there is no single reference. */
static struct slice keys_of(const struct field *f, const struct draft_references *list, struct arena *arena)
{
    if (f->kind != FIELD_REFERENCE || list->n == 0) return (struct slice){NULL, 0};
    struct slice stub = list->at[0].stub;
    struct json_member member;
    size_t at = 0, end = 0;
    while (json_cut(stub, &at, &member) && !slice_eq(member.name, SLICE("$ref"))) end = at;
    char *text = arena_bytes(arena, end + 1);
    *put(text, slice_from(stub.p, end)) = '}';
    return slice_from(text, end + 1);
}

static enum status patch_field(const struct model *m, const struct field *f, struct slice patch, struct arena *arena,
                               struct record_draft *d, struct problem *why)
{
    struct codec_reader r = {.arena = arena};
    size_t i = model_index(m, f);
    struct slice target = field_refers(f) ? keys_of(f, &d->reference[i], arena) : d->value[i];
    if (!is_null(patch) || f->required) return codec_set(m, d, f, merge_value(target, patch, arena), &r, why);
    d->value[i] = (struct slice){NULL, 0};
    if (m->refers) d->reference[i].n = 0;
    return OK;
}

enum status merge_patch(const struct record_key *key, struct slice patch, struct arena *arena, struct record_draft *d,
                        struct problem *why)
{
    const struct model *m = key->model;
    struct json_member *member;
    size_t n;
    enum status st = json_members(patch, arena, &member, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        const struct field *f = model_field(m, member[i].name);
        if (!f) st = codec_unknown_field(m, member[i].name, why);
        else if (f->kind == FIELD_KEY) st = check_key(key, f, member[i].value, arena, why);
        else st = patch_field(m, f, member[i].value, arena, d, why);
    }
    return st;
}
