/* SPDX-License-Identifier: MIT
 *
 * crew_rig: a crew on a rig's loop, with what it says to the gate and to the supervisor written down, and up to two
 * workers. Set up and torn down around each test; a test may change the options before the crew is made.
 */
#ifndef BULKHEAD_TESTS_UNIT_CREW_RIG_H
#define BULKHEAD_TESTS_UNIT_CREW_RIG_H

#include "executor/crew.h"
#include "rig.h"

#define MS 1000

struct fixture {
    struct rig rig;
    struct crew_options options;
    struct executor *ex;
    struct backend backends[2];
    unsigned slots; /* as last announced */
    int kills;
    unsigned killed_slot;
    uint32_t killed_generation;
    char why[32];
    int returns, spents; /* and of how many calls the last told */
    uint64_t calls;
    const struct probe *watched; /* its dones when slots were announced last */
    int dones_at_announcement;
};

int crew_rig_setup(void **state);
int crew_rig_teardown(void **state);
/* the crew, without a worker */
void crew_rig_enlist(struct fixture *f);
/* a crew of one worker (slot 0, generation 1, this process) that runs the script */
struct backend *crew_rig_man(struct fixture *f, backend_script script);

#endif
