/* serve/admin.h -- the admin plane: /healthz, which is also /livez, /readyz, /metrics, /version, /admin/models, /admin/config, POST /admin/reload, and / for people.
 * Knows how to ask and how to answer; what is true it is told through callbacks, since the gateway stands above. Where there are
 * tokens, all but the first three, which probes ask for, need one that permits `admin`. */
#ifndef PERIGEE_SERVE_ADMIN_H
#define PERIGEE_SERVE_ADMIN_H

#include "base/buffer.h"
#include "base/metrics.h"
#include "serve/access.h"

/* One setting: its name as in a config file, its value as JSON. */
typedef void admin_setting(void *arg, struct slice name, struct slice json);

struct admin {
    void *gateway;
    struct gate gate;
    /* Ready for traffic? Otherwise appends the parts that are not, one "name: why" a line. */
    bool (*ready)(void *gateway, struct buffer *failing);
    void (*metrics)(void *gateway, enum metrics_format format, struct buffer *out);
    /* Ours and those of the libraries, as JSON. */
    void (*version)(void *gateway, struct buffer *out);
    /* Calls back now, once for each setting. No value has a secret in it. */
    void (*settings)(void *gateway, admin_setting *each, void *arg);
    /* What is loaded, as inventory.h has it: JSON, or rows of a table. Borrowed until the next reload. */
    struct slice (*models)(void *gateway, bool table);
    /* Swaps models and tokens; on an error keeps the old ones. Appends the findings, `file:line: message` a line. */
    bool (*reload)(void *gateway, struct buffer *findings);
};

/* http_config.handler; ex->owner is the struct admin. Answers now. */
void admin_request(struct exchange *ex);

#endif
