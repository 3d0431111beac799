/* http/target.h -- whom and what a request asks for: the four forms of a target, and the Host that goes with it
 * (RFC 9112 3.2, RFC 9110 7.2). Pure; private to http/. */
#ifndef PERIGEE_HTTP_TARGET_H
#define PERIGEE_HTTP_TARGET_H

#include "base/status.h"
#include "http/request.h"

/* Sets path and query from the target as sent; r->method must stand. In absolute form ("http://host/path") *authority
 * is what was stripped, else absent. CONNECT has an empty path. OK, or why the request is refused. */
enum status target_split(struct http_request *r, struct slice target, struct slice *authority);

/* True for `host` or `host:port`: a registered name, an IPv4 address, or an address in brackets. Not for an empty
 * host, user information, a comma, white space or anything else a front and we could read differently. */
bool host_is_valid(struct slice host);

#endif
