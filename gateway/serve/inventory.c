/* serve/inventory.c -- one list of columns, which both texts are made of. */
#include "serve/inventory.h"

#include "base/clock.h"
#include "base/json.h"
#include "serve/schema.h"

#include <stddef.h>

static const char *const kind_name[] = {
    [MODEL_RECORD] = "model", [MODEL_METHOD] = "method", [MODEL_FORM] = "form", [MODEL_FORM_METHOD] = "form method"};

/* What a model says of time: a member, a column, and where it stands in struct model_options. */
static const struct duration {
    const char *member, *heading;
    size_t offset;
} durations[] = {
    {"expires", "expires", offsetof(struct model_options, expires_ms)},
    {"stale_while_revalidate", "stale while revalidate", offsetof(struct model_options, stale_while_revalidate_ms)},
    {"stale_if_error", "stale if error", offsetof(struct model_options, stale_if_error_ms)},
    {"negative", "negative", offsetof(struct model_options, negative_ms)},
    {"hard_timeout", "hard timeout", offsetof(struct model_options, hard_timeout_ms)},
};
#define DURATIONS (sizeof durations / sizeof *durations)

static uint64_t duration_of(const struct model *m, const struct duration *d)
{
    return *(const uint64_t *)((const char *)&m->options + d->offset);
}

/* Of a form only the methods' results are. */
static bool is_stored(const struct model *m) { return m->kind != MODEL_FORM; }

/* -- for programs -- */

static void put_model(struct buffer *b, const struct model *m)
{
    jot(b, "{'name':'%.*s','kind':'%s','declared':", SLICE_ARG(m->name), kind_name[m->kind]);
    struct buffer place;
    buffer_init(&place, 8192);
    buffer_printf(&place, "%.*s:%d", SLICE_ARG(m->file), m->line);
    json_put_string(b, buffer_view(&place));
    buffer_deinit(&place);
    buffer_slice(b, SLICE(",\"keys\":"));
    if (is_stored(m)) json_put_string(b, m->key_prefix);
    else buffer_slice(b, SLICE("null"));
    jot(b, ",'loads':%s,'max_loads':%u", m->loads ? "true" : "false", m->options.max_loads);
    for (size_t i = 0; i < DURATIONS; i++) {
        uint64_t ms = duration_of(m, &durations[i]);
        jot(b, ",'%s':", durations[i].member);
        if (ms == CLOCK_NEVER) buffer_slice(b, SLICE("null"));
        else json_put_double(b, (double)ms / 1000);
    }
    buffer_char(b, '}');
}

void inventory_put(struct buffer *b, const struct registry *r)
{
    bool first = true;
    jot(b, "{'models':[");
    for (size_t i = 0; i < r->models; i++) {
        jot_comma(b, &first);
        put_model(b, r->model[i]);
    }
    jot(b, "]}");
}

/* -- for people -- */

void inventory_put_html(struct buffer *b, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '&': buffer_slice(b, SLICE("&amp;")); break;
        case '<': buffer_slice(b, SLICE("&lt;")); break;
        case '>': buffer_slice(b, SLICE("&gt;")); break;
        case '"': buffer_slice(b, SLICE("&quot;")); break;
        default: buffer_char(b, text.p[i]);
        }
    }
}

static void put_row(struct buffer *b, const struct model *m)
{
    buffer_printf(b, "<tr><th scope=\"row\">%.*s</th><td>%s</td><td>", SLICE_ARG(m->name), kind_name[m->kind]);
    inventory_put_html(b, m->file);
    buffer_printf(b, ":%d</td><td><code>", m->line);
    if (is_stored(m)) inventory_put_html(b, m->key_prefix);
    buffer_printf(b, "</code></td><td>%s</td>", m->loads ? "yes" : "no");
    for (size_t i = 0; i < DURATIONS; i++) {
        uint64_t ms = duration_of(m, &durations[i]);
        if (ms == CLOCK_NEVER) buffer_slice(b, SLICE("<td>never</td>"));
        else if (ms == 0) buffer_slice(b, SLICE("<td></td>"));
        else buffer_printf(b, "<td>%g s</td>", (double)ms / 1000);
    }
    buffer_slice(b, SLICE("</tr>\n"));
}

void inventory_put_table(struct buffer *b, const struct registry *r)
{
    buffer_slice(b, SLICE("<tr><th>name</th><th>kind</th><th>declared</th><th>stored below</th><th>loads</th>"));
    for (size_t i = 0; i < DURATIONS; i++) buffer_printf(b, "<th>%s</th>", durations[i].heading);
    buffer_slice(b, SLICE("</tr>\n"));
    for (size_t i = 0; i < r->models; i++) put_row(b, r->model[i]);
}
