/* Any bytes as what one client sends: through the whole of a worker, from the socket to the models' handlers and the memory store. Whatever
 * comes, the client gets whole answers with clean heads, none of them an internal error, and then the end of the connection; and it
 * gets the same ones when its bytes come in pieces. The input: one byte that seeds the cuts, then the client's. */
#include "base/log.h"
#include "serve/ask.h"
#include "serve/problem.h"
#include "serve/serve.h"
#include "store/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define TURNS_MOST 200000 /* of the loop, until the end of the connection */

static const char models[] =
    "model 'Note' { id = key(), text = field(), n = field{ type = 'integer', default = 1 },\n"
    "  options = { expires = 60, validate = function(self) if self.text == 'odd' then return 'text', 'odd ' .. self.id "
    "end end } }\n"
    "model 'User' { name = key(), region = key{ default = 'eu' }, mother = reference{ 'self', missing = 'null' },\n"
    "  friends = references{ 'self', missing = 'skip' }, note = reference 'Note', options = { expires = 60, depth = 3 "
    "},\n"
    "  from_miss = function(self) if #self.name > 3 then return missing end self.mother = User{ name = self.name .. "
    "'m' } end }\n"
    "model 'Home' { address = key{ type = 'any' }, echo = cached_method{ on = { 'address' },\n"
    "  args = { n = arg{ type = 'integer', default = 5 } }, expires = 60, function(self, args) return { self.address, "
    "args.n } end } }\n"
    "form 'Find' { name = input{ required = true, clean = function(v) if v == '' then error('empty', 0) end return "
    "v:lower() end },\n"
    "  people = cached_form_method{ expires = 60, function(self) return self.cleaned_data.name end } }\n";

static struct world {
    uv_loop_t loop;
    struct metrics *metrics;
    struct memory *memory;
    struct epochs *epochs;
    struct serve serve;
    struct http_server *http;
    _Atomic unsigned open;
    struct sockaddr_un address;
    socklen_t address_n;
} w;

static struct vm *load(struct script_host *host)
{
    struct source file = {SLICE("models.lua"), SLICE("models"), slice_of(models)};
    struct sources sources = {.file = &file, .files = 1};
    struct vm_config config = {.prefix = SLICE("p"), .hard_timeout_ms = 10000, .memory_max = 64 << 20};
    struct buffer findings;
    buffer_init(&findings, 1 << 16);
    struct vm *vm = vm_new(&config, &sources, &findings);
    if (!vm) fprintf(stderr, "%.*s\n", SLICE_ARG(buffer_view(&findings)));
    expect(vm);
    buffer_deinit(&findings);
    vm_attach(vm, host);
    return vm;
}

static int listening_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    w.address.sun_family = AF_UNIX; /* in the abstract namespace: there is no file, and nobody else */
    w.address_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                              (size_t)snprintf(w.address.sun_path + 1, 64, "perigee-fuzz-%d", (int)getpid()));
    expect(fd >= 0 && !bind(fd, (struct sockaddr *)&w.address, w.address_n));
    return fd;
}

static void build_world(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_set_level(SLICE("error"));
    uv_loop_init(&w.loop);
    w.metrics = metrics_new();
    w.memory = memory_new(64 << 20);
    struct script_host *host = script_host_open(&w.loop, w.metrics);
    struct flight_port *port = flight_port_open(flights_new(), &w.loop);
    serve_init(&w.serve, load(host), store_new(w.memory, NULL, w.metrics), "memory", port, w.metrics);
    script_host_set_gateway(host, asks_gateway(asks_open(&w.serve, &w.loop)));
    struct http_config config = {.limits = {.max_uri = 512, .max_headers = 1024, .max_body = 4096},
                                 .header_timeout_ms = 100000,
                                 .body_timeout_ms = 100000,
                                 .idle_timeout_ms = 100000,
                                 .send_timeout_ms = 100000,
                                 .max_connections = 10,
                                 .open = &w.open,
                                 .handler = serve_request,
                                 .refused = problem_refusal,
                                 .owner = &w.serve,
                                 .metrics = w.metrics};
    w.http = http_server_new(&w.loop, &config);
    expect(!http_server_listen(w.http, listening_socket()));
}

/* -- the client -- */

/* Takes in what is there; false at the end of the connection. */
static bool receive(int fd, struct buffer *in)
{
    char part[65536];
    for (;;) {
        ssize_t n = recv(fd, part, sizeof part, MSG_DONTWAIT);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        buffer_put(in, part, (size_t)n);
    }
}

/* What was stored, and what was invalidated. */
static void forget(void)
{
    memory_forget_all(w.memory);
    epochs_free(w.epochs);
    w.epochs = epochs_new();
    store_set_epochs(w.serve.store, w.epochs, SLICE("p:~epochs"));
}

/* All answers to these bytes, sent in pieces of sizes made of `seed`, or whole. */
static void converse(struct slice bytes, uint32_t seed, bool whole, struct buffer *in)
{
    forget();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(fd >= 0 && !connect(fd, (struct sockaddr *)&w.address, w.address_n));
    bool open = true;
    while (bytes.n && open) {
        seed = seed * 1664525 + 1013904223;
        size_t n = whole ? bytes.n : 1 + (seed >> 24) % 50;
        if (n > bytes.n) n = bytes.n;
        if (send(fd, bytes.p, n, MSG_NOSIGNAL) != (ssize_t)n) break;
        bytes = slice_skip(bytes, n);
        uv_run(&w.loop, UV_RUN_NOWAIT);
        open = receive(fd, in);
    }
    shutdown(fd, SHUT_WR);
    for (unsigned turns = 0; open; turns++) {
        expect(turns < TURNS_MOST);
        uv_run(&w.loop, UV_RUN_NOWAIT);
        open = receive(fd, in);
    }
    close(fd);
    while (w.open) uv_run(&w.loop, UV_RUN_NOWAIT);
}

/* -- its judgement -- */

static bool starts_answer(struct slice s) { return slice_starts(s, SLICE("HTTP/1.1 ")); }

static size_t length_of(struct slice head)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *at = memmem(head.p, head.n, name, sizeof name - 1);
    return at ? strtoul(at + sizeof name - 1, NULL, 10) : 0;
}

/* Takes one answer off; its status. Bodies are JSON and do not begin as an answer does: so where one does, or there is none, it was one to
 * HEAD, or one that has no body. */
static int take_answer(struct slice *all)
{
    const char *end = memmem(all->p, all->n, "\r\n\r\n", 4);
    expect(starts_answer(*all) && end);
    struct slice head = {all->p, (size_t)(end - all->p)};
    for (size_t i = 0; i < head.n; i++) {
        bool is_end = head.p[i] == '\r' && head.p[i + 1] == '\n';
        expect((head.p[i] >= ' ' && head.p[i] < 0x7f) || is_end);
        i += is_end;
    }
    *all = slice_skip(*all, head.n + 4);
    size_t length = length_of(head);
    if (all->n && !starts_answer(*all)) {
        expect(length && length <= all->n);
        *all = slice_skip(*all, length);
    }
    return atoi(head.p + strlen("HTTP/1.1 "));
}

static void read_statuses(struct slice all, struct buffer *to)
{
    while (all.n) {
        int status = take_answer(&all);
        expect(status != 500 && status >= 100 && status < 600);
        if (status >= 200) buffer_printf(to, "%d ", status);
    }
}

/* What lives for less than a moment may be gone in one conversation and not in the other. */
static bool names_a_time(struct slice bytes)
{
    return memmem(bytes.p, bytes.n, "expires", 7) || memmem(bytes.p, bytes.n, "max-age", 7) ||
           memmem(bytes.p, bytes.n, "%", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buffer answers, whole, cut;
    if (!n) return 0;
    if (!w.memory) build_world();
    struct slice bytes = slice_from(data + 1, n - 1);
    buffer_init(&answers, 64 << 20);
    buffer_init(&whole, 1 << 20);
    buffer_init(&cut, 1 << 20);
    converse(bytes, 0, true, &answers);
    read_statuses(buffer_view(&answers), &whole);
    buffer_reset(&answers);
    converse(bytes, data[0], false, &answers);
    read_statuses(buffer_view(&answers), &cut);
    if (!slice_eq(buffer_view(&whole), buffer_view(&cut)) && !names_a_time(bytes)) {
        fprintf(stderr, "whole %.*s, cut %.*s\n", SLICE_ARG(buffer_view(&whole)), SLICE_ARG(buffer_view(&cut)));
        abort();
    }
    buffer_deinit(&answers);
    buffer_deinit(&whole);
    buffer_deinit(&cut);
    return 0;
}
