/* base/log.h -- one line an event on stderr: JSON when stderr is no terminal, plain words when it is.
 *
 *     log_warn("redis connection lost", LOG_TEXT("store", url), LOG_NUMBER("retry_ms", 250));
 *
 * A line is at most 4 KiB (longer values are cut) and written with one write(2) that never blocks: when the pipe is
 * full the line is dropped and counted, and the count is told with the next line that fits. Thread-safe.
 * Never log a secret or a request body. */
#ifndef PERIGEE_BASE_LOG_H
#define PERIGEE_BASE_LOG_H

#include "base/slice.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name; /* NULL ends the list */
    struct slice text;
    int64_t number;
    bool is_text;
};

#define LOG_SLICE(k, s)  ((struct log_field){.name = (k), .text = (s), .is_text = true})
#define LOG_TEXT(k, s)   ((struct log_field){.name = (k), .text = slice_of(s), .is_text = true})
#define LOG_NUMBER(k, v) ((struct log_field){.name = (k), .number = (int64_t)(v)})

void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* The trailing {0} ends the list; with no fields write log_info("message", LOG_NONE). */
#define LOG_NONE          ((struct log_field){.name = NULL})
#define log_debug(m, ...) log_write(LOG_DEBUG, (m), (const struct log_field[]){__VA_ARGS__, {.name = NULL}})
#define log_info(m, ...)  log_write(LOG_INFO, (m), (const struct log_field[]){__VA_ARGS__, {.name = NULL}})
#define log_warn(m, ...)  log_write(LOG_WARN, (m), (const struct log_field[]){__VA_ARGS__, {.name = NULL}})
#define log_error(m, ...) log_write(LOG_ERROR, (m), (const struct log_field[]){__VA_ARGS__, {.name = NULL}})

/* "debug", "info", "warn" or "error" -> true and the level set; else false. */
bool log_set_level(struct slice name);

/* Lines dropped since the start. */
uint64_t log_dropped(void);

#endif
