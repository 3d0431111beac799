/* client.c -- from words to a request, by libcurl, to what is printed:
 *
 *     read_words   flags, the model, its keys and options, a body    now
 *     ask          the request; waits for its answer
 *     tell         the body, where it belongs
 *
 * Keys go into the query, where the gateway parses them to their types. */
#include "client.h"

#include "base/buffer.h"
#include "base/status.h"
#include "script/http_curl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_URL    "http://127.0.0.1:3633"
#define URL_MAX        65536
#define BODY_MAX       (512u << 20) /* of either way; a gateway takes no larger one */
#define CONNECT_WITHIN 5000L        /* ms; how long an answer takes is the loader's affair */
#define TOKEN_VARIABLE "PERIGEE_CLIENT_TOKEN"
#define URL_VARIABLE   "PERIGEE_CLIENT_URL"
#define UNRESERVED     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

struct question {
    const char *verb, *method;
    const char *url; /* of the gateway */
    struct buffer target, body;
    bool has_body;

    struct buffer answer;
    long status;
};

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("perigee: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 2;
}

/* -- words -- */

static void put_escaped(struct buffer *b, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] && strchr(UNRESERVED, text.p[i])) buffer_char(b, text.p[i]);
        else buffer_printf(b, "%%%02X", (unsigned char)text.p[i]);
    }
}

/* `User` is /models/User, `Home.geocode` /models/Home/geocode; what begins with a slash is a path already. */
static void put_path(struct buffer *b, struct slice model)
{
    if (slice_starts(model, SLICE("/"))) {
        buffer_slice(b, model);
        return;
    }
    struct slice method = model, name = slice_cut(&method, '.');
    buffer_slice(b, SLICE("/models/"));
    put_escaped(b, name);
    if (!method.p) return;
    buffer_char(b, '/');
    put_escaped(b, method);
}

static int usage(const struct question *q)
{
    return complain("usage: perigee %s [--url URL] MODEL name=value...%s", q->verb,
                    strcmp(q->method, "PUT") == 0 ? " ['{...}'] (or the record's JSON on stdin)" : "");
}

static bool is_flag_url(const char *word, int left) { return strcmp(word, "--url") == 0 && left > 1; }

/* 0, or the exit code. */
static int read_words(struct question *q, int argc, char **argv)
{
    const char *model = NULL;
    bool saves = strcmp(q->method, "PUT") == 0;
    char before = '?';
    for (int i = 0; i < argc; i++) {
        struct slice value = slice_of(argv[i]);
        if (is_flag_url(argv[i], argc - i)) {
            q->url = argv[++i];
        } else if (slice_starts(value, SLICE("--url="))) {
            q->url = argv[i] + strlen("--url=");
        } else if (slice_starts(value, SLICE("--"))) {
            return complain("unknown flag %s (there is --url)", argv[i]);
        } else if (!model) {
            model = argv[i];
            put_path(&q->target, value);
            if (strchr(model, '?')) before = '&';
        } else if (saves && argv[i][0] == '{') {
            if (q->has_body) return complain("a save takes one record");
            buffer_slice(&q->body, value);
            q->has_body = true;
        } else {
            struct slice name = slice_cut(&value, '=');
            if (!value.p) return complain("`%s` is not name=value", argv[i]);
            buffer_char(&q->target, before);
            before = '&';
            put_escaped(&q->target, name);
            buffer_char(&q->target, '=');
            put_escaped(&q->target, value);
        }
    }
    if (!model) return usage(q);
    return q->target.overflow ? complain("the words are too long") : 0;
}

/* 0, or the exit code. */
static int read_stdin(struct question *q)
{
    if (isatty(STDIN_FILENO)) return usage(q);
    for (;;) {
        char *room = buffer_reserve(&q->body, 65536);
        if (!room) return complain("what is to be saved is longer than %u MiB", BODY_MAX >> 20);
        ssize_t n = read(STDIN_FILENO, room, 65536);
        if (n < 0) return complain("stdin cannot be read");
        if (n == 0) break;
        q->body.n += (size_t)n;
    }
    q->has_body = true;
    return 0;
}

/* -- the request -- */

static size_t on_bytes(char *bytes, size_t size, size_t n, void *answer)
{
    return buffer_put(answer, bytes, size * n) ? size * n : 0;
}

static bool is_header_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
    return true;
}

/* The headers; NULL, and it is told, when the token cannot be one. */
static struct curl_slist *make_headers(const struct question *q)
{
    const char *token = getenv(TOKEN_VARIABLE);
    struct curl_slist *list = libcurl.slist_append(NULL, "Expect:");
    if (q->has_body) list = libcurl.slist_append(list, "Content-Type: application/json");
    if (q->has_body) list = libcurl.slist_append(list, "Prefer: return=representation");
    if (!token || !*token) return list;
    struct buffer line;
    buffer_init(&line, URL_MAX);
    buffer_printf(&line, "Authorization: Bearer %s", token);
    buffer_char(&line, '\0');
    bool good = !line.overflow && is_header_text(token);
    if (good) {
        list = libcurl.slist_append(list, line.p);
    } else {
        complain(TOKEN_VARIABLE " holds no token");
        libcurl.slist_free_all(list);
        list = NULL;
    }
    buffer_deinit(&line);
    return list;
}

/* The whole address: of `unix:/path` the host does not matter. */
static void put_url(struct buffer *url, const struct question *q, const char **socket_path)
{
    struct slice base = slice_of(q->url);
    *socket_path = slice_starts(base, SLICE("unix:")) ? q->url + strlen("unix:") : NULL;
    if (*socket_path) base = SLICE("http://localhost");
    while (base.n && base.p[base.n - 1] == '/') base.n--;
    buffer_slice(url, base);
    buffer_slice(url, buffer_view(&q->target));
    buffer_char(url, '\0');
}

/* 0, or the exit code. */
static int ask(struct question *q)
{
    const char *why, *socket_path;
    struct buffer url;
    if (!libcurl_load(&why)) return complain("%s", why);
    CURL *easy = libcurl.easy_init();
    struct curl_slist *headers = easy ? make_headers(q) : NULL;
    if (!headers) {
        if (easy) libcurl.easy_cleanup(easy);
        return 2;
    }
    buffer_init(&url, 2 * URL_MAX);
    put_url(&url, q, &socket_path);
    libcurl.easy_setopt(easy, CURLOPT_URL, url.overflow ? "" : url.p);
    libcurl.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    libcurl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, q->method);
    libcurl.easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    libcurl.easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    libcurl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    libcurl.easy_setopt(easy, CURLOPT_PROXY, ""); /* a gateway stands near */
    libcurl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_WITHIN);
    libcurl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    libcurl.easy_setopt(easy, CURLOPT_WRITEDATA, &q->answer);
    if (q->has_body) {
        libcurl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
        libcurl.easy_setopt(easy, CURLOPT_POSTFIELDS, buffer_view(&q->body).p);
    }
    CURLcode code = libcurl.easy_perform(easy);
    libcurl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &q->status);
    libcurl.slist_free_all(headers);
    libcurl.easy_cleanup(easy);
    buffer_deinit(&url);
    return code == CURLE_OK ? 0 : complain("%s: %s", q->url, libcurl.easy_strerror(code));
}

/* -- the answer -- */

static int tell(const struct question *q)
{
    bool good = q->status >= 200 && q->status < 300;
    struct slice text = buffer_view(&q->answer);
    if (!good && text.n == 0) complain("%s: %ld", q->url, q->status);
    if (text.n == 0) return good ? 0 : 1;
    FILE *to = good ? stdout : stderr;
    fwrite(text.p, 1, text.n, to);
    fputc('\n', to);
    if (fflush(to) != 0) return complain("what was answered cannot be written");
    return good ? 0 : 1;
}

static int run(const char *verb, const char *method, int argc, char **argv)
{
    const char *url = getenv(URL_VARIABLE);
    struct question q = {.verb = verb, .method = method, .url = url && *url ? url : DEFAULT_URL};
    buffer_init(&q.target, URL_MAX);
    buffer_init(&q.body, BODY_MAX);
    buffer_init(&q.answer, BODY_MAX);
    int code = read_words(&q, argc, argv);
    if (code == 0 && strcmp(method, "PUT") == 0 && !q.has_body) code = read_stdin(&q);
    if (code == 0) code = ask(&q);
    if (code == 0) code = tell(&q);
    buffer_deinit(&q.target);
    buffer_deinit(&q.body);
    buffer_deinit(&q.answer);
    return code;
}

int client_get(int argc, char **argv) { return run("get", "GET", argc, argv); }
int client_save(int argc, char **argv) { return run("save", "PUT", argc, argv); }
int client_delete(int argc, char **argv) { return run("delete", "DELETE", argc, argv); }
