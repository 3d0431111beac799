/* model/registry.h -- the models of one load, their methods and the forms, by name and in order of declaration. Owned by the vm
 * that loaded them. */
#ifndef PERIGEE_MODEL_REGISTRY_H
#define PERIGEE_MODEL_REGISTRY_H

#include "model/model.h"

struct registry {
    struct arena arena; /* all models and their texts */
    struct map by_name;
    struct model **model; /* in order of declaration */
    size_t models, cap;
};

void registry_init(struct registry *r);
void registry_deinit(struct registry *r);

/* A cleared model in the registry's arena, not yet findable. */
struct model *registry_model_new(struct registry *r);

/* Makes a finished model findable; false when the name is taken. */
bool registry_add(struct registry *r, struct model *m);

/* Of any kind: "User", "Home.geocode", "FriendsLookup". NULL when there is none. */
const struct model *registry_find(const struct registry *r, struct slice name);

/* How many there are of this kind. */
size_t registry_count(const struct registry *r, enum model_kind kind);

/* nearest_hint among the names of this kind; with an owner among those of its methods, without the owner's. */
const char *registry_hint(const struct registry *r, enum model_kind kind, const struct model *owner, struct slice name,
                          struct hint *hint);

/* Says that there is no model (or form, by `kind`) of this name, and which is the nearest. Returns UNKNOWN_MODEL; for forms NOT_FOUND. */
enum status registry_unknown(const struct registry *r, enum model_kind kind, struct slice name, struct problem *why);

#endif
