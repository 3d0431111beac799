/* serve/action.c -- bodies of actions. */
#include "serve/action.h"

#include "serve/ask_text.h"
#include "serve/terms.h"

static enum status unknown(struct slice name, const struct action_member *member, size_t n, struct arena *arena,
                           struct problem *why)
{
    struct slice *names = arena_alloc(arena, n * sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = member[i].name;
    struct hint hint;
    if (*nearest_hint(name, names, n, &hint))
        return problem_set(why, MALFORMED_REQUEST, NULL, "the body has an unknown member `%.*s`%s", SLICE_ARG(name),
                           hint.text);
    struct slice all = names[0];
    for (size_t i = 1; i < n; i++) all = arena_printf(arena, "%.*s, %.*s", SLICE_ARG(all), SLICE_ARG(names[i]));
    return problem_set(why, MALFORMED_REQUEST, NULL, "the body has an unknown member `%.*s` (it knows: %.*s)",
                       SLICE_ARG(name), SLICE_ARG(all));
}

enum status action_read(const struct http_request *request, struct arena *arena, struct action_member *member, size_t n,
                        struct problem *why)
{
    struct slice compact;
    struct json_member *given;
    size_t n_given = 0;
    enum status st = terms_unconditional(request, why);
    if (st == OK) st = terms_media(request, why);
    if (st == OK) st = json_compact(request->body, arena, &compact, why);
    if (st == OK) st = json_members(compact, arena, &given, &n_given, why);
    for (size_t i = 0; st == OK && i < n_given; i++) {
        size_t at = 0;
        while (at < n && !slice_eq(member[at].name, given[i].name)) at++;
        if (at < n) member[at].value = given[i].value;
        else st = unknown(given[i].name, member, n, arena, why);
    }
    return st;
}

enum status action_key(const struct model *m, const struct action_member *keys, struct arena *arena,
                       struct record_key *key, struct problem *why)
{
    if (!keys->value.p || json_kind(keys->value) != JSON_OBJECT)
        return problem_set(why, MALFORMED_REQUEST, "keys", "`keys` is an object that names the record");
    return ask_read_key(m, keys->value, arena, key, why);
}

enum status action_options(const struct model *m, struct slice query, struct arena *arena, struct query_option **option,
                           size_t *n, struct problem *why)
{
    struct key_draft draft;
    key_draft_init(&draft);
    enum status st = key_parse_query(m, query, arena, &draft, option, n, why);
    for (size_t i = 0; st == OK && i < m->keys; i++)
        if (draft.json[i].p) st = problem_set(why, MALFORMED_REQUEST, NULL, "an action takes keys in its body");
    return st;
}

enum status action_no_query(struct slice query, struct problem *why)
{
    if (!query.n) return OK;
    return problem_set(why, MALFORMED_REQUEST, NULL, "this action takes no query: what it needs stands in its body");
}

enum status action_flag(const struct action_member *member, bool otherwise, bool *flag, struct problem *why)
{
    *flag = otherwise;
    if (!member->value.p) return OK;
    *flag = slice_eq(member->value, SLICE("true"));
    if (*flag || slice_eq(member->value, SLICE("false"))) return OK;
    struct slice name = member->name;
    return problem_set(why, MALFORMED_REQUEST, NULL, "`%.*s` takes true or false", SLICE_ARG(name));
}
