/* base/hash.h -- hashes: seeded for tables, fixed for keys, fast for entity tags, cryptographic for keys. */
#ifndef PERIGEE_BASE_HASH_H
#define PERIGEE_BASE_HASH_H

#include "base/slice.h"

#include <stdint.h>

/* SipHash-1-3 (Aumasson, Bernstein 2012) under a seed drawn from the kernel at the first use in the process: for
 * tables whose keys strangers choose. Differs from run to run; never store it. Thread-safe. */
uint64_t hash_seeded(struct slice s);

/* SipHash-2-4 under a fixed key: the same bytes give the same 64 bits everywhere, for ever. For what stands for something else and
 * must not be mistaken for it by design. */
uint64_t hash_fixed(struct slice s);

/* XXH64 with seed 0: the same everywhere, for ever, and four times faster on what is long. For entity tags and to notice
 * accidents; no defence against someone who wants two texts to collide. */
uint64_t hash_text(struct slice s);

/* SipHash-1-3 under a key of your own. */
uint64_t hash_sip13(const uint64_t key[2], struct slice s);

/* SHA-256 (FIPS 180-4). Leaves nothing of s behind on the stack: it may be a secret. */
void hash_sha256(struct slice s, unsigned char out[32]);

/* SHA-1 (FIPS 180-4), by which Redis names scripts: for nothing that someone might want to forge. */
void hash_sha1(struct slice s, unsigned char out[20]);

/* Are these n bytes the same? Takes as long wherever they differ: for what is compared with a secret. */
bool hash_same(const unsigned char *a, const unsigned char *b, size_t n);

/* Lower-case hexadecimal of n bytes into out[2n]; no NUL. */
void hash_hex(const unsigned char *bytes, size_t n, char *out);

#endif
