/* serve/seal.c -- envelopes that know their key. */
#include "serve/seal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "serve/life.h"

#include <assert.h>
#include <endian.h>

#define HEADER       4
#define CHECK        8 /* bytes of a key's check: hash_text of the stored key, little-endian */
#define LOAD         4 /* bytes of a load's time, in microseconds, little-endian */
#define MOMENT       8 /* bytes of each part of a stamp, little-endian: its line, its moment */
#define TAGS_BYTES   (TAGS_MAX * (1 + TAG_MAX))
#define SECTIONS_MAX (5 * HEADER + CHECK + TAGS_BYTES + LOAD + ORIGIN_MAX + 2 * MOMENT)

static char *put_header(char *out, uint8_t type, size_t n)
{
    return mempcpy(out, (char[]){(char)type, (char)n, (char)(n >> 8), (char)(n >> 16)}, HEADER);
}

static char *put_number(char *out, uint64_t number, size_t bytes) /* at most 8 */
{
    number = htole64(number);
    return mempcpy(out, &number, bytes);
}

static uint64_t number_at(const char *p, size_t bytes) /* at most 8 */
{
    uint64_t number = 0;
    memcpy(&number, p, bytes);
    return le64toh(number);
}

static char *put_check(char *out, struct slice key) { return put_number(out, hash_text(key), CHECK); }

static char *put_section(char *out, uint8_t type, struct slice bytes)
{
    return bytes.n ? mempcpy(put_header(out, type, bytes.n), bytes.p, bytes.n) : out;
}

static char *put_stamp(char *out, struct stamp stamp)
{
    if (!stamp.at) return out;
    out = put_number(put_header(out, SECTION_STAMP, 2 * MOMENT), stamp.line, MOMENT);
    return put_number(out, stamp.at, MOMENT);
}

struct blob *seal_make(struct serve *s, struct envelope *e, const struct envelope_ref *refs, size_t n_refs,
                       const struct seal_notes *notes, struct slice key)
{
    char sections[SECTIONS_MAX], *end = sections;
    if (store_is_remote(s->store)) end = put_check(put_header(end, SECTION_KEY, CHECK), key);
    end = put_stamp(end, notes->stamp);
    assert(notes->tags.n <= TAGS_BYTES && notes->origin.n <= ORIGIN_MAX); /* ours, or seal_open has seen them */
    end = put_section(end, SECTION_TAGS, notes->tags);
    if (notes->load_us) end = put_number(put_header(end, SECTION_LOAD, LOAD), notes->load_us, LOAD);
    end = put_section(end, SECTION_ORIGIN, notes->origin);
    e->sections = slice_from(sections, (size_t)(end - sections));
    e->room = store_room(s->store, key);
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

static struct stamp stamp_of(const struct envelope *e)
{
    struct slice section = envelope_section(e, SECTION_STAMP);
    if (section.n != 2 * MOMENT) return (struct stamp){.line = 0, .at = 0};
    return (struct stamp){.line = number_at(section.p, MOMENT), .at = number_at(section.p + MOMENT, MOMENT)};
}

struct seal_notes seal_notes_of(const struct envelope *e)
{
    struct slice load = envelope_section(e, SECTION_LOAD);
    return (struct seal_notes){.tags = envelope_section(e, SECTION_TAGS),
                               .origin = envelope_section(e, SECTION_ORIGIN),
                               .load_us = load.n == LOAD ? (uint32_t)number_at(load.p, LOAD) : 0,
                               .stamp = stamp_of(e)};
}

/* True also for an envelope without the section: one that is not ours to judge. */
static bool is_of_key(const struct envelope *e, struct slice key)
{
    struct slice section = envelope_section(e, SECTION_KEY);
    return section.n != CHECK || number_at(section.p, CHECK) == hash_text(key);
}

/* -- invalidated by name -- */

static struct epoch_verdict verdict_of(struct epochs *epochs, const struct served *served, struct stamp stamp,
                                       struct slice tags)
{
    epoch_id name[1 + TAGS_MAX];
    size_t n = 0;
    name[n++] = served->epoch;
    while (tags.n && n <= TAGS_MAX) {
        size_t length = (unsigned char)tags.p[0];
        if (length >= tags.n) length = tags.n - 1; /* damaged, as whoever reads tags must be ready for */
        name[n++] = epoch_id_of(EPOCH_TAG, slice_from(tags.p + 1, length));
        tags = slice_skip(tags, 1 + length);
    }
    return epochs_judge(epochs, stamp, name, n);
}

bool seal_is_outdated(struct serve *s, const struct served *served, struct stamp stamp, struct slice tags)
{
    struct epochs *epochs = store_epochs(s->store);
    if (!epochs || epochs_cover(epochs, stamp)) return false;
    struct epoch_verdict verdict = verdict_of(epochs, served, stamp, tags);
    return verdict.removed || verdict.expired_ms != CLOCK_NEVER;
}

static void count_outdated(struct serve *s, struct served *served, enum epoch_mode mode)
{
    static const struct slice label[] = {[EPOCH_REMOVE] = {"remove", 6}, [EPOCH_EXPIRE] = {"expire", 6}};
    struct slice labels[] = {served->model->name, label[mode]};
    if (!served->outdated[mode]) served->outdated[mode] = metrics_counter(s->metrics, METRIC_OUTDATED, labels);
    counter_add(served->outdated[mode], 1);
}

enum judgement { UNTOUCHED, REMOVED, EXPIRED };

/* Most records are younger than the last invalidation of anything; the others are judged by their names. */
static enum judgement judge(struct serve *s, const struct served *served, struct envelope *e)
{
    struct epochs *epochs = store_epochs(s->store);
    struct stamp stamp = stamp_of(e);
    if (!epochs || epochs_cover(epochs, stamp)) return UNTOUCHED;
    struct epoch_verdict verdict = verdict_of(epochs, served, stamp, envelope_section(e, SECTION_TAGS));
    if (verdict.removed) return REMOVED;
    if (verdict.expired_ms == CLOCK_NEVER) return UNTOUCHED;
    uint64_t now_ms = clock_wall_ms();
    life_end(served->model, verdict.expired_ms < now_ms ? verdict.expired_ms : now_ms, e);
    return EXPIRED;
}

static enum status judge_and_count(struct serve *s, struct served *served, struct envelope *e)
{
    enum judgement judgement = judge(s, served, e);
    if (judgement == UNTOUCHED) return OK;
    count_outdated(s, served, judgement == REMOVED ? EPOCH_REMOVE : EPOCH_EXPIRE);
    return judgement == REMOVED ? MISSING : OK;
}

/* -- opening -- */

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

/* Results stand under the keys of methods, records under those of models. */
static bool is_of_kind(const struct served *served, const struct envelope *e)
{
    return e->kind == ENVELOPE_NEGATIVE || (e->kind == ENVELOPE_RECORD) == (served->model->kind == MODEL_RECORD);
}

/* Are its notes no longer than those that we write? Then they can be sealed again. */
static bool notes_fit(const struct envelope *e)
{
    if (e->sections.n <= ORIGIN_MAX) return true; /* nearly always */
    struct seal_notes notes = seal_notes_of(e);
    return notes.tags.n <= TAGS_BYTES && notes.origin.n <= ORIGIN_MAX;
}

enum status seal_open(struct serve *s, struct served *served, const struct blob *blob, struct slice key,
                      struct envelope *e)
{
    bool is_ours = envelope_open(blob_slice(blob), e) && is_of_kind(served, e) && notes_fit(e);
    if (!is_ours) return seal_damaged(s, served, key, blob->n);
    if (is_of_key(e, key)) return judge_and_count(s, served, e);
    count_damage(s, served);
    log_error("the store answered with another record", LOG_SLICE("key", key));
    return STORE_UNAVAILABLE;
}

bool seal_reopen(struct serve *s, struct served *served, const struct blob *blob, struct envelope *e)
{
    return envelope_open(blob_slice(blob), e) && notes_fit(e) && judge(s, served, e) != REMOVED;
}
