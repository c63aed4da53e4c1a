/* SPDX-License-Identifier: MIT
 *
 * intake: see intake.h.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include "front/intake.h"

#include "base/mem.h"
#include "config/conf.h"
#include "front/cidr.h"

#define ADMIN_CONNECTIONS_MIN 16
#define ADMIN_CONNECTIONS_MAX 256

/* 80 % of the descriptors for clients, the rest for backends, files and the admin listener, which has a small share of
 * its own so that it answers when clients have used up theirs. */
static void set_connection_limits(struct intake *intake, const struct conf *conf)
{
    struct rlimit files;
    unsigned descriptors = 1024;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < INT32_MAX)
        descriptors = (unsigned)files.rlim_cur;
    unsigned share = descriptors / 32;
    intake->admin_connections = share < ADMIN_CONNECTIONS_MIN   ? ADMIN_CONNECTIONS_MIN
                                : share > ADMIN_CONNECTIONS_MAX ? ADMIN_CONNECTIONS_MAX
                                                                : share;
    unsigned most = (unsigned)((uint64_t)descriptors * 8 / 10);
    int64_t wanted = conf->limits.connections;
    intake->connections = wanted > 0 && wanted < most ? (unsigned)wanted : most;
}

static bool set_trusted(struct intake *intake, const struct conf *conf, char *error, size_t error_size)
{
    intake->trusted = mem_alloc((conf->ntrusted_proxies + 1) * sizeof *intake->trusted);
    for (size_t i = 0; i != conf->ntrusted_proxies; ++i) {
        if (!cidr_parse(conf->trusted_proxies[i], &intake->trusted[i])) {
            snprintf(error, error_size, "trusted_proxies: \"%s\" is neither an address nor a CIDR range",
                     conf->trusted_proxies[i]);
            return false;
        }
    }
    intake->ntrusted = conf->ntrusted_proxies;
    return true;
}

bool intake_init(struct intake *intake, const struct conf *conf, char *error, size_t error_size)
{
    *intake = (struct intake){NULL};
    set_connection_limits(intake, conf);
    return set_trusted(intake, conf, error, error_size);
}

void intake_destroy(struct intake *intake)
{
    mem_free(&intake->trusted);
}

bool intake_trusts(const struct intake *intake, const struct sockaddr *peer)
{
    for (size_t i = 0; i != intake->ntrusted; ++i) {
        if (cidr_contains(&intake->trusted[i], peer))
            return true;
    }
    return false;
}
