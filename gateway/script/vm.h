/* script/vm.h -- one Lua state with its models loaded: sandboxed, text chunks only, one a worker.
 *
 * Life: vm_new compiles on any thread; vm_attach gives it to a worker's loop; vm_retire when a reload has replaced it: it
 * frees itself when its last load has ended. All on one thread at a time. */
#ifndef PERIGEE_SCRIPT_VM_H
#define PERIGEE_SCRIPT_VM_H

#include "base/buffer.h"
#include "model/registry.h"
#include "script/host.h"
#include "script/sources.h"

struct vm;

struct vm_config {
    struct slice prefix;      /* of stored keys */
    uint64_t hard_timeout_ms; /* of loaders that set none */
    size_t memory_max;        /* bytes a Lua state may use */
};

/* Runs every source. On success returns the vm; on errors NULL. Findings -- errors, and warnings of the linter -- are
 * appended to `findings`, one a line: `file:line: message`. */
struct vm *vm_new(const struct vm_config *config, const struct sources *sources, struct buffer *findings);

/* For a vm that was never attached. */
void vm_free(struct vm *vm);

/* Binds handlers' libraries to a worker's host. From here on only that worker's thread may touch it. */
void vm_attach(struct vm *vm, struct script_host *host);

/* No new loads; frees itself when the last one is done (at once when there is none). */
void vm_retire(struct vm *vm);

const struct registry *vm_registry(const struct vm *vm);

/* Bytes the Lua state holds now. */
size_t vm_bytes(const struct vm *vm);

/* "LuaJIT 2.1...": the engine's name and version. */
const char *vm_engine(void);

/* Reads a Lua file that returns a flat table (a config file) in an empty environment; calls each(arg, name, value) for every
 * entry, lists as repeated entries, values as text. MALFORMED_REQUEST with `file:line: message`. */
enum status vm_read_table(const char *path, void (*each)(void *arg, struct slice name, struct slice value), void *arg,
                          struct problem *why);

#endif
