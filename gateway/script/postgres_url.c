/* script/postgres_url.c -- libpq reads the URL; its complaints quote it, password and all, so they are not passed on. */
#include "script/postgres_url.h"

#include "script/libpq.h"

static void add(struct postgres_url *url, const char *name, const char *value)
{
    url->name[url->words] = name;
    url->value[url->words++] = value;
}

static const char *take_words(struct postgres_url *url, const PQconninfoOption *options, struct arena *arena)
{
    /* Before the URL's own, which overrule them: no look for Kerberos tickets on disk and network before every connection. */
    add(url, "gssencmode", "disable");
    add(url, "fallback_application_name", "perigee");
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (!o->val || !*o->val) continue;
        bool is_host = strcmp(o->keyword, "host") == 0, is_address = strcmp(o->keyword, "hostaddr") == 0;
        bool is_place = is_host || is_address || strcmp(o->keyword, "port") == 0;
        if (is_place && strchr(o->val, ',')) return "one host only";
        if (url->words + 2 >= POSTGRES_WORDS_MAX) return "too many parameters";
        const char *value = arena_dup(arena, slice_of(o->val)).p;
        url->is_known |= is_address;
        if (is_host) url->host = value;
        else add(url, arena_dup(arena, slice_of(o->keyword)).p, value);
    }
    add(url, "client_encoding", "UTF8"); /* the last word */
    return NULL;
}

const char *postgres_url_parse(struct slice text, struct arena *arena, struct postgres_url *url)
{
    static const char usage[] = "not a URL such as postgresql://user:password@host:5432/database";
    *url = (struct postgres_url){.text = arena_dup(arena, text)};
    if (text.n > POSTGRES_URL_MAX) return "the URL is too long";
    if (memchr(text.p, 0, text.n)) return usage;
    if (!slice_starts(text, SLICE("postgresql://")) && !slice_starts(text, SLICE("postgres://"))) return usage;

    PQconninfoOption *options = libpq.conninfoParse(url->text.p, NULL);
    if (!options) return usage;
    const char *wrong = take_words(url, options, arena);
    libpq.conninfoFree(options);
    if (wrong) return wrong;
    if (!url->host) return "the URL names no host, nor the folder of a socket (?host=/run/postgresql)";
    url->is_known |= url->host[0] == '/' || url->host[0] == '@';
    return NULL;
}
