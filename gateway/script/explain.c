/* script/explain.c -- bytes that strangers have chosen, made fit for one line of the log. */
#include "script/explain.h"

#include "script/problem.h"

#include <lauxlib.h>
#include <stdio.h>

#define FRAMES_MAX 10

void explain_text(struct buffer *out, struct slice text, size_t max)
{
    size_t n = text.n < max ? text.n : max;
    while (n < text.n && n > 0 && (text.p[n] & 0xC0) == 0x80) n--;
    bool utf8 = slice_is_utf8(slice_from(text.p, n)), space = true;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = c > ' ' && c != 0x7f;
        if (plain) buffer_char(out, c >= 0x80 && !utf8 ? '?' : (char)c);
        if (!plain && !space) buffer_char(out, ' ');
        space = !plain;
    }
}

void explain_error(struct buffer *out, lua_State *main)
{
    struct slice text;
    int top = lua_gettop(main);
    if (problem_push_text(main, -1) || lua_type(main, -1) == LUA_TSTRING) {
        text.p = lua_tolstring(main, -1, &text.n);
        explain_text(out, text, EXPLAIN_ERROR);
    } else if (lua_type(main, -1) == LUA_TNUMBER) {
        buffer_printf(out, "%.14g", lua_tonumber(main, -1));
    } else {
        buffer_printf(out, "the handler raised a %s value", luaL_typename(main, -1));
    }
    lua_settop(main, top);
}

static bool is_authors(const lua_Debug *frame) { return frame->source[0] == '@'; /* of ours and of C: "=" */ }

void explain_traceback(struct buffer *out, lua_State *L)
{
    lua_Debug frame;
    const char *before = " | at ";
    for (int level = 0, shown = 0; shown < FRAMES_MAX && lua_getstack(L, level, &frame); level++) {
        char text[160];
        lua_getinfo(L, "Snl", &frame);
        if (!is_authors(&frame)) continue;
        snprintf(text, sizeof text, "%s:%d%s%s", frame.short_src, frame.currentline, frame.name ? " in " : "",
                 frame.name ? frame.name : "");
        buffer_slice(out, slice_of(before));
        explain_text(out, slice_of(text), out->n < EXPLAIN_MAX ? EXPLAIN_MAX - out->n : 0);
        before = ", ";
        shown++;
    }
}
