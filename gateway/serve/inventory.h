/* serve/inventory.h -- what is loaded, for who runs the gateway: where a model was declared, under which keys its records stand, how long
 * they are good. As JSON for programs, as a table for people. Pure, like lists.h, which tells clients how to ask. */
#ifndef PERIGEE_SERVE_INVENTORY_H
#define PERIGEE_SERVE_INVENTORY_H

#include "base/buffer.h"
#include "model/registry.h"

/* {"models":[...]}: models, methods and forms in the order of the registry. Durations in seconds; null: for ever. */
void inventory_put(struct buffer *b, const struct registry *r);

/* The same as rows of an HTML table, with a row of headings. */
void inventory_put_table(struct buffer *b, const struct registry *r);

/* Text as it stands in HTML, between tags or in a quoted attribute. */
void inventory_put_html(struct buffer *b, struct slice text);

#endif
