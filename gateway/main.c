/* main.c -- the command line: one verb, then its words. Exit codes: 0 fine, 1 there are findings about the models, or a gateway has
 * answered with a problem, 2 the command is wrong or cannot start. */
#include "base/log.h"
#include "client.h"
#include "config.h"
#include "gateway.h"
#include "libraries.h"
#include "model/key.h"
#include "script/vm.h"
#include "testing.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

extern char **environ;

#define FINDINGS_MAX (1 << 20)

typedef int command(const struct config *config, int argc, char **argv);

static int complain(const struct problem *why)
{
    fprintf(stderr, "perigee: %s\n", why->detail);
    return 2;
}

static void print(FILE *to, const struct buffer *b) { fwrite(buffer_view(b).p, 1, b->n, to); }

/* -- serve -- */

/* Reads the settings, runs the command under them. `argv` is read as flags, `words` are the command's own. */
static int with_config(int argc, char **argv, command *run, int words, char **word)
{
    struct config config;
    struct problem why;
    int exit_code = 2;
    if (config_read(&config, argc, argv, environ, &why) == OK) exit_code = run(&config, words, word);
    else complain(&why);
    config_deinit(&config);
    return exit_code;
}

static int serve(const struct config *config, int argc, char **argv) { return gateway_serve(config); }

static int run_serve(int argc, char **argv) { return with_config(argc, argv, serve, 0, NULL); }

/* -- check and key: load the models, without a loop -- */

static struct vm *load_models(const struct config *config, struct buffer *findings)
{
    struct sources sources;
    struct problem why;
    if (sources_read(&sources, config->dirs.item, config->dirs.n, &why) != OK) {
        buffer_printf(findings, "%s\n", why.detail);
        return NULL;
    }
    struct vm_config vm_config = {.prefix = slice_of(config->prefix),
                                  .hard_timeout_ms = GATEWAY_HARD_TIMEOUT_MS,
                                  .memory_max = GATEWAY_LUA_BYTES};
    struct vm *vm = vm_new(&vm_config, &sources, findings);
    sources_free(&sources);
    return vm;
}

/* "3 models, 1 form". */
static void count_models(const struct registry *registry, struct buffer *out)
{
    size_t models = registry_count(registry, MODEL_RECORD), forms = registry_count(registry, MODEL_FORM);
    buffer_printf(out, "%zu model%s", models, models == 1 ? "" : "s");
    if (forms) buffer_printf(out, ", %zu form%s", forms, forms == 1 ? "" : "s");
}

/* Warnings count: they do not keep `serve` from serving, but whoever asks wants to know. */
static int check(const struct config *config, int argc, char **argv)
{
    struct buffer findings;
    buffer_init(&findings, FINDINGS_MAX);
    struct vm *vm = load_models(config, &findings);
    bool good = vm && findings.n == 0;
    if (vm) {
        count_models(vm_registry(vm), &findings);
        buffer_printf(&findings, good ? ", nothing to find fault with\n" : ", no errors\n");
        vm_free(vm);
    }
    print(stdout, &findings);
    buffer_deinit(&findings);
    return good ? 0 : 1;
}

static int run_check(int argc, char **argv) { return with_config(argc, argv, check, 0, NULL); }

static enum status derive_key(const struct registry *registry, struct slice name, int pairs, char **pair,
                              struct arena *arena, struct record_key *key, struct problem *why)
{
    const struct model *m = registry_find(registry, name); /* or a method: Home.geocode */
    struct key_draft draft;
    if (!m) return registry_unknown(registry, MODEL_RECORD, name, why);
    key_draft_init(&draft);
    for (int i = 0; i < pairs; i++) {
        struct slice value = slice_of(pair[i]);
        struct slice key_name = slice_cut(&value, '=');
        if (!value.p) return problem_set(why, MALFORMED_REQUEST, NULL, "`%s` is not name=value", pair[i]);
        enum status st = key_set_text(m, &draft, key_name, value, arena, why);
        if (st != OK) return st;
    }
    return key_finish(m, &draft, arena, key, why);
}

static int print_key(const struct config *config, int words, char **word)
{
    struct problem why;
    struct buffer findings;
    buffer_init(&findings, FINDINGS_MAX);
    struct vm *vm = load_models(config, &findings);
    int exit_code = 1;
    if (vm) {
        struct arena arena;
        struct record_key key;
        arena_init(&arena);
        if (derive_key(vm_registry(vm), slice_of(word[0]), words - 1, word + 1, &arena, &key, &why) == OK) {
            printf("%.*s\n", SLICE_ARG(key.stored));
            exit_code = 0;
        } else {
            exit_code = complain(&why);
        }
        arena_deinit(&arena);
        vm_free(vm);
    } else {
        print(stderr, &findings);
    }
    buffer_deinit(&findings);
    return exit_code;
}

/* perigee key [--models DIR]... [--prefix P] MODEL name=value..., the flags before, behind or between: the schema folders come as flags here,
 * since the words are the key. */
static int run_key(int argc, char **argv)
{
    static const char models[] = "--models=";
    char **flag = calloc(2 * (size_t)argc + 1, sizeof *flag), **word = flag ? flag + argc : NULL;
    int flags = 0, words = 0, exit_code = 2;
    if (!flag) abort();
    for (int i = 0; i < argc; i++) {
        bool is_flag = strncmp(argv[i], "--", 2) == 0, alone = is_flag && strchr(argv[i], '=');
        if (!is_flag) word[words++] = argv[i];
        else if (strncmp(argv[i], models, sizeof models - 1) == 0) flag[flags++] = argv[i] + sizeof models - 1;
        else if (alone || i + 1 == argc || strcmp(argv[i], "--models") != 0) flag[flags++] = argv[i];
        if (is_flag && !alone && i + 1 < argc) flag[flags++] = argv[++i];
    }
    if (words) exit_code = with_config(flags, flag, print_key, words, word);
    else fprintf(stderr, "perigee: usage: perigee key [--models DIR] [--prefix P] MODEL name=value...\n");
    free(flag);
    return exit_code;
}

/* -- test -- */

/* Models that do not load fail no spec: they end it before the first. */
static int test(const struct config *config, int words, char **word)
{
    struct buffer findings;
    buffer_init(&findings, FINDINGS_MAX);
    struct vm *vm = load_models(config, &findings);
    int exit_code = 1;
    if (!vm) print(stdout, &findings);
    buffer_deinit(&findings);
    if (vm) {
        vm_free(vm);
        exit_code = testing_run(config, words, word);
    }
    return exit_code;
}

/* perigee test [DIR...] [-- words for busted] */
static int run_test(int argc, char **argv)
{
    int ours = 0;
    while (ours < argc && strcmp(argv[ours], "--") != 0) ours++;
    int theirs = ours < argc ? ours + 1 : argc;
    return with_config(ours, argv, test, argc - theirs, argv + theirs);
}

/* -- version and help -- */

static void print_library(void *arg, const char *name, const char *version) { printf("%s %s\n", name, version); }

static int run_version(int argc, char **argv)
{
    puts("perigee " PERIGEE_VERSION);
    libraries_each(true, print_library, NULL);
    return 0;
}

static int run_help(int argc, char **argv);

static const struct verb {
    const char *name, *words, *help;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"serve", "[DIR...]", "serve the models in the .lua files below DIR (default ./schemas)", run_serve},
    {"check", "[DIR...]", "load and lint the models; one `file:line: message` a finding; exit 0 when there is none",
     run_check},
    {"key", "MODEL k=v...", "print the stored key of a record (--models DIR names the folder)", run_key},
    {"get", "MODEL k=v...", "read a record from a running gateway (--url URL), or call Model.method", client_get},
    {"save", "MODEL k=v...", "save one: its JSON is a word that begins with {, or stdin", client_save},
    {"delete", "MODEL k=v...", "delete one", client_delete},
    {"test", "[DIR...]", "run the busted specs (*_spec.lua) below DIR against its models; `-- WORDS` are for busted",
     run_test},
    {"version", "", "print the version, and those of the libraries", run_version},
    {"help", "", "print this", run_help},
};

#define VERBS (sizeof verbs / sizeof *verbs)

static int run_help(int argc, char **argv)
{
    struct buffer out;
    buffer_init(&out, 65536);
    buffer_printf(&out, "Perigee %s: a Lua-scriptable cache gateway\n\n", PERIGEE_VERSION);
    for (size_t i = 0; i < VERBS; i++)
        buffer_printf(&out, "  perigee %-8s%-14s %s\n", verbs[i].name, verbs[i].words, verbs[i].help);
    buffer_printf(&out, "\nFlags of serve, each also PERIGEE_NAME in the environment and a key in --config FILE:\n\n");
    config_help(&out);
    print(stdout, &out);
    buffer_deinit(&out);
    return 0;
}

/* A closed stdin, stdout or stderr would be the number of the next socket, and log lines would reach a client. */
static void hold_standard_streams(void)
{
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

#define HEAP_KEPT  (16 << 20) /* bytes that are free at the end of a heap */
#define LARGE_FROM (4 << 20)  /* bytes of what gets pages of its own */

/* What one turn of the loop has taken for large bodies is there for the next one. By itself glibc gives it back at once, to be handed out
 * again page by page: thirteen faults a save of 32 KiB. */
static void keep_heaps(void)
{
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
    mallopt(M_MMAP_THRESHOLD, LARGE_FROM);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    keep_heaps();
    const char *name = argc > 1 ? argv[1] : "help";
    bool asks_help =
        strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (argc > 2 && strcmp(argv[2], "--help") == 0);
    if (asks_help) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    struct slice names[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(name, verbs[i].name) == 0) return verbs[i].run(argc - 2, argv + 2);
        names[i] = slice_of(verbs[i].name);
    }
    struct slice near = nearest_name(slice_of(name), names, VERBS);
    struct problem why;
    problem_set(&why, MALFORMED_REQUEST, NULL, "unknown command %s%s%.*s%s", name, near.p ? " (did you mean " : "",
                SLICE_ARG(near), near.p ? "?)" : " (see perigee help)");
    return complain(&why);
}
