/* serve/admin.c -- the admin plane. */
#include "serve/admin.h"

#include "base/json.h"
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

static void answer_metrics(struct exchange *ex, const struct admin *a, struct buffer *body)
{
    a->metrics(a->gateway, body);
    send_text(ex, 200, "text/plain; version=0.0.4; charset=utf-8", body);
}

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
    {"/healthz", false, true, answer_healthz},
    {"/readyz", false, true, answer_readyz},
    {"/metrics", false, false, answer_metrics},
    {"/admin/reload", true, false, answer_reload},
};

/* Otherwise the refusal stands in ex->reply. */
static bool admitted(struct exchange *ex, struct admin *a, const struct page *page)
{
    static const struct need need = {.permissions = PERMIT_ADMIN};
    const struct grant *grant;
    return !a->gate.tokens || (page && page->open) || gate_check(&a->gate, ex, &need, &grant) == OK;
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
        send_problem(ex, NOT_FOUND, NULL, "there are /healthz, /readyz, /metrics and POST /admin/reload");
    } else if (page->post ? !posts : !reads) {
        send_problem(ex, METHOD_NOT_ALLOWED, page->post ? "POST" : "GET, HEAD", "this page takes another method");
    } else {
        struct buffer body;
        buffer_init(&body, ADMIN_BYTES_MAX);
        page->answer(ex, ex->owner, &body);
        buffer_deinit(&body);
    }
    exchange_reply(ex);
}
