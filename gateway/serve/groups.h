/* serve/groups.h -- for HTTP caches in front of this one: which answers belong together, and that those of a group are outdated (RFC 9875: Cache-Groups,
 * Cache-Group-Invalidation). Groups are named by models and tags. Only models with `cache_groups` tell them, since tags may be nobody's business. */
#ifndef PERIGEE_SERVE_GROUPS_H
#define PERIGEE_SERVE_GROUPS_H

#include "serve/document.h"
#include "store/epochs.h"

#define GROUPS_MAX   64 /* in one header: those of models first, then tags as far as there is room */
#define GROUPS_BYTES 2048

/* The answer is this record, result or negative (`e` NULL: nothing is known of it). */
void groups_tell_record(struct reply *reply, const struct model *m, const struct envelope *e);

/* ... this document: all of its records count, also those that it lacks. */
void groups_tell_document(struct reply *reply, const struct document *doc);

/* Something of this model was written or invalidated; or all that carries these tags. */
void groups_invalidate(struct reply *reply, const struct model *m);
void groups_invalidate_all(struct reply *reply, const struct model *const *m, size_t n);
void groups_invalidate_tags(struct reply *reply, const struct generation *g, const struct epoch_name *name, size_t n);

#endif
