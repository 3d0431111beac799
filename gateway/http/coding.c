/* http/coding.c -- negotiation, and zlib. Bodies are slices, so they are compressed as a stream; level 1, since what is sent once pays for no more:
 * of JSON, level 6 leaves a tenth fewer bytes for three times the time. */
#include "http/coding.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

#define LEVEL       1
#define WINDOW_GZIP (15 + 16) /* zlib's way to ask for RFC 1952 */
#define MEMORY      8

/* -- negotiation -- */

/* "0.25" -> 250, "1" -> 1000; -1 where it is no weight (RFC 9110 12.4.2). */
static int read_weight(struct slice text)
{
    int weight = 0, digits = 100;
    if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1')) return -1;
    if (text.n > 1 && text.p[1] != '.') return -1;
    for (size_t i = 2; i < text.n; i++, digits /= 10) {
        if (text.p[i] < '0' || text.p[i] > '9') return -1;
        weight += (text.p[i] - '0') * digits;
    }
    weight += text.p[0] == '1' ? 1000 : 0;
    return weight <= 1000 ? weight : -1;
}

struct weights {
    int gzip, identity, any; /* -1: not said */
};

static void read_element(struct weights *w, struct slice element)
{
    struct slice name = slice_trim(slice_cut(&element, ';'));
    int weight = 1000;
    if (element.p) {
        struct slice parameter = slice_trim(element);
        struct slice q = slice_trim(slice_cut(&parameter, '='));
        weight = slice_ieq(q, SLICE("q")) ? read_weight(slice_trim(parameter)) : -1;
    }
    if (weight < 0) return; /* passed over */
    if (slice_ieq(name, SLICE("gzip")) || slice_ieq(name, SLICE("x-gzip"))) w->gzip = weight;
    else if (slice_ieq(name, SLICE("identity"))) w->identity = weight;
    else if (slice_eq(name, SLICE("*"))) w->any = weight;
}

bool coding_wants_gzip(const struct http_request *request)
{
    struct weights w = {-1, -1, -1};
    for (size_t i = 0; i < request->headers; i++) {
        const struct http_header *h = &request->header[i];
        if (h->name.n != 15 || !slice_ieq(h->name, SLICE("accept-encoding"))) continue;
        for (struct slice rest = h->value; rest.p;) read_element(&w, slice_cut(&rest, ','));
    }
    int gzip = w.gzip >= 0 ? w.gzip : w.any;
    return request->minor && gzip > 0 && gzip >= w.identity;
}

/* -- compressing -- */

struct gzip {
    z_stream stream;
};

struct gzip *gzip_new(void)
{
    struct gzip *g = calloc(1, sizeof *g);
    if (!g || deflateInit2(&g->stream, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    return g;
}

void gzip_free(struct gzip *g)
{
    if (!g) return;
    deflateEnd(&g->stream);
    free(g);
}

struct blob *gzip_body(struct gzip *g, const struct reply *reply)
{
    z_stream *z = &g->stream;
    size_t most = deflateBound(z, reply->body_bytes);
    char *out = malloc(most);
    if (!out) abort();
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)most; /* a body has at most 64 MiB and a little */
    for (size_t i = 0; i < reply->pieces; i++) {
        z->next_in = (Bytef *)reply->piece[i].bytes.p; /* zlib only reads it */
        z->avail_in = (uInt)reply->piece[i].bytes.n;
        int status = deflate(z, Z_NO_FLUSH);
        assert(status == Z_OK && z->avail_in == 0);
        (void)status;
    }
    int status = deflate(z, Z_FINISH);
    assert(status == Z_STREAM_END);
    (void)status;
    struct blob *b = blob_copy(slice_from(out, most - z->avail_out));
    deflateReset(z);
    free(out);
    return b;
}
