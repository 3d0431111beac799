/* script/http_curl.h -- libcurl, loaded when models speak of `http.`, else when a handler first asks over HTTP: it brings some thirty libraries
 * with it, and a gateway that does not need them has them neither in memory nor to be installed. */
#ifndef PERIGEE_SCRIPT_HTTP_CURL_H
#define PERIGEE_SCRIPT_HTTP_CURL_H

#include <curl/curl.h>
#include <stdbool.h>

/* clang-format off */
#define LIBCURL_MAP(X)                                                                                                  \
    X(easy_cleanup) X(easy_getinfo) X(easy_init) X(easy_perform) X(easy_reset) X(easy_setopt) X(easy_strerror) X(free) X(global_init)   \
    X(multi_add_handle) X(multi_assign) X(multi_cleanup) X(multi_info_read) X(multi_init) X(multi_remove_handle)        \
    X(multi_setopt) X(multi_socket_action) X(slist_append) X(slist_free_all) X(url) X(url_cleanup) X(url_get)           \
    X(url_set) X(url_strerror) X(version_info)
/* clang-format on */

/* libcurl.easy_init() is curl_easy_init(), and so on. No option's type is checked so: a number is written as a long. */
struct libcurl {
#define X(name) __typeof__(&curl_##name) name;
    LIBCURL_MAP(X)
#undef X
};

extern struct libcurl libcurl; /* good for use once libcurl_load has said so */

/* Loads the library at the first call, from whatever thread; false, and why, when there is none that will do. It stays loaded. */
bool libcurl_load(const char **why);

#endif
