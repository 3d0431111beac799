/* tests/fuzz/fuzz_script_postgres.c -- whatever a server writes as a value of whatever type, arrays above all: the cells can be
 * walked to their end. First byte: the type. */
#include "script/libpq.h"
#include "script/postgres_value.h"

#include <assert.h>
#include <stdlib.h>

static void walk(const struct buffer *cells, size_t *at, int depth)
{
    assert(*at < cells->n && depth <= 6);
    struct postgres_cell cell = postgres_next(cells, at);
    assert(*at <= cells->n);
    if (cell.text.p) assert(cell.text.p[cell.text.n] == 0);
    for (uint32_t i = 0; i < cell.elements; i++) walk(cells, at, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const unsigned types[] = {1007, 1009, 1000, 1231, 3807, 1001, 25, 16, 17, 1700, 1021, 4711};
    const char *why;
    if (n < 1 || !libpq_load(&why)) return 0;
    char *text = malloc(n);
    if (!text) abort();
    for (size_t i = 0; i + 1 < n; i++) text[i] = data[i + 1] ? (char)data[i + 1] : ' ';
    text[n - 1] = 0;

    struct buffer cells;
    size_t at = 0;
    buffer_init(&cells, 1 << 12);
    if (postgres_put(&cells, types[data[0] % (sizeof types / sizeof *types)], slice_from(text, n - 1))) {
        walk(&cells, &at, 0);
        assert(at == cells.n);
    }
    buffer_deinit(&cells);
    free(text);
    return 0;
}
