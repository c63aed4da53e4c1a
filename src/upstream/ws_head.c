/* SPDX-License-Identifier: MIT
 *
 * ws_head: see ws_head.h.
 */
#include "config.h"

#include "upstream/ws_head.h"
#include "wire/ws_code.h"

#define FIN      0x80
#define RESERVED 0x70
#define OPCODE   0x0f
#define MASKED   0x80
#define LENGTH   0x7f
/* lengths that say how many bytes of length follow */
#define LENGTH_16 126
#define LENGTH_64 127

static bool is_known(unsigned opcode)
{
    return opcode <= 2 || (opcode >= WS_FRAME_CLOSE && opcode <= WS_FRAME_PONG);
}

static const char *complaint(unsigned char first, unsigned char second, bool masked)
{
    unsigned opcode = first & OPCODE;
    if ((first & RESERVED) != 0)
        return "a reserved bit of a frame is set";
    if (!is_known(opcode))
        return "a frame has an unknown opcode";
    if (((second & MASKED) != 0) != masked)
        return masked ? "a frame of a client is not masked" : "a frame of a server is masked";
    if (ws_opcode_is_control(opcode) && (first & FIN) == 0)
        return "a control frame is fragmented";
    if (ws_opcode_is_control(opcode) && (second & LENGTH) > WS_CONTROL_MAX)
        return "a control frame is longer than 125 bytes";
    return NULL;
}

static uint64_t read_number(const char *bytes, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (unsigned char)bytes[i];
    return n;
}

static const char *length_complaint(uint64_t length, size_t bytes)
{
    if ((bytes == 2 && length < LENGTH_16) || (bytes == 8 && length <= UINT16_MAX))
        return "a frame's length is not written in the shortest way";
    return length > INT64_MAX ? "a frame's length has its highest bit set" : NULL;
}

enum ws_head_result ws_head_read(struct str bytes, bool masked, struct ws_head *head_r, const char **why_r)
{
    if (bytes.len < 2)
        return WS_HEAD_MORE;
    unsigned char first = (unsigned char)bytes.base[0], second = (unsigned char)bytes.base[1];
    if ((*why_r = complaint(first, second, masked)) != NULL)
        return WS_HEAD_BAD;
    size_t extra = (second & LENGTH) == LENGTH_16 ? 2 : (second & LENGTH) == LENGTH_64 ? 8 : 0;
    size_t size = 2 + extra + (masked ? sizeof(head_r->mask) : 0);
    if (bytes.len < 2 + extra)
        return WS_HEAD_MORE;
    uint64_t length = extra == 0 ? second & LENGTH : read_number(bytes.base + 2, extra);
    if ((*why_r = length_complaint(length, extra)) != NULL)
        return WS_HEAD_BAD;
    if (bytes.len < size)
        return WS_HEAD_MORE;
    *head_r = (struct ws_head){
        .length = length, .size = (unsigned char)size, .opcode = first & OPCODE, .fin = (first & FIN) != 0};
    if (masked)
        memcpy(head_r->mask, bytes.base + 2 + extra, sizeof(head_r->mask));
    return WS_HEAD_WHOLE;
}
