/* SPDX-License-Identifier: MIT
 *
 * access_log: see access_log.h. Every put_* returns the next place to write; the caller has reserved access_log_max
 * bytes, which is computed from the lengths of the values at their worst escaping.
 */
#include "config.h"

#include <time.h>

#include "diag/writer.h"
#include "front/access_log.h"

/* all names, punctuation and numbers of a line together, with room to spare */
#define LINE_FIXED 1024
/* one byte becomes \u00xx at worst */
#define ESCAPE_MAX 6

static char *put(char *at, struct str s)
{
    if (s.len != 0)
        memcpy(at, s.base, s.len);
    return at + s.len;
}

#define PUT(at, literal) put(at, STR(literal))

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return put(at, (struct str){digits + i, sizeof(digits) - i});
}

static char *put_duration(char *at, int64_t us)
{
    return put_number(at, us < 0 ? 0 : (uint64_t)us);
}

static char *put_digits(char *at, unsigned n, unsigned width)
{
    for (unsigned i = width; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    return at + width;
}

static char *put_time(char *at, int64_t wall_us, struct access_stamp *stamp)
{
    int64_t second = wall_us / 1000000;
    if (stamp->second != second) {
        struct tm tm;
        time_t t = (time_t)second;
        gmtime_r(&t, &tm);
        char *to = put_digits(stamp->text, (unsigned)tm.tm_year + 1900, 4);
        to = put_digits(PUT(to, "-"), (unsigned)tm.tm_mon + 1, 2);
        to = put_digits(PUT(to, "-"), (unsigned)tm.tm_mday, 2);
        to = put_digits(PUT(to, "T"), (unsigned)tm.tm_hour, 2);
        to = put_digits(PUT(to, ":"), (unsigned)tm.tm_min, 2);
        to = put_digits(PUT(to, ":"), (unsigned)tm.tm_sec, 2);
        PUT(to, ".");
        stamp->second = second;
    }
    at = put(at, (struct str){stamp->text, sizeof(stamp->text)});
    return PUT(put_digits(at, (unsigned)(wall_us % 1000000), 6), "Z");
}

/* Bytes outside printable ASCII become \u00xx, which JSON reads as Latin-1: what was sent can be told from the line. */
static char *put_escaped(char *at, struct str s)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.base[i];
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            *at++ = (char)c;
        } else {
            at = PUT(at, "\\u00");
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    return at;
}

static char *put_json_close(char *at, const struct access_record *r)
{
    at = put_number(PUT(at, ",\"messages_in\":"), r->messages_in);
    at = put_number(PUT(at, ",\"messages_out\":"), r->messages_out);
    at = put(PUT(at, ",\"by\":\""), str_of(r->closed_by));
    return PUT(put_escaped(PUT(at, "\",\"why\":\""), str_of(r->why)), "\"");
}

static char *put_json_websocket(char *at, const struct access_record *r)
{
    at = PUT(put_escaped(PUT(at, ",\"connection\":\""), r->connection), "\"");
    at = put_number(PUT(at, ",\"bytes_in\":"), r->bytes_in);
    return r->closed_by == NULL ? at : put_json_close(at, r);
}

static size_t format_json(const struct access_record *r, struct access_stamp *stamp, char *out)
{
    char *at = put_time(PUT(out, "{\"time\":\""), r->wall_us, stamp);
    at = put_escaped(PUT(at, "\",\"id\":\""), r->id);
    at = put_escaped(PUT(at, "\",\"peer\":\""), r->peer);
    at = put(PUT(at, "\",\"protocol\":\""), str_of(r->protocol));
    at = put_escaped(PUT(at, "\",\"method\":\""), r->method);
    at = put_escaped(PUT(at, "\",\"path\":\""), r->target);
    at = put_number(PUT(at, "\",\"status\":"), (unsigned)r->status);
    at = put_number(PUT(at, ",\"bytes\":"), r->bytes);
    if (r->route != NULL)
        at = PUT(put_escaped(PUT(at, ",\"route\":\""), str_of(r->route)), "\"");
    if (r->backend != NULL)
        at = PUT(put_escaped(PUT(at, ",\"backend\":\""), str_of(r->backend)), "\"");
    if (r->run != NULL)
        at = PUT(put(PUT(at, ",\"class\":\""), str_of(r->run)), "\"");
    if (r->worker != 0)
        at = put_number(PUT(at, ",\"worker\":"), (uint64_t)r->worker);
    if (r->attempts > 1)
        at = put_number(PUT(at, ",\"attempts\":"), r->attempts);
    at = put(PUT(at, ",\"outcome\":\""), str_of(r->outcome));
    at = put(PUT(at, "\",\"reason\":\""), str_of(reason_word(r->reason)));
    at = put_duration(PUT(at, "\",\"upload_us\":"), r->upload_us);
    at = put_duration(PUT(at, ",\"queue_us\":"), r->queue_us);
    at = put_duration(PUT(at, ",\"service_us\":"), r->service_us);
    at = put_duration(PUT(at, ",\"total_us\":"), r->total_us);
    if (r->connection.len != 0)
        at = put_json_websocket(at, r);
    return (size_t)(PUT(at, "}\n") - out);
}

static char *put_word(char *at, struct str s)
{
    at = PUT(at, " ");
    return s.len == 0 ? PUT(at, "-") : put_escaped(at, s);
}

static char *put_value(char *at, struct str name, int64_t value)
{
    return put_duration(put(at, name), value);
}

static char *put_count(char *at, struct str name, uint64_t value)
{
    return put_number(put(at, name), value);
}

static char *put_text_websocket(char *at, const struct access_record *r)
{
    at = put_escaped(PUT(at, " connection="), r->connection);
    at = put_count(at, STR(" bytes_in="), r->bytes_in);
    if (r->closed_by == NULL)
        return at;
    at = put_count(at, STR(" messages_in="), r->messages_in);
    at = put_count(at, STR(" messages_out="), r->messages_out);
    at = put(PUT(at, " by="), str_of(r->closed_by));
    return PUT(put_escaped(PUT(at, " why=\""), str_of(r->why)), "\"");
}

static size_t format_text(const struct access_record *r, struct access_stamp *stamp, char *out)
{
    char *at = put_time(out, r->wall_us, stamp);
    at = put_word(at, r->peer);
    at = put_escaped(PUT(at, " \""), r->method);
    at = put_word(at, r->target);
    at = put(PUT(at, " "), str_of(r->protocol));
    at = put_number(PUT(at, "\" "), (unsigned)r->status);
    at = put_number(PUT(at, " "), r->bytes);
    at = put_word(at, str_of(r->outcome));
    at = put_word(at, str_of(reason_word(r->reason)));
    at = put_word(at, str_of(r->route));
    at = put_word(at, str_of(r->backend));
    at = put_word(at, str_of(r->run));
    at = put_value(at, STR(" worker="), r->worker);
    at = put_value(at, STR(" attempts="), r->attempts);
    at = put_value(at, STR(" upload="), r->upload_us);
    at = put_value(at, STR(" queue="), r->queue_us);
    at = put_value(at, STR(" service="), r->service_us);
    at = put_value(at, STR(" total="), r->total_us);
    at = put_word(at, r->id);
    if (r->connection.len != 0)
        at = put_text_websocket(at, r);
    return (size_t)(PUT(at, "\n") - out);
}

const char *access_log_outcome(enum reason reason, bool has_run)
{
    if (reason == REASON_NONE)
        return "ok";
    if (reason == REASON_ABANDONED)
        return "abandoned";
    return has_run ? "failed" : "refused";
}

static size_t text_length(const char *z)
{
    return z == NULL ? 0 : strlen(z);
}

size_t access_log_max(const struct access_record *r)
{
    size_t escaped = r->id.len + r->peer.len + r->method.len + r->target.len + text_length(r->route) +
                     text_length(r->backend) + r->connection.len + text_length(r->why);
    return LINE_FIXED + ESCAPE_MAX * escaped;
}

size_t access_log_format(enum access_format format, const struct access_record *record, struct access_stamp *stamp,
                         char *out)
{
    return format == ACCESS_JSON ? format_json(record, stamp, out) : format_text(record, stamp, out);
}

void access_log_write(struct writer_ring *ring, enum access_format format, const struct access_record *record,
                      struct access_stamp *stamp)
{
    char *out = writer_reserve(ring, access_log_max(record));
    if (out != NULL)
        writer_commit(ring, access_log_format(format, record, stamp, out));
}
