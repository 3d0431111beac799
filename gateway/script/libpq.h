/* script/libpq.h -- PostgreSQL's client library, loaded when a schema first says `postgres(...)`: who does not, needs it neither
 * installed nor in memory. */
#ifndef PERIGEE_SCRIPT_LIBPQ_H
#define PERIGEE_SCRIPT_LIBPQ_H

#include <libpq-fe.h>
#include <stdbool.h>

/* clang-format off */
#define LIBPQ_MAP(X)                                                                                                   \
    X(clear) X(cmdTuples) X(connectPoll) X(connectStartParams) X(conninfoFree) X(conninfoParse) X(consumeInput)        \
    X(errorMessage) X(finish) X(flush) X(fname) X(freemem) X(ftype) X(getResult) X(getisnull) X(getlength) X(getvalue) \
    X(isBusy) X(nfields) X(notifies) X(nparams) X(ntuples) X(paramtype) X(resultErrorField) X(resultStatus)            \
    X(sendDescribePrepared) X(sendPrepare) X(sendQuery) X(sendQueryPrepared) X(serverVersion) X(setNoticeReceiver)     \
    X(setSingleRowMode) X(setnonblocking) X(socket) X(status) X(transactionStatus) X(unescapeBytea)
/* clang-format on */

/* libpq.finish(pg) is PQfinish(pg), and so on. */
struct libpq {
#define X(name) __typeof__(&PQ##name) name;
    LIBPQ_MAP(X)
#undef X
};

extern struct libpq libpq; /* good for use once libpq_load has said so */

/* Loads the library at the first call, from whatever thread; false, and why, when there is none. It stays loaded. */
bool libpq_load(const char **why);

#endif
