/* store/redis_format.h -- a command as it is sent: the number of its words, then each with its length. hiredis would do it by a printf of
 * its own, which is a tenth of what a document costs. Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_FORMAT_H
#define PERIGEE_STORE_REDIS_FORMAT_H

#include "base/slice.h"
#include "store/redis.h"

#include <hiredis/hiredis.h>

#define REDIS_ARGUMENTS (1 + REDIS_MANY_MAX) /* words of a command, at most */

/* Behind what stands in `to`, which is gone: the bytes are in what is returned. */
sds redis_format_append(sds to, int argc, const struct slice *argv);

/* Alone. Free it with redisFreeSdsCommand. */
sds redis_format(int argc, const struct slice *argv);

#endif
