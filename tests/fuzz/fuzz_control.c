/* SPDX-License-Identifier: MIT
 *
 * Any datagram into the decoder of wire/control.h; what it takes must encode to the same bytes again.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char again[WIRE_CONTROL_MAX];
    struct wire_control m;
    if (!wire_control_decode(&m, (const char *)data, size))
        return 0;
    if (wire_control_encode(&m, again, sizeof(again)) != size || memcmp(again, data, size) != 0)
        abort();
    return 0;
}
