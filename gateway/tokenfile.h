/* tokenfile.h -- the token file, read from disk: at the start, and again at each reload. */
#ifndef PERIGEE_TOKENFILE_H
#define PERIGEE_TOKENFILE_H

#include "model/registry.h"
#include "serve/tokens.h"

/* One reference; NULL: `findings` says why, a line each. What was read is wiped. A file that others can read is a finding, too. */
struct tokens *tokenfile_load(const char *path, struct buffer *findings);

/* A finding for each line that names a model or form which is not there: what it permits is then less than was meant. */
void tokenfile_compare(const struct tokens *t, const char *path, const struct registry *registry,
                       struct buffer *findings);

#endif
