/* SPDX-License-Identifier: MIT
 *
 * activation: listening sockets that a service manager handed over (sd_listen_fds(3)): LISTEN_FDS of them from
 * descriptor 3 on, named by LISTEN_FDNAMES, when LISTEN_PID is this process. Taken once, at boot, before any other
 * descriptor is opened. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_ACTIVATION_H
#define BULKHEAD_SUPERVISOR_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

#define ACTIVATION_FD_FIRST 3
#define ACTIVATION_FDS_MAX  128
/* a name has at most 255 bytes (sd_notify(3)), and its end */
#define ACTIVATION_NAME_SIZE 256

struct activation {
    struct activation_fd {
        int fd; /* -1: taken */
        char name[ACTIVATION_NAME_SIZE];
    } fds[ACTIVATION_FDS_MAX];
    size_t count;
};

/* Reads the environment; the descriptors become close-on-exec. What is not meant for this process is ignored. */
void activation_init(struct activation *a);
/* The first socket of that name that has not been taken yet; the caller's from then on. -1: there is none. */
int activation_take(struct activation *a, const char *name);
/* closes what nobody took; returns how many that were */
size_t activation_close_rest(struct activation *a);
/* the names that came, for messages: "http, admin" or "none" */
void activation_names(const struct activation *a, char *out, size_t size);

/* What activation_init does, from given values, without touching descriptors. */
void activation_parse(struct activation *a, long own_pid, const char *pid, const char *fds, const char *names);

#endif
