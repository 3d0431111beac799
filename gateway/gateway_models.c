/* gateway_models.c -- the models that are served, and to which tokens: compiled for every worker, swapped by a reload. */
#include "base/log.h"
#include "gateway.h"
#include "gateway_inner.h"
#include "script/http_curl.h"
#include "serve/inventory.h"
#include "tokenfile.h"

/* What the admin plane tells of them: written now, because later they are their workers'. */
static void note_models(struct gateway *g, const struct registry *r)
{
    g->models = r->models;
    g->records = registry_count(r, MODEL_RECORD);
    g->inventory.n = g->inventory_table.n = 0;
    inventory_put(&g->inventory, r);
    inventory_put_table(&g->inventory_table, r);
}

/* Compiles the models once for every worker, from the same bytes. False: findings say why, and nothing is left. */
static bool compile(struct gateway *g, struct vm **vm, struct buffer *findings)
{
    struct sources sources;
    struct problem why;
    if (sources_read(&sources, g->config.dirs.item, g->config.dirs.n, &why) != OK) {
        buffer_printf(findings, "%s\n", why.detail);
        return false;
    }
    struct vm_config config = {.prefix = slice_of(g->config.prefix),
                               .hard_timeout_ms = GATEWAY_HARD_TIMEOUT_MS,
                               .memory_max = GATEWAY_LUA_BYTES};
    size_t made = 0;
    for (; made < g->config.workers; made++) {
        size_t findings_so_far = findings->n;
        vm[made] = vm_new(&config, &sources, findings);
        if (!vm[made]) break;
        if (made) findings->n = findings_so_far; /* every worker would say the same */
    }
    bool whole = made == g->config.workers;
    if (whole && g->models && vm_registry(vm[0])->models == 0) { /* a folder not mounted, a file half written */
        buffer_slice(findings, SLICE("there is no model left below the schema folders\n"));
        whole = false;
    }
    while (!whole && made) vm_free(vm[--made]);
    if (whole) note_models(g, vm_registry(vm[0]));
    if (whole) g->asks_http = sources_mention(&sources, SLICE("http."));
    sources_free(&sources);
    return whole;
}

int gateway_prepare(struct gateway *g, struct vm **vm, struct tokens **tokens, struct buffer *findings)
{
    const char *path = g->config.token_file;
    *tokens = NULL;
    if (path[0] && !(*tokens = tokenfile_load(path, findings))) return 2;
    if (!compile(g, vm, findings)) {
        tokens_unref(*tokens);
        *tokens = NULL;
        return 1;
    }
    if (*tokens) tokenfile_compare(*tokens, path, vm_registry(vm[0]), findings);
    return 0;
}

/* libcurl and its thirty libraries take 5 ms of CPU to load, for which the first handler that asks, and all else on its worker, would wait. So they
 * are loaded here, where nobody does, once workers serve. Whether they can be is the business of who asks. */
void gateway_load_libcurl(const struct gateway *g)
{
    const char *why;
    if (g->asks_http) libcurl_load(&why);
}

void gateway_log_findings(struct slice findings, bool failed)
{
    while (findings.p) {
        struct slice line = slice_cut(&findings, '\n');
        if (line.n == 0) continue;
        log_write(failed ? LOG_ERROR : LOG_WARN, failed ? "not loaded" : "finding",
                  (struct log_field[]){LOG_SLICE("finding", line), LOG_NONE});
    }
}

/* Takes both. */
static void swap(struct gateway *g, struct vm **vm, struct tokens *tokens)
{
    for (size_t i = 0; i < g->workers; i++) worker_swap(g->worker[i], vm[i], tokens);
    gate_set(&g->admin.gate, tokens ? tokens_ref(tokens) : NULL);
    tokens_unref(g->tokens);
    g->tokens = tokens;
    log_info("models reloaded", LOG_NUMBER("models", g->records),
             LOG_NUMBER("tokens", tokens ? tokens_count(tokens) : 0));
}

bool gateway_reload(void *gateway, struct buffer *findings)
{
    struct gateway *g = gateway;
    struct vm *vm[WORKERS_MAX];
    struct tokens *tokens;
    bool swapped = !g->draining && gateway_prepare(g, vm, &tokens, findings) == 0;
    if (g->draining) buffer_slice(findings, SLICE("the gateway is shutting down\n"));
    struct slice result = swapped ? SLICE("ok") : SLICE("failed");
    counter_add(metrics_counter(g->metrics, METRIC_RELOADS, &result), 1);
    if (swapped) swap(g, vm, tokens);
    if (swapped) gateway_load_libcurl(g);
    gateway_log_findings(buffer_view(findings), !swapped);
    return swapped;
}
