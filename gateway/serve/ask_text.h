/* serve/ask_text.h -- what handlers ask and what they are told is JSON: keys and views are read from it, documents written as it. */
#ifndef PERIGEE_SERVE_ASK_TEXT_H
#define PERIGEE_SERVE_ASK_TEXT_H

#include "script/ask.h"
#include "serve/document.h"

/* An object of keys, compact, and nothing else. The key may point into it. */
enum status ask_read_key(const struct model *m, struct slice json, struct arena *arena, struct record_key *key,
                         struct problem *why);

/* What an ASK_GET asks for: the documents' keys and view. d->served and d->arena are set. */
enum status ask_read_documents(const struct ask *ask, struct documents *d, struct problem *why);

/* What came of them, in d->arena; their texts stand in the buffer, empty before and not written to as long as they are needed. Whether it
 * overflowed is the caller's to see. */
const struct ask_answer *ask_write_answers(const struct documents *d, struct buffer *text);

#endif
