/* bench/floor_memory.c -- the floor of a read from memory: record N out of an array.
 *
 *     floor_memory PORT BODY_BYTES */
#include "floor.h"

#define RECORDS 10000

static char *record[RECORDS];
static size_t record_bytes;

static void answer(struct client *c, char *name, char *body, size_t n)
{
    send_body(c, record[atoi(name + 1) % RECORDS], record_bytes);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    record_bytes = strtoul(argv[2], NULL, 10);
    for (int i = 0; i < RECORDS; i++) record[i] = memset(malloc(record_bytes), 'x', record_bytes);
    uv_loop_init(&loop);
    return floor_run(atoi(argv[1]));
}
