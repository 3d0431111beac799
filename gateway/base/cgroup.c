/* base/cgroup.c -- /proc/self/cgroup names the groups of this process, a line a hierarchy: `0::/user.slice/x` of cgroup 2,
 * `4:memory:/x` of cgroup 1. A path is looked up below the hierarchy's mount point, and so are those above it. In a container the path
 * may be that of the host, which is not there: the container's own group is then the mount point itself. */
#include "base/cgroup.h"

#include "base/slice.h"
#include "base/units.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 4096 };

/* The number that a file holds; UINT64_MAX where there is no such file, or it says `max`. */
static uint64_t limit_read(const char *path)
{
    char text[32];
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file) return limit;
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    while (n > 0 && text[n - 1] == '\n') n--;
    return units_uint(slice_from(text, n), UINT64_MAX, &limit) ? limit : UINT64_MAX;
}

static uint64_t least_upwards(const char *root, const char *mount, struct slice path, const char *file)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char name[PATH_MAX_BYTES];
        while (path.n > 0 && path.p[path.n - 1] == '/') path.n--;
        int n = snprintf(name, sizeof name, "%s%s%.*s/%s", root, mount, SLICE_ARG(path), file);
        uint64_t limit = n < (int)sizeof name ? limit_read(name) : UINT64_MAX;
        if (limit < least) least = limit;
        if (path.n == 0) return least;
        while (path.n > 0 && path.p[path.n - 1] != '/') path.n--;
    }
}

static bool lists_memory(struct slice controllers)
{
    while (controllers.p)
        if (slice_eq(slice_cut(&controllers, ','), SLICE("memory"))) return true;
    return false;
}

uint64_t cgroup_memory_limit(const char *root)
{
    char line[PATH_MAX_BYTES];
    uint64_t least = UINT64_MAX;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    if (!file) return least;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        struct slice path = slice_of(line);
        struct slice number = slice_cut(&path, ':'), controllers = slice_cut(&path, ':');
        uint64_t limit = UINT64_MAX;
        if (slice_eq(number, SLICE("0"))) limit = least_upwards(root, "/sys/fs/cgroup", path, "memory.max");
        else if (lists_memory(controllers))
            limit = least_upwards(root, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
        if (limit < least) least = limit;
    }
    fclose(file);
    return least;
}
