/* serve/seal.c -- envelopes that know their key. */
#include "serve/seal.h"

#include "base/hash.h"
#include "base/log.h"

#include <assert.h>

#define HEADER       4
#define CHECK        8 /* bytes of a key's check: hash_fixed of the stored key, little-endian */
#define LOAD         4 /* bytes of a load's time, in microseconds, little-endian */
#define SECTIONS_MAX (4 * HEADER + CHECK + TAGS_MAX * (1 + TAG_MAX) + LOAD + ORIGIN_MAX)

static char *put_header(char *out, uint8_t type, size_t n)
{
    return mempcpy(out, (char[]){(char)type, (char)n, (char)(n >> 8), (char)(n >> 16)}, HEADER);
}

static char *put_number(char *out, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) *out++ = (char)(number >> (8 * i));
    return out;
}

static char *put_check(char *out, struct slice key) { return put_number(out, hash_fixed(key), CHECK); }

static char *put_section(char *out, uint8_t type, struct slice bytes)
{
    return bytes.n ? mempcpy(put_header(out, type, bytes.n), bytes.p, bytes.n) : out;
}

struct blob *seal_make(struct serve *s, struct envelope *e, const struct envelope_ref *refs, size_t n_refs,
                       const struct seal_notes *notes, struct slice key)
{
    char sections[SECTIONS_MAX], *end = sections;
    if (store_is_remote(s->store)) end = put_check(put_header(end, SECTION_KEY, CHECK), key);
    assert(notes->tags.n <= TAGS_MAX * (1 + TAG_MAX) && notes->origin.n <= ORIGIN_MAX);
    end = put_section(end, SECTION_TAGS, notes->tags);
    if (notes->load_us) end = put_number(put_header(end, SECTION_LOAD, LOAD), notes->load_us, LOAD);
    end = put_section(end, SECTION_ORIGIN, notes->origin);
    e->sections = slice_from(sections, (size_t)(end - sections));
    return envelope_seal(e, refs, n_refs);
}

struct blob *seal_again(struct serve *s, const struct envelope *old, struct envelope *times,
                        const struct seal_notes *notes, struct slice key)
{
    struct envelope_ref ref[ENVELOPE_REFS_MAX];
    size_t n = 0, at = 0;
    times->kind = old->kind;
    times->text = old->text;
    while (n < old->refs && envelope_next_ref(old, &at, &ref[n])) n++;
    return seal_make(s, times, ref, n, notes, key);
}

struct seal_notes seal_notes_of(const struct envelope *e)
{
    struct slice load = envelope_section(e, SECTION_LOAD);
    struct seal_notes notes = {.tags = envelope_section(e, SECTION_TAGS),
                               .origin = envelope_section(e, SECTION_ORIGIN)};
    if (load.n != LOAD) return notes;
    for (int i = LOAD - 1; i >= 0; i--) notes.load_us = notes.load_us << 8 | (unsigned char)load.p[i];
    return notes;
}

/* True also for an envelope without the section: one that is not ours to judge. */
static bool is_of_key(const struct envelope *e, struct slice key)
{
    char check[CHECK];
    struct slice section = envelope_section(e, SECTION_KEY);
    if (section.n != CHECK) return true;
    put_check(check, key);
    return slice_eq(section, slice_from(check, CHECK));
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
