/* http/listener.c -- binding addresses. By hand, because libuv has no word for SO_REUSEPORT yet and because a port in
 * use must be an error, not a share of somebody else's traffic. */
#include "http/listener.h"

#include "base/units.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_QUEUE 1024

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

static enum status unreadable(struct problem *why, struct slice address)
{
    return problem_set(why, MALFORMED_REQUEST, NULL,
                       "cannot read the address `%.*s`: want host:port, [v6]:port, :port or unix:/path",
                       SLICE_ARG(address));
}

static enum status unbindable(struct problem *why, struct slice address, const char *reason)
{
    return problem_set(why, INTERNAL, NULL, "cannot listen on %.*s: %s", SLICE_ARG(address), reason);
}

static int new_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/* -- TCP -- */

static socklen_t length_of(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

static bool read_host(struct slice host, uint16_t port, union address *to)
{
    char text[64];
    bool v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (v6) host = (struct slice){host.p + 1, host.n - 2};
    if (!host.n || slice_ieq(host, SLICE("localhost"))) host = SLICE("127.0.0.1");
    if (host.n >= sizeof text || memchr(host.p, '\0', host.n)) return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    memset(to, 0, sizeof *to);
    if (v6) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons(port);
        return inet_pton(AF_INET6, text, &to->v6.sin6_addr) == 1;
    }
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons(port);
    return inet_pton(AF_INET, text, &to->v4.sin_addr) == 1;
}

static bool read_tcp(struct slice address, union address *to)
{
    size_t colon = address.n;
    while (colon && address.p[colon - 1] != ':') colon--;
    uint64_t port;
    return colon && units_uint(slice_skip(address, colon), 65535, &port) &&
           read_host((struct slice){address.p, colon - 1}, (uint16_t)port, to);
}

static void print_tcp(const union address *a, char *to, size_t n)
{
    char host[INET6_ADDRSTRLEN];
    bool v6 = a->any.sa_family == AF_INET6;
    inet_ntop(a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, host, sizeof host);
    snprintf(to, n, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

/* A bound socket or -1 with errno; *a becomes the address it really has. */
static int bind_tcp(union address *a, bool share)
{
    int on = 1, fd = new_socket(a->any.sa_family);
    if (fd < 0) return -1;
    socklen_t length = length_of(a);
    bool bound = !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
                 (!share || !setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on)) &&
                 (a->any.sa_family != AF_INET6 || !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)) &&
                 !bind(fd, &a->any, length) && !getsockname(fd, &a->any, &length);
    if (bound) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A socket that shares nothing asks first whether the port is free, and picks one for port 0. */
static bool bind_all_tcp(struct listener *l, union address *a, size_t n)
{
    int probe = bind_tcp(a, false);
    if (probe < 0) return false;
    close(probe);
    for (; l->n < n; l->n++) {
        l->fd[l->n] = bind_tcp(a, true);
        if (l->fd[l->n] < 0) return false;
    }
    print_tcp(a, l->address, sizeof l->address);
    return true;
}

/* -- unix -- */

/* Removes a socket file that nobody answers on. False with the reason when the path is taken. */
static bool clear_path(const union address *a, const char **reason)
{
    struct stat st;
    if (lstat(a->un.sun_path, &st)) return true;
    *reason = "the path exists and is no socket";
    if (!S_ISSOCK(st.st_mode)) return false;
    *reason = strerror(EADDRINUSE);
    int fd = new_socket(AF_UNIX);
    if (fd < 0) return false;
    bool dead = connect(fd, &a->any, sizeof a->un) && errno == ECONNREFUSED;
    close(fd);
    return dead && !unlink(a->un.sun_path);
}

/* Until it listens nobody can connect: so the mode is set in time. */
static int bind_unix(const union address *a)
{
    int fd = new_socket(AF_UNIX);
    if (fd < 0) return -1;
    if (!bind(fd, &a->any, sizeof a->un)) {
        if (!chmod(a->un.sun_path, 0660) && !listen(fd, LISTEN_QUEUE)) return fd;
        int error = errno;
        unlink(a->un.sun_path);
        errno = error;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool bind_all_unix(struct listener *l, const union address *a, size_t n, const char **reason)
{
    if (!clear_path(a, reason)) return false;
    *reason = NULL;
    int fd = bind_unix(a);
    if (fd < 0) return false;
    l->is_unix = true;
    snprintf(l->address, sizeof l->address, "unix:%s", a->un.sun_path);
    for (l->fd[l->n++] = fd; l->n < n; l->n++) {
        l->fd[l->n] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (l->fd[l->n] < 0) return false;
    }
    return true;
}

static bool read_unix(struct slice path, union address *to)
{
    memset(to, 0, sizeof *to);
    if (!path.n || path.n >= sizeof to->un.sun_path || memchr(path.p, '\0', path.n)) return false;
    to->un.sun_family = AF_UNIX;
    memcpy(to->un.sun_path, path.p, path.n);
    return true;
}

/* -- both -- */

enum status listener_bind(struct listener *l, struct slice address, size_t n, struct problem *why)
{
    static const struct slice unix_scheme = {"unix:", 5};
    assert(n);
    union address a;
    bool is_unix = slice_starts(address, unix_scheme);
    *l = (struct listener){0};
    if (!(is_unix ? read_unix(slice_skip(address, unix_scheme.n), &a) : read_tcp(address, &a)))
        return unreadable(why, address);
    l->fd = calloc(n, sizeof *l->fd);
    if (!l->fd) abort();
    const char *reason = NULL;
    if (is_unix ? bind_all_unix(l, &a, n, &reason) : bind_all_tcp(l, &a, n)) return OK;
    int error = errno;
    listener_close(l);
    return unbindable(why, address, reason ? reason : strerror(error));
}

void listener_close(struct listener *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->fd[i] >= 0) close(l->fd[i]);
    if (l->is_unix) unlink(l->address + strlen("unix:"));
    free(l->fd);
    *l = (struct listener){0};
}
