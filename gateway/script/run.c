/* script/run.c -- starts a task for the Lua half, and translates how it ended. */
#include "script/run.h"

#include "base/clock.h"
#include "script/explain.h"
#include "script/task.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

/* --- words -------------------------------------------------------------------------------------------------------- */

/* Whose failure it is: "the loader of model `User`". */
static void put_culprit(const struct run *r, char *out, size_t max)
{
    static const char *const loaders[] = {[MODEL_RECORD] = "the loader of model",
                                          [MODEL_METHOD] = "method",
                                          [MODEL_FORM] = "form",
                                          [MODEL_FORM_METHOD] = "form method"};
    const char *who = r->kind == RUN_VET     ? "`validate` or `tags` of model"
                      : r->kind == RUN_SAVE  ? "`on_save` of model"
                      : r->kind == RUN_CLEAN ? "`clean` of form"
                                             : loaders[r->model->kind];
    snprintf(out, max, "%s `%.*s`", who, SLICE_ARG(r->model->name));
}

struct slice run_text(lua_State *L, int index)
{
    struct slice text = {NULL, 0};
    if (lua_type(L, index) == LUA_TSTRING) text.p = lua_tolstring(L, index, &text.n);
    return text;
}

void run_fail(const struct run *r, struct run_end *end, const char *field, const char *what)
{
    char culprit[2 * MODEL_NAME_MAX + 64];
    put_culprit(r, culprit, sizeof culprit);
    end->status = LOADER_ERROR;
    problem_set(&end->problem, LOADER_ERROR, field, "%s failed%s%s", culprit, what ? ": " : "", what ? what : "");
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void fail_late(const struct run *r, struct run_end *end, bool computing)
{
    char culprit[2 * MODEL_NAME_MAX + 64];
    unsigned long long ms = r->model->options.hard_timeout_ms;
    put_culprit(r, culprit, sizeof culprit);
    end->status = LOADER_TIMEOUT;
    problem_set(&end->problem, LOADER_TIMEOUT, NULL, "%s took longer than %llu ms", culprit, ms);
    buffer_printf(&end->log, "stopped after %llu ms%s", ms, computing ? "" : ", while it waited");
}

/* A failure that the function itself tells: field, words for the client, words for the log. */
static void fail_told(const struct run *r, struct run_end *end)
{
    struct slice field = run_text(end->L, end->first), what = run_text(end->L, end->first + 1);
    run_fail(r, end, field.p, what.p);
    explain_text(&end->log, run_text(end->L, end->first + 2), EXPLAIN_MAX);
}

/* validate's refusal: field and message. */
static void refuse(const struct run *r, struct run_end *end)
{
    struct slice field = run_text(end->L, end->first), message = run_text(end->L, end->first + 1);
    end->status = FIELD_TYPE;
    problem_set(&end->problem, FIELD_TYPE, field.p, "field `%.*s` of model `%.*s`: %.*s", SLICE_ARG(field),
                SLICE_ARG(r->model->name), SLICE_ARG(message));
}

/* The first result says what the others are. */
void run_read(const struct run *r, struct run_end *end)
{
    struct slice outcome = run_text(end->L, end->first++);
    if (slice_eq(outcome, SLICE("done"))) {
        end->status = OK;
    } else if (slice_eq(outcome, SLICE("missing"))) {
        end->status = MISSING;
    } else if (slice_eq(outcome, SLICE("invalid"))) {
        refuse(r, end);
    } else if (slice_eq(outcome, SLICE("failed"))) {
        fail_told(r, end);
    } else {
        assert(slice_eq(outcome, SLICE("raised")));
        run_fail(r, end, NULL, NULL);
        lua_pushvalue(end->L, end->first);
        lua_xmove(end->L, r->vm->L, 1);
        explain_error(&end->log, r->vm->L);
        lua_pop(r->vm->L, 1);
        buffer_char(&end->log, ' ');
        explain_text(&end->log, run_text(end->L, end->first + 1), EXPLAIN_MAX - end->log.n);
    }
}

static void fail_raised(const struct run *r, struct run_end *end)
{
    lua_State *main = r->vm->L;
    run_fail(r, end, NULL, NULL);
    if (!lua_checkstack(main, 8)) abort();
    task_take_error(end->L, main);
    explain_error(&end->log, main);
    lua_pop(main, 1);
}

/* task_done */
static void on_ended(void *owner, enum status status, lua_State *L, int first)
{
    struct run *r = owner;
    struct run_end end = {.L = L, .first = first};
    buffer_init(&end.log, EXPLAIN_MAX);
    if (status == OK) {
        run_read(r, &end);
    } else {
        if (status == LOADER_TIMEOUT) fail_late(r, &end, L != NULL);
        else fail_raised(r, &end);
        if (L) explain_traceback(&end.log, L);
    }
    r->done(r, &end); /* r may be gone */
    buffer_deinit(&end.log);
}

/* --- the start ---------------------------------------------------------------------------------------------------- */

/* task_arguments */
static int push_arguments(void *owner, lua_State *L)
{
    struct run *r = owner;
    luaL_checkstack(L, 8, NULL);
    lua_pushlstring(L, r->model->name.p, r->model->name.n);
    return 1 + r->push(r, L);
}

void run_start(struct run *r, const struct trail *trail)
{
    uint64_t deadline_us = clock_add(clock_mono_us(), r->model->options.hard_timeout_ms * 1000);
    r->trail = trail ? *trail : (struct trail){0};
    r->task = task_start(r->vm, r->vm->run[r->kind], deadline_us, push_arguments, on_ended, r);
    task_set_trail(r->task, &r->trail);
}

void run_cancel(struct run *r) { task_cancel(r->task); }
