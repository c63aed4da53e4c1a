/* SPDX-License-Identifier: MIT
 *
 * module: loads handlers and runs their calls.
 *
 * Objects: `module` holds the handler's table, its state and its options; one per backend and process. `bulkhead_call`
 * (api.h) is one running call, on the stack of its thread, with its memory in an `arena`. `bulkhead_options`
 * (options.c) is the JSON behind typed lookups. The functions that modules call are in api_request.c, api_response.c,
 * api_message.c and api_text.c; the executables export them by HANDLER_EXPORT_LDFLAGS (local.mk).
 *
 * module_open and module_close: boot; module_handle: any thread, several at once. The module is trusted code: it shares
 * this process. What it answers is checked all the same.
 */
#include "config.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "handler/api.h"
#include "handler/cgi.h"
#include "handler/module.h"
#include "handler/options.h"

#define ENTRY_SYMBOL "bulkhead_handler_entry"

struct module {
    struct bulkhead_handler handler;  /* a copy: members that an older module does not have are NULL */
    void *state;                      /* the module's */
    void *library;                    /* dlopen's; NULL for built-in handlers */
    struct bulkhead_options *options; /* strings of it live as long as the module */
};

static const struct bulkhead_handler *find_entry(void *library, const char *path, char *error, size_t error_size)
{
    const struct bulkhead_handler *entry = dlsym(library, ENTRY_SYMBOL);
    if (entry == NULL) {
        snprintf(error, error_size, "%s: not a handler module: it has no %s; declare it with BULKHEAD_HANDLER()", path,
                 ENTRY_SYMBOL);
        return NULL;
    }
    if (entry->abi_version != BULKHEAD_ABI_VERSION) {
        snprintf(error, error_size,
                 "%s: built for version %u of the handler interface, this bulkhead has version %u; rebuild the module "
                 "against this <bulkhead/handler.h>",
                 path, entry->abi_version, BULKHEAD_ABI_VERSION);
        return NULL;
    }
    if (entry->size < offsetof(struct bulkhead_handler, open) || entry->handle == NULL) {
        snprintf(error, error_size, "%s: its BULKHEAD_HANDLER() names no .handle function", path);
        return NULL;
    }
    return entry;
}

static bool load(struct module *m, const char *path, char *error, size_t error_size)
{
    m->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (m->library == NULL) {
        snprintf(error, error_size, "cannot load the module: %s", dlerror());
        return false;
    }
    const struct bulkhead_handler *entry = find_entry(m->library, path, error, error_size);
    if (entry == NULL)
        return false;
    size_t size = entry->size < sizeof(m->handler) ? entry->size : sizeof(m->handler);
    memcpy(&m->handler, entry, size);
    if (m->handler.name == NULL)
        m->handler.name = "handler";
    return true;
}

/* A complaint of a lookup wins over the module's own idea of success. */
static bool open_state(struct module *m, const char *path, char *error, size_t error_size)
{
    bool opened = m->handler.open == NULL || m->handler.open(m->options, &m->state) == 0;
    char why[1024] = "its open function failed without a message";
    bool fine = options_check(m->options, opened, why, sizeof(why));
    if (opened && fine)
        return true;
    if (opened && m->handler.close != NULL)
        m->handler.close(m->state);
    snprintf(error, error_size, "%s: %s", path, why);
    return false;
}

struct module *module_open(const char *path, const char *options_json, char *error, size_t error_size)
{
    struct module *m = mem_zalloc(sizeof(*m));
    m->options = options_parse(options_json, error, error_size);
    if (m->options != NULL && load(m, path, error, error_size) && open_state(m, path, error, error_size))
        return m;
    m->handler.close = NULL;
    module_close(&m);
    return NULL;
}

struct module *module_open_cgi(const char *program, const char *root, char *error, size_t error_size)
{
    void *state = cgi_create(program, root, error, error_size);
    if (state == NULL)
        return NULL;
    struct module *m = mem_zalloc(sizeof(*m));
    m->handler = cgi_handler;
    m->state = state;
    return m;
}

bool module_handle(struct module *m, const struct module_request *request, const struct module_writer *writer,
                   char *error, size_t error_size)
{
    assert(error_size != 0);
    error[0] = '\0';
    struct bulkhead_call call;
    api_call_init(&call, m->handler.name, request, writer, error, error_size);
    int result = m->handler.handle(&call, m->state);
    if (result != 0)
        api_fail(&call, "the handler returned %d without a message", result);
    bool answered = api_call_finish(&call);
    api_call_cleanup(&call);
    return answered;
}

void module_close(struct module **module)
{
    struct module *m = *module;
    if (m == NULL)
        return;
    if (m->handler.close != NULL)
        m->handler.close(m->state);
    if (m->library != NULL)
        dlclose(m->library);
    options_free(&m->options);
    mem_free(module);
}
