/* bench/client.c -- what wrk cannot ask.
 *
 *     client stampede CLIENTS PATH PORT...     all connected first, then one request each at once, to the ports in turn
 *                                              -> answered, p50, p99 in ms
 *     client idle CLIENTS PATH PORT            one answered request each, then all idle until it is killed -> idle
 *     client track CLIENTS PREFIX PORT         each has Redis tell it of every key that begins so, and reads on until it is killed -> tracking
 *     client first PORT COMMAND...             starts the command -> milliseconds until PORT answers; ends it again */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 20000

static struct pollfd client[CLIENTS_MAX];
static char request[1024];

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    close(fd);
    return -1;
}

static bool ask(int fd) { return write(fd, request, strlen(request)) > 0; }

/* "HTTP/1.1 2xx" or, when anything will do, any answer. The bench's answers to these requests come in one piece. */
static bool answered(int fd, bool any)
{
    char text[65536];
    ssize_t n = read(fd, text, sizeof text);
    return n > 12 && (any || text[9] == '2');
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int stampede(int clients, int ports, char **port)
{
    static double took[CLIENTS_MAX];
    int left = clients, good = 0;
    for (int i = 0; i < clients; i++) client[i] = (struct pollfd){connect_to(atoi(port[i % ports])), POLLIN, 0};
    double began = now_ms();
    for (int i = 0; i < clients; i++) ask(client[i].fd);
    while (left && poll(client, (nfds_t)clients, 5000) > 0) {
        for (int i = 0; i < clients; i++) {
            if (!client[i].revents) continue;
            if (answered(client[i].fd, false)) took[good++] = now_ms() - began;
            client[i].fd = -1;
            left--;
        }
    }
    if (!good) return 1;
    qsort(took, (size_t)good, sizeof *took, by_time);
    printf("%d %.1f %.1f\n", good, took[good / 2], took[(good * 99 + 99) / 100 - 1]);
    return 0;
}

static int idle(int clients, int port)
{
    for (int i = 0; i < clients; i++) {
        int fd = connect_to(port);
        if (fd < 0 || !ask(fd) || !answered(fd, true)) return 1;
    }
    puts("idle");
    fflush(stdout);
    for (;;) pause();
}

static bool say(int fd, const char *command, char answer[65536])
{
    ssize_t n = write(fd, command, strlen(command)) > 0 ? read(fd, answer, 65535) : -1;
    return n > 0 && answer[0] != '-';
}

static int track(int clients, const char *prefix, int port)
{
    static char text[65536];
    snprintf(request, sizeof request, "CLIENT TRACKING ON BCAST PREFIX %s\r\n", prefix);
    for (int i = 0; i < clients; i++) {
        client[i] = (struct pollfd){connect_to(port), POLLIN, 0};
        if (client[i].fd < 0 || !say(client[i].fd, "HELLO 3\r\n", text) || !say(client[i].fd, request, text)) return 1;
    }
    puts("tracking");
    fflush(stdout);
    for (;;) {
        if (poll(client, (nfds_t)clients, -1) < 0) return 1;
        for (int i = 0; i < clients; i++) {
            if (client[i].revents && read(client[i].fd, text, sizeof text) <= 0) return 1;
        }
    }
}

static int first(int port, char **command)
{
    double began = now_ms();
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
        execvp(command[0], command);
        _exit(127);
    }
    for (;;) {
        int fd = connect_to(port);
        if (fd >= 0 && ask(fd) && answered(fd, true)) break;
        if (fd >= 0) close(fd);
        if (now_ms() - began > 20000) return 1;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    printf("%.1f\n", now_ms() - began);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 3 && strcmp(argv[1], "first") ? argv[3] : "/models/Record?username=u0";
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
    if (argc > 4 && strcmp(argv[1], "stampede") == 0) return stampede(atoi(argv[2]), argc - 4, argv + 4);
    if (argc > 4 && strcmp(argv[1], "idle") == 0) return idle(atoi(argv[2]), atoi(argv[4]));
    if (argc > 4 && strcmp(argv[1], "track") == 0) return track(atoi(argv[2]), argv[3], atoi(argv[4]));
    if (argc > 3 && strcmp(argv[1], "first") == 0) return first(atoi(argv[2]), argv + 3);
    return 2;
}
