/* model/envelope.c -- the bytes of docs/storage.md. Opening trusts nothing: whatever a store hands back is either proved
 * well-formed, from the front to the end, or no envelope. */
#include "model/envelope.h"

#include "base/hash.h"

#include <assert.h>
#include <endian.h>

#define FORMAT_VERSION 1
#define REF_HEADER     12
#define SECTION_HEADER 4
#define FIRST_BYTES    8 /* what tells the kind */

enum {
    AT_KIND = 4,
    AT_FLAGS = 5,
    AT_REFS = 6,
    AT_STORED = 8,
    AT_FRESH = 16,
    AT_STALE = 24,
    AT_TAG = 32,
    AT_TABLE = 40,
    AT_SECTIONS = 44,
    AT_TEXT = 48
};

static const char magic[4] = {'P', 'G', 'E', FORMAT_VERSION};

/* -- little-endian, unaligned -- */

static uint16_t get16(const char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static uint32_t get32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static char *put(char *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8) p[i] = (char)v;
    return p + bytes;
}

static char *put_slice(char *p, struct slice s) { return s.n ? mempcpy(p, s.p, s.n) : p; }

/* -- opening -- */

/* Is it an envelope of this format at all? Looks at the first 8 bytes. */
static bool begins_well(struct slice bytes)
{
    return bytes.n >= FIRST_BYTES && memcmp(bytes.p, magic, sizeof magic) == 0 &&
           (unsigned char)bytes.p[AT_KIND] <= ENVELOPE_RESULT && bytes.p[AT_FLAGS] == 0;
}

bool envelope_is_record(struct slice first_bytes)
{
    return begins_well(first_bytes) && first_bytes.p[AT_KIND] != ENVELOPE_NEGATIVE;
}

/* Reads the reference at the front of *table and moves it on; false when the table ends before the reference does. */
static bool take_ref(struct slice *table, struct envelope_ref *ref)
{
    if (table->n < REF_HEADER) return false;
    size_t pairs = get16(table->p + 2);
    if (pairs > table->n - REF_HEADER) return false;
    *ref = (struct envelope_ref){.place = get16(table->p),
                                 .offset = get32(table->p + 4),
                                 .length = get32(table->p + 8),
                                 .pairs = {table->p + REF_HEADER, pairs}};
    *table = slice_skip(*table, REF_HEADER + pairs);
    return true;
}

/* As many references as the header says, in order, apart, within the text, and nothing behind them. */
static bool refs_good(const struct envelope *e)
{
    struct slice rest = e->table;
    struct envelope_ref ref;
    uint64_t behind = 0; /* the end of the slot before */
    if (e->refs > ENVELOPE_REFS_MAX) return false;
    for (size_t i = 0; i < e->refs; i++) {
        if (!take_ref(&rest, &ref) || ref.length == 0 || ref.offset < behind) return false;
        behind = (uint64_t)ref.offset + ref.length;
        if (behind > e->text.n) return false;
    }
    return rest.n == 0;
}

/* Of the section at p: its header is 1 byte of type, 3 of this. */
static size_t section_length(const char *p) { return get32(p) >> 8; }

static bool sections_good(struct slice rest)
{
    while (rest.n >= SECTION_HEADER) {
        size_t length = section_length(rest.p);
        if (length > rest.n - SECTION_HEADER) return false;
        rest = slice_skip(rest, SECTION_HEADER + length);
    }
    return rest.n == 0;
}

/* Not whether it is JSON, which is for who wrote it; but what a reader may take for granted: a record is an object. */
static bool text_good(const struct envelope *e)
{
    struct slice text = e->text;
    switch (e->kind) {
    case ENVELOPE_NEGATIVE: return text.n == 0;
    case ENVELOPE_RESULT: return text.n > 0;
    case ENVELOPE_RECORD: break;
    }
    return text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}';
}

bool envelope_open(struct slice bytes, struct envelope *e)
{
    if (bytes.n < ENVELOPE_HEADER || !begins_well(bytes)) return false;
    const char *p = bytes.p;
    uint64_t table = get32(p + AT_TABLE), sections = get32(p + AT_SECTIONS), text = get32(p + AT_TEXT);
    if (table + sections + text != bytes.n - ENVELOPE_HEADER) return false;
    struct slice body = slice_skip(bytes, ENVELOPE_HEADER);
    *e = (struct envelope){.kind = (enum envelope_kind)p[AT_KIND],
                           .refs = get16(p + AT_REFS),
                           .stored_ms = get64(p + AT_STORED),
                           .fresh_until_ms = get64(p + AT_FRESH),
                           .stale_until_ms = get64(p + AT_STALE),
                           .tag = get64(p + AT_TAG),
                           .table = {body.p, table},
                           .sections = {body.p + table, sections},
                           .text = {body.p + table + sections, text}};
    return text_good(e) && e->stale_until_ms >= e->fresh_until_ms && refs_good(e) && sections_good(e->sections);
}

struct slice envelope_section(const struct envelope *e, uint8_t type)
{
    for (struct slice rest = e->sections; rest.n;) {
        size_t length = section_length(rest.p);
        if ((uint8_t)rest.p[0] == type) return slice_from(rest.p + SECTION_HEADER, length);
        rest = slice_skip(rest, SECTION_HEADER + length);
    }
    return (struct slice){NULL, 0};
}

bool envelope_next_ref(const struct envelope *e, size_t *at, struct envelope_ref *ref)
{
    struct slice rest = slice_skip(e->table, *at);
    if (!take_ref(&rest, ref)) return false;
    *at = e->table.n - rest.n;
    return true;
}

/* -- sealing -- */

static char *put_ref(char *p, const struct envelope_ref *ref)
{
    assert(ref->pairs.n <= UINT16_MAX);
    p = put(p, ref->place, 2);
    p = put(p, ref->pairs.n, 2);
    p = put(p, ref->offset, 4);
    p = put(p, ref->length, 4);
    return put_slice(p, ref->pairs);
}

struct blob *envelope_seal(const struct envelope *e, const struct envelope_ref *refs, size_t n_refs)
{
    size_t table = 0;
    for (size_t i = 0; i < n_refs; i++) table += REF_HEADER + refs[i].pairs.n;
    struct blob *blob = blob_new_with_room(ENVELOPE_HEADER + table + e->sections.n + e->text.n, e->room);
    char *p = mempcpy(blob->p, magic, sizeof magic);
    p = put(p, e->kind, 1);
    p = put(p, 0, 1); /* flags */
    p = put(p, n_refs, 2);
    p = put(p, e->stored_ms, 8);
    p = put(p, e->fresh_until_ms, 8);
    p = put(p, e->stale_until_ms, 8);
    p = put(p, hash_text(e->text), 8);
    p = put(p, table, 4);
    p = put(p, e->sections.n, 4);
    p = put(p, e->text.n, 4);
    for (size_t i = 0; i < n_refs; i++) p = put_ref(p, &refs[i]);
    put_slice(put_slice(p, e->sections), e->text);
    assert(envelope_open(blob_slice(blob), &(struct envelope){0})); /* the caller has kept the rules */
    return blob;
}
