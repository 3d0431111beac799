/* http/parse.c -- the request parser: llhttp, and a guard on each side of it.
 *
 * Before it a small automaton reads the request line, because llhttp is kind there (repeated spaces, RTSP and ICE,
 * HTTP/0.9, any run of CR and LF in front). Behind it the callbacks check what only a server can know. All three see
 * every byte at the same place in the stream whatever reads brought it: whoever refuses first does so at that byte,
 * so a request that arrives in pieces meets the same fate as whole. For the same reason sizes are counted in bytes
 * as sent, never in what one callback happened to bring.
 *
 * This file is long because one request is one story: line, head, body, and the loop that drives them. */
#include "http/parse.h"

#include "base/list.h"
#include "http/target.h"

#include <assert.h>

#define EXTENSIONS_MOST 1024  /* bytes of chunk extensions a request: they say nothing we use */
#define BODY_AT_ONCE    65536 /* more is not allocated on a Content-Length's word alone */

enum phase { BLANK, LINE, HEAD, BODY, TRAILERS, OVER };
enum line { IN_METHOD, IN_TARGET, IN_PROTOCOL, IN_MAJOR, IN_DOT, IN_MINOR, IN_CR, IN_LF };
enum field { OTHER, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE, EXPECT, FORBIDDEN_IN_TRAILERS };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static struct http_parser *parser_of(llhttp_t *l) { return container_of(l, struct http_parser, llhttp); }

static int refuse(struct http_parser *p, enum status why)
{
    p->refusal = why;
    return HPE_USER;
}

/* -- gathering what arrives in pieces -- */

static void gather(struct http_parser *p, const char *at, size_t n)
{
    if (n > p->span_cap - p->span_n) {
        size_t cap = p->span_n ? (p->span_n + n) * 2 : n; /* mostly there is one piece: then nothing is wasted */
        char *larger = arena_bytes(p->arena, cap);
        if (p->span_n) memcpy(larger, p->span, p->span_n);
        p->span = larger;
        p->span_cap = cap;
    }
    if (n) memcpy(p->span + p->span_n, at, n);
    p->span_n += n;
}

static struct slice gathered(struct http_parser *p)
{
    struct slice s = {p->span ? p->span : "", p->span_n};
    p->span = NULL;
    p->span_n = p->span_cap = 0;
    return s;
}

/* -- in front of llhttp: blank lines and the request line -- */

/* Whole blank lines may precede a request (RFC 9112 2.2). Returns how many bytes were theirs. */
static size_t skip_blank(struct http_parser *p, struct slice in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (p->saw_cr != (in.p[i] == '\n')) {
            p->refusal = MALFORMED_REQUEST;
            return i;
        }
        if (!p->saw_cr && in.p[i] != '\r') {
            p->phase = LINE;
            return i;
        }
        p->saw_cr = !p->saw_cr;
    }
    return in.n;
}

static bool is_token(unsigned char c)
{
    static const char other[] = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c && memchr(other, c, sizeof other - 1));
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* A part of the line ends: on to the next. */
static enum status line_next(struct http_parser *p)
{
    p->line++;
    p->line_at = 0;
    return OK;
}

static enum status method_byte(struct http_parser *p, char c)
{
    if (c == ' ' && p->line_at) return line_next(p);
    p->line_at++;
    return is_token((unsigned char)c) ? OK : MALFORMED_REQUEST;
}

static inline bool in_target(char c) /* visible ASCII but '#': one comparison for both its ends */
{
    return (unsigned char)(c - '!') <= '~' - '!' && c != '#';
}

/* What nearly every request line ends in, when all of it is here: how long it is, or 0. The bytes one by one would come to the same. */
static size_t take_protocol(struct http_parser *p, struct slice in)
{
    static const struct slice usual = {"HTTP/1.1\r\n", 10};
    if (p->line_at || !slice_starts(in, usual)) return 0;
    p->request->minor = 1;
    p->phase = HEAD;
    return usual.n;
}

/* Takes the run of target bytes at the front of `in`, as far as the limit lets. */
static size_t take_target(struct http_parser *p, struct slice in)
{
    size_t most = least(in.n, p->limits->max_uri - p->line_at), n = 0;
    while (n < most && in_target(in.p[n])) n++;
    p->line_at += n;
    gather(p, in.p, n);
    return n;
}

/* The byte behind such a run. */
static enum status target_end(struct http_parser *p, char c)
{
    if (in_target(c)) return URI_TOO_LONG;
    if (!p->line_at) return MALFORMED_REQUEST;
    if (c == '\r' || c == '\n') return VERSION_UNSUPPORTED; /* HTTP/0.9 had none */
    if (c != ' ') return MALFORMED_REQUEST;
    p->target = gathered(p);
    return line_next(p);
}

static enum status protocol_byte(struct http_parser *p, char c)
{
    static const char protocol[] = "HTTP/";
    if (c != protocol[p->line_at]) return c >= 'A' && c <= 'Z' ? VERSION_UNSUPPORTED : MALFORMED_REQUEST;
    if (!protocol[++p->line_at]) line_next(p);
    return OK;
}

static enum status exactly(struct http_parser *p, char c, char wanted, enum status digit)
{
    if (c == wanted) return line_next(p);
    return is_digit(c) ? digit : MALFORMED_REQUEST;
}

static enum status minor_byte(struct http_parser *p, char c)
{
    p->request->minor = c != '0';
    return exactly(p, c, c == '0' ? '0' : '1', VERSION_UNSUPPORTED);
}

static enum status line_byte(struct http_parser *p, char c)
{
    switch ((enum line)p->line) {
    case IN_METHOD: return method_byte(p, c);
    case IN_TARGET: return target_end(p, c);
    case IN_PROTOCOL: return protocol_byte(p, c);
    case IN_MAJOR: return exactly(p, c, '1', VERSION_UNSUPPORTED);
    case IN_DOT: return exactly(p, c, '.', VERSION_UNSUPPORTED);
    case IN_MINOR: return minor_byte(p, c);
    case IN_CR: return exactly(p, c, '\r', MALFORMED_REQUEST);
    case IN_LF: break;
    }
    if (c == '\n') p->phase = HEAD;
    return c == '\n' ? OK : MALFORMED_REQUEST;
}

/* The bytes of `in` up to the line's end or the first bad one; *fault says what is wrong with that. */
static size_t read_line(struct http_parser *p, struct slice in, enum status *fault)
{
    size_t i = 0;
    while (i < in.n && p->phase == LINE) {
        if (p->line == IN_TARGET) i += take_target(p, slice_skip(in, i));
        if (p->line == IN_PROTOCOL) i += take_protocol(p, slice_skip(in, i));
        if (i == in.n || p->phase != LINE) break;
        *fault = line_byte(p, in.p[i]);
        if (*fault) break;
        i++;
    }
    return i;
}

/* -- behind llhttp: fields -- */

static enum field field_of(struct slice name)
{
    static const struct {
        struct slice name;
        enum field field;
    } known[] = {{{"host", 4}, HOST},
                 {{"content-length", 14}, CONTENT_LENGTH},
                 {{"transfer-encoding", 17}, TRANSFER_ENCODING},
                 {{"content-type", 12}, CONTENT_TYPE},
                 {{"expect", 6}, EXPECT},
                 {{"te", 2}, FORBIDDEN_IN_TRAILERS},
                 {{"trailer", 7}, FORBIDDEN_IN_TRAILERS},
                 {{"upgrade", 7}, FORBIDDEN_IN_TRAILERS},
                 {{"connection", 10}, FORBIDDEN_IN_TRAILERS},
                 {{"authorization", 13}, FORBIDDEN_IN_TRAILERS}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (name.n == known[i].name.n && slice_ieq(name, known[i].name)) return known[i].field;
    return OTHER;
}

static int on_gather(llhttp_t *l, const char *at, size_t n)
{
    gather(parser_of(l), at, n);
    return 0;
}

static int on_name(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    struct slice name = gathered(p);
    p->field = field_of(name);
    if (p->phase == TRAILERS) /* read past, unless they pretend to be more */
        return p->field == OTHER || p->field == CONTENT_TYPE ? 0 : refuse(p, MALFORMED_REQUEST);
    if (p->request->headers == HTTP_HEADERS_MAX) return refuse(p, HEADERS_TOO_LARGE);
    p->request->header[p->request->headers].name = name;
    return 0;
}

static int transfer_encoding(struct http_parser *p, struct slice value)
{
    if (p->transfer_encoding || p->content_length || !p->request->minor || !value.n)
        return refuse(p, MALFORMED_REQUEST);
    p->transfer_encoding = true;
    return slice_ieq(value, SLICE("chunked")) ? 0 : refuse(p, NOT_IMPLEMENTED);
}

static int only_once(struct http_parser *p, bool *seen)
{
    if (*seen) return refuse(p, MALFORMED_REQUEST);
    *seen = true;
    return 0;
}

static int expect(struct http_parser *p, struct slice value)
{
    if (!p->request->minor) return 0;
    p->expects_continue = true;
    return slice_ieq(value, SLICE("100-continue")) ? 0 : refuse(p, EXPECTATION_FAILED);
}

static int on_value(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    struct slice value = slice_trim(gathered(p));
    if (p->phase == TRAILERS) return 0;
    p->request->header[p->request->headers++].value = value;
    switch ((enum field)p->field) {
    case HOST: return host_is_valid(value) ? only_once(p, &p->host) : refuse(p, MALFORMED_REQUEST);
    case CONTENT_LENGTH: return p->transfer_encoding ? refuse(p, MALFORMED_REQUEST) : only_once(p, &p->content_length);
    case TRANSFER_ENCODING: return transfer_encoding(p, value);
    case CONTENT_TYPE: return only_once(p, &p->content_type);
    case EXPECT: return expect(p, value);
    default: return 0;
    }
}

/* -- the whole head -- */

static enum http_method method_of(uint8_t method)
{
    switch (method) {
    case HTTP_GET: return METHOD_GET;
    case HTTP_HEAD: return METHOD_HEAD;
    case HTTP_PUT: return METHOD_PUT;
    case HTTP_POST: return METHOD_POST;
    case HTTP_PATCH: return METHOD_PATCH;
    case HTTP_DELETE: return METHOD_DELETE;
    case HTTP_OPTIONS: return METHOD_OPTIONS;
    case HTTP_TRACE: return METHOD_TRACE;
    case HTTP_CONNECT: return METHOD_CONNECT;
    default: return METHOD_OTHER;
    }
}

static enum status check_head(struct http_parser *p)
{
    struct http_request *r = p->request;
    struct slice authority;
    enum status status = target_split(r, p->target, &authority);
    if (status) return status;
    if (r->minor && !p->host) return MALFORMED_REQUEST;
    if (authority.p && p->host && !slice_ieq(authority, http_request_header(r, "host"))) return MALFORMED_REQUEST;
    if (p->content_length && p->llhttp.content_length > INT64_MAX) return MALFORMED_REQUEST;
    if (p->content_length && p->llhttp.content_length > p->limits->max_body) return BODY_TOO_LARGE;
    return OK;
}

static void begin_body(struct http_parser *p)
{
    uint64_t told = p->content_length ? p->llhttp.content_length : 0;
    p->body = arena_alloc(p->arena, sizeof *p->body);
    buffer_init(p->body, p->limits->max_body);
    if (told) buffer_reserve(p->body, told < BODY_AT_ONCE ? told : BODY_AT_ONCE);
}

static int on_head(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    l->upgrade = 0; /* no protocol but HTTP is spoken here: an Upgrade is ignored, CONNECT gets an answer and the end */
    p->request->method = method_of(l->method);
    p->request->method_name = slice_of(llhttp_method_name(l->method));
    enum status status = check_head(p);
    if (status) return refuse(p, status);
    p->phase = BODY;
    if (p->content_length || p->transfer_encoding) begin_body(p);
    p->pause = p->expects_continue && (p->transfer_encoding || l->content_length);
    return p->pause ? HPE_PAUSED : 0;
}

/* -- the body -- */

/* A last chunk pauses, so that the loop counts the trailers from their first byte. */
static int on_chunk(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    if (l->content_length > p->limits->max_body - p->body->n) return refuse(p, BODY_TOO_LARGE);
    if (l->content_length) return 0;
    p->phase = TRAILERS;
    p->head_bytes = 0;
    return HPE_PAUSED;
}

static int count_extension(struct http_parser *p, size_t n)
{
    p->extension += n;
    return p->extension > EXTENSIONS_MOST ? refuse(p, MALFORMED_REQUEST) : 0;
}

static int on_extension_name(llhttp_t *l, const char *at, size_t n)
{
    parser_of(l)->extension_value = 0;
    return count_extension(parser_of(l), n);
}

static int on_extension_value(llhttp_t *l, const char *at, size_t n)
{
    parser_of(l)->extension_value += n;
    return count_extension(parser_of(l), n);
}

static int on_extension_end(llhttp_t *l) /* "5;name=" */
{
    return parser_of(l)->extension_value ? 0 : refuse(parser_of(l), MALFORMED_REQUEST);
}

static int on_body(llhttp_t *l, const char *at, size_t n)
{
    bool fits = buffer_put(parser_of(l)->body, at, n);
    assert(fits); /* on_head and on_chunk saw to it */
    (void)fits;
    return 0;
}

static int on_complete(llhttp_t *l)
{
    struct http_parser *p = parser_of(l);
    if (p->body) p->request->body = buffer_view(p->body);
    p->request->keep_alive = llhttp_should_keep_alive(l) && p->request->method != METHOD_CONNECT;
    p->phase = OVER;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_gather,
    .on_header_field_complete = on_name,
    .on_header_value = on_gather,
    .on_header_value_complete = on_value,
    .on_headers_complete = on_head,
    .on_chunk_extension_name = on_extension_name,
    .on_chunk_extension_value = on_extension_value,
    .on_chunk_extension_value_complete = on_extension_end,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* -- the loop -- */

void http_parser_init(struct http_parser *p, const struct http_parse_limits *limits)
{
    *p = (struct http_parser){.limits = limits};
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings); /* no leniency is on until asked for */
}

/* The request's header array is left as it is: `headers` says how much of it is meant. */
void http_parser_begin(struct http_parser *p, struct http_request *request, struct arena *arena)
{
    assert(!p->request && p->phase == BLANK);
    p->request = request;
    p->arena = arena;
    request->method = METHOD_OTHER;
    request->minor = 1;
    request->keep_alive = false;
    request->method_name = request->path = request->query = request->body = (struct slice){NULL, 0};
    request->headers = 0;
}

void http_parser_done(struct http_parser *p)
{
    if (p->body) buffer_deinit(p->body);
    http_parser_init(p, p->limits);
}

bool http_parser_started(const struct http_parser *p) { return p->phase > BLANK; }

bool http_parser_untouched(const struct http_parser *p) { return p->phase == BLANK && !p->saw_cr; }

bool http_parser_is_head(const struct http_parser *p)
{
    bool whole = p->line > IN_METHOD && llhttp_get_errno(&p->llhttp) != HPE_INVALID_METHOD;
    return whole && p->llhttp.method == HTTP_HEAD;
}

bool http_parser_in_body(const struct http_parser *p) { return p->phase == BODY || p->phase == TRAILERS; }

/* How many bytes llhttp may see in one go: none behind the first that the request line or a limit forbids. */
static size_t allowance(struct http_parser *p, struct slice in, enum status *fault)
{
    size_t n = p->phase == LINE ? read_line(p, in, fault) : 0;
    if (*fault || p->phase == LINE) return n;
    if (p->phase == BODY) return in.n;
    size_t head = least(in.n - n, p->limits->max_headers - p->head_bytes);
    if (!head && n < in.n) *fault = HEADERS_TOO_LARGE;
    p->head_bytes += head; /* what of it is body no longer matters: trailers count anew */
    return n + head;
}

/* A callback said why, or llhttp did; what it calls a method is at least made of token characters. */
static enum status blame(const struct http_parser *p, llhttp_errno_t error)
{
    if (p->refusal) return p->refusal;
    return error == HPE_INVALID_METHOD ? NOT_IMPLEMENTED : MALFORMED_REQUEST;
}

/* Feeds llhttp a stretch of `in`; returns how much of it was used. */
static size_t advance(struct http_parser *p, struct slice in)
{
    enum status fault = OK;
    size_t n = allowance(p, in, &fault);
    llhttp_errno_t error = llhttp_execute(&p->llhttp, in.p, n);
    if (error == HPE_PAUSED) {
        n = (size_t)(llhttp_get_error_pos(&p->llhttp) - in.p);
        llhttp_resume(&p->llhttp);
    } else {
        p->refusal = error ? blame(p, error) : fault;
    }
    return n;
}

enum http_parse_event http_parser_feed(struct http_parser *p, struct slice in, size_t *used)
{
    assert(p->request);
    size_t n = 0;
    while (!p->refusal && p->phase != OVER && !p->pause && n < in.n) {
        struct slice rest = slice_skip(in, n);
        n += p->phase == BLANK ? skip_blank(p, rest) : advance(p, rest);
    }
    *used = n;
    if (p->refusal) return PARSE_REFUSED;
    if (p->phase == OVER) return PARSE_COMPLETE;
    if (!p->pause) return PARSE_MORE;
    p->pause = false;
    return PARSE_HEAD;
}
