/* SPDX-License-Identifier: MIT
 *
 * fuzz_client: HTTP/1 bytes of clients through the library and the whole front (front_rig.h). The input is what the
 * first client sends, but for byte 0xff, which with the next one is a command:
 *
 *   c p a       a further client, at the HTTP/1 listener, at the one that wants a PROXY line, at the admin listener
 *   0 1 2 3 4   from here on it is the first, second… client that sends
 *   t w         the loop turns; the next deadline comes
 *   n r         the client stops reading; reads again
 *   h x         the client sends no more; is gone
 *   0xff        the byte itself
 */
#include "config.h"

#include "front_rig.h"

#define COMMANDS_MAX 200 /* each may cost a dozen turns of the loop */

static void obey(uint8_t command)
{
    switch (command) {
    case 'c':
        front_rig_connect(FRONT_RIG_HTTP1);
        break;
    case 'p':
        front_rig_connect(FRONT_RIG_PROXY);
        break;
    case 'a':
        front_rig_connect(FRONT_RIG_ADMIN);
        break;
    case 't':
        front_rig_turn();
        break;
    case 'w':
        front_rig_wait();
        break;
    case 'n':
        front_rig_read(false);
        break;
    case 'r':
        front_rig_read(true);
        break;
    case 'h':
        front_rig_half_close();
        break;
    case 'x':
        front_rig_close();
        break;
    case 0xff:
        front_rig_send(&command, 1);
        break;
    default:
        front_rig_select(command - (unsigned)'0');
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    front_rig_begin();
    front_rig_connect(FRONT_RIG_HTTP1);
    unsigned commands = 0;
    while (size != 0 && commands != COMMANDS_MAX) {
        const uint8_t *mark = memchr(data, 0xff, size);
        size_t plain = mark != NULL ? (size_t)(mark - data) : size;
        front_rig_send(data, plain);
        data += plain;
        size -= plain;
        if (size < 2)
            break;
        obey(data[1]);
        commands++;
        data += 2;
        size -= 2;
    }
    front_rig_wait();
    front_rig_wait();
    front_rig_end();
    return 0;
}
