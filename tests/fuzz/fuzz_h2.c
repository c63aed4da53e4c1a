/* SPDX-License-Identifier: MIT
 *
 * fuzz_h2: HTTP/2 frames of clients through the library and the whole front (front_rig.h). Each connection begins with
 * the preface and empty SETTINGS; then the input is a run of records:
 *
 *   type flags stream length payload    a frame; type below 0x10, one byte each, length at most what is left
 *   0x1f length bytes                   bytes as they are
 *   0x20 … 0x2f                         commands, see obey()
 *
 * Any other first byte is taken modulo 0x30. So an input holds whole frames, which is where the interesting ones are.
 */
#include "config.h"

#include "front_rig.h"

#define COMMANDS_MAX 200
#define RAW          0x1f

static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t next_byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static void connect_client(void)
{
    if (front_rig_connect(FRONT_RIG_HTTP2))
        front_rig_send(hello, sizeof(hello) - 1);
}

static void obey(uint8_t command)
{
    switch (command) {
    case 0x20:
        front_rig_turn();
        break;
    case 0x21:
        front_rig_wait();
        break;
    case 0x22:
        front_rig_read(false);
        break;
    case 0x23:
        front_rig_read(true);
        break;
    case 0x24:
        front_rig_half_close();
        break;
    case 0x25:
        front_rig_close();
        break;
    case 0x26:
        connect_client();
        break;
    case 0x27:
        front_rig_connect(FRONT_RIG_HTTP2); /* which may as well speak HTTP/1 */
        break;
    default:
        front_rig_select(command - 0x28u);
        break;
    }
}

static void send_payload(struct input *in)
{
    size_t len = next_byte(in);
    if (len > in->left)
        len = in->left;
    front_rig_send(in->at, len);
    in->at += len;
    in->left -= len;
}

static void send_frame(struct input *in, uint8_t type)
{
    uint8_t flags = next_byte(in), stream = next_byte(in);
    size_t len = in->left == 0 ? 0 : in->at[0];
    if (in->left != 0 && len > in->left - 1)
        len = in->left - 1;
    uint8_t head[9] = {0, 0, (uint8_t)len, type, flags, 0, 0, 0, stream};
    front_rig_send(head, sizeof(head));
    send_payload(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    front_rig_begin();
    connect_client();
    for (unsigned commands = 0; in.left != 0 && commands != COMMANDS_MAX; commands++) {
        uint8_t what = (uint8_t)(next_byte(&in) % 0x30);
        if (what >= 0x20)
            obey(what);
        else if (what == RAW)
            send_payload(&in);
        else
            send_frame(&in, what % 0x10);
    }
    front_rig_wait();
    front_rig_wait();
    front_rig_end();
    return 0;
}
