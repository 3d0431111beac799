/* script/sqlite_statement.h -- one connection: opening the file, running one query on it. Blocks; for the thread pool. */
#ifndef PERIGEE_SCRIPT_SQLITE_STATEMENT_H
#define PERIGEE_SCRIPT_SQLITE_STATEMENT_H

#include "script/sqlite_pool.h"

#include <sqlite3.h>
#include <stdatomic.h>

struct sqlite_session {
    sqlite3 *db;          /* NULL: not open */
    struct list prepared; /* struct statement, the latest used last */
    size_t n_prepared;
    _Atomic bool stop; /* set from the loop's thread: give up soon */
    uint64_t deadline_us;
};

void sqlite_session_init(struct sqlite_session *s);
void sqlite_session_close(struct sqlite_session *s);

/* Fills the second part of q. */
void sqlite_session_run(struct sqlite_session *s, struct sqlite_query *q);

#endif
