/* SPDX-License-Identifier: MIT
 *
 * prober: asks for one path at a fixed rate over a kept HTTP/1.1 connection and prints percentiles of the time from the
 * moment a request was due (not when it was sent) to its answer, so that a stall counts for every request that was due
 * meanwhile. Usage: prober PORT PATH RATE SECONDS; prints "p50 p95 p99 max" in milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror("prober: connect");
        exit(1);
    }
    return fd;
}

/* The answers asked for are small: one read holds one. */
static void ask(int fd, const char *request, size_t len)
{
    char answer[8192];
    if (write(fd, request, len) != (ssize_t)len || read(fd, answer, sizeof(answer)) < 12 ||
        memcmp(answer + 9, "200", 3) != 0) {
        fprintf(stderr, "prober: not answered with 200\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int rate = atoi(argv[3]), count = rate * atoi(argv[4]);
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    int64_t *took = calloc((size_t)count + 1, sizeof(took[0]));
    int fd = connect_to(atoi(argv[1]));
    if (took == NULL || count == 0)
        return 1;
    int64_t begin = now_ns();
    for (int i = 0; i < count; i++) {
        int64_t due = begin + (int64_t)i * (1000000000 / rate);
        struct timespec ts = {due / 1000000000, due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
            ;
        ask(fd, request, (size_t)len);
        took[i] = now_ns() - due;
    }
    qsort(took, (size_t)count, sizeof(took[0]), by_value);
    printf("%.3f %.3f %.3f %.3f\n", (double)took[count / 2] / 1e6, (double)took[count * 95 / 100] / 1e6,
           (double)took[count * 99 / 100] / 1e6, (double)took[count - 1] / 1e6);
    return 0;
}
