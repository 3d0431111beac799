/* serve/tokens.c -- a token file becomes a table of digests. The table is found into by a seeded hash of the digest, so nobody can
 * steer where a guess lands; what stands there is compared whole, in a time that does not depend on it. */
#include "serve/tokens.h"

#include "base/arena.h"
#include "base/hash.h"
#include "model/model.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DIGEST        32
#define WORDS_MAX     4
#define FINDINGS_MOST 20 /* said of one file */
#define FIRST_SLOTS   16

struct entry {
    struct grant grant;
    unsigned char digest[DIGEST];
};

struct tokens {
    _Atomic unsigned refs;
    struct arena arena; /* of all texts below */
    struct entry **entry;
    size_t n;
    struct entry **slot; /* a power of two of them, at most half of them taken */
    size_t slots;
};

/* -- finding -- */

/* Where this digest is, or the empty slot where it would go. */
static struct entry **find(const struct tokens *t, const unsigned char digest[DIGEST])
{
    size_t i = hash_seeded(slice_from(digest, DIGEST)) & (t->slots - 1);
    while (t->slot[i] && !hash_same(t->slot[i]->digest, digest, DIGEST)) i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

const struct grant *tokens_find(const struct tokens *t, struct slice token)
{
    unsigned char digest[DIGEST];
    if (token.n == 0 || token.n > TOKENS_MAX) return NULL;
    hash_sha256(token, digest);
    const struct entry *e = *find(t, digest);
    return e ? &e->grant : NULL;
}

size_t tokens_count(const struct tokens *t) { return t->n; }

const struct grant *tokens_at(const struct tokens *t, size_t i) { return &t->entry[i]->grant; }

static bool is_for(const struct grant *g, struct slice model)
{
    for (size_t i = 0; i < g->n; i++)
        if (slice_eq(g->models[i], model)) return true;
    return g->n == 0;
}

enum permission grant_lacks(const struct grant *g, unsigned permissions, struct slice model)
{
    unsigned lacks = permissions & ~g->permits;
    if (!lacks && model.p && !is_for(g, model)) lacks = permissions;
    return (enum permission)(lacks & -lacks);
}

enum status grant_forbids(enum permission lacking, struct slice model, struct problem *why)
{
    const char *label = permission_label(lacking);
    if (!model.p) return problem_set(why, FORBIDDEN, NULL, "the token does not permit `%s`", label);
    return problem_set(why, FORBIDDEN, NULL, "the token does not permit `%s` for `%.*s`", label, SLICE_ARG(model));
}

/* -- words of a line -- */

static const struct {
    enum permission permission;
    struct slice label;
} permissions[] = {
#define X(permission, bit, label) {permission, {label, sizeof label - 1}},
    PERMISSION_MAP(X)
#undef X
};

#define PERMISSIONS (sizeof permissions / sizeof *permissions)

const char *permission_label(enum permission p)
{
    size_t i = 0;
    while (permissions[i].permission != p) i++;
    return permissions[i].label.p;
}

bool token_is_valid(struct slice token)
{
    while (token.n && token.p[token.n - 1] == '=') token.n--;
    for (size_t i = 0; i < token.n; i++)
        if (!isalnum((unsigned char)token.p[i]) && !memchr("-._~+/", token.p[i], 6)) return false;
    return token.n > 0;
}

static bool name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!isalnum((unsigned char)name.p[i]) && !memchr("-._@", name.p[i], 4)) return false;
    return name.n > 0 && name.n <= MODEL_NAME_MAX;
}

static bool permissions_read(struct slice words, unsigned *permits)
{
    while (words.p) {
        struct slice word = slice_cut(&words, ',');
        size_t i = 0;
        while (i < PERMISSIONS && !slice_eq(word, permissions[i].label)) i++;
        if (i == PERMISSIONS) return false;
        *permits |= permissions[i].permission;
    }
    return true;
}

static bool models_read(struct slice words, struct arena *arena, struct grant *g)
{
    struct slice *models = arena_alloc(arena, (words.n / 2 + 1) * sizeof *models);
    while (words.p) {
        struct slice word = slice_cut(&words, ',');
        if (!model_name_valid(word)) return false;
        models[g->n++] = arena_dup(arena, word);
    }
    g->models = models;
    return true;
}

/* -- lines -- */

/* Cuts a line at white space, up to a '#' at the start of a word; how many words, WORDS_MAX + 1 for too many. */
static size_t split(struct slice line, struct slice word[WORDS_MAX])
{
    size_t n = 0, i = 0;
    for (;;) {
        while (i < line.n && memchr(" \t\r", line.p[i], 3)) i++;
        if (i == line.n || line.p[i] == '#') return n;
        size_t begin = i;
        while (i < line.n && !memchr(" \t\r", line.p[i], 3)) i++;
        if (n == WORDS_MAX) return n + 1;
        word[n++] = slice_from(line.p + begin, i - begin);
    }
}

/* Makes room for one more. */
static void grow(struct tokens *t)
{
    if (t->n < t->slots / 2) return;
    t->slots = t->slots ? t->slots * 2 : FIRST_SLOTS;
    free(t->slot);
    t->slot = calloc(t->slots, sizeof(struct entry *));
    t->entry = realloc(t->entry, t->slots / 2 * sizeof(struct entry *));
    if (!t->slot || !t->entry) abort();
    for (size_t i = 0; i < t->n; i++) *find(t, t->entry[i]->digest) = t->entry[i];
}

/* What is wrong with these words, or NULL: the token is added. `weak`: it can be guessed. Behind a short token no long name is taken: they may
 * have been put the wrong way round, and names are logged. */
static const char *add(struct tokens *t, const struct slice *word, size_t n, unsigned line, bool *weak)
{
    if (n < 3 || n > WORDS_MAX) return "a line is TOKEN NAME PERMISSIONS and, if it is not for all, MODELS";
    if (!token_is_valid(word[0])) return "a token is of letters, digits and - . _ ~ + /, then any number of =";
    *weak = word[0].n < TOKENS_SHORT;
    if (*weak && word[1].n >= TOKENS_SHORT) return "a token comes before its name, and has at least 16 characters";
    if (word[0].n > TOKENS_MAX) return "a token has at most 512 characters";
    if (!name_is_valid(word[1])) return "a name is of letters, digits and - . _ @, at most 64 of them";
    struct entry *e = arena_zalloc(&t->arena, sizeof *e);
    e->grant.line = line;
    e->grant.name = arena_dup(&t->arena, word[1]);
    if (!permissions_read(word[2], &e->grant.permits))
        return "permissions are read, write, refresh and admin, with commas between them";
    if (n == WORDS_MAX && !models_read(word[3], &t->arena, &e->grant))
        return "models are names of models and forms, with commas between them";
    hash_sha256(word[0], e->digest);
    grow(t);
    struct entry **slot = find(t, e->digest);
    if (*slot) return "this token stands in the file already";
    *slot = t->entry[t->n++] = e;
    return NULL;
}

static const char *read_line(struct tokens *t, struct slice line, unsigned number, bool *weak)
{
    struct slice word[WORDS_MAX];
    if (number > TOKENS_LINES_MAX) return "a token file has at most 10000 lines";
    if (line.n > TOKENS_LINE_MAX) return "the line is too long";
    size_t n = split(line, word);
    return n ? add(t, word, n, number, weak) : NULL;
}

struct tokens *tokens_read(struct slice text, const char *file, struct buffer *findings)
{
    struct tokens *t = calloc(1, sizeof *t);
    unsigned number = 0, wrong = 0;
    if (!t) abort();
    t->refs = 1;
    arena_init(&t->arena);
    while (text.n && wrong < FINDINGS_MOST && number <= TOKENS_LINES_MAX) {
        struct slice line = slice_cut(&text, '\n');
        bool weak = false;
        const char *fault = read_line(t, line, ++number, &weak);
        if (!fault && weak)
            buffer_printf(findings, "%s:%u: warning: a token of fewer than 16 characters can be guessed\n", file,
                          number);
        if (!fault) continue;
        wrong++;
        buffer_printf(findings, "%s:%u: %s\n", file, number, fault);
    }
    if (!wrong && t->n == 0) buffer_printf(findings, "%s: there is no token in it\n", file);
    if (!wrong && t->n) return t;
    tokens_unref(t);
    return NULL;
}

struct tokens *tokens_ref(struct tokens *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void tokens_unref(struct tokens *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1) return;
    arena_deinit(&t->arena);
    free(t->entry);
    free(t->slot);
    free(t);
}
