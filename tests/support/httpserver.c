/* tests/support/httpserver.c -- the http layer alone, to be judged by programs that speak raw HTTP.
 *
 *     httpserver ADDRESS [HEADER_TIMEOUT_MS]
 *
 * Prints the bound address; answers what it was asked, 405 to methods nobody serves, and N bytes to /bytes/N. */
#include "http/connection.h"
#include "http/listener.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static char filler[1 << 20];

static void answer(struct exchange *ex)
{
    const struct http_request *r = &ex->request;
    bool served = r->method != METHOD_OTHER && r->method != METHOD_CONNECT && r->method != METHOD_TRACE;
    reply_begin(&ex->reply, served ? 200 : 405);
    if (!served) reply_header(&ex->reply, "Allow", SLICE("GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"));
    reply_header(&ex->reply, "Content-Type", SLICE("text/plain"));
    if (slice_starts(r->path, SLICE("/bytes/"))) {
        size_t n = strtoul(r->path.p + strlen("/bytes/"), NULL, 10);
        for (; n > sizeof filler; n -= sizeof filler)
            reply_body(&ex->reply, (struct slice){filler, sizeof filler}, NULL);
        reply_body(&ex->reply, (struct slice){filler, n}, NULL);
    } else {
        reply_body(&ex->reply, r->method_name, NULL);
        reply_body(&ex->reply, SLICE(" "), NULL);
        reply_body(&ex->reply, r->path, NULL);
        reply_body(&ex->reply, SLICE("\n"), NULL);
        reply_body(&ex->reply, r->body, NULL);
        reply_body(&ex->reply, SLICE("\n"), NULL);
    }
    exchange_reply(ex);
}

int main(int argc, char **argv)
{
    struct listener listener;
    struct problem why;
    if (argc < 2 || listener_bind(&listener, slice_of(argv[1]), 1, &why)) {
        fprintf(stderr, "httpserver: %s\n", argc < 2 ? "want an address" : why.detail);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    memset(filler, 'x', sizeof filler);
    static _Atomic unsigned open;
    struct http_config config = {.limits = {.max_uri = 8192, .max_headers = 16384, .max_body = 1 << 20},
                                 .header_timeout_ms = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000,
                                 .body_timeout_ms = argc > 2 ? strtoul(argv[2], NULL, 10) : 30000,
                                 .idle_timeout_ms = 75000,
                                 .send_timeout_ms = 30000,
                                 .max_connections = 10000,
                                 .open = &open,
                                 .handler = answer};
    struct http_server *server = http_server_new(uv_default_loop(), &config);
    if (http_server_listen(server, listener.fd[0])) return 1;
    listener.fd[0] = -1;
    printf("%s\n", listener.address);
    fflush(stdout);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
