/* control.h -- what a spec of `perigee test` tells its gateway, over a connection that both keep for the gateway's life: line by line,
 *
 *     forward 15m     from now on the lives of records are told by a clock that is later by so much -> ok
 *
 * When the spec closes the connection, or dies, its gateway is to end. */
#ifndef PERIGEE_CONTROL_H
#define PERIGEE_CONTROL_H

#include <uv.h>

struct control {
    uv_pipe_t pipe;
    char line[64];
    size_t n;
    void (*gone)(struct control *c);
};

/* Takes fd. `gone` is called once, when the other side has closed; not after control_close. */
void control_open(struct control *c, uv_loop_t *loop, int fd, void (*gone)(struct control *c));
void control_close(struct control *c);

#endif
