/* serve/admin.c -- the admin plane: each page is a row of a table, and a function that writes it. */
#include "serve/admin.h"

#include "base/json.h"
#include "serve/inventory.h"
#include "serve/problem.h"

#define ADMIN_BYTES_MAX (16 << 20)

static void send_text(struct exchange *ex, int status, const char *type, struct buffer *body)
{
    reply_begin(&ex->reply, status);
    reply_header(&ex->reply, "Content-Type", slice_of(type));
    reply_header(&ex->reply, "Cache-Control", SLICE("no-store"));
    reply_body(&ex->reply, arena_dup(&ex->arena, buffer_view(body)), NULL);
}

static void send_problem(struct exchange *ex, enum status status, const char *allow, const char *detail)
{
    struct problem p;
    problem_set(&p, status, NULL, "%s", detail);
    problem_fill(ex, &p, NULL, NULL);
    if (allow) reply_header(&ex->reply, "Allow", slice_of(allow));
}

static void answer_healthz(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    buffer_slice(body, SLICE("ok\n"));
    send_text(ex, 200, "text/plain; charset=utf-8", body);
}

static void answer_readyz(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    bool ready = a->ready(a->gateway, body);
    if (ready) buffer_slice(body, SLICE("ready\n"));
    send_text(ex, ready ? 200 : 503, "text/plain; charset=utf-8", body);
}

/* Who names OpenMetrics at all can read it; whoever scrapes names what it likes best first, and that is OpenMetrics wherever it is known. */
static bool wants_open(struct slice accept)
{
    while (accept.p) {
        struct slice range = slice_cut(&accept, ','), type = slice_trim(slice_cut(&range, ';'));
        if (slice_ieq(type, SLICE("application/openmetrics-text"))) return true;
    }
    return false;
}

static void answer_metrics(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    bool open = wants_open(http_request_header(&ex->request, "accept"));
    a->metrics(a->gateway, open ? METRICS_OPEN : METRICS_PROMETHEUS, body);
    send_text(ex, 200,
              open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                   : "text/plain; version=0.0.4; charset=utf-8",
              body);
    reply_header(&ex->reply, "Vary", SLICE("Accept"));
}

static void answer_version(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    a->version(a->gateway, body);
    send_text(ex, 200, "application/json", body);
}

static void answer_models(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    buffer_slice(body, a->models(a->gateway, false));
    send_text(ex, 200, "application/json", body);
}

/* -- settings -- */

static void put_member(void *arg, struct slice name, struct slice json)
{
    struct buffer *body = arg;
    buffer_char(body, body->n ? ',' : '{');
    json_put_string(body, name);
    buffer_char(body, ':');
    buffer_slice(body, json);
}

static void answer_config(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    a->settings(a->gateway, put_member, body);
    buffer_char(body, '}');
    send_text(ex, 200, "application/json", body);
}

/* -- the page for people: no script, nothing from elsewhere -- */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Perigee</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}th,td{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid #ddd;"
    "vertical-align:top}h2{margin-top:1.6em}.ready{color:#176a2b}.failing{color:#a11}"
    "div{overflow-x:auto}</style></head><body>\n<h1>Perigee " PERIGEE_VERSION "</h1>\n";

static void put_setting_row(void *arg, struct slice name, struct slice json)
{
    struct buffer *body = arg;
    buffer_printf(body, "<tr><th scope=\"row\">%.*s</th><td><code>", SLICE_ARG(name));
    inventory_put_html(body, json);
    buffer_slice(body, SLICE("</code></td></tr>\n"));
}

static void put_state(struct buffer *body, const struct admin *a)
{
    struct buffer failing;
    buffer_init(&failing, ADMIN_BYTES_MAX / 4);
    if (a->ready(a->gateway, &failing)) buffer_slice(body, SLICE("<p class=\"ready\">ready</p>\n"));
    for (struct slice rest = buffer_view(&failing); rest.n;) {
        buffer_slice(body, SLICE("<p class=\"failing\">"));
        inventory_put_html(body, slice_cut(&rest, '\n'));
        buffer_slice(body, SLICE("</p>\n"));
    }
    buffer_deinit(&failing);
}

static void answer_page(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    buffer_slice(body, slice_of(page_head));
    put_state(body, a);
    buffer_slice(body, SLICE("<h2>Models</h2>\n<div><table>\n"));
    buffer_slice(body, a->models(a->gateway, true));
    buffer_slice(body, SLICE("</table></div>\n<h2>Settings</h2>\n<table>\n"));
    a->settings(a->gateway, put_setting_row, body);
    buffer_slice(body,
                 SLICE("</table>\n<p><a href=\"/metrics\">/metrics</a> <a href=\"/readyz\">/readyz</a> <a "
                       "href=\"/version\">/version</a> "
                       "<a href=\"/admin/models\">/admin/models</a> <a href=\"/admin/config\">/admin/config</a></p>\n"
                       "</body></html>\n"));
    send_text(ex, 200, "text/html; charset=utf-8", body);
    reply_header(&ex->reply, "Content-Security-Policy",
                 SLICE("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"));
}

/* -- reload -- */

static void put_findings(struct buffer *out, struct slice findings)
{
    bool first = true;
    while (findings.p) {
        struct slice line = slice_cut(&findings, '\n');
        if (line.n == 0) continue;
        if (!first) buffer_char(out, ',');
        first = false;
        json_put_string(out, line);
    }
}

static void answer_reload(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    struct buffer findings;
    buffer_init(&findings, ADMIN_BYTES_MAX / 4);
    bool swapped = a->reload(a->gateway, &findings);
    buffer_printf(body, "{\"reloaded\":%s,\"findings\":[", swapped ? "true" : "false");
    put_findings(body, buffer_view(&findings));
    buffer_slice(body, SLICE("]}"));
    send_text(ex, swapped ? 200 : 422, "application/json", body);
    buffer_deinit(&findings);
}

static const struct page {
    const char *path;
    bool post, open; /* open: to whoever asks, tokens or not */
    void (*answer)(struct exchange *ex, const struct admin *a, struct buffer *body);
} pages[] = {
    {"/healthz", false, true, answer_healthz},      {"/livez", false, true, answer_healthz},
    {"/readyz", false, true, answer_readyz},        {"/metrics", false, false, answer_metrics},
    {"/version", false, false, answer_version},     {"/", false, false, answer_page},
    {"/admin/models", false, false, answer_models}, {"/admin/config", false, false, answer_config},
    {"/admin/reload", true, false, answer_reload},
};

/* Otherwise the refusal stands in ex->reply. */
static bool admitted(struct exchange *ex, struct admin *a, const struct page *page)
{
    static const struct need need = {.permissions = PERMIT_ADMIN};
    const struct grant *grant;
    return !a->gate.tokens || (page && page->open) || gate_check(&a->gate, ex, &need, &grant) == OK;
}

/* A browser tells with every POST which site's page made it; a page of another site has no business here. */
static bool is_of_another_site(const struct http_request *request)
{
    struct slice rest = http_request_header(request, "origin"), host = http_request_header(request, "host");
    if (!rest.p) return false;
    slice_cut(&rest, ':');
    return !slice_starts(rest, SLICE("//")) || !slice_eq(slice_skip(rest, 2), host);
}

void admin_request(struct exchange *ex)
{
    const struct page *page = NULL;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (slice_eq(ex->request.path, slice_of(pages[i].path))) page = &pages[i];
    bool reads = ex->request.method == METHOD_GET || ex->request.method == METHOD_HEAD;
    bool posts = ex->request.method == METHOD_POST;
    if (!admitted(ex, ex->owner, page)) {
        exchange_reply(ex);
        return;
    }
    if (!page) {
        send_problem(
            ex, NOT_FOUND, NULL,
            "there are /, /healthz, /livez, /readyz, /metrics, /version, /admin/models, /admin/config and POST "
            "/admin/reload");
    } else if (page->post ? !posts : !reads) {
        send_problem(ex, METHOD_NOT_ALLOWED, page->post ? "POST" : "GET, HEAD", "this page takes another method");
    } else if (page->post && is_of_another_site(&ex->request)) {
        send_problem(ex, FORBIDDEN, NULL, "a page of another site cannot ask for this");
    } else {
        struct buffer body;
        buffer_init(&body, ADMIN_BYTES_MAX);
        page->answer(ex, ex->owner, &body);
        buffer_deinit(&body);
    }
    exchange_reply(ex);
}
