/* SPDX-License-Identifier: MIT
 *
 * door: see door.h. The small things that every request of a thread needs: the wall clock without a system call for
 * each, and request ids that no other thread or process makes.
 */
#include "config.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "front/departure.h"
#include "front/door.h"
#include "front/reply.h"
#include "front/share.h"

/* the wall clock is looked at again after this long */
#define WALL_REFRESH_US 1000

static const char digits[] = "0123456789abcdef";

static void read_wall_clock(struct door *door)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    door->wall_offset_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 - clock_us();
    door->wall_refreshed_us = door->thread->loop.now_us;
}

void door_refresh_wall_clock(struct door *door)
{
    if (door->thread->loop.now_us - door->wall_refreshed_us >= WALL_REFRESH_US)
        read_wall_clock(door);
}

static void make_id_prefix(struct door *door)
{
    unsigned char random[sizeof(door->id_prefix)];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        memset(random, (int)door->thread->index, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        door->id_prefix[i] = digits[random[i] & 15];
}

struct str door_make_id(struct door *door, char *out)
{
    const size_t prefix = sizeof(door->id_prefix);
    uint64_t n = door->ids++;
    memcpy(out, door->id_prefix, prefix);
    for (size_t i = DOOR_ID_LENGTH; i-- > prefix; n >>= 4)
        out[i] = digits[n & 15];
    return (struct str){out, DOOR_ID_LENGTH};
}

static void on_held_flush(struct deadline *d)
{
    reply_flush(LIST_ENTRY(d, struct door, held_flush));
}

struct door *door_create(struct front_thread *thread)
{
    struct door *door = mem_zalloc(sizeof(*door));
    door->thread = thread;
    list_init(&door->idle);
    list_init(&door->idle_messages);
    list_init(&door->held);
    door->held_flush = (struct deadline){.on_expired = on_held_flush};
    door->shares = share_table_create();
    door->stamp.second = -1;
    make_id_prefix(door);
    read_wall_clock(door);
    departure_thread_init(door);
    return door;
}
