/* base/log.c -- one event, one line, one write(2), under one lock.
 *
 * "Never blocks" without O_NONBLOCK, which would change stderr for every process that shares it: poll(2) asks
 * first. A pipe that says yes has room for PIPE_BUF bytes, and a line is no longer than that; the lock keeps
 * our own threads from racing for the room. Another process that fills the same pipe between the two calls
 * can still make us wait. */
#include "base/log.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES  4096
#define FIELD_BYTES 64 /* kept free for each field still to come, so that one long value does not eat the others */
_Static_assert(LINE_BYTES <= PIPE_BUF, "a line goes into a pipe whole");

static const char *const level_name[] = {"debug", "info", "warn", "error"};

static _Atomic int threshold = LOG_INFO;
static _Atomic uint64_t dropped;
static uint64_t dropped_told; /* under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool log_set_level(struct slice name)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (!slice_eq(name, slice_of(level_name[level]))) continue;
        threshold = level;
        return true;
    }
    return false;
}

uint64_t log_dropped(void) { return dropped; }

static void put_time(struct buffer *b)
{
    uint64_t now_ms = clock_date_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    buffer_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                  t.tm_min, t.tm_sec, (int)(now_ms % 1000));
}

/* As JSON, or as much of it as fits and three dots. */
static bool put_quoted(struct buffer *b, struct slice s)
{
    if (s.n <= b->max && json_put_string(b, s)) return true;
    b->overflow = false;
    if (b->max - b->n < sizeof "\"...\"") return false;
    if (s.n > b->max) s.n = b->max;
    b->max -= 3;
    do {
        b->overflow = false;
        s.n = s.n / 8 * 7;
        while (s.n && (s.p[s.n] & 0xC0) == 0x80) s.n--; /* to the start of a character */
    } while (!json_put_string(b, s));
    b->max += 3;
    b->n--; /* the quote, which comes again */
    return buffer_slice(b, SLICE("...\""));
}

/* For people: words without quotes where that is clear. */
static bool put_word(struct buffer *b, struct slice s, char least)
{
    bool clear = s.n > 0;
    for (size_t i = 0; clear && i < s.n; i++)
        clear = s.p[i] >= least && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '\\';
    if (clear && s.n <= b->max - b->n) return buffer_slice(b, s);
    return put_quoted(b, s);
}

static void put_field(struct buffer *b, const struct log_field *f, bool people)
{
    size_t before = b->n;
    b->overflow = false;
    bool fits = people ? buffer_printf(b, " %s=", f->name) : buffer_printf(b, ",\"%s\":", f->name);
    if (fits && !f->is_text) fits = buffer_printf(b, "%lld", (long long)f->number);
    else if (fits) fits = people ? put_word(b, f->text, '!') : put_quoted(b, f->text);
    if (!fits) b->n = before;
    b->overflow = false;
}

/* Sets the maximum so that `later` more fields and the end of the line still fit. */
static void leave_room(struct buffer *b, size_t later)
{
    size_t keep = later * FIELD_BYTES + sizeof "}" /* brace and newline */;
    b->max = keep < LINE_BYTES && LINE_BYTES - keep > b->n ? LINE_BYTES - keep : b->n;
}

static void put_head(struct buffer *b, enum log_level level, bool people)
{
    buffer_slice(b, people ? SLICE("") : SLICE("{\"time\":\""));
    put_time(b);
    buffer_printf(b, people ? " %-5s" : "\",\"level\":\"%s\"", level_name[level]);
}

static void put_message(struct buffer *b, const char *message, bool people)
{
    if (!people) {
        put_field(b, &LOG_TEXT("message", message), people);
        return;
    }
    buffer_char(b, ' ');
    put_word(b, slice_of(message), ' ');
}

static void put_line(struct buffer *b, enum log_level level, const char *message, const struct log_field *fields,
                     bool people)
{
    struct log_field lost = LOG_NUMBER("dropped", dropped - dropped_told);
    size_t later = lost.number != 0;
    for (const struct log_field *f = fields; f->name; f++) later++;
    put_head(b, level, people);
    leave_room(b, later);
    put_message(b, message, people);
    for (const struct log_field *f = fields; f->name; f++) {
        leave_room(b, --later);
        put_field(b, f, people);
    }
    if (lost.number) {
        leave_room(b, 0);
        put_field(b, &lost, people);
    }
    b->max = LINE_BYTES;
    buffer_slice(b, people ? SLICE("\n") : SLICE("}\n"));
}

/* True when all of the line has gone. A pipe without a reader is not ready for us either: POLLERR. */
static bool write_now(struct slice line)
{
    struct pollfd err = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&err, 1, 0) != 1 || err.revents != POLLOUT) return false;
    ssize_t n;
    do n = write(STDERR_FILENO, line.p, line.n);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)line.n;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if ((int)level < threshold) return;
    int saved = errno;
    char bytes[LINE_BYTES + 1];
    struct buffer line = {.p = bytes, .cap = LINE_BYTES, .max = LINE_BYTES}; /* full before it would grow */
    pthread_mutex_lock(&lock);
    put_line(&line, level, message, fields, isatty(STDERR_FILENO));
    uint64_t telling = dropped;
    if (write_now(buffer_view(&line))) dropped_told = telling;
    else dropped++;
    pthread_mutex_unlock(&lock);
    errno = saved;
}
