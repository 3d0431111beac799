/* store/memory.h -- records by key, in this process.
 * Shared by all workers: striped locks, held for a look-up and never for a copy. Hands out references to blobs.
 * Bounded in bytes really used (blobs, keys, index and allocator's headers counted); evicts by S3-FIFO (Yang et al., SOSP
 * 2023), so that one scan does not flush it. Knows nothing of models. Time is an argument. */
#ifndef PERIGEE_STORE_MEMORY_H
#define PERIGEE_STORE_MEMORY_H

#include "base/blob.h"
#include "base/status.h"
#include "store/condition.h"

#include <stdint.h>

struct memory;

struct memory_stats {
    uint64_t bytes, records, evictions;
};

struct memory *memory_new(uint64_t max_bytes); /* 0 is allowed: keeps nothing */
void memory_free(struct memory *m);

/* So much room (blob_new_with_room) spares a block of its own for what is kept beside a blob under this key. Any blob will do. */
size_t memory_room(struct memory *m, struct slice key);

/* A new reference, or NULL: absent or past its end. */
struct blob *memory_get(struct memory *m, struct slice key, uint64_t now_ms);

/* Borrows key; takes its own reference to b. `until_ms` CLOCK_NEVER: stays until evicted. Writes up to 8 first bytes of a
 * live value that it replaces to previous and returns how many (0: there was none). A record larger than the
 * bound is not kept (what it replaces is gone all the same). */
unsigned memory_put(struct memory *m, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms,
                    unsigned char previous[8]);

/* memory_put where the condition holds of the live value, if there is one: OK with *previous_n set; else PRECONDITION_FAILED, and nothing
 * is changed. `when` NULL: always. */
enum status memory_put_when(struct memory *m, const struct store_condition *when, struct slice key, struct blob *b,
                            uint64_t until_ms, uint64_t now_ms, unsigned char previous[8], uint8_t *previous_n);

/* Puts b where a live record with exactly the bytes of `expected` is: OK; PRECONDITION_FAILED where another one is, MISSING where
 * none is. Otherwise as memory_put. */
enum status memory_replace(struct memory *m, struct slice key, struct slice expected, struct blob *b, uint64_t until_ms,
                           uint64_t now_ms);

/* For copies of what another store holds (near.h), which may change there while one is on its way here. A key's mark is changed by each
 * forgetting of it, and of a few others. */

/* As memory_get; *mark is the key's at that moment. */
struct blob *memory_look(struct memory *m, struct slice key, uint64_t now_ms, uint32_t *mark);

/* As memory_put, unless the key's mark has changed: then nothing is done. */
void memory_keep(struct memory *m, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms, uint32_t mark);

/* Drops what stands under keys of this hash_seeded: one, but for rare accidents. */
void memory_forget(struct memory *m, uint64_t hash);
void memory_forget_all(struct memory *m);

/* Where the condition holds: OK when a live record was there, or MISSING; else PRECONDITION_FAILED, and nothing is changed. `when` NULL: always. */
enum status memory_delete(struct memory *m, const struct store_condition *when, struct slice key, uint64_t now_ms);

/* Drops records past their end, looking into `budget` buckets at most, of which there are as many as records, or up to twice as
 * many; called now and then so that dead records do not hold memory. Returns how many it dropped. */
unsigned memory_sweep(struct memory *m, uint64_t now_ms, unsigned budget);

void memory_stats(struct memory *m, struct memory_stats *out);

#endif
