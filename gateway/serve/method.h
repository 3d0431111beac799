/* serve/method.h -- GET, HEAD, POST and DELETE of a cached method's result. */
#ifndef PERIGEE_SERVE_METHOD_H
#define PERIGEE_SERVE_METHOD_H

#include "serve/serve.h"

/* Answers the exchange, now or later. `served` is the method's. */
void method_answer(struct exchange *ex, struct served *served, enum operation op);

#endif
