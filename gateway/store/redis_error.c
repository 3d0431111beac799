/* store/redis_error.c -- the table of them. */
#include "store/redis_error.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *label;
    const char *word; /* NULL: none of the server's */
    bool down;
} outcomes[REDIS_OUTCOMES] = {
    [OUTCOME_REFUSED] = {"refused", NULL, false},
    [OUTCOME_OVERLOADED] = {"overloaded", NULL, false},
    [OUTCOME_TIMEOUT] = {"timeout", NULL, false},
    [OUTCOME_LOST] = {"lost", NULL, false},
    [OUTCOME_TOO_LONG] = {"too-long", NULL, false},
    [OUTCOME_ERROR] = {"error", NULL, false},
    [OUTCOME_NOSCRIPT] = {"noscript", "NOSCRIPT", false},
    [OUTCOME_WRONGTYPE] = {"wrongtype", "WRONGTYPE", false},
    [OUTCOME_LOADING] = {"loading", "LOADING", true},
    [OUTCOME_BUSY] = {"busy", "BUSY", true}, /* somebody's script has been running for seconds */
    [OUTCOME_MASTERDOWN] = {"masterdown", "MASTERDOWN", true},
    [OUTCOME_NOAUTH] = {"noauth", "NOAUTH", true},
    [OUTCOME_DENIED] = {"denied", "DENIED", true}, /* protected mode */
    [OUTCOME_READONLY] = {"readonly", "READONLY", false},
    [OUTCOME_OOM] = {"oom", "OOM", false},
    [OUTCOME_MISCONF] = {"misconf", "MISCONF", false},
    [OUTCOME_NOREPLICAS] = {"noreplicas", "NOREPLICAS", false},
    [OUTCOME_NOPERM] = {"noperm", "NOPERM", false},
    [OUTCOME_MOVED] = {"moved", "MOVED", false},
    [OUTCOME_ASK] = {"ask", "ASK", false},
    [OUTCOME_TRYAGAIN] = {"tryagain", "TRYAGAIN", false},
    [OUTCOME_CLUSTERDOWN] = {"clusterdown", "CLUSTERDOWN", false},
};

const char *redis_outcome_label(enum redis_outcome outcome) { return outcomes[outcome].label; }

enum redis_outcome redis_outcome_of(const char *word)
{
    for (int i = 0; i < REDIS_OUTCOMES; i++)
        if (outcomes[i].word && strcmp(outcomes[i].word, word) == 0) return (enum redis_outcome)i;
    return OUTCOME_ERROR;
}

bool redis_outcome_is_down(enum redis_outcome outcome) { return outcomes[outcome].down; }

bool redis_outcome_is_astray(enum redis_outcome outcome) { return outcome >= OUTCOME_MOVED; }
