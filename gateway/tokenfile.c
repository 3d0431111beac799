/* tokenfile.c -- a file of secrets, in memory for as long as it takes to make digests of them. */
#include "tokenfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (16 << 20)

static struct tokens *fail(const char *path, const char *why, struct buffer *findings)
{
    buffer_printf(findings, "%s: %s\n", path, why);
    return NULL;
}

/* The whole file, or not: false with errno. Not through stdio, which would keep a copy. */
static bool read_whole(int fd, char *to, size_t n)
{
    while (n) {
        ssize_t got = read(fd, to, n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

static struct tokens *load(int fd, const char *path, struct buffer *findings)
{
    struct stat st;
    if (fstat(fd, &st)) return fail(path, strerror(errno), findings);
    if (!S_ISREG(st.st_mode)) return fail(path, "it is no regular file", findings);
    if (st.st_size > FILE_MAX) return fail(path, "it is larger than 16 MiB", findings);
    if (st.st_mode & (S_IROTH | S_IWOTH))
        buffer_printf(findings, "%s: others can read or write it (chmod o= takes that away)\n", path);
    size_t n = (size_t)st.st_size;
    char *text = malloc(n + 1);
    if (!text) abort();
    errno = 0;
    struct tokens *t = read_whole(fd, text, n) ? tokens_read(slice_from(text, n), path, findings)
                                               : fail(path, errno ? strerror(errno) : "it became shorter", findings);
    explicit_bzero(text, n);
    free(text);
    return t;
}

struct tokens *tokenfile_load(const char *path, struct buffer *findings)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe nobody writes to must not stop us */
    if (fd < 0) return fail(path, strerror(errno), findings);
    struct tokens *t = load(fd, path, findings);
    close(fd);
    return t;
}

void tokenfile_compare(const struct tokens *t, const char *path, const struct registry *registry,
                       struct buffer *findings)
{
    for (size_t i = 0; i < tokens_count(t); i++) {
        const struct grant *g = tokens_at(t, i);
        bool all_there = true;
        for (size_t j = 0; j < g->n; j++) all_there = all_there && registry_find(registry, g->models[j]);
        if (!all_there) buffer_printf(findings, "%s:%u: it names a model or form that is not there\n", path, g->line);
    }
}
