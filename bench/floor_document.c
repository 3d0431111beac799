/* bench/floor_document.c -- the floor of a document: a root, 2 records below it, 3 below each of those; read from Redis level by
 * level, one MGET each, and spliced. It knows the names of all nine before it has read any, and finds a record's list of
 * references by looking for the last '[' of its text.
 *
 *     floor_document PORT REDIS_PORT PREFIX */
#define FLOOR_REDIS
#include "floor.h"

enum { RECORDS = 9, LEVEL_1 = 1, LEVEL_2 = 3 };

struct document {
    char name[32];
    unsigned have;
    uv_buf_t text[RECORDS]; /* copies: a reply's bytes do not stay */
};

static const char *prefix;

/* Record i of a document: "d7", "d7a", "d7b", then "d7aa", "d7ab", "d7ac", "d7ba", ... */
static int name_of(const struct document *d, unsigned i, char *to)
{
    if (i < LEVEL_1) return sprintf(to, "%s%s", prefix, d->name);
    if (i < LEVEL_2) return sprintf(to, "%s%s%c", prefix, d->name, 'a' + (int)(i - LEVEL_1));
    return sprintf(to, "%s%s%c%c", prefix, d->name, 'a' + (int)(i - LEVEL_2) / 3, 'a' + (int)(i - LEVEL_2) % 3);
}

static void ask_level(struct client *c, unsigned from, unsigned to)
{
    char *p = ask(c, to - from), name[128];
    p += sprintf(p, "*%u\r\n$4\r\nMGET\r\n", to - from + 1);
    for (unsigned i = from; i < to; i++) {
        int n = name_of(c->state, i, name);
        p += sprintf(p, "$%d\r\n%s\r\n", n, name);
    }
    asked(p);
}

static void answer(struct client *c, char *name, char *body, size_t n)
{
    struct document *d = c->state;
    if (!d) d = c->state = calloc(1, sizeof *d);
    d->have = 0;
    strcpy(d->name, name);
    ask_level(c, 0, LEVEL_1);
}

static unsigned piece_n;
static uv_buf_t piece[PIECES];

static void add(char *p, size_t n) { piece[piece_n++] = uv_buf_init(p, (unsigned)n); }

static void add_record(struct document *d, unsigned i, unsigned children, unsigned child)
{
    char *text = d->text[i].base;
    size_t n = d->text[i].len;
    if (!children) {
        add(text, n);
        return;
    }
    size_t list = (size_t)((char *)memrchr(text, '[', n) - text) + 1;
    add(text, list);
    for (unsigned k = 0; k < children; k++) {
        if (k) add(",", 1);
        add_record(d, child + k, i == 0 ? 3 : 0, LEVEL_2 + 3 * k);
    }
    add("]}", 2);
}

static void on_value(struct client *c, char *text, size_t n)
{
    struct document *d = c->state;
    uv_buf_t *to = &d->text[d->have++];
    *to = uv_buf_init(memcpy(malloc(n), text, n), (unsigned)n);
    if (d->have == LEVEL_1) ask_level(c, LEVEL_1, LEVEL_2);
    if (d->have == LEVEL_2) ask_level(c, LEVEL_2, RECORDS);
    if (d->have < RECORDS) return;
    piece_n = 1;
    add_record(d, 0, 2, LEVEL_1);
    send_pieces(c, piece, piece_n);
    for (unsigned i = 0; i < RECORDS; i++) free(d->text[i].base);
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    prefix = argv[3];
    uv_loop_init(&loop);
    floor_redis(atoi(argv[2]));
    return floor_run(atoi(argv[1]));
}
