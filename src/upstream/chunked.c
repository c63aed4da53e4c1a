/* SPDX-License-Identifier: MIT
 *
 * chunked: the framing of a chunked body as a state machine over single bytes; data is passed over by length. Framing
 * is a few bytes per chunk, so clarity costs nothing here. Pure; no memory of its own.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "upstream/chunked.h"

/* What the next byte may be. DATA has the number that libh2o's own decoder gives it. */
enum state {
    SIZE,        /* a hexadecimal digit; after one also ';' or CR */
    SIZE_LF,     /* LF behind the size line's CR */
    DATA,        /* `left` bytes of the body */
    DATA_CR,     /* CR behind the data */
    DATA_LF,     /* its LF */
    EXT_START,   /* behind ';': blanks, then the name of an extension */
    EXT_NAME,    /* more of the name, '=', ';' or CR */
    EXT_VALUE,   /* behind '=': a token or a quoted string */
    EXT_TOKEN,   /* more of the token, ';' or CR */
    EXT_QUOTED,  /* inside quotes */
    EXT_ESCAPED, /* behind '\' inside quotes */
    EXT_AFTER,   /* behind the closing quote: ';' or CR */
    TRAILER,     /* the first byte of a trailer's name, or the CR of the empty line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF, /* the LF that ends the body */
    ENDED,
    BROKEN
};

enum problem {
    NONE,
    BAD_SIZE,
    SIZE_RANGE,
    BAD_EXTENSION,
    BAD_LINE_END,
    BAD_DATA_END,
    BAD_TRAILER,
    OVERHEAD,
    PROBLEM_COUNT
};

static const char *const problems[PROBLEM_COUNT] = {
    [NONE] = "",
    [BAD_SIZE] = "chunk size is not a hexadecimal number",
    [SIZE_RANGE] = "chunk size over the limit of 63 bits",
    [BAD_EXTENSION] = "malformed chunk extension",
    [BAD_LINE_END] = "chunk line does not end with CR LF",
    [BAD_DATA_END] = "chunk data is longer than its size, or not followed by CR LF",
    [BAD_TRAILER] = "malformed trailer field",
    [OVERHEAD] = "chunk extensions and trailers over the limit (limits.chunk_overhead)",
};

const char *chunked_problem(const struct chunked *c)
{
    assert(c->problem < PROBLEM_COUNT);
    return problems[c->problem];
}

static enum state broken(struct chunked *c, enum problem why)
{
    c->problem = (uint8_t)why;
    return BROKEN;
}

static enum state on_size(struct chunked *c, char b)
{
    if (lexis_is(b, LEXIS_HEX)) {
        unsigned digit = b <= '9' ? (unsigned)(b - '0') : (unsigned)((b | 0x20) - 'a' + 10);
        if (c->digits == 16 || c->left > (uint64_t)INT64_MAX >> 4)
            return broken(c, SIZE_RANGE);
        c->digits++;
        c->left = c->left << 4 | digit;
        return SIZE;
    }
    if (c->digits == 0 || (b != ';' && b != '\r'))
        return broken(c, BAD_SIZE);
    c->digits = 0;
    return b == ';' ? EXT_START : SIZE_LF;
}

static enum state on_extension(struct chunked *c, char b)
{
    switch ((enum state)c->state) {
    case EXT_START:
        if (b == ' ' || b == '\t')
            return EXT_START;
        return lexis_is(b, LEXIS_TOKEN) ? EXT_NAME : broken(c, BAD_EXTENSION);
    case EXT_VALUE:
        if (b == '"')
            return EXT_QUOTED;
        return lexis_is(b, LEXIS_TOKEN) ? EXT_TOKEN : broken(c, BAD_EXTENSION);
    case EXT_QUOTED:
        if (b == '"')
            return EXT_AFTER;
        if (b == '\\')
            return EXT_ESCAPED;
        return lexis_is(b, LEXIS_VALUE) ? EXT_QUOTED : broken(c, BAD_EXTENSION);
    case EXT_ESCAPED:
        return lexis_is(b, LEXIS_VALUE) ? EXT_QUOTED : broken(c, BAD_EXTENSION);
    default:
        if (b == ';')
            return EXT_START;
        if (b == '\r')
            return SIZE_LF;
        if (b == '=' && c->state == EXT_NAME)
            return EXT_VALUE;
        if (lexis_is(b, LEXIS_TOKEN) && c->state != EXT_AFTER)
            return (enum state)c->state;
        return broken(c, BAD_EXTENSION);
    }
}

static enum state on_trailer(struct chunked *c, char b)
{
    switch ((enum state)c->state) {
    case TRAILER:
        if (b == '\r')
            return END_LF;
        return lexis_is(b, LEXIS_TOKEN) ? TRAILER_NAME : broken(c, BAD_TRAILER);
    case TRAILER_NAME:
        if (b == ':')
            return TRAILER_VALUE;
        return lexis_is(b, LEXIS_TOKEN) ? TRAILER_NAME : broken(c, BAD_TRAILER);
    case TRAILER_VALUE:
        if (b == '\r')
            return TRAILER_LF;
        return lexis_is(b, LEXIS_VALUE) ? TRAILER_VALUE : broken(c, BAD_TRAILER);
    default:
        return b == '\n' ? TRAILER : broken(c, BAD_LINE_END);
    }
}

static enum state next_state(struct chunked *c, char b)
{
    switch ((enum state)c->state) {
    case SIZE:
        return on_size(c, b);
    case SIZE_LF:
        if (b != '\n')
            return broken(c, BAD_LINE_END);
        return c->left == 0 ? TRAILER : DATA;
    case DATA_CR:
        return b == '\r' ? DATA_LF : broken(c, BAD_DATA_END);
    case DATA_LF:
        return b == '\n' ? SIZE : broken(c, BAD_DATA_END);
    case END_LF:
        return b == '\n' ? ENDED : broken(c, BAD_LINE_END);
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
        return on_trailer(c, b);
    default:
        return on_extension(c, b);
    }
}

/* the budget covers what the grammar does not bound: not the size, not the CR LF that must be there */
static bool is_overhead(unsigned state)
{
    return (state >= EXT_START && state <= EXT_AFTER) || (state >= TRAILER_NAME && state <= TRAILER_LF);
}

static void step(struct chunked *c, char b, size_t overhead_max)
{
    c->state = (uint8_t)next_state(c, b);
    if (is_overhead(c->state) && ++c->overhead > overhead_max)
        c->state = (uint8_t)broken(c, OVERHEAD);
}

static struct str take_data(struct chunked *c, const char *bytes, size_t len, size_t *used)
{
    size_t n = len - *used;
    if (n > c->left)
        n = (size_t)c->left;
    struct str run = {(char *)bytes + *used, n};
    *used += n;
    c->left -= n;
    if (c->left == 0)
        c->state = DATA_CR;
    return run;
}

enum chunked_event chunked_next(struct chunked *c, size_t overhead_max, const char *bytes, size_t len, size_t *used,
                                struct str *data_r)
{
    assert(*used <= len);
    if (overhead_max > UINT32_MAX - 1)
        overhead_max = UINT32_MAX - 1; /* so that the count cannot wrap */
    for (;;) {
        if (c->state == ENDED)
            return CHUNKED_END;
        if (c->state == BROKEN)
            return CHUNKED_ERROR;
        if (*used == len)
            return CHUNKED_MORE;
        if (c->state == DATA) {
            *data_r = take_data(c, bytes, len, used);
            return CHUNKED_DATA;
        }
        step(c, bytes[(*used)++], overhead_max);
    }
}
