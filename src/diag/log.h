/* SPDX-License-Identifier: MIT
 *
 * log: the process's own log: one line a record, "time level room: text", or JSON. Records are whole lines written by
 * one write(2); in the front they go through a ring to a writer thread (diag/writer.h), so that a full pipe never stops
 * a loop. Where fd 2 leads to the systemd journal, a line begins with its priority, "<3>" for an error, as
 * sd-daemon(3) has it. Any thread.
 */
#ifndef BULKHEAD_DIAG_LOG_H
#define BULKHEAD_DIAG_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };
const char *log_level_name(enum log_level level);

/* who: this process, in every line ("supervisor", "front", "worker"). json: one object a line. */
void log_init(const char *who, enum log_level level, bool json);
/* fd 2 has been made another file: is that the journal? log_init looks too. */
void log_look_at_stderr(void);
void log_set_level(enum log_level level);
void log_set_format(bool json);
bool log_enabled(enum log_level level);
/* where whole lines go instead of fd 2; must not block */
void log_set_sink(void (*sink)(const char *line, size_t len));
void log_write(enum log_level level, const char *room, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* at most once a second per call site; says how many were left out */
#define log_limited(level, room, ...)                                                                                  \
    do {                                                                                                               \
        static struct log_limit log_limit_here;                                                                        \
        if (log_limit_pass(&log_limit_here))                                                                           \
            log_write(level, room, __VA_ARGS__);                                                                       \
    } while (0)
struct log_limit {
    long long last_us;
    unsigned long left_out;
};
bool log_limit_pass(struct log_limit *limit);

#endif
