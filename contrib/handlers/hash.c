/* SPDX-License-Identifier: MIT
 *
 * hash: password hashing with crypt(3): CPU work of tens to hundreds of milliseconds that belongs into workers.
 *
 * Options: "method": "bcrypt" (default) or "yescrypt"; "cost": bcrypt 4 to 31 (12), yescrypt 1 to 11 (5). One step more
 *          doubles the time.
 * Request: POST; the body is the password: 1 to 512 bytes, with bcrypt at most 72, without NUL.
 *          Query hash=H: tell whether it is the password of H. H must be of this method and of no more than this cost:
 *          otherwise the client would choose how long this takes.
 * Answer:  200, JSON: {"hash": "$2b$12$…"} or {"match": true}; 400 for what cannot be hashed; 405.
 */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/handler.h>

struct hash_method {
    const char *name, *prefix;
    int cost, cost_min, cost_max;
    size_t password_max;
};

struct hash_settings {
    const struct hash_method *method;
    unsigned long cost;
    char parameters[16]; /* "$2b$12$": what every hash of this method and cost begins with */
};

static const struct hash_method methods[] = {
    {"bcrypt", "$2b$", 12, 4, 31, 72},
    {"yescrypt", "$y$", 5, 1, 11, CRYPT_MAX_PASSPHRASE_SIZE},
};

static const struct hash_method *find_method(const char *name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* A new setting: prefix, cost and a random salt. What is before the salt is the same for all. */
static bool make_setting(const struct hash_settings *s, char setting[CRYPT_GENSALT_OUTPUT_SIZE])
{
    return crypt_gensalt_rn(s->method->prefix, s->cost, NULL, 0, setting, CRYPT_GENSALT_OUTPUT_SIZE) != NULL;
}

/* false: crypt(3) does not know the method, or writes it in another form than expected here */
static bool find_parameters(struct hash_settings *s)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!make_setting(s, setting))
        return false;
    size_t length = (size_t)(strrchr(setting, '$') + 1 - setting);
    if (length >= sizeof(s->parameters))
        return false;
    memcpy(s->parameters, setting, length);
    s->parameters[length] = '\0';
    return true;
}

static int hash_open(struct bulkhead_options *options, void **state)
{
    const char *name = bulkhead_option_string(options, "method", methods[0].name);
    struct hash_settings found = {.method = find_method(name)}, *settings;
    if (found.method == NULL)
        return bulkhead_open_failed(options, "options.method: \"%s\" is neither \"bcrypt\" nor \"yescrypt\"", name);
    found.cost = (unsigned long)bulkhead_option_int(options, "cost", found.method->cost, found.method->cost_min,
                                                    found.method->cost_max);
    if (!find_parameters(&found))
        return bulkhead_open_failed(options, "options.method: crypt(3) of this system has no usable %s", name);
    if ((settings = malloc(sizeof(*settings))) == NULL)
        return bulkhead_open_failed(options, "out of memory");
    *settings = found;
    *state = settings;
    return 0;
}

static int refuse(struct bulkhead_call *call, int status, const char *why)
{
    bulkhead_status(call, status);
    bulkhead_set_header(call, "content-type", "application/json");
    return bulkhead_printf(call, "{\"error\":\"%s\"}\n", why) ? 0 : -1;
}

/* Parameters of one method have one length, and order by cost as text: two digits, or characters in ASCII order. */
static bool is_acceptable(const struct hash_settings *s, const char *hash)
{
    size_t length = strlen(s->parameters), prefix = strlen(s->method->prefix);
    return strlen(hash) > length && strncmp(hash, s->parameters, prefix) == 0 &&
           memchr(hash + prefix, '$', length - prefix) == hash + length - 1 &&
           strncmp(hash, s->parameters, length) <= 0;
}

/* in a time that does not tell where they differ */
static bool equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    unsigned char difference = 0;
    if (strlen(b) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

/* The password's hash under setting, in the call's memory; NULL when the setting is malformed. */
static const char *hash_password(struct bulkhead_call *call, const char *password, size_t length, const char *setting)
{
    struct crypt_data *work = bulkhead_alloc(call, sizeof(*work));
    char *text = bulkhead_format(call, "%.*s", (int)length, password);
    memset(work, 0, sizeof(*work));
    const char *output = crypt_rn(text, setting, work, sizeof(*work));
    const char *hash = output == NULL ? NULL : bulkhead_format(call, "%s", output);
    explicit_bzero(text, length);
    explicit_bzero(work, sizeof(*work));
    return hash;
}

static int answer(struct bulkhead_call *call, const char *hash, const char *known)
{
    bulkhead_set_header(call, "content-type", "application/json");
    bulkhead_set_header(call, "cache-control", "no-store");
    bool sent = known == NULL ? bulkhead_printf(call, "{\"hash\":\"%s\"}\n", hash)
                              : bulkhead_printf(call, "{\"match\":%s}\n", equal(hash, known) ? "true" : "false");
    return sent ? 0 : -1;
}

static int hash_handle(struct bulkhead_call *call, void *state)
{
    const struct hash_settings *s = state;
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    size_t length;
    const char *password = bulkhead_body(call, &length), *known = bulkhead_query_value(call, "hash", NULL);
    if (strcmp(bulkhead_method(call), "POST") != 0) {
        bulkhead_set_header(call, "allow", "POST");
        return refuse(call, 405, "send the password as the body of a POST request");
    }
    if (length == 0 || length > s->method->password_max || memchr(password, '\0', length) != NULL)
        return refuse(call, 400, "the password is empty, too long, or holds a NUL");
    if (known != NULL && !is_acceptable(s, known))
        return refuse(call, 400, "not a hash of this method, or of a higher cost");
    if (known == NULL && !make_setting(s, setting))
        return bulkhead_failed(call, "no salt: the system has no random numbers");
    const char *hash = hash_password(call, password, length, known == NULL ? setting : known);
    if (hash != NULL)
        return answer(call, hash, known);
    return known == NULL ? bulkhead_failed(call, "crypt(3) failed") : refuse(call, 400, "malformed hash");
}

BULKHEAD_HANDLER(.name = "hash", .handle = hash_handle, .open = hash_open, .close = free);
