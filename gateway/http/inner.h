/* http/inner.h -- what server.c, connection.c, hold.c and send.c share; nobody else includes it.
 *
 *   server.c      accepts, counts, drains, watches the deadlines of all connections
 *   connection.c  one client: reads, feeds the parser, hands requests up, keeps what came too early
 *   hold.c        how many bytes are kept for clients that send or read slowly
 *   send.c        answers on their way out: head, gathering, slow readers, the last answer
 *
 * Between requests a connection is the struct below and nothing else. While a request is under way it holds a `turn`,
 * lent from the server's spares: parser, exchange with arena, and what writing needs. A turn goes
 * parsing -> with the handler -> answered (queued in the connection) -> spare. */
#ifndef PERIGEE_HTTP_INNER_H
#define PERIGEE_HTTP_INNER_H

#include "base/list.h"
#include "http/connection.h"

#define READ_BYTES   65536 /* one read; the buffer is the server's, lent to every read */
#define BACKLOG_MOST 65536 /* of requests that wait for the answer before theirs; then reading stops */
#define GATHER_MOST  64    /* slices that leave in one write, as long as no single answer has more */
#define GATHER_BYTES 65536 /* of answers before they leave, likewise */

/* What a connection waits for. Each has a list, oldest first; the time it may take is the same for all in it. */
enum wait {
    WAIT_HANDLER, /* no deadline: that is the handler's own */
    WAIT_RESUME,  /* for the next loop turn, with a backlog to parse */
    WAIT_IDLE,
    WAIT_HEAD,
    WAIT_BODY,
    WAIT_SEND,
    WAIT_LINGER, /* the last answer is sent; the client shall read it before a reset could wipe it out */
    WAITS
};

/* Why an answer was not sent to its end. */
enum cut { CUT_SEND_TIMEOUT, CUT_CLIENT_BYTES, CUTS };

struct turn {
    struct exchange exchange;
    struct http_parser parser;
    struct http_server *server;
    struct turn *next; /* among the answered, or among the spares */
    struct slice head; /* status line and headers as sent */
    uv_write_t write;  /* of the answers up to this one */
    size_t progress;   /* bytes of body read, or left to send, when the deadline was last looked at */
    bool with_handler; /* from its call to exchange_reply */
    bool last;         /* the connection ends behind this answer */
};

struct backlog {
    struct buffer bytes;
    size_t start; /* what stands before it is used */
};

struct http_connection {
    struct list link; /* in server->waiting[wait] */
    uint64_t deadline;
    struct http_server *server;
    struct turn *turn;              /* parsing or with the handler; NULL between requests */
    struct turn *answered, *newest; /* sent or to be sent, in order */
    struct backlog *backlog;        /* NULL: nothing came too early */
    unsigned requests;              /* handed up so far */
    unsigned discarded;             /* bytes read and thrown away while lingering */
    size_t slices, bytes;           /* of the answers queued and not yet being written */
    size_t held;                    /* bytes of its body so far, or of its answers unsent, as counted in server->held */
    uint8_t wait;
    bool renew : 1;     /* the next wait is a new one, even if of the same kind */
    bool taking : 1;    /* parsing now: answers gather until the end of it */
    bool writing : 1;   /* a uv_write is under way */
    bool last : 1;      /* the last answer is queued: no more requests */
    bool lingering : 1; /* the last answer is sent */
    bool ended : 1;     /* the client will send no more */
    bool paused : 1;    /* reading stopped: the backlog is full */
    bool closing : 1;
    bool surplus : 1; /* above max_connections: told so, never listened to */
    union {           /* allocated no larger than its kind */
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
};

struct http_server {
    uv_loop_t *loop;
    struct http_config config;
    struct list waiting[WAITS];
    struct list acceptors;
    struct turn *spare;
    unsigned spares;
    unsigned connections;
    unsigned surplus;
    unsigned orphans; /* turns whose connection is gone and whose handler has yet to answer */
    unsigned handles; /* not closed yet */
    size_t held;      /* bytes, for clients that send or read slowly: the sum of all connections' */
    bool shedding;
    uint64_t next_id;
    uint64_t accept_again; /* 0, or when to try after a failed accept */
    uv_timer_t tick;
    uv_idle_t resume; /* runs while WAIT_RESUME is not empty */
    struct counter *open_metric, *refused_metric[STATUS_COUNT], *cut_metric[CUTS];
    struct slice surplus_answer; /* made at first need */
    char date[30];
    uint64_t date_until;      /* loop time at which the second ends */
    uint64_t patience[WAITS]; /* milliseconds */
    bool draining, closing;
    void (*closed)(void *arg);
    void *closed_arg;
    char read_buffer[READ_BYTES];
};

/* server.c */
struct turn *turn_take(struct http_server *s, struct http_connection *c);
void turn_give_back(struct turn *t);
void server_count_refusal(struct http_server *s, enum status why);
void server_orphan_answered(struct http_server *s);
void server_connection_closing(struct http_connection *c);
void server_handle_closed(struct http_server *s);
void server_resume_soon(struct http_server *s);

/* hold.c */
void hold_count_cut(struct http_server *s, enum cut why);
void hold_bytes(struct http_connection *c, size_t bytes); /* so many, now; others may have to go for it */

/* connection.c */
void connection_open(struct http_server *s, int fd, bool is_unix, bool surplus); /* takes the descriptor */
void connection_settle(struct http_connection *c); /* what it waits for now, and until when; may close */
void connection_go_on(struct http_connection *c);  /* with the backlog, if it may */
void connection_expire(struct http_connection *c); /* its deadline has passed */
void connection_shed(struct http_connection *c);   /* it goes, while it sends a body or reads an answer, to make room */
void connection_discard(struct http_connection *c); /* from now on reads only to throw away */
void connection_close(struct http_connection *c);   /* at once; harmless when closing already */

/* send.c */
void send_queue(struct turn *t);               /* the turn's reply is complete: it leaves with the next flush */
void send_flush(struct http_connection *c);    /* may end in lingering or closing */
void send_continue(struct http_connection *c); /* "100 Continue" */
void send_surplus(struct http_connection *c);
void send_drop(struct http_connection *c); /* gives back all answers, sent or not */

#endif
