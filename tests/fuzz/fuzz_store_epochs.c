/* tests/fuzz/fuzz_store_epochs.c -- whatever Redis reports of its table of invalidations, one report after the other (a zero byte between them): what
 * is no report changes nothing; what is one goes no way back, and stays within the bound. The first byte of each: under which stamp it was asked. */
#include "store/epochs.h"

#include <assert.h>
#include <stdlib.h>

static bool is_as_late(struct stamp now, struct stamp before) { return now.line != before.line || now.at >= before.at; }

static void take(struct epochs *e, const struct stamp *asked, struct slice report)
{
    struct stamp before = epochs_now(e);
    size_t names = epochs_names(e);
    bool more = false;
    if (!epochs_take(e, *asked, report, &more)) {
        assert(epochs_now(e).line == before.line && epochs_now(e).at == before.at && epochs_names(e) == names);
        return;
    }
    struct stamp now = epochs_now(e);
    assert(is_as_late(now, before) && epochs_names(e) <= names + EPOCHS_PAGE);
    epoch_id name[] = {epoch_id_of(EPOCH_MODEL, SLICE("m")), epoch_id_of(EPOCH_TAG, SLICE("t")),
                       epoch_id_of(EPOCH_TAG, SLICE("that nobody names"))}; /* the floor */
    bool of_the_future = false; /* it says of something that it was later than the last moment of all */
    for (size_t i = 0; i < 3; i++) of_the_future |= epochs_last(e, name[i]) > now.at;
    assert(epochs_cover(e, now));
    assert(of_the_future || !epochs_judge(e, now, name, 3).removed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct epochs *e = epochs_new();
    struct stamp asked[4];
    for (int i = 0; i < 4; i++) asked[i] = epochs_now(e);
    struct slice rest = slice_from(data, n);
    for (unsigned i = 0; rest.p && rest.n; i++) {
        struct slice report = slice_cut(&rest, '\0');
        if (report.n == 0) continue;
        take(e, &asked[(unsigned char)report.p[0] % 4], slice_skip(report, 1));
        asked[i % 4] = epochs_now(e);
    }
    epochs_free(e);
    return 0;
}
