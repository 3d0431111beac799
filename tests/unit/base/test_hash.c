/* Hashes: the published vectors, xxhsum's word, and libcrypto's SipHash as a second opinion on both round counts and every length. */
#include "base/hash.h"

#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LONGEST 80

static unsigned char text[LONGEST];
static const uint64_t counting_key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static uint64_t theirs(unsigned c, unsigned d, const uint64_t key[2], size_t n)
{
    uint64_t key_bytes[2] = {htole64(key[0]), htole64(key[1])}, out = 0;
    size_t size = sizeof out, written = 0;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
        OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c),
        OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d),
        OSSL_PARAM_construct_end(),
    };
    assert_true(EVP_MAC_init(ctx, (const unsigned char *)key_bytes, sizeof key_bytes, params));
    assert_true(EVP_MAC_update(ctx, text, n));
    assert_true(EVP_MAC_final(ctx, (unsigned char *)&out, &written, sizeof out));
    assert_int_equal(written, 8);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return le64toh(out);
}

/* The first vectors of the authors' SipHash-2-4 list. What stands in Redis depends on them. */
static void fixed_is_siphash_2_4_for_ever(void **state)
{
    static const uint64_t golden[] = {
        UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
        UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
        UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462),
        UINT64_C(0x9e0082df0ba9e4b0), UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
        UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90), UINT64_C(0xf723ca908e7af2ee),
        UINT64_C(0xa129ca6149be45e5), /* the paper's own example: 15 bytes */
    };
    for (size_t n = 0; n < sizeof golden / sizeof *golden; n++)
        assert_true(hash_fixed(slice_from(text, n)) == golden[n]);
    assert_true(hash_fixed((struct slice){NULL, 0}) == golden[0]);
}

/* What xxhsum says of the bytes 0, 1, 2 ...: every kind of end, with and without whole stripes. */
static void text_is_xxh64_for_ever(void **state)
{
    static const struct {
        size_t n;
        uint64_t sum;
    } golden[] = {
        {0, UINT64_C(0xef46db3751d8e999)},  {1, UINT64_C(0xe934a84adb052768)},  {3, UINT64_C(0xe5c7bb4533bc65dd)},
        {4, UINT64_C(0xffced8604453cc1e)},  {7, UINT64_C(0x14cc643f630c72d2)},  {8, UINT64_C(0x884a173614b81b8d)},
        {15, UINT64_C(0xa948f5f0f6abac2d)}, {31, UINT64_C(0xc346d2b59b4d8ee1)}, {32, UINT64_C(0xcbf59c5116ff32b4)},
        {33, UINT64_C(0x0c535d1acafb8ead)}, {40, UINT64_C(0xf5da40f1b11741e9)}, {63, UINT64_C(0xe26aa9e2a95f8e4f)},
        {64, UINT64_C(0xf7c67301db6713f0)}, {77, UINT64_C(0x93f85c1b6280ead3)}, {80, UINT64_C(0xbabc069ffd7e24b3)},
    };
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
        assert_true(hash_text(slice_from(text, golden[i].n)) == golden[i].sum);
    assert_true(hash_text((struct slice){NULL, 0}) == golden[0].sum);
}

static void agrees_with_libcrypto(void **state)
{
    static const uint64_t other_key[2] = {UINT64_C(0xfedcba9876543210), 1};
    for (size_t n = 0; n <= LONGEST; n++) {
        struct slice s = slice_from(text, n);
        assert_true(hash_fixed(s) == theirs(2, 4, counting_key, n));
        assert_true(hash_sip13(counting_key, s) == theirs(1, 3, counting_key, n));
        assert_true(hash_sip13(other_key, s) == theirs(1, 3, other_key, n));
    }
}

static void seeded_is_steady_and_keyed(void **state)
{
    const uint64_t zero[2] = {0, 0};
    uint64_t a = hash_seeded(SLICE("a"));
    assert_true(a == hash_seeded(SLICE("a")));
    assert_true(a != hash_seeded(SLICE("b")));
    assert_true(a != hash_sip13(zero, SLICE("a"))); /* a seed was drawn */
}

static void digests(void **state)
{
    unsigned char digest[32];
    char hex[64];
    hash_sha256(SLICE("abc"), digest);
    hash_hex(digest, sizeof digest, hex);
    assert_memory_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 64);
    hash_sha256((struct slice){NULL, 0}, digest);
    hash_hex(digest, sizeof digest, hex);
    assert_memory_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 64);
    hash_sha1(SLICE("abc"), digest);
    hash_hex(digest, 20, hex);
    assert_memory_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d", 40);
}

static void same_is_same_in_every_byte(void **state)
{
    unsigned char a[32] = {0}, b[32] = {0};
    assert_true(hash_same(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            b[i] = (unsigned char)bit;
            assert_false(hash_same(a, b, sizeof a));
            assert_true(hash_same(a, b, i)); /* what stands before it */
        }
        b[i] = 0;
    }
}

int main(void)
{
    for (size_t i = 0; i < LONGEST; i++) text[i] = (unsigned char)i;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_is_siphash_2_4_for_ever),
        cmocka_unit_test(text_is_xxh64_for_ever),
        cmocka_unit_test(agrees_with_libcrypto),
        cmocka_unit_test(seeded_is_steady_and_keyed),
        cmocka_unit_test(digests),
        cmocka_unit_test(same_is_same_in_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
