/* SPDX-License-Identifier: MIT
 *
 * control_client: see control_client.h.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/control_client.h"
#include "config/conf.h"
#include "config/conf_default.h"
#include "config/region.h"
#include "wire/command.h"

/* The conf is read for its control socket; its mistakes are told, as they may be the reason for not finding any. */
static char *control_of_conf(const char *file)
{
    struct buf problems = {0};
    struct conf *conf = conf_load(file, &problems);
    char *control = conf == NULL ? NULL : mem_strdup(conf->control);
    if (conf == NULL)
        fwrite(problems.base, 1, problems.len, stderr);
    buf_free(&problems);
    conf_free(&conf);
    return control;
}

static char *default_control(void)
{
    struct region region = {0};
    char *control = mem_strdup(conf_default_control(&region));
    region_free(&region);
    return control;
}

char *control_client_path(const char *file, const char *control)
{
    if (control != NULL)
        return mem_strdup(control);
    return file != NULL ? control_of_conf(file) : default_control();
}

int control_client_connect(const char *path, unsigned patience_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = (time_t)patience_s};
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == -1 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == -1)
        fd_close(&fd);
    return fd;
}

static bool send_request(int fd, const struct wire_request *request)
{
    struct buf line = {0};
    wire_request_put(request, &line);
    bool sent = send(fd, line.base, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    buf_free(&line);
    return sent;
}

static bool receive_line(int fd, struct buf *line)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(line, 65536), 65536);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0 || line->len + (size_t)n > WIRE_ANSWER_MAX) {
            errno = n == 0 ? ECONNRESET : n > 0 ? EFBIG : errno == EAGAIN ? ETIMEDOUT : errno;
            return false;
        }
        line->len += (size_t)n;
        if (line->base[line->len - 1] == '\n') {
            line->len--;
            return true;
        }
    }
}

bool control_client_ask(const char *command, const char *path, const struct wire_request *request, unsigned patience_s,
                        struct buf *answer)
{
    int fd = control_client_connect(path, patience_s);
    bool answered = fd != -1 && send_request(fd, request) && receive_line(fd, answer);
    if (!answered)
        fprintf(stderr, "bulkhead %s: control socket %s: %s; %s\n", command, path, strerror(errno),
                control_client_way_out(errno));
    fd_close(&fd);
    return answered;
}

const char *control_client_way_out(int problem)
{
    switch (problem) {
    case ENOENT:
    case ECONNREFUSED:
        return "no bulkhead runs with it; name another with -c FILE or --control PATH";
    case EACCES:
    case ECONNRESET:
        return "only root and the user that runs bulkhead may ask";
    default:
        return "is it bulkhead that listens there?";
    }
}
