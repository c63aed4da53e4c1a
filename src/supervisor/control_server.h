/* SPDX-License-Identifier: MIT
 *
 * control_server: the control socket: a JSON object a line each way (wire/command.h), for root and the supervisor's own
 * user. Few connections at a time, short lines, a time limit on everything: nothing that a client does or leaves undone
 * holds up the supervisor, or the next client for long. A client whose first byte is that of an HTTP request is not
 * served here: its connection goes to the front as it is, unread. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_CONTROL_SERVER_H
#define BULKHEAD_SUPERVISOR_CONTROL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct ev_loop;
struct control_server;
struct wire_request;

#define CONTROL_CLIENTS_MAX 32
/* of these may wait for what they have asked for to be done; the others are for who looks, or ends that waiting */
#define CONTROL_HELD_MAX 24

struct control_handler {
    /* Asks the front for its part of the status; false: there is none to ask. Answered with control_server_answer. */
    bool (*ask_front)(void *arg, uint32_t number);
    /* Appends the status page. front: its part, STR_NONE when it has not answered. */
    void (*put_status)(void *arg, struct buf *out, struct str front);
    /* Does what is asked, but for status. true: the answer, an object in one line, has been appended. false: it comes
     * later, by control_server_conclude; with CONTROL_HELD_MAX clients who wait already, nobody does for this one. */
    bool (*obey)(void *arg, const struct wire_request *request, uint32_t number, struct buf *out);
    /* Hands a client that speaks HTTP to the front; fd stays the server's. false: there is none to take it. */
    bool (*pass_client)(void *arg, int fd);
};

/* fd: listening, borrowed */
struct control_server *control_server_start(struct ev_loop *loop, int fd, const struct control_handler *handler,
                                            void *arg);
/* What is still to be sent goes out as far as that needs no waiting. */
void control_server_stop(struct control_server **server);
/* The front's part for the question of that number; of a question that nobody waits for any more, it is dropped. */
void control_server_answer(struct control_server *server, uint32_t number, struct str front);
/* Does anybody wait for control_server_conclude of that number? */
bool control_server_is_held(struct control_server *server, uint32_t number);
/* The answer to the request of that number, an object in one line; dropped like the front's. */
void control_server_conclude(struct control_server *server, uint32_t number, struct str answer);

#endif
