/* script/sources.h -- the .lua files of a schema folder, read once, so that every worker's Lua state compiles the same bytes.
 * Files named *_spec.lua are tests and are left out; so are hidden files and folders. Order: by folder as given, then by path. */
#ifndef PERIGEE_SCRIPT_SOURCES_H
#define PERIGEE_SCRIPT_SOURCES_H

#include "base/arena.h"
#include "base/status.h"

struct source {
    struct slice path;   /* as shown in messages: DIR/name.lua */
    struct slice module; /* what `require` calls it: "name", "sub.name" */
    struct slice text;
};

struct sources {
    struct arena arena;
    struct source *file;
    size_t files;
};

/* Reads all of them; at most 10,000 files of at most 1 MiB. MALFORMED_REQUEST when a folder is missing or a file cannot be
 * read; then nothing needs to be freed. */
enum status sources_read(struct sources *s, const char *const *dirs, size_t n_dirs, struct problem *why);
void sources_free(struct sources *s);

/* Does any file hold this text, be it in a comment? */
bool sources_mention(const struct sources *s, struct slice text);

/* One file, into the arena; the same cap. MALFORMED_REQUEST when it cannot be read. */
enum status source_read_file(const char *path, struct arena *arena, struct slice *text, struct problem *why);

#endif
