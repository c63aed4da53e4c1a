/* SPDX-License-Identifier: MIT
 *
 * test_inloop: what a call's maker sees of a handler that runs in the loop. The module is this test's own.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "executor/inloop.h"
#include "handler/module.h"
#include "rig.h"

/* ---- the module: answers `pieces` times 10 bytes, or fails ------------------------------------------------------ */

struct module {
    int calls, closed;
    int pieces;
    bool fails;
    int unwanted; /* writes that nobody wanted */
    /* of the last call */
    enum call_kind kind;
    unsigned opcode, close_code;
    char connection[8];
};

static struct module module;

bool module_handle(struct module *m, const struct module_request *request, const struct module_writer *writer,
                   char *error, size_t error_size)
{
    struct module_field field = {STR("x-path"), request->path};
    m->calls++;
    m->kind = request->kind;
    m->opcode = request->opcode;
    m->close_code = request->close_code;
    snprintf(m->connection, sizeof(m->connection), "%.*s", STR_ARG(request->connection));
    if (m->fails && m->pieces == 0) {
        snprintf(error, error_size, "no such table");
        return false;
    }
    m->unwanted += writer->head(writer->arg, 200, &field, 1, m->pieces * 10) ? 0 : 1;
    for (int i = 0; i < m->pieces; i++)
        m->unwanted += writer->body(writer->arg, STR("0123456789")) ? 0 : 1;
    snprintf(error, error_size, "in the middle");
    return !m->fails;
}

void module_close(struct module **m)
{
    (*m)->closed++;
    *m = NULL;
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

struct fixture {
    struct rig rig;
    struct executor *ex;
    struct probe p;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    module = (struct module){.pieces = 2};
    f->ex = inloop_create("hello", 4, &module);
    probe_init(&f->p, &f->rig, f->ex, "GET", "/hello");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    probe_free(&f->p);
    f->ex->ops->free(f->ex);
    assert_int_equal(module.closed, 1);
    rig_destroy(&f->rig);
    free(f);
    return 0;
}

static void handler_answers(void **state)
{
    struct fixture *f = *state;
    probe_start(&f->p);
    assert_int_equal(module.calls, 0);
    rig_until(&f->rig, &f->p.dones);
    probe_expect(&f->p, REASON_NONE);
    assert_int_equal(f->p.content_length, 20);
    assert_string_equal(buf_z(&f->p.head_text), "x-path: /hello\n");
    assert_string_equal(buf_z(&f->p.body), "01234567890123456789");
    assert_int_equal(module.unwanted, 0);
}

static void handler_is_told_of_the_websocket(void **state)
{
    struct fixture *f = *state;
    f->p.call.request.kind = CALL_WS_MESSAGE;
    f->p.call.request.ws_opcode = 2;
    f->p.call.request.connection = STR("00c1");
    probe_run(&f->rig, &f->p);
    probe_expect(&f->p, REASON_NONE);
    assert_int_equal(module.kind, CALL_WS_MESSAGE);
    assert_int_equal(module.opcode, 2);
    assert_string_equal(module.connection, "00c1");
}

static void handler_is_told_of_the_websockets_end(void **state)
{
    struct fixture *f = *state;
    f->p.call.request.kind = CALL_WS_CLOSE;
    f->p.call.request.ws_code = 1001;
    f->p.call.request.connection = STR("00c1");
    probe_run(&f->rig, &f->p);
    probe_expect(&f->p, REASON_NONE);
    assert_int_equal(module.kind, CALL_WS_CLOSE);
    assert_int_equal(module.close_code, 1001);
}

static void handler_fails(void **state)
{
    struct fixture *f = *state;
    module.pieces = 0;
    module.fails = true;
    probe_run(&f->rig, &f->p);
    probe_expect(&f->p, REASON_HANDLER_FAILED);
    assert_string_equal(f->p.detail, "no such table");
    assert_int_equal(f->p.heads, 0);
}

static void handler_fails_in_the_middle(void **state)
{
    struct fixture *f = *state;
    module.fails = true;
    probe_run(&f->rig, &f->p);
    probe_expect(&f->p, REASON_HANDLER_FAILED);
    assert_int_equal(f->p.heads, 1);
}

static void abandoned_before_it_began_is_never_called(void **state)
{
    struct fixture *f = *state;
    probe_start(&f->p);
    probe_abandon(&f->p, EXECUTOR_CLIENT_LEFT);
    rig_until(&f->rig, &f->p.dones);
    assert_int_equal(module.calls + f->p.heads + f->p.ends, 0);
}

static void full_sink_gets_the_rest_when_it_has_room(void **state)
{
    struct fixture *f = *state;
    module.pieces = 20000;
    f->p.room = 15;
    probe_start(&f->p);
    rig_until(&f->rig, &f->p.heads);
    rig_settle(&f->rig);
    assert_int_equal(f->p.body.len, 20);
    assert_int_equal(f->p.ends, 0);
    f->ex->ops->resume(f->ex, &f->p.call); /* room for one piece, then full again */
    rig_settle(&f->rig);
    assert_int_equal(f->p.body.len, 20 + 65536);
    f->p.room = SIZE_MAX;
    f->ex->ops->resume(f->ex, &f->p.call);
    rig_until(&f->rig, &f->p.dones);
    probe_expect(&f->p, REASON_NONE);
    assert_int_equal(f->p.body.len, 200000);
}

static void abandoned_while_full_ends(void **state)
{
    struct fixture *f = *state;
    f->p.room = 0;
    probe_start(&f->p);
    rig_until(&f->rig, &f->p.heads);
    rig_settle(&f->rig);
    probe_abandon(&f->p, EXECUTOR_DEADLINE);
    rig_until(&f->rig, &f->p.dones);
    assert_int_equal(f->p.ends, 0);
}

static void abandoned_inside_tells_the_handler(void **state)
{
    struct fixture *f = *state;
    f->p.abandons_at = PROBE_AT_HEAD;
    probe_run(&f->rig, &f->p);
    assert_int_equal(f->p.ends, 0);
    assert_int_equal(module.unwanted, 3);
}

static void abandoned_inside_on_end_is_too_late(void **state)
{
    struct fixture *f = *state;
    f->p.abandons_at = PROBE_AT_END;
    probe_run(&f->rig, &f->p);
    probe_expect(&f->p, REASON_NONE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(handler_answers),
        T(handler_is_told_of_the_websocket),
        T(handler_is_told_of_the_websockets_end),
        T(handler_fails),
        T(handler_fails_in_the_middle),
        T(abandoned_before_it_began_is_never_called),
        T(full_sink_gets_the_rest_when_it_has_room),
        T(abandoned_while_full_ends),
        T(abandoned_inside_tells_the_handler),
        T(abandoned_inside_on_end_is_too_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
