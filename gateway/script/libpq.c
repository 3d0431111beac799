/* script/libpq.c -- finds the functions of LIBPQ_MAP in the system's libpq. */
#include "script/libpq.h"

#include <pthread.h>
#include <uv.h>

struct libpq libpq;

static uv_lib_t library;
static const char *failure;

static void load(void)
{
    void *function = NULL;
    if (uv_dlopen("libpq.so.5", &library) != 0) {
        failure = uv_dlerror(&library);
        return;
    }
#define X(name)                                                                                                        \
    if (uv_dlsym(&library, "PQ" #name, &function) == 0) *(void **)&libpq.name = function;                              \
    else failure = uv_dlerror(&library);
    LIBPQ_MAP(X)
#undef X
}

bool libpq_load(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *why = failure;
    return !failure;
}
