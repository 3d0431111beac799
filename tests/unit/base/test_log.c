/* Log lines, read back from what stands in for stderr: a pipe, open, full or broken, a closed file, a terminal. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define STAMP "2026-11-22T16:40:36.123Z" /* as long as every time stamp */

static int real_stderr;
static int from[2]; /* the pipe behind stderr */
static char line[8192];

static int pipe_as_stderr(void **state)
{
    assert_int_equal(pipe(from), 0);
    assert_true(fcntl(from[1], F_SETPIPE_SZ, 4096) >= 4096);
    dup2(from[1], STDERR_FILENO);
    fcntl(from[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static int real_stderr_again(void **state)
{
    dup2(real_stderr, STDERR_FILENO);
    close(from[0]);
    close(from[1]);
    log_set_level(SLICE("info"));
    return 0;
}

static const char *read_from(int fd)
{
    ssize_t n = read(fd, line, sizeof line - 1);
    line[n < 0 ? 0 : n] = '\0';
    return line;
}

/* What stands behind the time. */
static const char *read_line(void)
{
    static const char head[] = "{\"time\":\"" STAMP "\"";
    read_from(from[0]);
    assert_true(strlen(line) > sizeof head);
    for (size_t i = 0; i < sizeof head - 1; i++)
        assert_true(head[i] == line[i] || (head[i] >= '0' && head[i] <= '9' && line[i] >= '0' && line[i] <= '9'));
    return line + sizeof head - 1;
}

static void writes_json(void **state)
{
    log_warn("connection lost", LOG_TEXT("store", "redis://h"), LOG_NUMBER("retry_ms", -250),
             LOG_SLICE("odd", SLICE("\"\n\xff")));
    assert_string_equal(read_line(), ",\"level\":\"warn\",\"message\":\"connection lost\",\"store\":\"redis://h\","
                                     "\"retry_ms\":-250,\"odd\":\"\\\"\\n\xEF\xBF\xBD\"}\n");
    log_info("started", LOG_NONE);
    assert_string_equal(read_line(), ",\"level\":\"info\",\"message\":\"started\"}\n");
}

static void obeys_the_level(void **state)
{
    log_debug("not told", LOG_NONE);
    assert_string_equal(read_from(from[0]), "");
    assert_true(log_set_level(SLICE("error")));
    log_warn("not told", LOG_NONE);
    assert_string_equal(read_from(from[0]), "");
    assert_false(log_set_level(SLICE("loud")));
    assert_false(log_set_level(SLICE("")));
    assert_true(log_set_level(SLICE("debug")));
    log_debug("told", LOG_NONE);
    assert_string_equal(read_line(), ",\"level\":\"debug\",\"message\":\"told\"}\n");
}

static void cuts_long_values(void **state)
{
    static char text[1 << 20];
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "\xC3\xBC", 2);
    log_info("much", LOG_SLICE("first", slice_from(text, sizeof text)), LOG_SLICE("second", slice_from(text, 5000)),
             LOG_NUMBER("third", INT64_MIN));
    const char *rest = read_line();
    size_t n = strlen(line);
    assert_true(n > 3500 && n <= 4096);
    assert_int_equal(line[n - 1], '\n');
    assert_non_null(strstr(rest, "...\",\"second\":\"\xC3\xBC"));
    assert_non_null(strstr(rest, "...\",\"third\":-9223372036854775808}\n"));
    assert_true(slice_is_utf8(slice_of(line)));
    assert_null(strstr(line, "\xEF\xBF\xBD")); /* cut between characters */
}

static void survives_any_mass_of_fields(void **state)
{
    static char text[3000];
    struct log_field fields[201];
    memset(text, '\x01', sizeof text); /* six times as long when written */
    for (size_t n = 0; n <= 200; n++) {
        for (size_t i = 0; i < n; i++)
            fields[i] = i % 3 ? LOG_NUMBER("number", i) : LOG_SLICE("text", slice_from(text, i * 15 % sizeof text));
        fields[n] = LOG_NONE;
        log_write(LOG_INFO, "many", fields);
        read_line();
        assert_true(strlen(line) <= 4096);
        assert_string_equal(line + strlen(line) - 2, "}\n");
    }
}

static void drops_and_tells(void **state)
{
    uint64_t before = log_dropped();
    size_t written = 0;
    errno = EDOM;
    for (; log_dropped() < before + 3; written++) log_info("filling the pipe", LOG_NUMBER("n", written));
    assert_int_equal(errno, EDOM);
    while (*read_from(from[0])) {
    } /* someone reads again */
    log_info("room", LOG_NONE);
    assert_string_equal(read_line(), ",\"level\":\"info\",\"message\":\"room\",\"dropped\":3}\n");
    log_info("room", LOG_NONE);
    assert_string_equal(read_line(), ",\"level\":\"info\",\"message\":\"room\"}\n");
    assert_int_equal(log_dropped(), before + 3);
}

/* Neither killed by SIGPIPE nor confused; the flags of stderr, which others share, stay as they were. */
static void lives_without_a_reader(void **state)
{
    uint64_t before = log_dropped();
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    close(from[0]);
    log_info("to nobody", LOG_NONE);
    assert_int_equal(log_dropped(), before + 1);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL), flags);
    close(STDERR_FILENO);
    log_info("to nothing", LOG_NONE);
    assert_int_equal(log_dropped(), before + 2);
    dup2(from[1], STDERR_FILENO);
    from[0] = open("/dev/null", O_RDONLY);
}

static void speaks_plainly_on_a_terminal(void **state)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) skip(); /* no /dev/pts here */
    int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    if (screen < 0) skip();
    dup2(screen, STDERR_FILENO);
    log_info("ready to serve", LOG_TEXT("listen", "127.0.0.1:3633"), LOG_NUMBER("models", 3), LOG_TEXT("empty", ""),
             LOG_TEXT("two", "a b"), LOG_TEXT("bell", "\x07\xC2\x9B"));
    read_from(terminal);
    const char *rest = line + sizeof STAMP - 1;
    assert_true(strstr(rest, " info  ready to serve listen=127.0.0.1:3633 models=3 empty=\"\" two=\"a b\" "
                             "bell=\"\\u0007\\u009b\"") == rest);
    close(screen);
    close(terminal);
}

int main(void)
{
#define ON_A_PIPE(test) cmocka_unit_test_setup_teardown(test, pipe_as_stderr, real_stderr_again)
    const struct CMUnitTest tests[] = {
        ON_A_PIPE(writes_json),
        ON_A_PIPE(obeys_the_level),
        ON_A_PIPE(cuts_long_values),
        ON_A_PIPE(survives_any_mass_of_fields),
        ON_A_PIPE(drops_and_tells),
        ON_A_PIPE(speaks_plainly_on_a_terminal),
        ON_A_PIPE(lives_without_a_reader),
    };
    real_stderr = dup(STDERR_FILENO);
    alarm(60); /* a log that blocks must fail here, not hang */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
