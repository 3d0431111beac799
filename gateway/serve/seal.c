/* serve/seal.c -- envelopes that know their key. */
#include "serve/seal.h"

#include "base/hash.h"
#include "base/log.h"

#define SECTION_KEY   1 /* hash_fixed of the stored key, little-endian */
#define SECTION_BYTES 12

static struct slice key_section(struct slice key, char out[SECTION_BYTES])
{
    uint64_t hash = hash_fixed(key);
    memcpy(out, (char[]){SECTION_KEY, 8, 0, 0}, 4);
    for (int i = 0; i < 8; i++) out[4 + i] = (char)(hash >> (8 * i));
    return slice_from(out, SECTION_BYTES);
}

struct blob *seal_make(struct serve *s, struct envelope *e, const struct envelope_ref *refs, size_t n_refs,
                       struct slice key)
{
    char section[SECTION_BYTES];
    e->sections = store_is_remote(s->store) ? key_section(key, section) : SLICE("");
    return envelope_seal(e, refs, n_refs);
}

/* True also for an envelope without the section: one that is not ours to judge. */
static bool is_of_key(const struct envelope *e, struct slice key)
{
    char section[SECTION_BYTES];
    if (e->sections.n != SECTION_BYTES || e->sections.p[0] != SECTION_KEY) return true;
    return slice_eq(e->sections, key_section(key, section));
}

static void count_damage(struct serve *s, struct served *served)
{
    if (!served->damaged) served->damaged = metrics_counter(s->metrics, METRIC_DAMAGED, &served->model->name);
    counter_add(served->damaged, 1);
}

enum status seal_damaged(struct serve *s, struct served *served, struct slice key, size_t bytes)
{
    count_damage(s, served);
    log_warn("a stored value is no envelope of ours; taken as missing", LOG_SLICE("key", key),
             LOG_NUMBER("bytes", bytes));
    return MISSING;
}

enum status seal_open(struct serve *s, struct served *served, const struct blob *blob, struct slice key,
                      struct envelope *e)
{
    bool whole = envelope_open(blob_slice(blob), e);
    if (!whole) return seal_damaged(s, served, key, blob->n);
    if (is_of_key(e, key)) return OK;
    count_damage(s, served);
    log_error("the store answered with another record", LOG_SLICE("key", key));
    return STORE_UNAVAILABLE;
}
