/* SPDX-License-Identifier: MIT
 *
 * reload: another conf for a front that serves. In two phases, as the supervisor says: the next generation and its
 * sockets are built beside what is in force (by a thread of its own, since a module or ten thousand routes may take
 * their time and the main thread has a heartbeat to keep), and WIRE_PREPARED or WIRE_FAILED is said; then it is put in
 * force, one step on each loop, and WIRE_READY is said, or it is forgotten. Main thread.
 */
#ifndef BULKHEAD_FRONT_RELOAD_H
#define BULKHEAD_FRONT_RELOAD_H

struct generation;
struct link_message;
struct loop;
struct setup;

/* Once. Takes the generation in force. home: the main thread's. */
void reload_init(struct setup *setup, struct generation *generation, struct loop *home);
/* what is in force, or about to be; borrowed until the next message */
struct generation *reload_current(void);
/* WIRE_CONF, WIRE_BACKEND, WIRE_LISTENER, WIRE_CONF_END, WIRE_COMMIT and WIRE_ABORT */
void reload_obey(struct link_message *message);

#endif
