/* script/postgres_dial.c -- look up, dial, shake hands: in this order down the file. */
#include "script/postgres_dial.h"

#include "base/buffer.h"
#include "script/socket_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 8 /* of a host; libpq tries one after the other */
#define HOST_MAX      253
#define IP_MAX        64

/* A look-up of the host's name. It cannot be stopped once it runs, so it outlives an attempt that was given up. */
struct lookup {
    uv_getaddrinfo_t request;
    struct script_host *host;
    struct postgres_dial *dial; /* NULL: given up */
};

struct postgres_dial {
    struct script_host *host;
    const struct postgres_url *url;
    postgres_dialled *done;
    void *arg;
    struct lookup *lookup;
    PGconn *pg;
    struct socket_watch *watch;
    struct host_turn later; /* tells what failed at once */
    const char *why;        /* ... if not libpq knows it */
};

void postgres_explain(const PGconn *pg, char *why, size_t max)
{
    const char *text = libpq.errorMessage(pg), *next;
    while ((next = strstr(text, "\nconnection to ")) != NULL) text = next + 1;
    snprintf(why, max, "%.*s", (int)strcspn(text, "\n"), text);
    if (!*why) snprintf(why, max, "connection lost");
}

void postgres_dial_cancel(struct postgres_dial *d)
{
    host_turn_stop(&d->later);
    if (d->lookup) {
        d->lookup->dial = NULL;
        uv_cancel((uv_req_t *)&d->lookup->request);
    }
    socket_watch_close(d->watch);
    if (d->pg) libpq.finish(d->pg);
    free(d);
}

/* Ends it; d is gone after. */
static void fail(struct postgres_dial *d, const char *why)
{
    char text[256];
    postgres_dialled *done = d->done;
    void *arg = d->arg;
    if (why) snprintf(text, sizeof text, "%s", why);
    else postgres_explain(d->pg, text, sizeof text);
    postgres_dial_cancel(d);
    done(arg, NULL, text);
}

static void succeed(struct postgres_dial *d)
{
    postgres_dialled *done = d->done;
    void *arg = d->arg;
    PGconn *pg = d->pg;
    d->pg = NULL;
    postgres_dial_cancel(d);
    done(arg, pg, NULL);
}

/* --- shaking hands ------------------------------------------------------------------------------------------------ */

static void on_ready(void *arg, int events);

static void watch(struct postgres_dial *d, int events)
{
    d->watch = socket_watch_open(d->host, libpq.socket(d->pg), on_ready, d);
    socket_watch_for(d->watch, events);
}

/* libpq takes another socket for every address, and for another try without TLS: so a new watch each time. */
static void on_ready(void *arg, int events)
{
    struct postgres_dial *d = arg;
    socket_watch_close(d->watch);
    d->watch = NULL;
    switch (libpq.connectPoll(d->pg)) {
    case PGRES_POLLING_READING: watch(d, UV_READABLE); break;
    case PGRES_POLLING_WRITING: watch(d, UV_WRITABLE); break;
    case PGRES_POLLING_OK: succeed(d); break;
    default: fail(d, NULL);
    }
}

/* --- dialling ----------------------------------------------------------------------------------------------------- */

/* Else libpq would print what servers remark. */
static void on_notice(void *arg, const PGresult *result) {}

/* `hosts` and `addresses` are lists of the same length, or addresses is NULL. */
static void dial(struct postgres_dial *d, const char *hosts, const char *addresses)
{
    const struct postgres_url *url = d->url;
    const char *names[POSTGRES_WORDS_MAX + 3], *values[POSTGRES_WORDS_MAX + 3];
    size_t n = url->words;
    memcpy(names, url->name, n * sizeof *names);
    memcpy(values, url->value, n * sizeof *values);
    names[n] = "host";
    values[n++] = hosts;
    names[n] = addresses ? "hostaddr" : NULL;
    values[n++] = addresses;
    names[n] = values[n] = NULL;

    d->pg = libpq.connectStartParams(names, values, 0);
    if (!d->pg) abort(); /* out of memory */
    libpq.setNoticeReceiver(d->pg, on_notice, NULL);
    if (libpq.status(d->pg) == CONNECTION_BAD) host_turn_ask(d->host, &d->later);
    else watch(d, UV_WRITABLE);
}

static void dial_found(struct postgres_dial *d, const struct addrinfo *found)
{
    struct buffer hosts, addresses;
    char ip[IP_MAX];
    int n = 0;
    buffer_init(&hosts, ADDRESSES_MAX * (HOST_MAX + 1));
    buffer_init(&addresses, ADDRESSES_MAX * IP_MAX);
    for (; found && n < ADDRESSES_MAX; found = found->ai_next) {
        if (uv_ip_name(found->ai_addr, ip, sizeof ip) != 0) continue;
        buffer_printf(&hosts, "%s%s", n ? "," : "", d->url->host);
        buffer_printf(&addresses, "%s%s", n ? "," : "", ip);
        n++;
    }
    if (n) dial(d, hosts.p, addresses.p); /* a printf leaves a NUL behind */
    else fail(d, "the host has no address");
    buffer_deinit(&hosts);
    buffer_deinit(&addresses);
}

/* --- looking up --------------------------------------------------------------------------------------------------- */

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = container_of(request, struct lookup, request);
    struct postgres_dial *d = lookup->dial;
    struct script_host *h = lookup->host;
    free(lookup);
    if (d) {
        d->lookup = NULL;
        if (status == 0) dial_found(d, found); /* d may be gone */
        else fail(d, "host not found");
    }
    uv_freeaddrinfo(found);
    host_release(h);
}

static bool look_up(struct postgres_dial *d)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup) abort();
    lookup->host = d->host;
    lookup->dial = d;
    if (strlen(d->url->host) > HOST_MAX ||
        uv_getaddrinfo(d->host->loop, &lookup->request, on_looked_up, d->url->host, NULL, &hints) != 0) {
        free(lookup);
        return false;
    }
    host_hold(d->host);
    d->lookup = lookup;
    return true;
}

static void on_later(struct host_turn *turn)
{
    struct postgres_dial *d = container_of(turn, struct postgres_dial, later);
    fail(d, d->why);
}

struct postgres_dial *postgres_dial_start(struct script_host *h, const struct postgres_url *url, postgres_dialled *done,
                                          void *arg)
{
    struct postgres_dial *d = calloc(1, sizeof *d);
    if (!d) abort();
    *d = (struct postgres_dial){.host = h, .url = url, .done = done, .arg = arg};
    host_turn_init(&d->later, on_later);
    if (url->is_known) {
        dial(d, url->host, NULL);
    } else if (!look_up(d)) {
        d->why = "host not found";
        host_turn_ask(h, &d->later);
    }
    return d;
}
