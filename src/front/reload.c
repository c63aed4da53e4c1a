/* SPDX-License-Identifier: MIT
 *
 * reload: see reload.h. One at a time: a conf that comes while another is being built or put in force is refused, which
 * a supervisor that keeps to its own order never sees, but for a builder that takes longer than it was waited for.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "front/reload.h"

#include "base/mem.h"
#include "call/loop.h"
#include "config/conf.h"
#include "diag/log.h"
#include "front/generation.h"
#include "front/handover.h"
#include "front/link.h"
#include "front/setup.h"
#include "front/sockets.h"
#include "front/thread.h"
#include "wire/control.h"

#define ERROR_BYTES 2048

/* what it waits for */
enum reload_state {
    RELOAD_IDLE,     /* for WIRE_CONF_END */
    RELOAD_BUILDING, /* for the builder */
    RELOAD_PREPARED, /* for WIRE_COMMIT or WIRE_ABORT */
    RELOAD_SWAPPING  /* for the loops */
};

static struct {
    enum reload_state state;
    struct setup *setup;
    struct loop *home;
    struct generation *current;
    struct handover *handover; /* that is coming, or being built */
    uint32_t number;           /* of the conf that is being built */
    bool forget;               /* BUILDING: nobody wants it any more */
    /* the builder's result; it alone touches them while it runs */
    struct generation *next;
    struct sockets *sockets;
    char error[ERROR_BYTES];
    struct loop_task built, swapped;
} reload;

static void say(enum wire_control_type type, uint32_t number, const char *text)
{
    link_send(&(struct wire_control){.type = (uint16_t)type, .generation = number, .text = str_of(text)}, -1);
}

/* ---- building --------------------------------------------------------------------------------------------------- */

static bool build_from(struct conf *conf)
{
    const struct generation *current = reload.current;
    unsigned loops = current->conf->threads;
    const int *fds = handover_sockets(reload.handover, conf);
    const uint32_t *ids = handover_backends(reload.handover, conf);
    if (ids == NULL || conf->threads != loops) {
        snprintf(reload.error, sizeof reload.error, "protocol: %s",
                 ids == NULL ? "a backend without an id" : "another number of threads");
        conf_free(&conf);
        return false;
    }
    reload.next = generation_create(conf, ids, current, loops, reload.error, sizeof reload.error);
    if (reload.next == NULL)
        return false;
    reload.sockets = sockets_create(conf, fds, loops, reload.error, sizeof reload.error);
    return reload.sockets != NULL;
}

static void *build(void *arg)
{
    pthread_setname_np(pthread_self(), "reload");
    struct conf *conf = handover_conf(reload.handover, reload.error, sizeof reload.error);
    if (conf != NULL)
        (void)build_from(conf);
    loop_post(reload.home, &reload.built);
    return arg;
}

static void discard(void)
{
    generation_unref(reload.next);
    reload.next = NULL;
    sockets_free(&reload.sockets);
    reload.state = RELOAD_IDLE;
}

static void on_built(struct loop_task *task)
{
    handover_free(&reload.handover);
    if (reload.forget) {
        discard();
    } else if (reload.sockets == NULL) {
        discard();
        say(WIRE_FAILED, reload.number, reload.error);
    } else {
        reload.state = RELOAD_PREPARED;
        say(WIRE_PREPARED, reload.number, "");
    }
}

/* Signals are the main thread's. */
static int start_builder(void)
{
    pthread_t id;
    pthread_attr_t detached;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&id, &detached, build, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return failed;
}

static void prepare(void)
{
    reload.number = handover_generation(reload.handover);
    reload.forget = false;
    reload.error[0] = '\0';
    int failed = start_builder();
    if (failed == 0) {
        reload.state = RELOAD_BUILDING;
        return;
    }
    handover_free(&reload.handover);
    say(WIRE_FAILED, reload.number, strerror(failed));
}

/* ---- putting in force ------------------------------------------------------------------------------------------- */

static void on_swapped(struct loop_task *task)
{
    sockets_free(&reload.sockets);
    reload.state = RELOAD_IDLE;
    say(WIRE_READY, reload.number, "");
}

static void commit(void)
{
    struct generation *before = reload.current;
    const struct conf *conf = reload.next->conf;
    reload.current = reload.next;
    reload.next = NULL;
    reload.state = RELOAD_SWAPPING;
    log_set_level((enum log_level)conf->log.level);
    log_set_format(conf->log.format == CONF_LOG_JSON);
    setup_adapt(reload.setup, conf);
    sockets_set_options(reload.sockets, conf);
    generation_enforce(reload.current);
    thread_swap_all(reload.current, reload.sockets, reload.home, &reload.swapped);
    generation_unref(before);
}

static void forget(void)
{
    if (reload.state == RELOAD_BUILDING)
        reload.forget = true;
    else if (reload.state == RELOAD_PREPARED)
        discard();
    else if (reload.state == RELOAD_IDLE)
        handover_free(&reload.handover);
}

/* ---- obeying ---------------------------------------------------------------------------------------------------- */

static void take_part(struct link_message *m)
{
    const char *error = NULL;
    if (reload.state != RELOAD_IDLE) {
        if (m->control.type == WIRE_CONF_END)
            say(WIRE_FAILED, m->control.generation, "the conf before this one is not done with yet; try again");
        return;
    }
    switch (handover_take(&reload.handover, m, &error)) {
    case HANDOVER_MORE:
        break;
    case HANDOVER_WHOLE:
        prepare();
        break;
    case HANDOVER_BAD:
        log_write(LOG_LEVEL_ERROR, "front", "%s", error);
        say(WIRE_FAILED, m->control.generation, error);
        handover_free(&reload.handover);
        break;
    }
}

void reload_obey(struct link_message *m)
{
    switch (m->control.type) {
    case WIRE_COMMIT:
        if (reload.state == RELOAD_PREPARED && m->control.generation == reload.number)
            commit();
        break;
    case WIRE_ABORT:
        forget();
        break;
    default:
        take_part(m);
        break;
    }
}

void reload_init(struct setup *setup, struct generation *generation, struct loop *home)
{
    assert(reload.current == NULL);
    reload.setup = setup;
    reload.current = generation;
    reload.home = home;
    reload.built.run = on_built;
    reload.swapped.run = on_swapped;
}

struct generation *reload_current(void)
{
    return reload.current;
}
