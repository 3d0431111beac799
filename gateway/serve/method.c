/* serve/method.c -- a cached method's result as an answer. */
#include "serve/method.h"

#include "serve/problem.h"

void method_answer(struct exchange *ex, struct served *served, enum operation op)
{
    problem_reply(ex, served, op, &(struct problem){.status = NOT_FOUND}, NULL);
}
