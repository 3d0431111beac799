/* serve/method.h -- GET, HEAD, POST and DELETE of a cached method's result, or of a form's method's. */
#ifndef PERIGEE_SERVE_METHOD_H
#define PERIGEE_SERVE_METHOD_H

#include "serve/serve.h"

/* The method of this name of a model or form; NULL, and NOT_FOUND with the nearest name, when it has none. */
struct served *method_find(struct served *owner, struct slice name, struct problem *why);

/* Answers the exchange, now or later. `served` is the method's; `grant` that of the token, NULL: everything is permitted. */
void method_answer(struct exchange *ex, struct served *served, enum operation op, const struct grant *grant);

#endif
