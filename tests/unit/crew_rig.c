/* SPDX-License-Identifier: MIT
 *
 * crew_rig: see crew_rig.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "crew_rig.h"

static void on_slots(struct executor *ex, unsigned slots, void *arg)
{
    struct fixture *f = arg;
    (void)ex;
    f->slots = slots;
    f->dones_at_announcement = f->watched != NULL ? f->watched->dones : -1;
}

static void on_kill(struct executor *ex, unsigned slot, uint32_t generation, const char *why, void *arg)
{
    struct fixture *f = arg;
    (void)ex;
    f->kills++;
    f->killed_slot = slot;
    f->killed_generation = generation;
    snprintf(f->why, sizeof(f->why), "%s", why);
}

static void on_return(struct executor *ex, unsigned slot, uint32_t generation, uint64_t calls, void *arg)
{
    struct fixture *f = arg;
    (void)ex;
    (void)slot;
    (void)generation;
    f->returns++;
    f->calls = calls;
}

static void on_spent(struct executor *ex, unsigned slot, uint32_t generation, uint64_t calls, void *arg)
{
    struct fixture *f = arg;
    (void)ex;
    (void)slot;
    (void)generation;
    f->spents++;
    f->calls = calls;
}

int crew_rig_setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    f->options = (struct crew_options){
        .backend = "shop",
        .run = CALL_CLASS_WORKERS,
        .protocol = CREW_HTTP,
        .loops = 1,
        .connect_timeout_us = 2000 * MS,
        .first_byte_timeout_us = -1,
        .idle_timeout_us = 60000 * MS,
        .keep_alive_us = 60000 * MS,
        .response_head_max = 65536,
        .response_fields_max = 100,
        .response_interim_max = 10,
    };
    *state = f;
    return 0;
}

void crew_rig_enlist(struct fixture *f)
{
    f->ex = crew_create(&f->options);
    f->ex->on_slots = on_slots;
    f->ex->on_slots_arg = f;
    f->ex->kill_worker = on_kill;
    f->ex->return_worker = on_return;
    f->ex->spent_worker = on_spent;
    f->ex->lease_arg = f;
}

struct backend *crew_rig_man(struct fixture *f, backend_script script)
{
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script);
    crew_grant(f->ex, 0, 1, getpid(), 1, f->backends[0].path);
    assert_int_equal(f->slots, 1);
    return &f->backends[0];
}

int crew_rig_teardown(void **state)
{
    struct fixture *f = *state;
    f->ex->ops->free(f->ex);
    rig_skip(&f->rig, 1000 * MS); /* seats that rest are given back when they have rested */
    rig_settle(&f->rig);
    for (size_t i = 0; i < 2; i++)
        if (f->backends[i].address_len != 0)
            backend_stop(&f->backends[i]);
    rig_destroy(&f->rig);
    free(f);
    return 0;
}
