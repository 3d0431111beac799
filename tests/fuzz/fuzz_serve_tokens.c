/* A token file, and behind its last '|' an Authorization header. Nothing said of a bad file repeats a word of it that could be a token;
 * every token of a good one is found, and nothing else is. */
#include "serve/access.h"

#include <stdint.h>
#include <stdlib.h>

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

/* Our own sentences are of shorter words. */
static void expect_silence(struct slice text, struct slice said)
{
    for (size_t i = 0; i + TOKENS_SHORT <= text.n; i++) {
        struct slice part = slice_from(text.p + i, TOKENS_SHORT);
        bool is_word = true;
        for (size_t j = 0; j < part.n; j++) is_word = is_word && (unsigned char)part.p[j] > ' ';
        if (is_word) expect(!memmem(said.p, said.n, part.p, part.n));
    }
}

static bool only_warnings(struct slice findings)
{
    while (findings.n) {
        struct slice line = slice_cut(&findings, '\n');
        if (!memmem(line.p, line.n, ": warning: ", 11)) return false;
    }
    return true;
}

static void expect_found(const struct tokens *t, struct slice text)
{
    size_t lines = 0;
    while (text.p) {
        struct slice line = slice_cut(&text, '\n');
        size_t begin = 0, end;
        while (begin < line.n && memchr(" \t\r", line.p[begin], 3)) begin++;
        for (end = begin; end < line.n && !memchr(" \t\r", line.p[end], 3);) end++;
        if (begin == line.n || line.p[begin] == '#') continue;
        const struct grant *g = tokens_find(t, slice_from(line.p + begin, end - begin));
        expect(g && g == tokens_at(t, lines++));
        expect(!tokens_find(t, slice_from(line.p + begin, end - begin - 1)) || tokens_count(t) > 1);
    }
    expect(lines == tokens_count(t));
}

static void check_header(const struct tokens *t, struct slice value)
{
    struct http_request request = {.headers = 1, .header = {{SLICE("Authorization"), value}}};
    struct need need = {.permissions = PERMIT_READ, .model = SLICE("User")};
    const struct grant *grant = NULL;
    struct refusal refusal;
    enum status st = access_check(t, &request, &need, &grant, &refusal);
    expect((st == OK) == (grant != NULL));
    expect(st == OK || refusal.problem.status == st);
    if (st == OK) expect(!grant_lacks(grant, PERMIT_READ, SLICE("User")));
    if (st != OK) expect_silence(value, slice_of(refusal.problem.detail));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bar = size ? memrchr(data, '|', size) : NULL;
    struct slice text = slice_from(data, bar ? (size_t)(bar - (const char *)data) : size);
    struct buffer findings;
    buffer_init(&findings, 1 << 16);
    struct tokens *t = tokens_read(text, "f", &findings);
    expect(t ? only_warnings(buffer_view(&findings)) : findings.n > 0);
    expect_silence(text, buffer_view(&findings));
    if (t) expect_found(t, text);
    if (t && bar) check_header(t, slice_trim(slice_from(bar + 1, size - text.n - 1)));
    tokens_unref(t);
    buffer_deinit(&findings);
    return 0;
}
