/* script/pattern.c -- string.find, match, gmatch and gsub: backtracking with a budget of steps.
 *
 * Reads downwards: one character against one item; the matcher; captures to Lua; the functions. Over 400 lines, because it is one
 * thing: no part of it is of use without the others. */
#include "script/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STEPS_MAX    10000000 /* of one call; some 50 ms */
#define DEPTH_MAX    200
#define CAPTURES_MAX 32

#define CAPTURE_OPEN     (-1)
#define CAPTURE_POSITION (-2)

typedef unsigned char byte;

struct match {
    lua_State *L;
    const byte *text, *end; /* the subject */
    const byte *pattern_end;
    uint32_t steps; /* left */
    int depth;
    int captures;
    struct {
        const byte *at;
        ptrdiff_t n; /* or CAPTURE_OPEN, CAPTURE_POSITION */
    } capture[CAPTURES_MAX];
};

/* Raises at the author's line: the nearest function that comes from a file. */
static void raise(lua_State *L, const char *what)
{
    lua_Debug frame = {.source = ""};
    for (int level = 0; frame.source[0] != '@' && lua_getstack(L, level, &frame); level++) lua_getinfo(L, "Sl", &frame);
    if (frame.source[0] == '@') lua_pushfstring(L, "%s:%d: %s", frame.short_src, frame.currentline, what);
    else lua_pushstring(L, what);
    lua_error(L);
}

static void spend(struct match *m, size_t steps)
{
    if (m->steps < steps) raise(m->L, "pattern too complex for a text of this length");
    m->steps -= (uint32_t)steps;
}

/* --- one item ----------------------------------------------------------------------------------------------------- */

/* The end of the item that begins at p: a character, '.', a class or a set. */
static const byte *item_end(struct match *m, const byte *p)
{
    if (*p == '%') {
        if (p + 1 == m->pattern_end) raise(m->L, "malformed pattern (ends with '%')");
        return p + 2;
    }
    if (*p != '[') return p + 1;
    p++;
    if (p < m->pattern_end && *p == '^') p++;
    do { /* a ']' at the first place stands for itself */
        if (p == m->pattern_end) raise(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end) p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(byte c, byte class)
{
    bool is;
    switch (tolower(class)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break;
    default: return class == c;
    }
    return isupper(class) ? !is : is;
}

/* p: the '[', last: its ']'. */
static bool in_set(byte c, const byte *p, const byte *last)
{
    bool inside = true;
    if (*++p == '^') inside = false, p++;
    for (; p < last; p++) {
        if (*p == '%') {
            if (in_class(c, *++p)) return inside;
        } else if (p[1] == '-' && p + 2 < last) {
            if (p[0] <= c && c <= p[2]) return inside;
            p += 2;
        } else if (*p == c) {
            return inside;
        }
    }
    return !inside;
}

/* Whether the character at s is one of the item p..item_end. */
static bool fits(struct match *m, const byte *s, const byte *p, const byte *end)
{
    spend(m, 1 + (size_t)(end - p) / 8); /* a set is searched */
    if (s == m->end) return false;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(*s, p[1]);
    case '[': return in_set(*s, p, end - 1);
    default: return *p == *s;
    }
}

/* --- the matcher -------------------------------------------------------------------------------------------------- */

/* The end of the match of the pattern's rest `p` at `s`, or NULL. */
static const byte *match_rest(struct match *m, const byte *s, const byte *p);

/* item*: as many as fit, then fewer. */
static const byte *match_most(struct match *m, const byte *s, const byte *item, const byte *end, size_t least)
{
    size_t n = 0;
    while (fits(m, s + n, item, end)) n++;
    for (;; n--) {
        if (n < least) return NULL;
        const byte *found = match_rest(m, s + n, end + 1);
        if (found) return found;
        if (n == 0) return NULL;
    }
}

/* item-: as few as will do. */
static const byte *match_least(struct match *m, const byte *s, const byte *item, const byte *end)
{
    for (;; s++) {
        const byte *found = match_rest(m, s, end + 1);
        if (found) return found;
        if (!fits(m, s, item, end)) return NULL;
    }
}

/* %bxy: from x to its y. */
static const byte *match_balance(struct match *m, const byte *s, const byte *p)
{
    if (m->pattern_end - p < 2) raise(m->L, "unbalanced pattern");
    if (s == m->end || *s != p[0]) return NULL;
    for (size_t open = 1; ++s < m->end;) {
        spend(m, 1);
        if (*s == p[1]) {
            if (--open == 0) return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* %f[set]: the character before is not in the set, the one here is; the text's borders count as NUL. Returns the pattern
 * after it, or NULL. */
static const byte *match_frontier(struct match *m, const byte *s, const byte *p)
{
    if (p == m->pattern_end || *p != '[') raise(m->L, "missing '[' after '%f' in pattern");
    const byte *end = item_end(m, p);
    spend(m, (size_t)(end - p) / 4); /* the set is searched twice */
    byte before = s == m->text ? 0 : s[-1], here = s == m->end ? 0 : *s;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1) ? end : NULL;
}

static const byte *match_capture(struct match *m, const byte *s, const byte *p)
{
    bool position = p + 1 < m->pattern_end && p[1] == ')';
    if (m->captures == CAPTURES_MAX) raise(m->L, "too many captures");
    m->capture[m->captures].at = s;
    m->capture[m->captures].n = position ? CAPTURE_POSITION : CAPTURE_OPEN;
    m->captures++;
    const byte *found = match_rest(m, s, p + (position ? 2 : 1));
    if (!found) m->captures--;
    return found;
}

static const byte *match_capture_end(struct match *m, const byte *s, const byte *p)
{
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].n != CAPTURE_OPEN) i--;
    if (i < 0) raise(m->L, "invalid pattern capture");
    m->capture[i].n = s - m->capture[i].at;
    const byte *found = match_rest(m, s, p + 1);
    if (!found) m->capture[i].n = CAPTURE_OPEN;
    return found;
}

/* %1: what the capture held, again. Returns the subject after it, or NULL. */
static const byte *match_again(struct match *m, const byte *s, byte digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].n == CAPTURE_OPEN) raise(m->L, "invalid capture index");
    ptrdiff_t n = m->capture[i].n;
    if (n < 0 || m->end - s < n) return NULL;
    spend(m, (size_t)n / 16);
    return memcmp(m->capture[i].at, s, (size_t)n) == 0 ? s + n : NULL;
}

static const byte *match_step(struct match *m, const byte *s, const byte *p)
{
    for (;;) {
        spend(m, 1);
        if (p == m->pattern_end) return s;
        if (*p == '(') return match_capture(m, s, p);
        if (*p == ')') return match_capture_end(m, s, p);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->end ? s : NULL;
        if (*p == '%' && p + 1 < m->pattern_end) {
            if (p[1] == 'b') {
                if (!(s = match_balance(m, s, p + 2))) return NULL;
                p += 4;
                continue;
            }
            if (p[1] == 'f') {
                if (!(p = match_frontier(m, s, p + 2))) return NULL;
                continue;
            }
            if (isdigit(p[1])) {
                if (!(s = match_again(m, s, p[1]))) return NULL;
                p += 2;
                continue;
            }
        }
        const byte *end = item_end(m, p);
        byte quantifier = end < m->pattern_end ? *end : 0;
        if (quantifier == '*') return match_most(m, s, p, end, 0);
        if (quantifier == '+') return match_most(m, s, p, end, 1);
        if (quantifier == '-') return match_least(m, s, p, end);
        bool fit = fits(m, s, p, end);
        if (quantifier == '?') {
            const byte *found = fit ? match_rest(m, s + 1, end + 1) : NULL;
            if (found) return found;
            p = end + 1;
        } else {
            if (!fit) return NULL;
            s++;
            p = end;
        }
    }
}

static const byte *match_rest(struct match *m, const byte *s, const byte *p)
{
    if (++m->depth > DEPTH_MAX) raise(m->L, "pattern too complex");
    const byte *found = match_step(m, s, p);
    m->depth--;
    return found;
}

/* --- to Lua ------------------------------------------------------------------------------------------------------- */

/* Pushes capture i; where there are none, capture 0 is the whole match. */
static void push_capture(struct match *m, int i, const byte *from, const byte *to)
{
    if (i >= m->captures) {
        if (i > 0) raise(m->L, "invalid capture index");
        lua_pushlstring(m->L, (const char *)from, (size_t)(to - from));
    } else if (m->capture[i].n == CAPTURE_POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->text + 1);
    } else {
        if (m->capture[i].n == CAPTURE_OPEN) raise(m->L, "unfinished capture");
        lua_pushlstring(m->L, (const char *)m->capture[i].at, (size_t)m->capture[i].n);
    }
}

/* `from` NULL: no whole match where there are no captures (string.find). Returns how many. */
static int push_captures(struct match *m, const byte *from, const byte *to)
{
    int n = m->captures == 0 && from ? 1 : m->captures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) push_capture(m, i, from, to);
    return n;
}

static void match_init(struct match *m, lua_State *L, const char *text, size_t n, const byte *pattern_end)
{
    m->L = L;
    m->text = (const byte *)text;
    m->end = m->text + n;
    m->pattern_end = pattern_end;
    m->steps = STEPS_MAX;
    m->depth = m->captures = 0;
}

static const byte *match_at(struct match *m, const byte *s, const byte *pattern)
{
    m->captures = 0;
    return match_rest(m, s, pattern);
}

/* The offset that argument `arg` names: 1-based, from the end when negative; within the text. */
static size_t offset_argument(lua_State *L, int arg, size_t n)
{
    lua_Integer at = luaL_optinteger(L, arg, 1);
    if (at < 0) at += (lua_Integer)n + 1;
    if (at < 1) return 0;
    return (size_t)at - 1 > n ? n : (size_t)at - 1;
}

/* --- the functions ------------------------------------------------------------------------------------------------ */

static int find_plain(lua_State *L, const char *text, size_t n, size_t from, const char *wanted, size_t wanted_n)
{
    const char *found = wanted_n ? memmem(text + from, n - from, wanted, wanted_n) : text + from;
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - text + 1);
    lua_pushinteger(L, found - text + (lua_Integer)wanted_n);
    return 2;
}

static bool has_magic(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] && strchr("^$*+?.([%-", p[i])) return true;
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t n, pattern_n;
    const char *text = luaL_checklstring(L, 1, &n);
    const byte *pattern = (const byte *)luaL_checklstring(L, 2, &pattern_n);
    const byte *pattern_end = pattern + pattern_n;
    size_t from = offset_argument(L, 3, n);
    if (find && (lua_toboolean(L, 4) || !has_magic((const char *)pattern, pattern_n)))
        return find_plain(L, text, n, from, (const char *)pattern, pattern_n);

    struct match m;
    match_init(&m, L, text, n, pattern_end);
    bool anchored = pattern_n > 0 && *pattern == '^';
    for (const byte *s = m.text + from; s <= m.end; s++) {
        const byte *end = match_at(&m, s, pattern + anchored);
        if (end && !find) return push_captures(&m, s, end);
        if (end) {
            lua_pushinteger(L, s - m.text + 1);
            lua_pushinteger(L, end - m.text);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (anchored) break;
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return find_or_match(L, true); }

static int string_match(lua_State *L) { return find_or_match(L, false); }

/* upvalues: subject, pattern, offset of the next try */
static int gmatch_next(lua_State *L)
{
    size_t n, pattern_n;
    const char *text = lua_tolstring(L, lua_upvalueindex(1), &n);
    const byte *pattern = (const byte *)lua_tolstring(L, lua_upvalueindex(2), &pattern_n);
    struct match m;
    match_init(&m, L, text, n, pattern + pattern_n);
    for (const byte *s = m.text + lua_tointeger(L, lua_upvalueindex(3)); s <= m.end; s++) {
        const byte *end = match_at(&m, s, pattern);
        if (!end) continue;
        lua_pushinteger(L, end - m.text + (end == s)); /* past an empty match */
        lua_replace(L, lua_upvalueindex(3));
        return push_captures(&m, s, end);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* Adds the replacement text of argument 3, with %0..%9 replaced by captures. */
static void add_template(struct match *m, luaL_Buffer *b, const byte *from, const byte *to)
{
    size_t n;
    const char *template = lua_tolstring(m->L, 3, &n);
    for (size_t i = 0; i < n; i++) {
        if (template[i] != '%' || i + 1 == n) {
            luaL_addchar(b, template[i]);
            continue;
        }
        char c = template[++i];
        if (!isdigit((byte)c)) {
            luaL_addchar(b, c);
        } else if (c == '0') {
            luaL_addlstring(b, (const char *)from, (size_t)(to - from));
        } else {
            push_capture(m, c - '1', from, to);
            luaL_addvalue(b);
        }
    }
}

static void add_replacement(struct match *m, luaL_Buffer *b, const byte *from, const byte *to)
{
    lua_State *L = m->L;
    if (lua_type(L, 3) != LUA_TTABLE) {
        add_template(m, b, from, to);
        return;
    }
    push_capture(m, 0, from, to);
    lua_rawget(L, 3);
    if (!lua_toboolean(L, -1)) { /* keeps what was there */
        lua_pop(L, 1);
        lua_pushlstring(L, (const char *)from, (size_t)(to - from));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

/* Where a search goes on after a try at s that matched up to `end` (NULL: not). */
static const byte *after_try(const byte *s, const byte *end) { return end && end > s ? end : s + 1; }

/* upvalues: subject, pattern, offset of the next try */
static int matches_next(lua_State *L)
{
    size_t n, pattern_n;
    const char *text = lua_tolstring(L, lua_upvalueindex(1), &n);
    const byte *pattern = (const byte *)lua_tolstring(L, lua_upvalueindex(2), &pattern_n);
    bool anchored = pattern_n > 0 && *pattern == '^';
    struct match m;
    match_init(&m, L, text, n, pattern + pattern_n);
    const byte *s = m.text + lua_tointeger(L, lua_upvalueindex(3)), *end = NULL;
    for (; s <= m.end && !(anchored && s > m.text); s = after_try(s, end)) {
        if (!(end = match_at(&m, s, pattern + anchored))) continue;
        lua_pushinteger(L, after_try(s, end) - m.text);
        lua_replace(L, lua_upvalueindex(3));
        lua_pushinteger(L, s - m.text + 1);
        lua_pushinteger(L, end - m.text);
        return push_captures(&m, s, end) + 2;
    }
    return 0;
}

int pattern_matches(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, matches_next, 3);
    return 1;
}

static int string_gsub(lua_State *L)
{
    size_t n, pattern_n;
    const char *text = luaL_checklstring(L, 1, &n);
    const byte *pattern = (const byte *)luaL_checklstring(L, 2, &pattern_n);
    const byte *pattern_end = pattern + pattern_n;
    int kind = lua_type(L, 3);
    luaL_argcheck(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TTABLE, 3,
                  "string/function/table expected"); /* functions: lua/perigee/gsub.lua */
    lua_Number most = luaL_optnumber(L, 4, (lua_Number)n + 1);
    bool anchored = pattern_n > 0 && *pattern == '^';
    lua_settop(L, 3);

    struct match m;
    luaL_Buffer b;
    match_init(&m, L, text, n, pattern_end);
    luaL_buffinit(L, &b);
    lua_Integer done = 0;
    const byte *s = m.text;
    while ((lua_Number)done < most) {
        const byte *end = match_at(&m, s, pattern + anchored);
        if (end) {
            done++;
            add_replacement(&m, &b, s, end);
        }
        if (end && end > s) s = end;
        else if (s < m.end) luaL_addchar(&b, (char)*s++);
        else break;
        if (anchored) break;
    }
    luaL_addlstring(&b, (const char *)s, (size_t)(m.end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, done);
    return 2;
}

void pattern_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch}, {"gsub", string_gsub}, {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}
