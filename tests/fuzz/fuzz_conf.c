/* SPDX-License-Identifier: MIT
 *
 * Any text as a conf file. What is refused has a message that says so; what is taken dumps to a conf that is taken, and
 * that dumps to itself.
 */
#include "config.h"

#include "fuzz.h"

#include "config/conf.h"

static struct conf *parse(const char *text, size_t len)
{
    struct buf problems = {0};
    struct conf *conf = conf_parse("/fuzz.conf", text, len, &problems);
    FUZZ_ASSERT(conf != NULL || (problems.len != 0 && strstr(buf_z(&problems), "error: ") != NULL));
    buf_free(&problems);
    return conf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = {0}, second = {0};
    struct conf *conf = parse((const char *)data, size);
    if (conf == NULL)
        return 0;
    conf_dump(conf, &first);
    conf_free(&conf);
    conf = parse(first.base, first.len);
    FUZZ_ASSERT(conf != NULL);
    conf_dump(conf, &second);
    conf_free(&conf);
    FUZZ_ASSERT(first.len == second.len && memcmp(first.base, second.base, first.len) == 0);
    buf_free(&first);
    buf_free(&second);
    return 0;
}
