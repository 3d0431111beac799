/* UNDER_TSAN: is this a build with ThreadSanitizer? It holds signals back while no instrumented code runs, so nothing there stops
 * a handler that computes. */
#ifndef PERIGEE_TESTS_UNDER_TSAN_H
#define PERIGEE_TESTS_UNDER_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#endif
