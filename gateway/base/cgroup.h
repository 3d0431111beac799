/* base/cgroup.h -- how much memory the control group that this process lives in may use: what a container, a pod or a systemd
 * unit was given. Who uses more is killed, whatever the machine has left. */
#ifndef PERIGEE_BASE_CGROUP_H
#define PERIGEE_BASE_CGROUP_H

#include <stdint.h>

/* The least of the limits of the process' group and of all groups above it, of cgroup 2 and of cgroup 1; UINT64_MAX where there
 * is none. `root` is what /proc and /sys stand in: "" but for tests. */
uint64_t cgroup_memory_limit(const char *root);

#endif
