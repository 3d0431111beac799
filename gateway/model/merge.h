/* model/merge.h -- JSON merge patch (RFC 7396) on compact text: what a patch does not touch keeps its bytes, so numbers and escapes
 * stay spelled as they were sent, and members stay in their order. Pure. */
#ifndef PERIGEE_MODEL_MERGE_H
#define PERIGEE_MODEL_MERGE_H

#include "model/codec.h"

/* The value that `patch` makes of `target` (absent: of nothing); both compact. Members it names are replaced where they stand, removed
 * by null, or appended; an object is merged into an object, anything else replaces. As deep as the deeper of the two, never longer
 * than both together. In the arena, or `patch` itself. */
struct slice merge_value(struct slice target, struct slice patch, struct arena *arena);

/* Cuts a stored record into the values and references of its fields, which lie in the envelope's bytes or in the arena; members may stand
 * in any order, and stubs are spelled as the models are declared now. False when it is
 * none of this model's records: nothing is believed of what a store gives back. */
bool merge_open(const struct model *m, const struct envelope *e, struct arena *arena, struct record_draft *d);

/* Merges a patch, compact, into a record's values: null removes a field, a packed one too (FIELD_REQUIRED for one that is required), every value it
 * makes is checked as codec_set does; a reference is merged as the members of its key. A key may be named with its own value, not changed or
 * removed (KEY_CONFLICT). */
enum status merge_patch(const struct record_key *key, struct slice patch, struct arena *arena, struct record_draft *d,
                        struct problem *why);

#endif
