/* SPDX-License-Identifier: MIT
 *
 * keys: the one table of what may stand in a conf file. A row names a key, its type, bounds, default, reload class and
 * meaning, and where its value goes in the tree of conf.h. Parser, checks, dump, JSON schema, man page and sample are
 * all made from it; what cannot be said in a row (rules across keys) is in conf_check*.c. Read-only; any thread.
 */
#ifndef BULKHEAD_CONFIG_KEYS_H
#define BULKHEAD_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/grammar.h"

enum key_type {
    KEY_BOOL,      /* bool */
    KEY_UNSIGNED,  /* unsigned */
    KEY_INT,       /* int */
    KEY_COUNT,     /* int64_t */
    KEY_DURATION,  /* int64_t, µs */
    KEY_SIZE,      /* int64_t, bytes */
    KEY_MODE,      /* unsigned: file mode, octal in a string */
    KEY_WORD,      /* int or enum: index into `words`, plus `min` */
    KEY_STRING,    /* const char * */
    KEY_FILE,      /* const char *: a file name, made absolute */
    KEY_STRINGS,   /* const char **, NULL-terminated, and a count: a list, or one string where flagged */
    KEY_PAIRS,     /* struct conf_pair *, and a count: an object of strings */
    KEY_MATCHES,   /* struct conf_header_match *, and a count: an object of strings or true */
    KEY_JSON,      /* const char *: an object that is passed on as compact JSON text */
    KEY_BIND,      /* struct conf_listener: where to listen */
    KEY_UPSTREAMS, /* struct conf_address *, and a count */
    KEY_BACKEND,   /* size_t: the name of a backend → its index */
    KEY_OBJECT,    /* a struct in place */
    KEY_POINTER,   /* a pointer to a struct; NULL when absent */
    KEY_LIST,      /* an array of structs, and a count: a list of objects */
    KEY_MAP,       /* the same from an object whose keys are names; the struct begins with its name */
    KEY_IGNORED,   /* nothing */
    KEY_INCLUDE,   /* dealt with before the tree is read */
    KEY_TYPE_COUNT
};

/* what has to happen for a changed value to come into force */
enum key_reload { KEY_LIVE, KEY_RESTART_LISTENER, KEY_RESTART_BACKEND, KEY_RESTART, KEY_RELOAD_COUNT };

#define KEY_REQUIRED     0x01u /* must be there */
#define KEY_ONE_OK       0x02u /* lists: a single member may stand for a list of one */
#define KEY_NONE_OK      0x04u /* durations, sizes: "none" is -1 */
#define KEY_EMPTY_OK     0x08u /* strings, lists: may be empty */
#define KEY_BARE_OK      0x10u /* files: a name without '/' is left alone, it is looked up where such names are kept */
#define KEY_UNLIMITED_OK 0x20u /* counts, durations, sizes: "unlimited" is CONF_UNLIMITED */

struct key_object;

struct key {
    const char *name;
    enum key_type type;
    size_t offset, count_offset;
    int64_t min, max;     /* of numbers and words; of a string's bytes; of a list's members. max 0: as the type says */
    const char *fallback; /* the default, as JSON; NULL: none, or computed */
    const char *computed; /* a default that depends on something, in words */
    const char *example;  /* JSON, for the sample when there is no default */
    const char *live;     /* JSON that the sample sets; "" for what is live because something in it is */
    enum key_reload reload;
    unsigned flags;
    unsigned fits;            /* in which kinds of its object the key has a meaning (keys_fits); 0: all */
    const char *const *words; /* NULL-terminated; of a KEY_FILE: words that are no file name */
    const struct key_object *object;
    grammar_fn grammar;       /* for each string, or each name of a map or of pairs */
    grammar_fn value_grammar; /* for each value of pairs */
    const char *help;         /* sentences */
};

struct key_object {
    const char *name;  /* "listener": as in the man page and the schema */
    const char *title; /* one sentence: what such an object is */
    const struct key *keys;
    size_t nkeys;
    size_t size;                          /* of the struct */
    const char *short_form;               /* a key that a plain value in place of the object is for; NULL: none */
    unsigned (*kind)(const void *object); /* its kind as bits, see keys_fits; NULL: one kind */
    const char *const *one_of;            /* keys of which exactly one is there, NULL-terminated; NULL: no such rule */
    const char *const *at_most_one;       /* keys of which at most one is there */
};

/* The kinds of a backend, a route, a listener and a WebSocket, for `fits` */
#define KEYS_LOOP     0x001u
#define KEYS_THREADS  0x002u
#define KEYS_WORKERS  0x004u
#define KEYS_COMMAND  0x010u
#define KEYS_MODULE   0x020u
#define KEYS_CGI      0x040u
#define KEYS_PROXY    0x080u
#define KEYS_FASTCGI  0x100u
#define KEYS_HTTP     0x200u /* what it runs speaks HTTP itself */
#define KEYS_REQUESTS 0x001u /* a route that takes more than WebSocket handshakes */
#define KEYS_BACKEND  0x010u
#define KEYS_RESPOND  0x020u
#define KEYS_REDIRECT 0x040u
#define KEYS_FILES    0x080u
#define KEYS_TCP      0x010u
#define KEYS_UNIX     0x020u
#define KEYS_SYSTEMD  0x040u
#define KEYS_MESSAGES 0x010u
#define KEYS_BRIDGE   0x020u
#define KEYS_TUNNEL   0x040u

extern const struct key_object keys_root;
extern const struct key_object keys_listener, keys_certificate, keys_log, keys_access, keys_limits, keys_backend,
    keys_rlimits, keys_route, keys_respond, keys_redirect, keys_files, keys_header_rules, keys_websocket;

const struct key *keys_find(const struct key_object *object, const char *name);
/* Bits come in two groups, low four and the rest; a key fits when in each group it names none or one that is there. */
bool keys_fits(const struct key *key, unsigned kind);
const char *keys_reload_name(enum key_reload reload);
#endif
