/* http/request.h -- one parsed and vetted HTTP/1.x request. All slices live in the exchange's arena. */
#ifndef PERIGEE_HTTP_REQUEST_H
#define PERIGEE_HTTP_REQUEST_H

#include "base/slice.h"

#include <stdint.h>

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_PUT,
    METHOD_POST,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_CONNECT,
    METHOD_OTHER, /* a method the parser knows and we do not serve (LINK, PROPFIND, ...) */
};

struct http_header {
    struct slice name;  /* as sent */
    struct slice value; /* trimmed; visible ASCII, SP, HTAB and obs-text only */
};

#define HTTP_HEADERS_MAX 64

struct http_request {
    enum http_method method;
    uint8_t minor;   /* HTTP/1.<minor>: 0 or 1 */
    bool keep_alive; /* what the client asked for; the connection decides */
    struct slice method_name;
    struct slice path;  /* still percent-encoded, begins with '/' (or is "*" for OPTIONS) */
    struct slice query; /* behind the '?', still encoded; absent ({NULL,0}) without one */
    struct slice body;  /* whole, de-chunked; absent when there was none, present and empty for Content-Length: 0 */
    struct http_header header[HTTP_HEADERS_MAX];
    size_t headers;
};

/* The first header of that name (ASCII case-insensitive), or {NULL,0}. */
struct slice http_request_header(const struct http_request *r, const char *name);

#endif
