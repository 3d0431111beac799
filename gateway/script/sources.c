/* script/sources.c -- finds and reads the .lua files below the schema folders. Plain bytes: nothing is run or looked into. */
#include "script/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 10000
#define FILE_MAX  (1u << 20)
#define DEPTH_MAX 16 /* folders in folders; also ends a loop of symbolic links */

static enum status cannot_read(struct problem *why, const char *path)
{
    return problem_set(why, MALFORMED_REQUEST, NULL, "%s: %s", path, strerror(errno));
}

/* --- one file ----------------------------------------------------------------------------------------------------- */

/* Reads to the end of the file or one byte past the cap. */
static bool read_all(int fd, char *p, size_t max, size_t *n)
{
    *n = 0;
    while (*n < max) {
        ssize_t got = read(fd, p + *n, max - *n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) break;
        *n += (size_t)got;
    }
    return true;
}

enum status source_read_file(const char *path, struct arena *arena, struct slice *text, struct problem *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cannot_read(why, path);
    struct stat info = {0};
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > FILE_MAX) {
        close(fd);
        return problem_set(why, MALFORMED_REQUEST, NULL, "%s: larger than 1 MiB", path);
    }
    size_t n, max = S_ISREG(info.st_mode) ? (size_t)info.st_size + 1 : FILE_MAX + 1;
    char *p = arena_bytes(arena, max);
    bool good = read_all(fd, p, max, &n);
    close(fd);
    if (!good) return cannot_read(why, path);
    if (n == max)
        return problem_set(why, MALFORMED_REQUEST, NULL, "%s: grows while it is read, or larger than 1 MiB", path);
    *text = slice_from(p, n);
    return OK;
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

struct found {
    struct sources *s;
    size_t cap;
    size_t first;    /* of the folder that is being read */
    size_t folder_n; /* bytes of its path, with the '/' */
    struct problem *why;
};

static bool ends_with(struct slice s, struct slice end)
{
    return s.n > end.n && slice_eq(slice_skip(s, s.n - end.n), end);
}

/* "sub/name.lua" -> "sub.name" */
static struct slice module_name(struct arena *arena, struct slice path)
{
    struct slice module = arena_dup(arena, slice_from(path.p, path.n - 4));
    for (char *c = (char *)module.p; *c; c++)
        if (*c == '/') *c = '.';
    return module;
}

static enum status add_file(struct found *f, struct slice path)
{
    struct sources *s = f->s;
    if (s->files == FILES_MAX)
        return problem_set(f->why, MALFORMED_REQUEST, NULL, "more than %d schema files", FILES_MAX);
    if (s->files == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 32;
        s->file = realloc(s->file, f->cap * sizeof *s->file);
        if (!s->file) abort();
    }
    struct source *file = &s->file[s->files];
    file->path = path;
    file->module = module_name(&s->arena, slice_skip(path, f->folder_n));
    enum status status = source_read_file(path.p, &s->arena, &file->text, f->why);
    if (status == OK) s->files++;
    return status;
}

static enum status read_folder(struct found *f, struct slice folder, int depth);

static enum status add_entry(struct found *f, struct slice folder, const char *name, int depth)
{
    struct stat info;
    struct slice path = arena_printf(&f->s->arena, "%s%s%s", folder.p, folder.p[folder.n - 1] == '/' ? "" : "/", name);
    if (name[0] == '.') return OK;
    if (stat(path.p, &info)) return cannot_read(f->why, path.p);
    if (S_ISDIR(info.st_mode)) return read_folder(f, path, depth + 1);
    if (!S_ISREG(info.st_mode) || !ends_with(path, SLICE(".lua")) || ends_with(path, SLICE("_spec.lua"))) return OK;
    return add_file(f, path);
}

static enum status read_folder(struct found *f, struct slice folder, int depth)
{
    if (depth > DEPTH_MAX)
        return problem_set(f->why, MALFORMED_REQUEST, NULL, "%s: more than %d folders deep", folder.p, DEPTH_MAX);
    DIR *dir = opendir(folder.p);
    if (!dir) return cannot_read(f->why, folder.p);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = readdir(dir));)
        status = add_entry(f, folder, entry->d_name, depth);
    closedir(dir);
    return status;
}

static int by_path(const void *a, const void *b)
{
    return slice_cmp(((const struct source *)a)->path, ((const struct source *)b)->path);
}

enum status sources_read(struct sources *s, const char *const *dirs, size_t n_dirs, struct problem *why)
{
    struct found found = {.s = s, .why = why};
    enum status status = OK;
    *s = (struct sources){.files = 0};
    arena_init(&s->arena);
    for (size_t i = 0; i < n_dirs && status == OK; i++) {
        struct slice folder = arena_dup(&s->arena, slice_of(dirs[i]));
        if (folder.n == 0) folder = SLICE(".");
        found.first = s->files;
        found.folder_n = folder.n + (folder.p[folder.n - 1] != '/');
        status = read_folder(&found, folder, 0);
        if (s->file) qsort(s->file + found.first, s->files - found.first, sizeof *s->file, by_path);
    }
    if (status != OK) sources_free(s);
    return status;
}

void sources_free(struct sources *s)
{
    free(s->file);
    arena_deinit(&s->arena);
    *s = (struct sources){.files = 0};
    arena_init(&s->arena);
}

bool sources_mention(const struct sources *s, struct slice text)
{
    for (size_t i = 0; i < s->files; i++)
        if (memmem(s->file[i].text.p, s->file[i].text.n, text.p, text.n)) return true;
    return false;
}
