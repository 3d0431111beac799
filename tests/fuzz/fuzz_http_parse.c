/* Any bytes: the parser neither crashes nor cares how they are cut. The first byte of the input seeds the cuts (and
 * chooses tight limits or usual ones), the rest is what a client sends. */
#include "../support/http_transcript.h"

#include <stdint.h>

static const struct http_parse_limits limits[] = {{.max_uri = 8192, .max_headers = 16384, .max_body = 1 << 20},
                                                  {.max_uri = 20, .max_headers = 60, .max_body = 8}};

static void feed_in_cuts(struct transcript *t, struct slice in, uint32_t seed)
{
    while (in.n) {
        seed = seed * 1664525 + 1013904223;
        size_t n = 1 + (seed >> 24) % 23;
        if (n > in.n) n = in.n;
        transcript_feed(t, (struct slice){in.p, n});
        in = slice_skip(in, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    struct slice in = {(const char *)data + 1, n - 1};
    struct transcript whole, cut;
    transcript_init(&whole, &limits[data[0] & 1]);
    transcript_init(&cut, &limits[data[0] & 1]);
    transcript_feed(&whole, in);
    feed_in_cuts(&cut, in, data[0]);
    if (!slice_eq(buffer_view(&whole.text), buffer_view(&cut.text))) abort();
    transcript_deinit(&whole);
    transcript_deinit(&cut);
    return 0;
}
