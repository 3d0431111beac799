/* store/redis_script.h -- what Redis does for us in one step: scripts, each known to the server by its hash once it has seen the text.
 * Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_SCRIPT_H
#define PERIGEE_STORE_REDIS_SCRIPT_H

#include "base/slice.h"

#include <hiredis/hiredis.h>

enum redis_script {
    SCRIPT_PUT,
    SCRIPT_PUT_WHEN,
    SCRIPT_REPLACE,
    SCRIPT_DELETE,
    SCRIPT_DELETE_WHEN,
    SCRIPT_TAKE,
    SCRIPT_KEEP,
    SCRIPT_FILL,
    SCRIPT_DROP,
    SCRIPT_EPOCHS,
    REDIS_SCRIPTS
};

#define REDIS_SCRIPT_ARGUMENTS 105 /* at most, beside the keys */

/* As a command, from the number of keys on in argv: whole (EVAL), or by its hash (EVALSHA). Free both with redisFreeSdsCommand. */
sds redis_script_whole(enum redis_script script, int argc, const struct slice *argv);
sds redis_script_by_hash(enum redis_script script, int argc, const struct slice *argv);

/* The same command, whole: for a server that has forgotten the script. */
sds redis_script_again(enum redis_script script, sds by_hash);

#endif
