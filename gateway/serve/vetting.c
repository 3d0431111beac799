/* serve/vetting.c -- those that are under way stand in a list, where the end of the gateway finds them. */
#include "serve/vetting.h"

#include "base/log.h"

#include <stdio.h>

static enum status refuse(struct problem *why)
{
    return problem_set(why, OVERLOADED, NULL, "the gateway is shutting down");
}

static void log_failure(const struct vetting *v, const struct vet_result *r)
{
    char request[17];
    if (r->status == FIELD_TYPE) return; /* the record's fault, and who saves it is told */
    snprintf(request, sizeof request, "%016llx", (unsigned long long)v->trail->request);
    log_warn("save failed", LOG_TEXT("code", status_code(r->status)), LOG_TEXT("request", request),
             LOG_SLICE("model", v->key->model->name), LOG_SLICE("key", v->key->pairs), LOG_SLICE("error", r->log));
}

static void on_vetted(void *owner, const struct vet_result *r)
{
    struct vetting *v = owner;
    list_remove(&v->link);
    if (r->status != OK) log_failure(v, r);
    v->done(v, r);
}

enum status vetting_start(struct vetting *v, enum vet_step step, struct slice text, struct problem *why)
{
    struct serve *s = v->serve;
    if (s->stopping) return refuse(why);
    list_append(&s->vettings, &v->link);
    v->vet = vet_start(v->served->generation->vm, v->served->model, step, text, v->trail, on_vetted, v);
    return PENDING;
}

void vetting_stop_all(struct serve *s)
{
    struct vet_result stopped = {.status = OVERLOADED};
    refuse(&stopped.problem);
    s->stopping = true;
    while (!list_empty(&s->vettings)) {
        struct vetting *v = container_of(list_shift(&s->vettings), struct vetting, link);
        vet_cancel(v->vet);
        v->done(v, &stopped); /* v is gone */
    }
}
