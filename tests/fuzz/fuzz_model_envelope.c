/* Any bytes as a stored value: opening stays inside them (the input is copied to its exact size, and the sanitizer watches), a view
 * is consistent, and sealing what was opened gives the same bytes but for the tag. */
#include "model/envelope.h"

#include <stdint.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

#define TAG_AT 32

static void touch(struct slice s)
{
    volatile char seen;
    for (size_t i = 0; i < s.n; i++) seen = s.p[i];
    (void)seen;
}

static void expect_consistent(struct slice bytes, const struct envelope *e)
{
    static struct envelope_ref refs[ENVELOPE_REFS_MAX];
    size_t n = 0;
    uint64_t behind = 0;
    struct envelope_ref ref;
    for (size_t at = 0; envelope_next_ref(e, &at, &ref); n++) {
        expect(n < ENVELOPE_REFS_MAX && ref.length > 0 && ref.offset >= behind);
        behind = (uint64_t)ref.offset + ref.length;
        expect(behind <= e->text.n);
        touch(ref.pairs);
        refs[n] = ref;
    }
    expect(n == e->refs && e->stale_until_ms >= e->fresh_until_ms);
    expect((e->text.n == 0) == (e->kind == ENVELOPE_NEGATIVE));
    expect(envelope_is_record(slice_from(bytes.p, 8)) == (e->kind != ENVELOPE_NEGATIVE));
    touch(e->sections);
    for (unsigned type = 0; type < 256; type++) {
        struct slice section = envelope_section(e, (uint8_t)type);
        expect(!section.p || (section.p >= e->sections.p && section.p + section.n <= e->sections.p + e->sections.n));
    }
    touch(e->text);

    struct blob *sealed = envelope_seal(e, refs, n);
    expect(sealed->n == bytes.n && memcmp(sealed->p, bytes.p, TAG_AT) == 0);
    expect(memcmp(sealed->p + TAG_AT + 8, bytes.p + TAG_AT + 8, bytes.n - TAG_AT - 8) == 0);
    blob_unref(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct envelope e;
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    struct slice bytes = slice_from(exact, n);
    if (envelope_open(bytes, &e)) expect_consistent(bytes, &e);
    free(exact);
    return 0;
}
