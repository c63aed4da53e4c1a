/* SPDX-License-Identifier: MIT
 *
 * peers: see peers.h.
 */
#include "config.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <uthash.h>

#include "front/peers.h"

#include "base/mem.h"
#include "front/cidr.h"

struct peer_key {
    uint8_t bytes[16];
};

struct peer_entry {
    struct peer_key key;
    unsigned connections;
    UT_hash_handle hh;
};

static struct {
    pthread_mutex_t lock;
    struct peer_entry *table;
} peers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct peer_key key_of(const struct sockaddr *peer)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct peer_key key;
    bool has_address = cidr_address(peer, key.bytes);
    assert(has_address);
    (void)has_address;
    if (memcmp(key.bytes, mapped, sizeof mapped) != 0)
        memset(key.bytes + 8, 0, 8);
    return key;
}

bool peers_enter(const struct sockaddr *peer, unsigned limit)
{
    struct peer_key key = key_of(peer);
    struct peer_entry *entry;
    bool entered = true;
    pthread_mutex_lock(&peers.lock);
    HASH_FIND(hh, peers.table, &key, sizeof key, entry);
    if (entry == NULL) {
        entry = mem_zalloc(sizeof *entry);
        entry->key = key;
        entry->connections = 1;
        HASH_ADD(hh, peers.table, key, sizeof entry->key, entry);
    } else if (entry->connections < limit) {
        ++entry->connections;
    } else {
        entered = false;
    }
    pthread_mutex_unlock(&peers.lock);
    return entered;
}

void peers_leave(const struct sockaddr *peer)
{
    struct peer_key key = key_of(peer);
    struct peer_entry *entry;
    pthread_mutex_lock(&peers.lock);
    HASH_FIND(hh, peers.table, &key, sizeof key, entry);
    assert(entry != NULL && entry->connections != 0);
    if (--entry->connections == 0) {
        HASH_DEL(peers.table, entry);
        mem_free(&entry);
    }
    pthread_mutex_unlock(&peers.lock);
}
