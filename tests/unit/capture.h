/* SPDX-License-Identifier: MIT
 *
 * capture: takes down what a module answers, for tests. One thread.
 */
#ifndef BULKHEAD_TESTS_CAPTURE_H
#define BULKHEAD_TESTS_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "handler/module.h"

struct capture {
    int status;
    struct buf fields; /* "name: value\n" each */
    int64_t content_length;
    struct buf body;
    unsigned heads, bodies, wholes; /* how often each function of the writer was called */
    unsigned bodies_wanted;         /* refuse after so many; 0: never */
    bool ok;
    char error[512];
};

/* runs one call; c is empty but for bodies_wanted */
void capture_call(struct capture *c, struct module *m, const struct module_request *request);
/* opens a module that must open */
struct module *capture_open(const char *path, const char *options);
void capture_free(struct capture *c);
/* fails the test unless the words are in the text */
void capture_assert_words(const char *text, const char *words);

#endif
