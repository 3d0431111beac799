/* bench/floor_save.c -- the floor of a save: the body is checked to be JSON, once over its bytes, and SET.
 *
 *     floor_save PORT REDIS_PORT plain     checked by the few lines below: no numbers' values, no UTF-8, no duplicate members
 *     floor_save PORT REDIS_PORT yyjson    checked by yyjson, which is what Perigee reads with */
#define FLOOR_REDIS
#include "floor.h"

#include <yyjson.h>

/* -- is it JSON? Each returns where it ends, or NULL; the text ends in a NUL. -- */

static const char *value(const char *p, int depth);

static const char *blank(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    return p;
}

static const char *string(const char *p)
{
    if (*p++ != '"') return NULL;
    for (; *p != '"'; p++)
        if ((unsigned char)*p < 0x20 || (*p == '\\' && !*++p)) return NULL;
    return p + 1;
}

static const char *members(const char *p, char end, int depth)
{
    p = blank(p + 1);
    if (*p == end) return p + 1;
    for (;; p = blank(p + 1)) {
        if (end == '}') {
            if (!(p = string(p)) || *(p = blank(p)) != ':') return NULL;
            p = blank(p + 1);
        }
        if (!(p = value(p, depth + 1))) return NULL;
        p = blank(p);
        if (*p == end) return p + 1;
        if (*p != ',') return NULL;
    }
}

static const char *value(const char *p, int depth)
{
    if (depth > 64) return NULL;
    if (*p == '"') return string(p);
    if (*p == '{') return members(p, '}', depth);
    if (*p == '[') return members(p, ']', depth);
    size_t n = strspn(p, "+-.0123456789eEtrufalsn");
    return n ? p + n : NULL;
}

static bool is_json_plain(char *text, size_t n)
{
    char behind = text[n];
    text[n] = '\0';
    const char *end = value(blank(text), 0);
    bool good = end && blank(end) == text + n;
    text[n] = behind;
    return good;
}

static bool is_json_yyjson(char *text, size_t n)
{
    yyjson_doc *doc = yyjson_read(text, n, 0);
    bool good = doc != NULL;
    yyjson_doc_free(doc);
    return good;
}

/* -- saving -- */

static bool (*is_json)(char *text, size_t n);

static void answer(struct client *c, char *name, char *body, size_t n)
{
    bool good = is_json(body, n);
    assert(good);
    (void)good;
    char *to = ask(c, 1);
    to += sprintf(to, "*3\r\n$3\r\nSET\r\n$%zu\r\nfloor:%s\r\n$%zu\r\n", 6 + strlen(name), name, n);
    to = mempcpy(to, body, n);
    asked(mempcpy(to, "\r\n", 2));
}

static void on_value(struct client *c, char *text, size_t n)
{
    static char done[] = "HTTP/1.1 204 No Content\r\n\r\n";
    uv_buf_t b = uv_buf_init(done, sizeof done - 1);
    uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    is_json = strcmp(argv[3], "plain") == 0 ? is_json_plain : is_json_yyjson;
    uv_loop_init(&loop);
    floor_redis(atoi(argv[2]));
    return floor_run(atoi(argv[1]));
}
