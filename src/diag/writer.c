/* SPDX-License-Identifier: MIT
 *
 * writer: lines from loop threads to a descriptor: see writer.h. A producer touches its ring, and the eventfd when the
 * thread asked to be woken; all else is the thread's.
 *
 * The thread works in rounds: it notes how far each ring is filled, writes that, and waits. The descriptor may be a
 * standard output that other processes share, so O_NONBLOCK is not ours to set. A regular file takes all that is there
 * in one writev(2). Anything else is asked by poll(2) first and then given whole lines of at most PIPE_BUF bytes, which
 * a pipe that polls writable takes without blocking and does not mix with the lines of others.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "diag/ring.h"
#include "diag/writer.h"

#define GATHER_MS  50
#define BUSY_MS    10
#define FLUSH_US   900000 /* of the second that writer_stop may take */
#define STOP_MS    1000
#define CHUNKS_MAX 64

/* when producers have to wake the thread */
enum wake { WAKE_NEVER, WAKE_HALF_FULL, WAKE_ANY_LINE };

struct writer_ring {
    struct ring ring;
    struct writer *writer;
    struct writer_ring *next;
    uint64_t goal; /* thread: write up to here in this round */
    _Atomic uint64_t dropped;
};

struct writer {
    _Atomic(struct writer_ring *) rings; /* only ever grows, at the front */
    size_t ring_bytes;
    pthread_t thread;
    int event;           /* eventfd: something changed, look again */
    int ended;           /* eventfd: the thread is through */
    _Atomic int wake;    /* enum wake */
    _Atomic int next_fd; /* handed over by writer_set_fd; -1: none */
    _Atomic bool stopping;
    _Atomic int64_t stop_us;  /* valid when stopping: until when to go on */
    _Atomic bool parted;      /* the thread or writer_stop is through with *w; the second to say so frees it */
    _Atomic uint64_t dropped; /* by the thread */
    /* the thread's */
    int fd;
    bool regular;
    struct writer_ring *turn; /* whose lines come first in a round; NULL: the first of the list */
};

/* A run of bytes in a ring that is to be written */
struct chunk {
    struct writer_ring *from;
    uint64_t position;
    char *bytes;
    size_t len;
};

enum outcome { WROTE, NOTHING_LEFT, NOT_NOW };

static void signal_event(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof(one)); /* fails only when it is signalled 2^64 times over */
    (void)ignored;
}

static void clear_event(int fd)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));
    (void)ignored;
}

/* --- producers --------------------------------------------------------------------------------------------------- */

static void wake_if_wanted(struct writer *w, struct ring *ring)
{
    int wake = atomic_load(&w->wake);
    if (wake == WAKE_NEVER || (wake == WAKE_HALF_FULL && !ring_over_half(ring)))
        return;
    if (atomic_exchange(&w->wake, WAKE_NEVER) != WAKE_NEVER)
        signal_event(w->event);
}

char *writer_reserve(struct writer_ring *ring, size_t max)
{
    char *room = ring_reserve(&ring->ring, max);
    if (room == NULL)
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
    return room;
}

void writer_commit(struct writer_ring *ring, size_t used)
{
    ring_commit(&ring->ring, used);
    wake_if_wanted(ring->writer, &ring->ring);
}

bool writer_line(struct writer_ring *ring, const char *line, size_t len)
{
    char *room = writer_reserve(ring, len);
    if (room == NULL)
        return false;
    memcpy(room, line, len);
    writer_commit(ring, len);
    return true;
}

struct writer_ring *writer_ring_create(struct writer *w)
{
    struct writer_ring *ring = NULL;
    if (posix_memalign((void **)&ring, alignof(struct writer_ring), sizeof(*ring)) != 0)
        abort();
    memset(ring, 0, sizeof(*ring));
    ring_init(&ring->ring, w->ring_bytes);
    ring->writer = w;
    ring->next = atomic_load(&w->rings);
    while (!atomic_compare_exchange_weak(&w->rings, &ring->next, ring))
        ;
    return ring;
}

uint64_t writer_dropped(struct writer *w)
{
    uint64_t sum = atomic_load_explicit(&w->dropped, memory_order_relaxed);
    for (struct writer_ring *ring = atomic_load(&w->rings); ring != NULL; ring = ring->next)
        sum += atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    return sum;
}

bool writer_set_fd(struct writer *w, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy == -1)
        return false;
    int superseded = atomic_exchange(&w->next_fd, copy);
    fd_close(&superseded);
    signal_event(w->event);
    return true;
}

/* --- the thread: what to write ----------------------------------------------------------------------------------- */

static struct writer_ring *ring_after(struct writer *w, struct writer_ring *ring)
{
    return ring->next != NULL ? ring->next : atomic_load(&w->rings);
}

static void begin_round(struct writer *w)
{
    for (struct writer_ring *ring = atomic_load(&w->rings); ring != NULL; ring = ring->next)
        ring->goal = ring_head(&ring->ring);
}

static size_t gather_ring(struct writer_ring *ring, struct chunk *chunks, size_t max)
{
    uint64_t position = atomic_load_explicit(&ring->ring.tail, memory_order_relaxed);
    size_t n = 0, len;
    char *bytes;
    while (n < max && (len = ring_peek(&ring->ring, &position, ring->goal, &bytes)) != 0) {
        chunks[n++] = (struct chunk){ring, position, bytes, len};
        position += len;
    }
    return n;
}

/* What is left of this round, at most CHUNKS_MAX runs */
static size_t gather(struct writer *w, struct chunk *chunks)
{
    struct writer_ring *first = w->turn != NULL ? w->turn : atomic_load(&w->rings), *ring = first;
    size_t n = 0;
    if (first == NULL)
        return 0;
    do {
        n += gather_ring(ring, chunks + n, CHUNKS_MAX - n);
        ring = ring_after(w, ring);
    } while (ring != first && n < CHUNKS_MAX);
    return n;
}

static void consume(struct writer *w, const struct chunk *chunks, size_t sent)
{
    for (; sent != 0; chunks++) {
        size_t part = sent < chunks->len ? sent : chunks->len;
        /* nobody else's line may come into the middle of a long one */
        w->turn = chunks->bytes[part - 1] == '\n' ? ring_after(w, chunks->from) : chunks->from;
        ring_consume(&chunks->from->ring, chunks->position + part);
        sent -= part;
    }
}

static void drop(struct writer *w, const struct chunk *chunks, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < chunks[i].len; j++)
            lines += chunks[i].bytes[j] == '\n';
        ring_consume(&chunks[i].from->ring, chunks[i].position + chunks[i].len);
    }
    atomic_fetch_add_explicit(&w->dropped, lines, memory_order_relaxed);
}

/* as many whole lines as a pipe takes at once; a longer line has to be cut */
static size_t atomic_part(const struct chunk *chunk)
{
    if (chunk->len <= PIPE_BUF)
        return chunk->len;
    const char *newline = memrchr(chunk->bytes, '\n', PIPE_BUF);
    return newline == NULL ? PIPE_BUF : (size_t)(newline + 1 - chunk->bytes);
}

/* --- the thread: where to write ---------------------------------------------------------------------------------- */

static void adopt_fd(struct writer *w)
{
    struct stat st;
    int fd = atomic_exchange(&w->next_fd, -1);
    if (fd == -1)
        return;
    fd_close(&w->fd);
    w->fd = fd;
    w->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* how long the thread may wait for its descriptor; -1: until something happens */
static int patience_ms(struct writer *w)
{
    if (!atomic_load(&w->stopping))
        return -1;
    int64_t left = atomic_load(&w->stop_us) - clock_us();
    return left > 0 ? (int)((left + 999) / 1000) : 0;
}

/* true: a write will not block, or fail. false: look again, something else has happened or the time is over. */
static bool wait_writable(struct writer *w)
{
    struct pollfd fds[] = {{w->fd, POLLOUT, 0}, {w->event, POLLIN, 0}};
    if (poll(fds, 2, patience_ms(w)) <= 0)
        return false;
    if (fds[1].revents != 0)
        clear_event(w->event);
    return fds[0].revents != 0;
}

/* The descriptor was made non-blocking by somebody who shares it, and is not as writable as it said. */
static void wait_a_little(struct writer *w)
{
    struct pollfd event = {w->event, POLLIN, 0};
    poll(&event, 1, BUSY_MS);
}

static enum outcome write_some(struct writer *w)
{
    struct chunk chunks[CHUNKS_MAX];
    struct iovec vecs[CHUNKS_MAX];
    size_t n = gather(w, chunks);
    if (n == 0)
        return NOTHING_LEFT;
    if (!w->regular) {
        n = 1;
        chunks[0].len = atomic_part(&chunks[0]);
        if (!wait_writable(w))
            return NOT_NOW;
    }
    for (size_t i = 0; i < n; i++)
        vecs[i] = (struct iovec){chunks[i].bytes, chunks[i].len};
    ssize_t sent = writev(w->fd, vecs, (int)n);
    if (sent >= 0)
        consume(w, chunks, (size_t)sent);
    else if (errno == EAGAIN)
        wait_a_little(w);
    else if (errno != EINTR)
        drop(w, chunks, n);
    return sent >= 0 ? WROTE : NOT_NOW;
}

/* --- the thread: when to write ----------------------------------------------------------------------------------- */

static bool any_ring(struct writer *w, enum wake wake)
{
    for (struct writer_ring *ring = atomic_load(&w->rings); ring != NULL; ring = ring->next) {
        uint64_t tail = atomic_load_explicit(&ring->ring.tail, memory_order_relaxed);
        if (wake == WAKE_ANY_LINE ? ring_head(&ring->ring) != tail : ring_over_half(&ring->ring))
            return true;
    }
    return false;
}

/* Says first when to be woken and then looks, so that a line committed in between is not missed. */
static void wait_for_lines(struct writer *w, enum wake wake)
{
    struct pollfd event = {w->event, POLLIN, 0};
    atomic_store(&w->wake, wake);
    if (!any_ring(w, wake) && poll(&event, 1, wake == WAKE_ANY_LINE ? -1 : GATHER_MS) > 0)
        clear_event(w->event);
    atomic_store(&w->wake, WAKE_NEVER);
}

/* One round; returns whether anything was written. */
static bool write_round(struct writer *w)
{
    enum outcome outcome;
    bool wrote = false;
    begin_round(w);
    do {
        adopt_fd(w);
        outcome = write_some(w);
        wrote |= outcome == WROTE;
    } while (outcome != NOTHING_LEFT && patience_ms(w) != 0);
    return wrote;
}

static void destroy(struct writer *w)
{
    struct writer_ring *ring = atomic_load(&w->rings);
    while (ring != NULL) {
        struct writer_ring *next = ring->next;
        ring_destroy(&ring->ring);
        free(ring);
        ring = next;
    }
    int next_fd = atomic_load(&w->next_fd);
    fd_close(&next_fd);
    fd_close(&w->fd);
    fd_close(&w->event);
    fd_close(&w->ended);
    free(w);
}

static void *run(void *arg)
{
    struct writer *w = arg;
    for (;;) {
        bool last = atomic_load(&w->stopping); /* before the round: it covers all that was committed before the stop */
        bool wrote = write_round(w);
        if (last)
            break;
        if (!atomic_load(&w->stopping))
            wait_for_lines(w, wrote ? WAKE_HALF_FULL : WAKE_ANY_LINE);
    }
    signal_event(w->ended);
    if (atomic_exchange(&w->parted, true))
        destroy(w);
    return NULL;
}

/* --- starting and stopping --------------------------------------------------------------------------------------- */

/* The thread takes no signals: they are the loops' business, and SIGPIPE is to be an error of write(2). */
static bool start_thread(struct writer *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_setname_np(w->thread, "writer");
    errno = error;
    return error == 0;
}

struct writer *writer_start(int fd, size_t ring_bytes)
{
    struct writer *w = mem_zalloc(sizeof(*w));
    w->ring_bytes = ring_bytes;
    w->fd = -1;
    atomic_store(&w->next_fd, -1);
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->event == -1 || w->ended == -1 || !writer_set_fd(w, fd) || !start_thread(w)) {
        destroy(w);
        return NULL;
    }
    return w;
}

void writer_stop(struct writer **writer)
{
    struct writer *w = *writer;
    if (w == NULL)
        return;
    *writer = NULL;
    pthread_t thread = w->thread;
    struct pollfd ended = {w->ended, POLLIN, 0};
    atomic_store(&w->stop_us, clock_us() + FLUSH_US);
    atomic_store(&w->stopping, true);
    signal_event(w->event);
    if (poll(&ended, 1, STOP_MS) <= 0 && !atomic_exchange(&w->parted, true)) {
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    destroy(w);
}
