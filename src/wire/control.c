/* SPDX-License-Identifier: MIT
 *
 * control: the messages between front and supervisor, to and from bytes: see control.h. The head is CONTROL_HEAD_BYTES
 * long, little-endian, and says how long the text behind it is; a datagram is exactly head and text. Whatever differs
 * from that is refused whole. No state; any thread of either process.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "wire/control.h"

enum {
    AT_VERSION = 0,
    AT_TYPE = 2,
    AT_BACKEND = 4,
    AT_SLOT = 8,
    AT_GENERATION = 12,
    AT_PID = 16,
    AT_COUNT = 20,
    AT_TIME = 24,
    AT_TEXT_LEN = 32,
    CONTROL_HEAD_BYTES = 36
};

static const char *const names[WIRE_CONTROL_TYPE_END] = {
    [WIRE_CONF] = "conf",           [WIRE_LISTENER] = "listener",
    [WIRE_CONF_END] = "conf-end",   [WIRE_GRANT] = "grant",
    [WIRE_LOST] = "lost",           [WIRE_WORKER] = "worker",
    [WIRE_DOWN] = "down",           [WIRE_STATUS_ASK] = "status-ask",
    [WIRE_DRAIN] = "drain",         [WIRE_REOPEN] = "reopen",
    [WIRE_READY] = "ready",         [WIRE_FAILED] = "failed",
    [WIRE_HEARTBEAT] = "heartbeat", [WIRE_RETURN] = "return",
    [WIRE_KILL] = "kill",           [WIRE_STATUS] = "status",
    [WIRE_BACKEND] = "backend",     [WIRE_COMMIT] = "commit",
    [WIRE_ABORT] = "abort",         [WIRE_PREPARED] = "prepared",
    [WIRE_RETIRED] = "retired",
    [WIRE_DRAINED] = "drained",     [WIRE_ADMIN_CLIENT] = "admin-client",
    [WIRE_RECALL] = "recall",       [WIRE_SPENT] = "spent",
    [WIRE_LOG_LEVEL] = "log-level", [WIRE_STUCK] = "stuck",
    [WIRE_PAUSE] = "pause",         [WIRE_RESIZE] = "resize",
    [WIRE_LEAVE] = "leave",         [WIRE_QUIET] = "quiet",
};

static bool known(unsigned type)
{
    return type < WIRE_CONTROL_TYPE_END && names[type] != NULL;
}

const char *wire_control_name(unsigned type)
{
    return known(type) ? names[type] : "unknown";
}

static void put_le(char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint64_t get_le(const char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

size_t wire_control_encode(const struct wire_control *m, char *out, size_t capacity)
{
    assert(known(m->type));
    size_t limit = capacity < WIRE_CONTROL_MAX ? capacity : WIRE_CONTROL_MAX;
    if (limit < CONTROL_HEAD_BYTES || m->text.len > limit - CONTROL_HEAD_BYTES)
        return 0;
    put_le(out + AT_VERSION, WIRE_CONTROL_VERSION, 2);
    put_le(out + AT_TYPE, m->type, 2);
    put_le(out + AT_BACKEND, m->backend, 4);
    put_le(out + AT_SLOT, m->slot, 4);
    put_le(out + AT_GENERATION, m->generation, 4);
    put_le(out + AT_PID, (uint32_t)m->pid, 4);
    put_le(out + AT_COUNT, m->count, 4);
    put_le(out + AT_TIME, (uint64_t)m->at_us, 8);
    put_le(out + AT_TEXT_LEN, m->text.len, 4);
    if (m->text.len != 0)
        memcpy(out + CONTROL_HEAD_BYTES, m->text.base, m->text.len);
    return CONTROL_HEAD_BYTES + m->text.len;
}

bool wire_control_decode(struct wire_control *m_r, const char *bytes, size_t len)
{
    if (len < CONTROL_HEAD_BYTES || len > WIRE_CONTROL_MAX)
        return false;
    if (get_le(bytes + AT_VERSION, 2) != WIRE_CONTROL_VERSION || !known((unsigned)get_le(bytes + AT_TYPE, 2)))
        return false;
    size_t text_len = get_le(bytes + AT_TEXT_LEN, 4);
    if (text_len != len - CONTROL_HEAD_BYTES)
        return false;
    *m_r = (struct wire_control){
        .type = (uint16_t)get_le(bytes + AT_TYPE, 2),
        .backend = (uint32_t)get_le(bytes + AT_BACKEND, 4),
        .slot = (uint32_t)get_le(bytes + AT_SLOT, 4),
        .generation = (uint32_t)get_le(bytes + AT_GENERATION, 4),
        .pid = (int32_t)(uint32_t)get_le(bytes + AT_PID, 4),
        .count = (uint32_t)get_le(bytes + AT_COUNT, 4),
        .at_us = (int64_t)get_le(bytes + AT_TIME, 8),
        .text = {(char *)bytes + CONTROL_HEAD_BYTES, text_len},
    };
    /* texts become paths and log words: one with a NUL in it would mean two things */
    return memchr(bytes + CONTROL_HEAD_BYTES, '\0', text_len) == NULL;
}
