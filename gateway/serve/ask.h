/* serve/ask.h -- answers what handlers ask (script/ask.h), by the same ways that serve requests: documents, saving, call, fetch. */
#ifndef PERIGEE_SERVE_ASK_H
#define PERIGEE_SERVE_ASK_H

#include "script/ask.h"
#include "serve/serve.h"

/* The functions by which the worker's host reaches this service; give it to script_host_set_gateway. */
struct ask_gateway ask_gateway_of(struct serve *s);

#endif
