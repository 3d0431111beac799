/* store/openssl.c -- finds the functions of OPENSSL_MAP in the system's libssl, and in the libcrypto that comes with it. */
#include "store/openssl.h"

#include <pthread.h>
#include <uv.h>

struct openssl openssl;

static uv_lib_t library;
static const char *failure;

static void load(void)
{
    void *function = NULL;
    if (uv_dlopen("libssl.so.3", &library) != 0) {
        failure = uv_dlerror(&library);
        return;
    }
#define X(name)                                                                                                        \
    if (uv_dlsym(&library, #name, &function) == 0) *(void **)&openssl.name = function;                                 \
    else failure = uv_dlerror(&library);
    OPENSSL_MAP(X)
#undef X
}

bool openssl_load(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *why = failure;
    return !failure;
}
