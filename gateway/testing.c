/* testing.c -- starts busted in a process of its own, and a gateway for every spec that asks for one.
 *
 *     perigee test ──fork──> luajit, busted, the specs, perigee.testing (lua/perigee/testing.lua)
 *        │                      │ "a gateway, please, with these variables", on the unix socket `control`
 *        └──fork──> gateway <───┘ asked over HTTP on a unix socket; told what to do on the connection it was asked for (control.h)
 *
 * A gateway here is what `perigee serve` runs, with four settings that are ours: one worker, an empty memory store, sockets in our folder,
 * and handlers' HTTP requests go to the specs. Fresh processes make fresh stores: there is nothing to clean between two specs. A gateway
 * ends when its connection does; so all of them end when busted ends, however that happens. */
#include "testing.h"

#include "gateway.h"
#include "script/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER_MAX   64 /* so that the names of sockets in it are short enough */
#define PATH_ROOM    192
#define REQUEST_MAX  65536
#define GATEWAYS_MAX 1024 /* that have not ended yet */
#define END_WITHIN_S 15   /* of a gateway when the specs are over */
#define NO_BUSTED    127  /* exit code of testing_run.lua */
#define NO_LUAJIT    126
#define NOT_STARTED  3 /* exit code of a gateway whose spec has been told so; any other but 0 is our fault */

struct testing {
    const struct config *config;
    char folder[FOLDER_MAX];
    int listener;
    pid_t busted;
    int busted_status;
    struct {
        pid_t pid;
        unsigned n; /* of its sockets and its log */
    } gateway[GATEWAYS_MAX];
    size_t gateways;
    unsigned started;
    bool broken; /* a gateway has ended as none should */
};

static volatile sig_atomic_t stopped; /* by which signal */

static void on_stop(int signum) { stopped = signum; }
static void on_child(int signum) {}

static int complain(const char *what)
{
    fprintf(stderr, "perigee test: %s: %s\n", what, strerror(errno));
    return 2;
}

/* -- the folder -- */

static bool write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    if (!f) return false;
    bool good = fwrite(text, 1, n, f) == n;
    return fclose(f) == 0 && good;
}

/* perigee.testing and its parts, as files that busted's LuaJIT finds. What stands in a folder of this name busted leaves out when it looks for
 * the line of a spec that has failed. */
#define MODULES "luassert"

static bool write_modules(struct testing *t)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/" MODULES, t->folder);
    if (mkdir(path, 0700)) return false;
    snprintf(path, sizeof path, "%s/" MODULES "/perigee", t->folder);
    if (mkdir(path, 0700)) return false;
    for (const struct embedded_module *m = embedded_modules; m->name; m++) {
        if (strncmp(m->name, "perigee.testing", strlen("perigee.testing")) != 0) continue;
        snprintf(path, sizeof path, "%s/" MODULES "/perigee/%s.lua", t->folder, m->name + strlen("perigee."));
        if (!write_file(path, m->text, m->n)) return false;
    }
    return true;
}

static bool make_folder(struct testing *t)
{
    const char *above = getenv("TMPDIR");
    if (!above || !*above || strlen(above) > FOLDER_MAX - sizeof "/perigee-test-XXXXXX") above = "/tmp";
    snprintf(t->folder, sizeof t->folder, "%s/perigee-test-XXXXXX", above);
    return mkdtemp(t->folder) && write_modules(t);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)!remove(path);
    return 0;
}

static bool listen_for_specs(struct testing *t)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control", t->folder);
    t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return t->listener >= 0 && bind(t->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(t->listener, 16) == 0;
}

/* -- busted -- */

static void exec_busted(struct testing *t, int n_words, char **words)
{
    char run[PATH_ROOM];
    const char *argv[8 + CONFIG_LIST_MAX + 64];
    size_t n = 0;
    snprintf(run, sizeof run, "%s/" MODULES "/perigee/testing_run.lua", t->folder);
    argv[n++] = "luajit";
    argv[n++] = run;
    argv[n++] = t->folder;
    argv[n++] = "--pattern=_spec%.lua$";
    for (int i = 0; i < n_words; i++) argv[n++] = words[i];
    argv[n++] = "--";
    for (size_t i = 0; i < t->config->dirs.n; i++) argv[n++] = t->config->dirs.item[i];
    argv[n] = NULL;
    execvp(argv[0], (char **)argv);
    _exit(NO_LUAJIT);
}

/* -- gateways -- */

/* NAME=VALUE\0...\0, an empty one at the end; false when it is anything else. */
static bool read_variables(int fd, char *text, size_t max)
{
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (size_t n = 0; n < max;) {
        ssize_t got = read(fd, text + n, max - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        n += (size_t)got;
        if (text[n - 1] == 0 && (n == 1 || text[n - 2] == 0)) return true;
    }
    return false;
}

/* In its own process. Its first line, and `perigee ready`, go to who asked; what it logs to a file beside its sockets. */
static int run_gateway(struct testing *t, int fd, char *variables)
{
    struct config config = *t->config;
    char data[PATH_ROOM], admin[PATH_ROOM], log[PATH_ROOM], http[PATH_ROOM];
    snprintf(data, sizeof data, "unix:%s/%u", t->folder, t->started);
    snprintf(admin, sizeof admin, "%s.admin", data);
    snprintf(log, sizeof log, "%s/%u.log", t->folder, t->started);
    snprintf(http, sizeof http, "%s/http", t->folder);
    close(t->listener);
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0) return NOT_STARTED;
    close(log_fd);
    for (char *end, *name = variables; *name; name = end + 1) {
        end = name + strlen(name);
        char *value = strchr(name, '=');
        if (!value) continue;
        *value++ = 0;
        setenv(name, value, 1);
    }
    config.listen = (struct config_list){{data}, 1};
    config.admin = admin;
    config.store = "memory:";
    config.workers = 1;
    config.token_file = "";
    config.http_socket = http;
    config.control = fd;
    printf("%s\n", log);
    fflush(stdout);
    return gateway_serve(&config) ? NOT_STARTED : 0;
}

static void start_gateway(struct testing *t, const sigset_t *unblocked)
{
    char variables[REQUEST_MAX];
    int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    t->started++;
    if (t->gateways == GATEWAYS_MAX || !read_variables(fd, variables, sizeof variables)) {
        close(fd); /* the spec is told that there is none */
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        signal(SIGINT, SIG_IGN); /* of the terminal: it ends when its spec does */
        sigprocmask(SIG_SETMASK, unblocked, NULL);
        exit(run_gateway(t, fd, variables));
    }
    if (pid > 0) {
        t->gateway[t->gateways].pid = pid;
        t->gateway[t->gateways++].n = t->started;
    }
    close(fd);
}

/* -- the run -- */

/* What it had to say, for whoever must find out why it ended so. */
static void show_log(const struct testing *t, unsigned n)
{
    char path[PATH_ROOM], bytes[4096];
    snprintf(path, sizeof path, "%s/%u.log", t->folder, n);
    FILE *f = fopen(path, "r");
    if (!f) return;
    while (!feof(f) && !ferror(f)) fwrite(bytes, 1, fread(bytes, 1, sizeof bytes, f), stderr);
    fclose(f);
}

static void judge_gateway(struct testing *t, pid_t pid, int status)
{
    size_t i = 0;
    while (i < t->gateways && t->gateway[i].pid != pid) i++;
    if (i == t->gateways) return;
    unsigned n = t->gateway[i].n;
    t->gateway[i] = t->gateway[--t->gateways];
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NOT_STARTED)) return;
    if (WIFEXITED(status)) fprintf(stderr, "perigee test: a gateway ended with exit code %d\n", WEXITSTATUS(status));
    else fprintf(stderr, "perigee test: a gateway was killed by signal %d\n", WTERMSIG(status));
    show_log(t, n);
    t->broken = true;
}

static void reap(struct testing *t)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid != t->busted) {
            judge_gateway(t, pid, status);
            continue;
        }
        t->busted = 0;
        t->busted_status = status;
    }
}

static void serve_specs(struct testing *t, const sigset_t *unblocked)
{
    int told = 0;
    while (t->busted) {
        struct pollfd listener = {.fd = t->listener, .events = POLLIN};
        int n = ppoll(&listener, 1, NULL, unblocked);
        reap(t);
        if (stopped && !told && t->busted) kill(t->busted, told = stopped);
        if (n > 0 && t->busted) start_gateway(t, unblocked);
    }
}

/* Their connections have gone with busted. */
static void await_gateways(struct testing *t, const sigset_t *unblocked)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (reap(t); t->gateways; reap(t)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct timespec patience = {.tv_sec = start.tv_sec + END_WITHIN_S - now.tv_sec};
        if (patience.tv_sec <= 0) break;
        ppoll(NULL, 0, &patience, unblocked);
    }
    for (size_t i = 0; i < t->gateways; i++) {
        fprintf(stderr, "perigee test: a gateway does not end\n");
        kill(t->gateway[i].pid, SIGKILL);
        t->broken = true;
    }
}

static void watch_signals(sigset_t *unblocked)
{
    sigset_t ours;
    struct sigaction child = {.sa_handler = on_child}, stop = {.sa_handler = on_stop};
    sigaction(SIGCHLD, &child, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigprocmask(SIG_BLOCK, &ours, unblocked);
}

static int exit_code_of(const struct testing *t)
{
    int code = WIFEXITED(t->busted_status) ? WEXITSTATUS(t->busted_status) : 1;
    if (code == NO_LUAJIT)
        fprintf(
            stderr,
            "perigee test: there is no luajit here; it runs the specs, with busted (Debian, Ubuntu: apt-get install "
            "luajit lua-busted)\n");
    if (code == NO_BUSTED || code == NO_LUAJIT) return 2;
    return code || t->broken ? 1 : 0;
}

int testing_run(const struct config *config, int n_words, char **words)
{
    struct testing t = {.config = config, .listener = -1};
    sigset_t unblocked;
    if (n_words > 64) {
        fprintf(stderr, "perigee test: more than 64 words for busted\n");
        return 2;
    }
    if (!make_folder(&t) || !listen_for_specs(&t)) {
        int code = complain(t.folder);
        nftw(t.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        return code;
    }
    fflush(stdout);
    watch_signals(&unblocked);
    t.busted = fork();
    if (t.busted == 0) {
        sigprocmask(SIG_SETMASK, &unblocked, NULL);
        exec_busted(&t, n_words, words);
    }
    if (t.busted > 0) serve_specs(&t, &unblocked);
    else t.busted_status = complain("fork") << 8;
    close(t.listener);
    await_gateways(&t, &unblocked);
    nftw(t.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return exit_code_of(&t);
}
