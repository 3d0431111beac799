/* A PostgreSQL server of the test's own, started by tests/support/postgres; absent where PostgreSQL is not installed. */
#ifndef PERIGEE_TESTS_CLUSTER_H
#define PERIGEE_TESTS_CLUSTER_H

#include "world.h"

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct cluster {
    pid_t pid; /* 0: none */
    int port;
    char folder[64];
};

static inline int cluster_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool good = bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0;
    close(fd);
    return good ? ntohs(at.sin_port) : 0;
}

/* The server says so in the last line of its pid file. */
static inline bool cluster_is_ready(const struct cluster *c)
{
    char path[128], line[256];
    bool ready = false;
    snprintf(path, sizeof path, "%s/data/postmaster.pid", c->folder);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) ready = strncmp(line, "ready", 5) == 0;
    if (file) fclose(file);
    return ready;
}

/* Runs it, again after cluster_end, and waits until it serves. */
static inline bool cluster_run(struct cluster *c)
{
    char port[16], script[256];
    snprintf(port, sizeof port, "%d", c->port);
    snprintf(script, sizeof script, "%s/tests/support/postgres", SOURCE_DIR);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char log[128];
        snprintf(log, sizeof log, "%s/log", c->folder);
        if (!freopen(log, "a", stdout) || !freopen(log, "a", stderr)) _exit(126);
        execl("/bin/sh", "sh", script, c->folder, port, NULL);
        _exit(127);
    }
    for (int i = 0; i < 3000; i++) {
        if (cluster_is_ready(c)) return true;
        if (waitpid(c->pid, NULL, WNOHANG) == c->pid) break; /* none installed */
        usleep(10000);
    }
    c->pid = 0;
    return false;
}

/* As a crash: connections end in the middle of what they do. */
static inline void cluster_end(struct cluster *c)
{
    if (!c->pid) return;
    char file[128];
    snprintf(file, sizeof file, "%s/data/postmaster.pid", c->folder);
    kill(c->pid, SIGQUIT);
    waitpid(c->pid, NULL, 0);
    unlink(file);
    c->pid = 0;
}

static inline bool cluster_start(struct cluster *c)
{
    snprintf(c->folder, sizeof c->folder, "/tmp/perigee-postgres-XXXXXX");
    if (!mkdtemp(c->folder)) return false;
    c->port = cluster_free_port();
    return cluster_run(c);
}

static inline int cluster_remove(struct cluster *c)
{
    char command[128];
    cluster_end(c);
    snprintf(command, sizeof command, "rm -rf '%s'", c->folder);
    return system(command);
}

#endif
