/* SPDX-License-Identifier: MIT
 *
 * oneline: the conf of a start without a conf file: `bulkhead run --listen ADDRESS -- COMMAND…` puts single-call copies
 * of a server behind one gate. It writes the conf that somebody else would have written and parses that, so that
 * bounds, defaults and checks are the same.
 */
#ifndef BULKHEAD_CONFIG_ONELINE_H
#define BULKHEAD_CONFIG_ONELINE_H

#include <stddef.h>

struct buf;
struct conf;

/* Texts as they stand on the command line; NULL: the default */
struct oneline {
    char *const *listen;
    size_t nlisten;
    const char *workers, *queue, *timeout;
    const char *control;
    char *const *command;  /* argv, NULL-terminated */
    const char *directory; /* absolute: where the command runs and what relative names are relative to */
};

/* As conf_load; problems are named "command line: error: …". The tree's path is "-". */
struct conf *oneline_conf(const struct oneline *o, struct buf *problems);
/* the JSON text, for conf_parse */
void oneline_text(const struct oneline *o, struct buf *out);

#endif
