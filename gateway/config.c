/* config.c -- settings from four places, in one table. */
#include "config.h"

#include "base/cgroup.h"
#include "base/json.h"
#include "base/units.h"
#include "model/model.h"
#include "script/vm.h"
#include "serve/cors.h"

#include <ctype.h>
#include <stddef.h>

enum kind { TEXT, LIST, COUNT, SIZE, DURATION };
enum origin { DEFAULT, FILE_KEY, ENVIRONMENT, FLAG };

struct setting {
    const char *flag, *fallback, *help;
    enum kind kind;
    size_t offset;
};

static const struct setting settings[] = {
#define X(field, kind, flag, fallback, help) {flag, fallback, help, kind, offsetof(struct config, field)},
    CONFIG_MAP(X)
#undef X
};

#define SETTINGS        (sizeof settings / sizeof *settings)
#define ENVIRONMENT_PRE "PERIGEE_"

/* Which place each setting has its value from: a weaker place never overwrites a stronger one. */
struct reading {
    struct config *config;
    enum origin origin[SETTINGS];
    struct problem *why;
    const char *file;
    enum status status;
};

static const struct setting *setting_find(struct slice flag)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (slice_eq(flag, slice_of(settings[i].flag))) return &settings[i];
    return NULL;
}

/* "listen" as people write it there: --listen, PERIGEE_LISTEN, listen. */
static const char *spelling(enum origin origin, struct slice flag)
{
    static char text[2][128];
    static int turn;
    char *out = text[turn ^= 1];
    const char *before = origin == FLAG ? "--" : origin == ENVIRONMENT ? ENVIRONMENT_PRE : "";
    snprintf(out, sizeof text[0], "%s%.*s", before, (int)(flag.n < 100 ? flag.n : 100), flag.p);
    for (char *p = out; origin != FLAG && *p; p++) {
        if (*p == '-') *p = '_';
        if (origin == ENVIRONMENT) *p = (char)toupper((unsigned char)*p);
    }
    return out;
}

static enum status unknown(struct slice flag, enum origin origin, const char *what, struct problem *why)
{
    struct slice names[SETTINGS + 1];
    for (size_t i = 0; i < SETTINGS; i++) names[i] = slice_of(settings[i].flag);
    names[SETTINGS] = SLICE("config");
    struct slice near = nearest_name(flag, names, SETTINGS + (origin != FILE_KEY));
    const char *given = spelling(origin, flag);
    if (!near.p) return problem_set(why, MALFORMED_REQUEST, NULL, "unknown %s %s", what, given);
    return problem_set(why, MALFORMED_REQUEST, NULL, "unknown %s %s (did you mean %s?)", what, given,
                       spelling(origin, near));
}

static enum status setting_set(struct reading *r, const struct setting *s, enum origin origin, struct slice value)
{
    size_t index = (size_t)(s - settings);
    void *field = (char *)r->config + s->offset;
    struct config_list *list = field;
    uint64_t *number = field;
    const char *wants = NULL;
    if (origin < r->origin[index]) return OK;
    if (origin > r->origin[index] && s->kind == LIST) list->n = 0;
    bool again = origin == r->origin[index] && origin != DEFAULT;
    r->origin[index] = origin;
    if (s->kind == LIST && origin == DEFAULT && value.n == 0) return OK;
    /* These two do not show the value, which may be a store with its password. */
    if (again && s->kind != LIST)
        return problem_set(r->why, MALFORMED_REQUEST, NULL, "%s wants to be given once",
                           spelling(origin, slice_of(s->flag)));
    if (value.n && memchr(value.p, '\0', value.n))
        return problem_set(r->why, MALFORMED_REQUEST, NULL, "%s has a NUL in its value",
                           spelling(origin, slice_of(s->flag)));
    switch (s->kind) {
    case TEXT: *(const char **)field = arena_dup(&r->config->arena, value).p; break;
    case LIST:
        if (list->n == CONFIG_LIST_MAX) wants = "at most 16 times";
        else list->item[list->n++] = arena_dup(&r->config->arena, value).p;
        break;
    case COUNT:
        if (!units_uint(value, UINT32_MAX / 4, number)) wants = "a number";
        break;
    case SIZE:
        if (!units_size(value, number)) wants = "a size such as 64MiB";
        break;
    case DURATION:
        if (!units_duration(value, number)) wants = "a duration such as 10s";
        break;
    }
    if (!wants) return OK;
    return problem_set(r->why, MALFORMED_REQUEST, NULL, "%s wants %s, not `%.*s`", spelling(origin, slice_of(s->flag)),
                       wants, SLICE_ARG(value));
}

static enum status defaults_read(struct reading *r)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        enum status st = setting_set(r, &settings[i], DEFAULT, slice_of(settings[i].fallback));
        if (st != OK) return st;
    }
    return OK;
}

/* `word` and its value (behind '=' or the next word); *at moves past both. */
static enum status flag_read(struct reading *r, int argc, char **argv, int *at)
{
    struct slice rest = slice_skip(slice_of(argv[*at]), 2);
    struct slice flag = slice_cut(&rest, '=');
    const struct setting *s = setting_find(flag);
    bool is_file = slice_eq(flag, SLICE("config"));
    if (!s && !is_file) return unknown(flag, FLAG, "flag", r->why);
    if (!rest.p) {
        if (*at + 1 >= argc)
            return problem_set(r->why, MALFORMED_REQUEST, NULL, "--%.*s wants a value", SLICE_ARG(flag));
        rest = slice_of(argv[++*at]);
    }
    if (!is_file) return setting_set(r, s, FLAG, rest);
    r->file = arena_dup(&r->config->arena, rest).p;
    return OK;
}

static enum status flags_read(struct reading *r, int argc, char **argv)
{
    struct config_list *dirs = &r->config->dirs;
    bool only_dirs = false;
    for (int i = 0; i < argc; i++) {
        enum status st = OK;
        if (!only_dirs && strcmp(argv[i], "--") == 0) only_dirs = true;
        else if (!only_dirs && argv[i][0] == '-' && argv[i][1] == '-') st = flag_read(r, argc, argv, &i);
        else if (!only_dirs && argv[i][0] == '-')
            st = problem_set(r->why, MALFORMED_REQUEST, NULL, "unknown flag %s (flags begin with --)", argv[i]);
        else if (dirs->n == CONFIG_LIST_MAX)
            st = problem_set(r->why, MALFORMED_REQUEST, NULL, "more than %d schema folders", CONFIG_LIST_MAX);
        else dirs->item[dirs->n++] = argv[i];
        if (st != OK) return st;
    }
    if (dirs->n == 0) dirs->item[dirs->n++] = "schemas";
    return OK;
}

/* PERIGEE_NEAR_CACHE_BYTES -> near-cache-bytes */
static struct slice flag_of_variable(struct slice name, char *out, size_t max)
{
    size_t n = name.n < max ? name.n : max;
    for (size_t i = 0; i < n; i++) out[i] = name.p[i] == '_' ? '-' : (char)tolower((unsigned char)name.p[i]);
    return slice_from(out, n);
}

/* Kubernetes gives every pod the addresses of the services beside it; one named `perigee` makes variables of our prefix. */
static bool is_service_link(struct slice flag)
{
    return slice_eq(flag, SLICE("port")) || slice_starts(flag, SLICE("port-")) ||
           slice_starts(flag, SLICE("service-host")) || slice_starts(flag, SLICE("service-port"));
}

/* What client.c reads, and a gateway beside it does not. */
static bool is_client_variable(struct slice flag)
{
    return slice_eq(flag, SLICE("client-url")) || slice_eq(flag, SLICE("client-token"));
}

/* There can be one variable of a name only: what may be repeated stands in it with commas. */
static enum status variable_read(struct reading *r, const struct setting *s, struct slice value)
{
    enum status st = OK;
    if (s->kind != LIST) return setting_set(r, s, ENVIRONMENT, value);
    while (st == OK && value.p) st = setting_set(r, s, ENVIRONMENT, slice_trim(slice_cut(&value, ',')));
    return st;
}

static enum status environment_read(struct reading *r, char **environment)
{
    struct slice prefix = SLICE(ENVIRONMENT_PRE);
    for (char **e = environment; e && *e; e++) {
        char name[128];
        struct slice value = slice_of(*e);
        struct slice variable = slice_cut(&value, '=');
        if (!slice_starts(variable, prefix) || !value.p) continue;
        struct slice flag = flag_of_variable(slice_skip(variable, prefix.n), name, sizeof name);
        const struct setting *s = setting_find(flag);
        enum status st = OK;
        if (slice_eq(flag, SLICE("config"))) {
            if (!r->file) r->file = arena_dup(&r->config->arena, value).p;
        } else if (s) {
            st = variable_read(r, s, value);
        } else if (!is_service_link(flag) && !is_client_variable(flag)) {
            st = unknown(flag, ENVIRONMENT, "environment variable", r->why);
        }
        if (st != OK) return st;
    }
    return OK;
}

/* Names in the file are written with '_' (near_cache_bytes) or, quoted, as the flag. */
static void on_file_entry(void *arg, struct slice name, struct slice value)
{
    struct reading *r = arg;
    char flag_text[128];
    if (r->status != OK) return;
    struct slice flag = flag_of_variable(name, flag_text, sizeof flag_text);
    const struct setting *s = setting_find(flag);
    r->status = s ? setting_set(r, s, FILE_KEY, value) : unknown(flag, FILE_KEY, "key", r->why);
}

static enum status file_read(struct reading *r)
{
    if (!r->file) return OK;
    enum status st = vm_read_table(r->file, on_file_entry, r, r->why);
    if (st != OK || r->status == OK) return st;
    struct problem inner = *r->why;
    return problem_set(r->why, r->status, NULL, "%s: %s", r->file, inner.detail);
}

/* Bounds that nobody has set give way to the memory of our control group: one beyond it means to be killed when it is reached. What is
 * left is for code and libraries, Lua, and what is in flight. */
static void lower_to_group(struct reading *r)
{
    static const struct {
        size_t offset;
        unsigned part; /* of the group's memory */
    } bounds[] = {{offsetof(struct config, memory_bytes), 2},
                  {offsetof(struct config, near_cache_bytes), 2},
                  {offsetof(struct config, client_bytes), 8}};
    struct config *c = r->config;
    c->memory_limit = cgroup_memory_limit("");
    for (size_t i = 0; i < SETTINGS; i++) {
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
            uint64_t *bound = (uint64_t *)((char *)c + settings[i].offset), most = c->memory_limit / bounds[b].part;
            if (settings[i].offset != bounds[b].offset || r->origin[i] != DEFAULT || *bound <= most) continue;
            *bound = most;
            c->lowered = true;
        }
    }
}

/* Where there are braces, what stands between them decides the slot in a Redis Cluster: of a record and of its lease. */
static bool braces_are_a_tag(struct slice prefix)
{
    const char *open = memchr(prefix.p, '{', prefix.n), *close = memchr(prefix.p, '}', prefix.n);
    if (!open || !close) return !open && !close;
    size_t behind = (size_t)(prefix.p + prefix.n - (close + 1));
    return close > open + 1 && !memchr(open + 1, '{', (size_t)(close - open)) && !memchr(close + 1, '{', behind) &&
           !memchr(close + 1, '}', behind);
}

/* What no single value can tell. */
static enum status config_check(const struct config *c, struct problem *why)
{
    struct slice prefix = slice_of(c->prefix);
    if (prefix.n == 0 || prefix.n > MODEL_NAME_MAX)
        return problem_set(why, MALFORMED_REQUEST, NULL, "--prefix wants 1 to %d bytes", MODEL_NAME_MAX);
    if (!braces_are_a_tag(prefix))
        return problem_set(why, MALFORMED_REQUEST, NULL,
                           "--prefix has one pair of braces at most, with something in it");
    for (size_t i = 0; i < prefix.n; i++)
        if (!isalnum((unsigned char)prefix.p[i]) && !memchr("-_.{}:", prefix.p[i], 6))
            return problem_set(why, MALFORMED_REQUEST, NULL, "--prefix takes letters, digits and - _ . : { }, not `%s`",
                               c->prefix);
    if (c->workers > 256) return problem_set(why, MALFORMED_REQUEST, NULL, "--workers wants at most 256");
    if (c->max_connections == 0) return problem_set(why, MALFORMED_REQUEST, NULL, "--max-connections wants at least 1");
    if (c->max_body > UINT32_MAX / 8)
        return problem_set(why, MALFORMED_REQUEST, NULL, "--max-body wants at most 512MiB");
    if (c->max_uri < 64) return problem_set(why, MALFORMED_REQUEST, NULL, "--max-uri wants at least 64 bytes");
    if (c->max_headers < 256)
        return problem_set(why, MALFORMED_REQUEST, NULL, "--max-headers wants at least 256 bytes");
    if (c->max_body == 0) return problem_set(why, MALFORMED_REQUEST, NULL, "--max-body wants at least 1 byte");
    for (size_t i = 0; i < c->cors_origin.n; i++)
        if (!cors_origin_is_valid(slice_of(c->cors_origin.item[i])) ||
            (c->cors_origin.n > 1 && c->cors_origin.item[i][0] == '*'))
            return problem_set(
                why, MALFORMED_REQUEST, NULL,
                "--cors-origin wants an origin as browsers send it, such as https://app.example, or * alone, not `%s`",
                c->cors_origin.item[i]);
    if (c->redis_timeout == 0) return problem_set(why, MALFORMED_REQUEST, NULL, "--redis-timeout wants at least 1ms");
    return OK;
}

enum status config_read(struct config *c, int argc, char **argv, char **environment, struct problem *why)
{
    struct reading r = {.config = c, .why = why};
    enum status st;
    *c = (struct config){0};
    arena_init(&c->arena);
    *why = (struct problem){0};
    if ((st = defaults_read(&r)) != OK) return st;
    if ((st = flags_read(&r, argc, argv)) != OK) return st;
    if ((st = environment_read(&r, environment)) != OK) return st;
    if ((st = file_read(&r)) != OK) return st;
    lower_to_group(&r);
    return config_check(c, why);
}

static void put_list(struct buffer *json, const struct config_list *list)
{
    buffer_char(json, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i) buffer_char(json, ',');
        json_put_string(json, slice_of(list->item[i]));
    }
    buffer_char(json, ']');
}

static void put_value(struct buffer *json, const struct setting *s, const void *field)
{
    switch (s->kind) {
    case TEXT: json_put_string(json, slice_of(*(const char *const *)field)); break;
    case LIST: put_list(json, field); break;
    case COUNT:
    case SIZE: buffer_uint(json, *(const uint64_t *)field); break;
    case DURATION: json_put_double(json, (double)*(const uint64_t *)field / 1000); break;
    }
}

void config_walk(const struct config *c, struct slice store, config_each *each, void *arg)
{
    struct buffer json;
    buffer_init(&json, 1 << 20);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        json.n = 0;
        if (s->offset == offsetof(struct config, store)) json_put_string(&json, store);
        else put_value(&json, s, (const char *)c + s->offset);
        each(arg, slice_of(spelling(FILE_KEY, slice_of(s->flag))), buffer_view(&json));
    }
    json.n = 0;
    put_list(&json, &c->dirs);
    each(arg, SLICE("schemas"), buffer_view(&json));
    buffer_deinit(&json);
}

void config_deinit(struct config *c) { arena_deinit(&c->arena); }

void config_help(struct buffer *out)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        buffer_printf(out, "  --%-18s %-15s %s\n", s->flag, s->fallback[0] ? s->fallback : "none", s->help);
    }
    buffer_printf(out, "  --%-18s %-15s %s\n", "config", "none", "a Lua file: return { workers = 2, ... }");
}
