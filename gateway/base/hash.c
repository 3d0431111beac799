/* base/hash.c -- SipHash as its paper has it (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012),
 * its two keys; XXH64 as its specification has it (Collet), for what is long; and SHA-1 and SHA-256 by Nettle, which is small: libcrypto alone would double the memory of an idle gateway. */
#include "base/hash.h"

#include <endian.h>
#include <errno.h>
#include <nettle/memops.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word, unsigned rounds)
{
    s->v3 ^= word;
    for (unsigned i = 0; i < rounds; i++) sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t word_at(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

/* The last word: what is left of the text behind its whole words, and the text's length in its highest byte. Where there is a whole word the last eight
 * bytes are read and those that are done shifted out, since to copy a number of bytes that varies is a call. */
static inline uint64_t tail_word(struct slice s)
{
    size_t left = s.n % 8;
    char bytes[8] = {0};
    uint64_t word = 0;
    if (s.n < 8 && left) word = word_at(memcpy(bytes, s.p, left));
    else if (left) word = word_at(s.p + s.n - 8) >> (64 - 8 * left);
    return word | (uint64_t)s.n << 56;
}

static inline uint64_t sip(unsigned c, unsigned d, const uint64_t key[2], struct slice s)
{
    struct sip state = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                        key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    const char *p = s.n ? s.p : "", *end = p + s.n / 8 * 8;
    for (; p < end; p += 8) sip_word(&state, word_at(p), c);
    sip_word(&state, tail_word(s), c);
    state.v2 ^= 0xff;
    for (unsigned i = 0; i < d; i++) sip_round(&state);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint64_t hash_sip13(const uint64_t key[2], struct slice s) { return sip(1, 3, key, s); }

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void draw_seed(void)
{
    ssize_t n;
    do n = getrandom(seed, sizeof seed, 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof seed) abort(); /* without a secret the tables are no longer safe to fill */
}

uint64_t hash_seeded(struct slice s)
{
    pthread_once(&seed_once, draw_seed);
    return sip(1, 3, seed, s);
}

/* The key of the paper's own test vectors, 00 01 02 ... 0f: so they are this function's vectors too. */
uint64_t hash_fixed(struct slice s)
{
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    return sip(2, 4, key, s);
}

/* -- XXH64, with seed 0: four lanes of 8 bytes, so that the processor works on four words at once -- */

#define PRIME_1 UINT64_C(0x9e3779b185ebca87)
#define PRIME_2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define PRIME_3 UINT64_C(0x165667b19e3779f9)
#define PRIME_4 UINT64_C(0x85ebca77c2b2ae63)
#define PRIME_5 UINT64_C(0x27d4eb2f165667c5)

static inline uint64_t half_word_at(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return le32toh(word);
}

static inline uint64_t lane_add(uint64_t lane, uint64_t word) { return rotate(lane + word * PRIME_2, 31) * PRIME_1; }

static inline uint64_t lane_merge(uint64_t sum, uint64_t lane) { return (sum ^ lane_add(0, lane)) * PRIME_1 + PRIME_4; }

/* All whole stripes of 32 bytes; moves *p behind them. The lanes are no array, since that would be in memory and not in registers: half as fast. */
static uint64_t add_stripes(const char **p, const char *end)
{
    uint64_t a = PRIME_1 + PRIME_2, b = PRIME_2, c = 0, d = 0 - PRIME_1;
    for (; end - *p >= 32; *p += 32) {
        a = lane_add(a, word_at(*p));
        b = lane_add(b, word_at(*p + 8));
        c = lane_add(c, word_at(*p + 16));
        d = lane_add(d, word_at(*p + 24));
    }
    uint64_t sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return lane_merge(lane_merge(lane_merge(lane_merge(sum, a), b), c), d);
}

uint64_t hash_text(struct slice s)
{
    const char *p = s.n ? s.p : "", *end = p + s.n;
    uint64_t sum = s.n < 32 ? PRIME_5 : add_stripes(&p, end);
    sum += s.n;
    for (; end - p >= 8; p += 8) sum = rotate(sum ^ lane_add(0, word_at(p)), 27) * PRIME_1 + PRIME_4;
    for (; end - p >= 4; p += 4) sum = rotate(sum ^ half_word_at(p) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; p < end; p++) sum = rotate(sum ^ (unsigned char)*p * PRIME_5, 11) * PRIME_1;
    sum = (sum ^ sum >> 33) * PRIME_2;
    sum = (sum ^ sum >> 29) * PRIME_3;
    return sum ^ sum >> 32;
}

void hash_sha256(struct slice s, unsigned char out[32])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, s.n, (const unsigned char *)s.p);
    sha256_digest(&state, SHA256_DIGEST_SIZE, out);
    explicit_bzero(&state, sizeof state);
}

void hash_sha1(struct slice s, unsigned char out[20])
{
    struct sha1_ctx state;
    sha1_init(&state);
    sha1_update(&state, s.n, (const unsigned char *)s.p);
    sha1_digest(&state, SHA1_DIGEST_SIZE, out);
}

bool hash_same(const unsigned char *a, const unsigned char *b, size_t n) { return memeql_sec(a, b, n); }

void hash_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        *out++ = "0123456789abcdef"[bytes[i] >> 4];
        *out++ = "0123456789abcdef"[bytes[i] & 15];
    }
}
