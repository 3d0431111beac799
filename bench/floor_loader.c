/* bench/floor_loader.c -- not a floor but what stands behind a cache: answers each request after a while, and prints a line for it.
 *
 *     floor_loader PORT MILLISECONDS */
#include "floor.h"

static uint64_t patience_ms;

struct call {
    uv_timer_t timer;
    struct client *client;
};

static void on_call_closed(uv_handle_t *h) { free(h); }

static void on_time(uv_timer_t *t)
{
    static char body[] = "{\"body\":\"loaded\"}";
    send_body(((struct call *)t)->client, body, sizeof body - 1);
    uv_close((uv_handle_t *)t, on_call_closed);
}

static void answer(struct client *c, char *name, char *body, size_t n)
{
    struct call *call = malloc(sizeof *call);
    call->client = c; /* the bench's clients stay until they are answered */
    uv_timer_init(&loop, &call->timer);
    uv_timer_start(&call->timer, on_time, patience_ms, 0);
    puts("call");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    patience_ms = strtoul(argv[2], NULL, 10);
    uv_loop_init(&loop);
    return floor_run(atoi(argv[1]));
}
