/* bench/floor_redis.c -- the floor of a read from Redis: the value of PREFIX and the user's name, behind its first 64 bytes, which is
 * where Perigee's envelope has the text.
 *
 *     floor_redis PORT REDIS_PORT PREFIX */
#define FLOOR_REDIS
#include "floor.h"

#define SKIP 64

static const char *prefix;

static void answer(struct client *c, char *name, char *body, size_t n)
{
    char *to = ask(c, 1);
    asked(to + sprintf(to, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s%s\r\n", strlen(prefix) + strlen(name), prefix, name));
}

static void on_value(struct client *c, char *text, size_t n) { send_body(c, text + SKIP, n - SKIP); }

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    prefix = argv[3];
    uv_loop_init(&loop);
    floor_redis(atoi(argv[2]));
    return floor_run(atoi(argv[1]));
}
