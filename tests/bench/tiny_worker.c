/* SPDX-License-Identifier: MIT
 *
 * tiny_worker: the smallest HTTP/1.1 server behind a Unix socket: one connection at a time, a fixed answer to every
 * head, kept alive. What nginx proxies to when its hop is measured; also the floor of any worker. Usage: tiny_worker PATH
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

static void serve(int fd)
{
    char head[16384];
    size_t have = 0;
    ssize_t n;
    while ((n = read(fd, head + have, sizeof(head) - have)) > 0) {
        have += (size_t)n;
        if (have < 4 || memcmp(head + have - 4, "\r\n\r\n", 4) != 0)
            continue;
        have = 0;
        if (write(fd, answer, sizeof(answer) - 1) < 0)
            break;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
        return 2;
    strcpy(address.sun_path, argv[1]);
    unlink(argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 64) != 0) {
        perror("tiny_worker");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            serve(fd);
    }
}
