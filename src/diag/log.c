/* SPDX-License-Identifier: MIT
 *
 * log: the process's own log: see log.h. A record is made in a block on the stack (a long one in memory of its own) and
 * handed on whole. Text from outside may be in it, so control characters never get through: nobody can forge a line or
 * steer a terminal. Settings are made at boot; the level may change at any time. Any thread.
 */
#include "config.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "diag/log.h"

/* A worker's line (8 KiB at most) with words of ours before it; what is longer is cut. */
#define TEXT_MAX 8704
/* Texts up to this length need no memory: escaped they grow sixfold at worst. */
#define TEXT_SHORT        1024
#define BLOCK_SIZE        (6 * TEXT_SHORT + 512)
#define LIMIT_INTERVAL_US 1000000

static const char *process = "bulkhead";
static _Atomic bool as_json;
static _Atomic bool to_journal;
static _Atomic int level_max = LOG_LEVEL_INFO;

static void write_to_stderr(const char *line, size_t len);
static _Atomic(void (*)(const char *, size_t)) line_sink = write_to_stderr;

/* set by log_limit_pass for the record that follows it on this thread */
static _Thread_local unsigned long left_out_before;

/* A short write leaves a cut line: waiting for a full pipe to take the rest would be worse. */
static void write_to_stderr(const char *line, size_t len)
{
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVEL_COUNT] = {"error", "warning", "info", "debug"};
    return (unsigned)level < LOG_LEVEL_COUNT ? names[level] : "?";
}

void log_init(const char *who, enum log_level level, bool json)
{
    process = who;
    log_set_level(level);
    log_set_format(json);
    log_look_at_stderr();
}

/* systemd.exec(5): JOURNAL_STREAM names the file; a child whose fd 2 is another one has inherited the variable only. */
void log_look_at_stderr(void)
{
    unsigned long long device, inode;
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    bool is_journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                      fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
    atomic_store_explicit(&to_journal, is_journal, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

void log_set_format(bool json)
{
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_max, memory_order_relaxed);
}

void log_set_sink(void (*sink)(const char *line, size_t len))
{
    atomic_store(&line_sink, sink == NULL ? write_to_stderr : sink);
}

static void append_time(struct buf *line)
{
    struct timespec now;
    struct tm tm;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    buf_append(line, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm));
    buf_printf(line, ".%03ldZ", now.tv_nsec / 1000000);
}

static void append_priority(struct buf *line, enum log_level level)
{
    static const int priorities[LOG_LEVEL_COUNT] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    if (atomic_load_explicit(&to_journal, memory_order_relaxed))
        buf_printf(line, "<%d>", priorities[level]);
}

static void append_text_record(struct buf *line, enum log_level level, const char *room, struct str text)
{
    append_time(line);
    buf_printf(line, " %s %.32s[%ld] %.32s: ", log_level_name(level), process, (long)getpid(), room);
    buf_append_printable(line, text);
}

static void append_json_record(struct buf *line, enum log_level level, const char *room, struct str text)
{
    buf_append_z(line, "{\"time\":\"");
    append_time(line);
    buf_printf(line, "\",\"level\":\"%s\",\"process\":\"%.32s\",\"pid\":%ld,\"room\":\"%.32s\",\"text\":",
               log_level_name(level), process, (long)getpid(), room);
    buf_append_json(line, text);
    buf_append_char(line, '}');
}

static void emit(enum log_level level, const char *room, struct str text)
{
    char block[BLOCK_SIZE];
    struct buf line = {block, 0, sizeof(block)};
    if (text.len > TEXT_SHORT)
        line = (struct buf){0};
    append_priority(&line, level);
    if (as_json)
        append_json_record(&line, level, room, text);
    else
        append_text_record(&line, level, room, text);
    buf_append_char(&line, '\n');
    atomic_load (&line_sink)(line.base, line.len);
    if (line.base != block)
        buf_free(&line);
}

/* what snprintf really stored */
static size_t stored(int wanted, size_t room)
{
    return wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
}

void log_write(enum log_level level, const char *room, const char *format, ...)
{
    unsigned long left_out = left_out_before;
    left_out_before = 0;
    if (!log_enabled(level))
        return;
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    size_t len = stored(vsnprintf(text, sizeof(text), format, args), sizeof(text));
    va_end(args);
    if (left_out != 0)
        len += stored(snprintf(text + len, sizeof(text) - len, " (%lu more like this left out)", left_out),
                      sizeof(text) - len);
    emit(level, room, (struct str){text, len});
}

/* One thread a second wins the exchange and takes the count of those that the others left out. */
bool log_limit_pass(struct log_limit *limit)
{
    long long now = clock_us(), last = __atomic_load_n(&limit->last_us, __ATOMIC_RELAXED);
    bool due = last == 0 || now - last >= LIMIT_INTERVAL_US;
    if (!due || !__atomic_compare_exchange_n(&limit->last_us, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&limit->left_out, 1, __ATOMIC_RELAXED);
        return false;
    }
    left_out_before = __atomic_exchange_n(&limit->left_out, 0, __ATOMIC_RELAXED);
    return true;
}
