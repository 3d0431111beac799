/* tests/unit/model/support.h -- what the tests of model/ share: models in a line, files, repeatable chance. */
#ifndef PERIGEE_TESTS_MODEL_SUPPORT_H
#define PERIGEE_TESTS_MODEL_SUPPORT_H

#include "base/buffer.h"
#include "base/clock.h"
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define assert_slice(s, literal) assert_bytes((s), SLICE(literal), __FILE__, __LINE__)

static inline void assert_bytes(struct slice given, struct slice wanted, const char *file, int line)
{
    if (given.p && slice_eq(given, wanted)) return;
    print_error("%.*s\n  is not\n%.*s\n", SLICE_ARG(given), SLICE_ARG(wanted));
    _fail(file, line);
}

/* ---- models */

/* Completes *m over `field`, which stays the caller's; every name is as in a schema file. */
static inline void model_of(struct model *m, struct arena *arena, const char *name, struct field *field, size_t fields)
{
    *m = (struct model){.name = slice_of(name), .field = field, .fields = fields, .handler = -1};
    m->options.expires_ms = CLOCK_NEVER;
    model_finish(m, SLICE("perigee"), arena);
}

#define KEY(n, t)                                                                                                      \
    {                                                                                                                  \
        .name = SLICE(n), .kind = FIELD_KEY, .type = t                                                                 \
    }
#define FIELD(n, t)                                                                                                    \
    {                                                                                                                  \
        .name = SLICE(n), .kind = FIELD_VALUE, .type = t                                                               \
    }

/* ---- files */

/* All of a file in the arena; absent when it is not there. */
static inline struct slice file_read(const char *path, struct arena *arena)
{
    FILE *file = fopen(path, "rb");
    if (!file) return (struct slice){NULL, 0};
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *bytes = arena_bytes(arena, n + 1);
    n = fread(bytes, 1, n, file);
    fclose(file);
    return slice_from(bytes, n);
}

static inline struct slice golden_read(const char *name, struct arena *arena)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/%s", SOURCE_DIR, name);
    struct slice text = file_read(path, arena);
    if (!text.p) fail_msg("no %s", path);
    return text;
}

/* The folder of the corpora that lie beside a checkout. */
static inline const char *data_folder(void)
{
    const char *set = getenv("PERIGEE_TEST_DATA");
    return set ? set : SOURCE_DIR "/../shared/data";
}

/* ---- chance */

/* xorshift64*: the same numbers in every run. */
static inline uint64_t chance(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* 0 .. n-1 */
static inline size_t chance_below(uint64_t *state, size_t n) { return (size_t)((chance(state) >> 16) % n); }

#endif
