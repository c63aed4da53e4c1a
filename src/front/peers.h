/* SPDX-License-Identifier: MIT
 *
 * peers: how many connections each client address has open, over all loop threads of this process, for
 * limits.connections_per_address. An IPv6 client counts by its /64, which is what one subscriber gets. One mutex, held
 * for one hash look-up; entries go when their last connection does. Any thread.
 */
#ifndef BULKHEAD_FRONT_PEERS_H
#define BULKHEAD_FRONT_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* false: this address has `limit` connections already. Peers without an IP address (Unix sockets) must not be counted.
 */
bool peers_enter(const struct sockaddr *peer, unsigned limit);
void peers_leave(const struct sockaddr *peer);

#endif
