/* What threads share: blobs, metrics, the log, the seed. Little by itself; run it under ThreadSanitizer. */
#include "base/blob.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS 4
#define ROUNDS  2000

static void run_on_all(void *(*body)(void *), void *args, size_t size)
{
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, body, (char *)args + i * size);
    for (size_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

static void *draw(void *hash)
{
    *(uint64_t *)hash = hash_seeded(SLICE("one seed for all"));
    return NULL;
}

static void all_see_one_seed(void **state)
{
    uint64_t hash[THREADS];
    run_on_all(draw, hash, sizeof *hash);
    for (size_t i = 1; i < THREADS; i++) assert_true(hash[i] == hash[0]);
}

static void *pass_blob(void *arg)
{
    struct blob *b = *(struct blob **)arg;
    size_t sum = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct blob *mine = blob_ref(b);
        sum += (unsigned char)mine->p[i % mine->n];
        blob_unref(mine);
    }
    blob_unref(b); /* whichever thread is last frees */
    return (void *)sum;
}

static void the_last_one_frees(void **state)
{
    struct blob *b = blob_copy(SLICE("shared by all")), *refs[THREADS];
    for (size_t i = 0; i < THREADS; i++) refs[i] = blob_ref(b);
    blob_unref(b);
    run_on_all(pass_blob, refs, sizeof *refs);
}

static void *count(void *arg)
{
    struct metrics *m = *(struct metrics **)arg;
    char label[16];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(label, sizeof label, "%d", i % 40);
        counter_add(metrics_counter(m, METRIC_RELOADS, (struct slice[]){slice_of(label)}), 1);
        histogram_add(metrics_histogram(m, METRIC_REQUEST_TIME, (struct slice[]){SLICE("get")}), (uint64_t)i);
    }
    return NULL;
}

static void renders_while_others_count(void **state)
{
    struct metrics *sets[THREADS];
    struct buffer out;
    pthread_t thread[THREADS];
    buffer_init(&out, 1 << 20);
    for (size_t i = 0; i < THREADS; i++) sets[i] = metrics_new();
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, count, &sets[i]);
    for (int i = 0; i < 50; i++) {
        buffer_reset(&out);
        metrics_render(sets, THREADS, METRICS_PROMETHEUS, &out);
        assert_false(out.overflow);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    buffer_reset(&out);
    metrics_render(sets, THREADS, METRICS_PROMETHEUS, &out);
    buffer_char(&out, '\0');
    char expected[80];
    snprintf(expected, sizeof expected, "perigee_request_seconds_count{op=\"get\"} %d\n", THREADS * ROUNDS);
    assert_non_null(strstr(out.p, expected));
    snprintf(expected, sizeof expected, "perigee_reloads_total{result=\"39\"} %d\n", THREADS * ROUNDS / 40);
    assert_non_null(strstr(out.p, expected));
    for (size_t i = 0; i < THREADS; i++) metrics_free(sets[i]);
    buffer_deinit(&out);
}

static void *talk(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) log_info("a line", LOG_TEXT("by", arg), LOG_NUMBER("n", i));
    return NULL;
}

static void *listen_to(void *fd)
{
    FILE *in = fdopen(*(int *)fd, "r");
    char line[8192];
    size_t lines = 0;
    for (; fgets(line, sizeof line, in); lines++) {
        size_t n = strlen(line);
        bool whole = !strncmp(line, "{\"time\":\"", 9) && n > 2 && !strcmp(line + n - 2, "}\n");
        if (!whole || strstr(line + 1, "{\"time\"")) break; /* torn, or two in one */
    }
    lines = feof(in) ? lines : 0;
    fclose(in);
    return (void *)lines;
}

static void every_line_is_whole_or_counted(void **state)
{
    int from[2], real_stderr = dup(STDERR_FILENO);
    char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t listener;
    void *lines;
    uint64_t dropped_before = log_dropped();
    assert_int_equal(pipe(from), 0);
    dup2(from[1], STDERR_FILENO);
    close(from[1]);
    pthread_create(&listener, NULL, listen_to, &from[0]);
    run_on_all(talk, names, sizeof *names);
    dup2(real_stderr, STDERR_FILENO); /* the pipe's last writer goes: end of file */
    close(real_stderr);
    pthread_join(listener, &lines);
    assert_int_equal((size_t)lines + log_dropped() - dropped_before, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_see_one_seed), /* first: nobody has drawn it yet */
        cmocka_unit_test(the_last_one_frees),
        cmocka_unit_test(renders_while_others_count),
        cmocka_unit_test(every_line_is_whole_or_counted),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
