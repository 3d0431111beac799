/* bench/compose.c -- what a document costs, beside the way without Perigee: decoding its JSON and encoding it again, as a cache in Lua would
 * (lua-cjson under LuaJIT). 60 records of 200 B or 2 KiB each, a root and two levels below it, in the memory store.
 *
 *     read       from the query to the slices that are sent: key, look-ups, references, tag, text (serve/resolve.c, compose.c)
 *     compose    of that, only the text
 *     cjson      cjson.encode(cjson.decode(the same text))
 *
 * One process, one thread, its CPU time; rounds interleaved, medians of the rounds. `make bench` runs it; alone:
 * build/release/bench_compose [ROUNDS] from the checkout's top. */
#include "base/clock.h"
#include "script/vm.h"
#include "serve/document.h"
#include "serve/saving.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS_MAX = 101, SAMPLE_US = 20000 };

static void die(const char *why)
{
    fprintf(stderr, "compose: %s\n", why);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* -- Perigee's side: one worker's service over a memory store -- */

static struct serve serve;
static struct served *node;
static struct arena arena;

static struct vm *compile(void)
{
    static const char *const dirs[] = {"bench/schemas"};
    struct sources sources;
    struct problem why;
    struct buffer findings;
    if (sources_read(&sources, dirs, 1, &why) != OK) die(why.detail);
    buffer_init(&findings, 1 << 16);
    struct vm_config config = {.prefix = SLICE("bench"), .hard_timeout_ms = 1000, .memory_max = 64 << 20};
    struct vm *vm = vm_new(&config, &sources, &findings);
    if (!vm) die(buffer_view(&findings).p);
    buffer_deinit(&findings);
    sources_free(&sources);
    return vm;
}

static void open_service(uv_loop_t *loop)
{
    struct metrics *metrics = metrics_new();
    struct vm *vm = compile();
    uv_loop_init(loop);
    vm_attach(vm, script_host_open(loop, metrics));
    serve_init(&serve, vm, store_new(memory_new(256 << 20), NULL, metrics), "memory",
               flight_port_open(flights_new(), loop), metrics);
    node = map_get(&serve.now->models, SLICE("Node"));
    arena_init(&arena);
}

/* -- the records: a root, LEVEL_1 below it, and the rest below those -- */

enum { RECORDS = 60, LEVEL_1 = 7 };

struct shape {
    const char *name;
    size_t bytes; /* of a record, without its references */
    bool members; /* has more than a key and a text */
    size_t rows;  /* small objects in it; the text makes up the rest */
};

static const struct shape shapes[] = {
    {"200 B, one text", 200, false, 0},
    {"200 B, six members", 200, true, 0},
    {"2 KiB, one text", 2048, false, 0},
    {"2 KiB, small objects", 2048, true, 40},
};

static size_t parent_of(size_t i) { return i <= LEVEL_1 ? 0 : 1 + (i - LEVEL_1 - 1) % LEVEL_1; }

static void put_children(struct buffer *b, size_t parent)
{
    size_t n = 0;
    for (size_t i = 1; i < RECORDS; i++)
        if (parent_of(i) == parent) buffer_printf(b, "%s{\"id\":\"n%zu\"}", n++ ? "," : ",\"children\":[", i);
    if (n) buffer_char(b, ']');
}

static void put_record(struct buffer *b, const struct shape *shape, size_t i)
{
    buffer_printf(b, "{\"id\":\"n%zu\"", i);
    if (shape->members) {
        buffer_printf(b, ",\"name\":\"Record Number %zu\",\"email\":\"n%zu@example.org\",\"age\":%zu,\"active\":%s", i,
                      i, 20 + i, i % 3 ? "true" : "false");
    }
    for (size_t row = 0; row < shape->rows; row++) {
        buffer_printf(b, "%s{\"at\":%zu,\"what\":\"event %zu\",\"ok\":%s}", row ? "," : ",\"rows\":[", 1700000000 + row,
                      row % 10, row % 2 ? "true" : "false");
    }
    if (shape->rows) buffer_char(b, ']');
    buffer_printf(b, ",\"note\":\"");
    while (b->n < shape->bytes - 2) buffer_char(b, 'a' + (char)(b->n % 26));
    buffer_printf(b, "\"");
    put_children(b, i);
    buffer_char(b, '}');
}

static void on_saved(struct saving *s, enum status status) {}

static void save_records(const struct shape *shape)
{
    for (size_t i = 0; i < RECORDS; i++) {
        struct buffer body;
        buffer_init(&body, 1 << 16);
        put_record(&body, shape, i);
        struct saving s = {
            .serve = &serve, .served = node, .arena = &arena, .body = buffer_view(&body), .done = on_saved};
        key_draft_init(&s.draft);
        if (saving_start(&s) != OK) die(s.problem.detail);
        blob_unref(s.blob);
        buffer_deinit(&body);
        arena_reset(&arena);
    }
}

/* -- what is measured -- */

static struct record_key key;
static struct document document = {.key = &key};

static void read_begin(struct documents *d)
{
    struct problem why;
    *d = (struct documents){.serve = &serve, .served = node, .arena = &arena, .document = &document, .n = 1};
    if (view_query(node->model, SLICE("id=n0"), &arena, &key, &d->view, &why) != OK) die(why.detail);
    if (documents_start(d, clock_wall_ms()) != OK || document.status != OK) die("the document is not there");
}

static void read_end(struct documents *d)
{
    documents_finish(d);
    arena_reset(&arena);
}

static void compose(const struct documents *d, struct reply *reply, struct arena *room)
{
    reply_init(reply, room);
    reply_begin(reply, 200);
    compose_reply(d, &document, reply);
}

static void job_read(unsigned times)
{
    struct documents d;
    struct reply reply;
    while (times--) {
        read_begin(&d);
        compose(&d, &reply, &arena);
        reply_deinit(&reply);
        read_end(&d);
    }
}

static void job_compose(unsigned times)
{
    struct documents d;
    struct reply reply[2]; /* in turns: a record gives a reference to each new one */
    struct arena room;
    arena_init(&room);
    read_begin(&d);
    while (times--) {
        compose(&d, &reply[times % 2], &room);
        reply_deinit(&reply[times % 2]);
        arena_reset(&room);
    }
    read_end(&d);
    arena_deinit(&room);
}

static lua_State *L;
static struct buffer text; /* the document's */

/* stack: its chunk's function */
static void open_cjson(void)
{
    static const char chunk[] = "local cjson = require 'cjson'\n"
                                "local decode, encode = cjson.decode, cjson.encode\n"
                                "return function(text, times)\n"
                                "  local out\n"
                                "  for _ = 1, times do out = encode(decode(text)) end\n"
                                "  return #out\n"
                                "end\n";
    L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadstring(L, chunk) || lua_pcall(L, 0, 1, 0)) die(lua_tostring(L, -1));
}

static size_t cjson_bytes;

static void job_cjson(unsigned times)
{
    lua_pushvalue(L, 1);
    lua_pushlstring(L, text.p, text.n);
    lua_pushinteger(L, (lua_Integer)times);
    if (lua_pcall(L, 2, 1, 0)) die(lua_tostring(L, -1));
    cjson_bytes = (size_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
}

enum { READ, COMPOSE, CJSON, JOBS };

static const struct {
    const char *name;
    void (*run)(unsigned times);
} jobs[JOBS] = {{"read", job_read}, {"compose", job_compose}, {"cjson", job_cjson}};

/* The slices that are sent are the text, which has all records, and says what cjson makes of it but for spelling. */
static void check(void)
{
    struct documents d;
    struct reply reply;
    struct buffer sent;
    size_t records = 0;
    buffer_reset(&text);
    buffer_init(&sent, 1 << 20);
    read_begin(&d);
    compose_text(&d, &document, &text);
    compose(&d, &reply, &arena);
    for (size_t i = 0; i < reply.pieces; i++) buffer_slice(&sent, reply.piece[i].bytes);
    for (const char *p = text.p; (p = memmem(p, (size_t)(text.p + text.n - p), "\"note\"", 6)); p++) records++;
    bool is_whole = records == RECORDS && !memmem(text.p, text.n, "$ref", 4);
    if (!is_whole || !slice_eq(buffer_view(&sent), buffer_view(&text))) die("not the document that it should be");
    reply_deinit(&reply);
    read_end(&d);
    buffer_deinit(&sent);
    job_cjson(1);
    if (cjson_bytes != text.n) die("cjson makes another document of it");
}

/* -- measuring -- */

static double us_of(void (*run)(unsigned times), unsigned times)
{
    uint64_t began = cpu_ns();
    run(times);
    return (double)(cpu_ns() - began) / 1000 / times;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(double *v, unsigned n) { qsort(v, n, sizeof *v, by_size); }

static void print_row(const struct shape *shape, const char *name, double *us, unsigned rounds)
{
    sort(us, rounds);
    printf("%-8s %2d x %-20s %8.2f us (%.2f-%.2f)\n", name, RECORDS, shape->name, us[rounds / 2], us[0],
           us[rounds - 1]);
}

static void measure(const struct shape *shape, unsigned rounds)
{
    static double us[JOBS][ROUNDS_MAX], ratio[JOBS][ROUNDS_MAX];
    unsigned times[JOBS];
    save_records(shape);
    check();
    for (int j = 0; j < JOBS; j++) times[j] = 1 + (unsigned)(SAMPLE_US / us_of(jobs[j].run, 50));
    for (unsigned r = 0; r < rounds; r++) {
        for (int j = 0; j < JOBS; j++) us[j][r] = us_of(jobs[j].run, times[j]);
        for (int j = 0; j < CJSON; j++) ratio[j][r] = us[CJSON][r] / us[j][r];
    }
    for (int j = 0; j < JOBS; j++) print_row(shape, jobs[j].name, us[j], rounds);
    for (int j = 0; j < CJSON; j++) { /* the median of the ratios within each round */
        sort(ratio[j], rounds);
        printf("%-8s %2d x %-20s %8.1f x cheaper than cjson (%.1f-%.1f), %zu bytes\n", jobs[j].name, RECORDS,
               shape->name, ratio[j][rounds / 2], ratio[j][0], ratio[j][rounds - 1], text.n);
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 31;
    uv_loop_t loop;
    if (rounds < 1 || rounds > ROUNDS_MAX) die("1 to 101 rounds");
    open_service(&loop);
    open_cjson();
    buffer_init(&text, 1 << 20);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) measure(&shapes[i], rounds);
    return 0; /* and the process goes with all it has opened */
}
