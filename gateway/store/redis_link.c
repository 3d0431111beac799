/* store/redis_link.c -- search, look up, dial, greet: each step calls the one above it in this file; the search stands in redis_search.c. */
#include "store/redis_link.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "store/redis_search.h"
#include "store/redis_socket.h"

#include <stdio.h>
#include <stdlib.h>

#define ROLE_EVERY_US 1000000

/* A look-up of the host's name. It cannot be stopped once it runs, so it outlives a link that gave it up. */
struct lookup {
    uv_getaddrinfo_t request;
    struct redis_link *link; /* NULL: given up */
};

struct redis_link {
    uv_loop_t *loop;
    struct redis_config *config;
    const struct redis_link_events *events;
    void *arg;
    struct redis_search *search;               /* SENTINEL */
    struct redis_address server;               /* whom to dial */
    struct lookup *lookup;                     /* while the name is looked up */
    struct addrinfo *addresses, *next_address; /* what it found, a ring, and what is tried next */
    unsigned untried;                          /* of them */
    struct redis_socket *socket;               /* from the first address that could be dialled on */
    bool found, opened, greeted, ready; /* found: the search has named a server; greeted: that has answered something */
    unsigned greetings;                 /* replies to come before it is ready */
    uint64_t role_asked_us;             /* when the role was last asked for; SENTINEL */
};

void redis_link_close(struct redis_link *l)
{
    bool dials = l->socket && !l->opened;
    if (dials && l->addresses) l->config->silent++;
    if (l->search) redis_search_close(l->search);
    if (l->socket) redis_socket_close(l->socket);
    if (l->lookup) {
        l->lookup->link = NULL;
        uv_cancel((uv_req_t *)&l->lookup->request);
    }
    uv_freeaddrinfo(l->addresses);
    free(l);
}

/* Ends it by itself; l is gone after. */
static void lose(struct redis_link *l, struct redis_loss loss)
{
    const struct redis_link_events *events = l->events;
    void *arg = l->arg;
    redis_link_close(l);
    events->lost(arg, loss);
}

static void ask_role(struct redis_link *l)
{
    redis_socket_ask(l->socket, (struct redis_question){.expect = EXPECT_ROLE}, 1, &SLICE("ROLE"));
    l->role_asked_us = clock_mono_us();
}

/* A master that sentinels have named may be one no more: it is asked, in front of what is sent now. */
static void doubt(struct redis_link *l)
{
    if (!l->ready || l->config->topology != REDIS_SENTINEL) return;
    if (clock_mono_us() - l->role_asked_us >= ROLE_EVERY_US) ask_role(l);
}

void redis_link_send(struct redis_link *l, struct redis_question question, sds command)
{
    doubt(l);
    redis_socket_send(l->socket, question, command, sdslen(command));
}

void redis_link_ask(struct redis_link *l, struct redis_question question, int argc, const struct slice *argv)
{
    doubt(l);
    redis_socket_ask(l->socket, question, argc, argv);
}

uint64_t redis_link_writes(const struct redis_link *l) { return redis_socket_writes(l->socket); }

size_t redis_link_unsent(const struct redis_link *l) { return redis_socket_unsent(l->socket); }

const char *redis_link_late(const struct redis_link *l)
{
    if (l->search && !l->found) return "no sentinel has answered in time";
    return l->socket && redis_socket_is_shaking(l->socket)
               ? "no TLS handshake in time (does the server speak TLS on this port?)"
               : "no connection in time";
}

uint64_t redis_link_server(const struct redis_link *l)
{
    char text[REDIS_ADDRESS_TEXT];
    if (l->config->topology != REDIS_SENTINEL) return 0;
    redis_address_print(&l->server, text, sizeof text);
    return hash_seeded(slice_of(text));
}

int redis_link_fd(const struct redis_link *l) { return redis_socket_fd(l->socket); }

void redis_link_read(struct redis_link *l) { redis_socket_read(l->socket); }

/* ---- greeting */

static void greet(struct redis_link *l, enum redis_expect expect, int argc, const struct slice *argv)
{
    redis_link_ask(l, (struct redis_question){.expect = expect}, argc, argv);
    l->greetings++;
}

static void on_opened(void *arg)
{
    struct redis_link *l = arg;
    struct slice user = slice_of(l->config->server.user), password = slice_of(l->config->server.password);
    l->opened = true;
    if (user.n) {
        greet(l, EXPECT_OK, 3, (struct slice[]){SLICE("AUTH"), user, password});
    } else if (password.n) {
        greet(l, EXPECT_OK, 2, (struct slice[]){SLICE("AUTH"), password});
    }
    if (l->config->topology == REDIS_SENTINEL) {
        ask_role(l);
        l->greetings++;
    }
    if (l->config->database) {
        char number[16];
        snprintf(number, sizeof number, "%d", l->config->database);
        greet(l, EXPECT_OK, 2, (struct slice[]){SLICE("SELECT"), slice_of(number)});
    }
    greet(l, EXPECT_STATUS, 1, (struct slice[]){SLICE("PING")}); /* an error while it loads, or wants a password */
}

static void on_greeting(struct redis_link *l, const struct redis_reply *reply)
{
    unsigned left = l->greetings--;
    l->greeted = true;
    bool is_ping = left == 1, is_select = left == 2 && l->config->database;
    bool error = reply->head.type == REDIS_REPLY_ERROR;
    if (is_ping && strcmp(reply->error, "NOPERM") == 0) error = false; /* it lives and knows us */
    if (error) {
        char why[96];
        snprintf(why, sizeof why, "%s: %s",
                 is_ping     ? "not ready"
                 : is_select ? "database refused"
                             : "credentials refused",
                 reply->error[0] ? reply->error : "error");
        lose(l, (struct redis_loss){why, .refused_us = !is_ping && !is_select,
                                    .wants_password = strcmp(reply->error, "NOAUTH") == 0});
    } else if (is_ping) {
        l->ready = true;
        l->events->ready(l->arg); /* l may be gone */
    }
}

/* False: it is no master, and l is gone. */
static bool is_master(struct redis_link *l, const struct redis_reply *reply)
{
    char why[128];
    size_t at = 0;
    struct redis_node all = {.type = REDIS_REPLY_NIL}, role = {.type = REDIS_REPLY_NIL};
    if (!reply->too_long) all = redis_node_next(&reply->nodes, &at);
    if (all.type == REDIS_REPLY_ARRAY && all.number > 0) role = redis_node_next(&reply->nodes, &at);
    if (role.type == REDIS_REPLY_STRING && slice_eq(role.bytes, SLICE("master"))) return true;
    bool error = reply->head.type == REDIS_REPLY_ERROR;
    const char *cure = strcmp(reply->error, "NOPERM") == 0 ? " (the user needs +role)" : "";
    if (error) snprintf(why, sizeof why, "not ready: %s%s", reply->error[0] ? reply->error : "error", cure);
    else
        snprintf(why, sizeof why, "%s", l->ready ? "it is no master any more" : "whom the sentinels name is no master");
    lose(l, (struct redis_loss){.why = why});
    return false;
}

static void on_reply(void *arg, struct redis_reply *reply)
{
    struct redis_link *l = arg;
    if (reply->asked == EXPECT_ROLE) {
        if (is_master(l, reply) && !l->ready) l->greetings--;
        return;
    }
    bool may_be_demoted = l->ready && l->config->topology == REDIS_SENTINEL && strcmp(reply->error, "READONLY") == 0;
    if (may_be_demoted) ask_role(l);
    if (l->ready) {
        l->events->reply(l->arg, reply); /* l may be gone */
    } else {
        on_greeting(l, reply);
    }
}

/* ---- dialling */

static bool dial_next(struct redis_link *l, char why[128]);

static void on_lost(void *arg, const char *lost_why)
{
    struct redis_link *l = arg;
    char why[128];
    bool may_want_tls = l->opened && !l->greeted && !l->config->tls.on && !l->config->path[0];
    snprintf(why, sizeof why, "%s%s", lost_why, may_want_tls ? " (does it speak TLS: rediss://?)" : "");
    l->socket = NULL;
    if (l->opened || !dial_next(l, why)) lose(l, (struct redis_loss){.why = why});
}

static bool dial(struct redis_link *l, const char *ip, char why[128])
{
    static const struct redis_socket_events events = {on_opened, on_reply, on_lost};
    const struct redis_config *c = l->config;
    const struct redis_address *a = &l->server;
    struct redis_pushes pushes = {l->events->changed, l->events->hearing, l->arg};
    struct redis_socket_options options = {ip, a->port, c->path, &c->tls, a->host, c->max_value, &events, l, pushes};
    l->socket = redis_socket_open(l->loop, &options, why);
    return l->socket != NULL;
}

/* Dials the first that can be dialled of the addresses that are left; else `why` keeps how the last one failed. */
static bool dial_next(struct redis_link *l, char why[128])
{
    char ip[64];
    while (l->untried) {
        struct addrinfo *a = l->next_address;
        l->untried--;
        l->next_address = a->ai_next ? a->ai_next : l->addresses;
        if (uv_ip_name(a->ai_addr, ip, sizeof ip) == 0 && dial(l, ip, why)) return true;
    }
    return false;
}

/* ---- looking up */

/* One that swallows what it is sent costs the whole time of an attempt: so the next attempt begins with the address after it. */
static void order(struct redis_link *l, struct addrinfo *found)
{
    l->addresses = l->next_address = found;
    for (struct addrinfo *a = found; a; a = a->ai_next) l->untried++;
    unsigned skipped = l->untried ? l->config->silent % l->untried : 0;
    while (skipped--) l->next_address = l->next_address->ai_next;
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = container_of(request, struct lookup, request);
    struct redis_link *l = lookup->link;
    char why[128];
    free(lookup);
    if (!l) {
        uv_freeaddrinfo(found);
        return;
    }
    l->lookup = NULL;
    order(l, found);
    snprintf(why, sizeof why, "%s", status ? uv_strerror(status) : "the host has no address");
    if (!dial_next(l, why)) lose(l, (struct redis_loss){.why = why});
}

static bool look_up(struct redis_link *l, char why[128])
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup) abort();
    lookup->link = l;
    int err = uv_getaddrinfo(l->loop, &lookup->request, on_looked_up, l->server.host, NULL, &hints);
    if (err) {
        snprintf(why, 128, "%s", uv_strerror(err));
        free(lookup);
        return false;
    }
    l->lookup = lookup;
    return true;
}

/* ---- searching */

static bool reach(struct redis_link *l, char why[128])
{
    bool local = l->config->path[0] != '\0', known = local || redis_host_is_ip(l->server.host);
    return known ? dial(l, local ? NULL : l->server.host, why) : look_up(l, why);
}

static void on_found(void *arg, const struct redis_address *master, const char *why_not)
{
    struct redis_link *l = arg;
    char why[128];
    bool another = l->found;
    if (!master) l->search = NULL;
    else l->server = *master;
    l->found = true;
    snprintf(why, sizeof why, "%s", another ? "the sentinels name another master" : why_not ? why_not : "");
    if (another || !master || !reach(l, why)) lose(l, (struct redis_loss){.why = why});
}

static bool search(struct redis_link *l, char why[128])
{
    l->search = redis_search_open(l->loop, l->config, on_found, l, why);
    return l->search != NULL;
}

struct redis_link *redis_link_open(uv_loop_t *loop, struct redis_config *config, const struct redis_link_events *events,
                                   void *arg, char why[128])
{
    struct redis_link *l = calloc(1, sizeof *l);
    if (!l) abort();
    *l =
        (struct redis_link){.loop = loop, .config = config, .events = events, .arg = arg, .server = config->address[0]};
    bool under_way = config->topology == REDIS_SENTINEL ? search(l, why) : reach(l, why);
    if (under_way) return l;
    redis_link_close(l);
    return NULL;
}
