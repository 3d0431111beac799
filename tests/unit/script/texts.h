/* Schema files for tests, given as text instead of a folder; and a vm from them. */
#ifndef PERIGEE_TESTS_TEXTS_H
#define PERIGEE_TESTS_TEXTS_H

#include "script/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* { path, text, path, text, ..., NULL } -> sources; the module is the path without ".lua". */
static inline struct sources texts(const char *const *pairs)
{
    struct sources s = {.files = 0};
    arena_init(&s.arena);
    while (pairs[2 * s.files]) s.files++;
    s.file = calloc(s.files + 1, sizeof *s.file);
    for (size_t i = 0; i < s.files; i++) {
        struct slice path = slice_of(pairs[2 * i]);
        s.file[i] = (struct source){arena_dup(&s.arena, path), arena_dup(&s.arena, slice_from(path.p, path.n - 4)),
                                    arena_dup(&s.arena, slice_of(pairs[2 * i + 1]))};
    }
    return s;
}

static inline struct vm *vm_from_sources(struct sources *s, struct buffer *findings)
{
    struct vm_config config = {.prefix = SLICE("test"), .hard_timeout_ms = 1000, .memory_max = 64u << 20};
    buffer_init(findings, 1u << 20);
    struct vm *vm = vm_new(&config, s, findings);
    sources_free(s);
    return vm;
}

/* The vm of one file "m.lua"; the test fails when there are errors. */
static inline struct vm *vm_of_text(const char *text)
{
    struct sources s = texts((const char *const[]){"m.lua", text, NULL});
    struct buffer findings;
    struct vm *vm = vm_from_sources(&s, &findings);
    if (!vm) fail_msg("%.*s", (int)findings.n, findings.p);
    buffer_deinit(&findings);
    return vm;
}

/* What is found in the one file "m.lua", as a string of malloc; warnings count. */
static inline char *findings_of_text(const char *text)
{
    struct sources s = texts((const char *const[]){"m.lua", text, NULL});
    struct buffer findings;
    struct vm *vm = vm_from_sources(&s, &findings);
    if (vm) vm_free(vm);
    char *copy = strndup(buffer_view(&findings).p, findings.n);
    buffer_deinit(&findings);
    return copy;
}

#endif
