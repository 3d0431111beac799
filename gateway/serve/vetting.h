/* serve/vetting.h -- a model's handlers are asked about a record that is saved (script/vet.h), as long as the gateway does not shut down.
 * A save goes on without its client, so nobody else would end what holds it up: as long as a handler may take. */
#ifndef PERIGEE_SERVE_VETTING_H
#define PERIGEE_SERVE_VETTING_H

#include "model/key.h"
#include "script/vet.h"
#include "serve/serve.h"

struct vetting;

/* The vetting is its owner's again. The result, valid for the call, is as in script/vet.h, or OVERLOADED: the gateway shuts down. */
typedef void vetting_done(struct vetting *v, const struct vet_result *result);

/* Embed it; set the first part. While it is under way the owner holds a reference to served->generation. */
struct vetting {
    struct serve *serve;
    struct served *served;
    const struct record_key *key; /* kept, for the log */
    const struct trail *trail;    /* of who saves; kept */
    vetting_done *done;

    struct list link; /* in serve->vettings; private */
    struct vet *vet;
};

/* Asks the handlers that the model has for this step, of a record of this text (copied): PENDING, and done later; or OVERLOADED now.
 * What they raise goes to the log. */
enum status vetting_start(struct vetting *v, enum vet_step step, struct slice text, struct problem *why);

/* Ends all that are under way, and those to come as soon as they are started, with OVERLOADED. */
void vetting_stop_all(struct serve *s);

#endif
