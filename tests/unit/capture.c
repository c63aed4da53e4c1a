/* SPDX-License-Identifier: MIT
 *
 * capture: see capture.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture.h"

static void take_head(struct capture *c, int status, const struct module_field *fields, size_t nfields,
                      int64_t content_length)
{
    c->status = status;
    c->content_length = content_length;
    for (size_t i = 0; i < nfields; i++)
        buf_printf(&c->fields, "%.*s: %.*s\n", STR_ARG(fields[i].name), STR_ARG(fields[i].value));
}

static bool on_head(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length)
{
    struct capture *c = arg;
    c->heads++;
    take_head(c, status, fields, nfields, content_length);
    return true;
}

static bool on_body(void *arg, struct str bytes)
{
    struct capture *c = arg;
    c->bodies++;
    buf_append_str(&c->body, bytes);
    return c->bodies_wanted == 0 || c->bodies < c->bodies_wanted;
}

static bool on_whole(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length,
                     struct str body)
{
    struct capture *c = arg;
    c->wholes++;
    take_head(c, status, fields, nfields, content_length);
    buf_append_str(&c->body, body);
    return true;
}

void capture_call(struct capture *c, struct module *m, const struct module_request *request)
{
    const struct module_writer writer = {.head = on_head, .body = on_body, .whole = on_whole, .arg = c};
    c->ok = module_handle(m, request, &writer, c->error, sizeof(c->error));
    /* so that both can be read as text */
    buf_z(&c->fields);
    buf_z(&c->body);
}

struct module *capture_open(const char *path, const char *options)
{
    char error[512] = "";
    struct module *m = module_open(path, options, error, sizeof(error));
    if (m == NULL)
        fail_msg("%s", error);
    return m;
}

void capture_free(struct capture *c)
{
    buf_free(&c->fields);
    buf_free(&c->body);
}

void capture_assert_words(const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, text);
}
