/* script/http_curl.c -- finds the functions of LIBCURL_MAP in the system's libcurl. */
#include "script/http_curl.h"

#include <pthread.h>
#include <uv.h>

#define OLDEST                                                                                                         \
    0x075700 /* 7.87: what we rely on for safety (the schemes of redirects), an older one would not know, and ignore */

struct libcurl libcurl;

static uv_lib_t library;
static const char *failure;

static void load(void)
{
    void *function = NULL;
    if (uv_dlopen("libcurl.so.4", &library) != 0) {
        failure = uv_dlerror(&library);
        return;
    }
#define X(name)                                                                                                        \
    if (uv_dlsym(&library, "curl_" #name, &function) == 0) *(void **)&libcurl.name = function;                         \
    else failure = uv_dlerror(&library);
    LIBCURL_MAP(X)
#undef X
    if (failure) return;

    curl_version_info_data *have = libcurl.version_info(CURLVERSION_NOW);
    if (have->version_num < OLDEST) failure = "libcurl.so.4: older than 7.87";
    else if (!(have->features & CURL_VERSION_ASYNCHDNS)) failure = "libcurl.so.4: blocks while it looks up names";
    else if (libcurl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) failure = "libcurl.so.4: cannot be initialised";
}

bool libcurl_load(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *why = failure;
    return !failure;
}
