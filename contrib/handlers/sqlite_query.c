/* SPDX-License-Identifier: MIT
 *
 * sqlite_query: runs named SQL statements on a SQLite database: blocking I/O that belongs into threads or workers.
 *
 * Options: "database": the file (required); "statements": {"name": "SELECT … WHERE id = :id", …};
 *          "read_only": true; "busy_timeout_ms": how long to wait for another writer (5000); "max_rows": 1000.
 *          A statement "tables" that lists the tables is there unless it is defined otherwise. All statements are
 * checked at the start. Request: the last segment of the path names the statement; its parameters (:name) are the
 * query's: /q/order?id=7. They are bound, never pasted: text stays text; what is written as an integer is bound as one.
 * Statements that write need POST. Answer:  200, JSON: an array of objects, one a row; blobs as hexadecimal text. 400:
 * a parameter is missing or the database refuses the values; 404: no such statement; 405. Everything else is an error
 * of the handler: 500.
 *
 * Each running call has a connection of its own; connections are kept, with their prepared statements, as many as there
 * were calls at once. A statement is interrupted when its time is over or nobody waits for it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <bulkhead/handler.h>

/* virtual machine steps between two looks at the deadline: some 10 µs */
#define PROGRESS_STEPS 1000
#define BUSY_STEP_MS   5

struct named_sql {
    const char *name, *sql;
};

struct connection {
    struct connection *next; /* while nobody uses it; under database.lock */
    sqlite3 *sqlite;
    sqlite3_stmt **statements; /* in the order of database.sql; NULL: not needed yet */
    /* of the running call */
    struct bulkhead_call *call;
    int busy_left_ms;
};

struct database {
    const char *file;
    bool read_only;
    int busy_timeout_ms, max_rows;
    struct named_sql *sql;
    size_t nsql;
    pthread_mutex_t lock;
    struct connection *idle; /* under lock; most recently used first */
};

/* ---- connections ------------------------------------------------------------------------------------------------ */

static int on_progress(void *arg)
{
    const struct connection *c = arg;
    return c->call != NULL && bulkhead_cancelled(c->call);
}

/* another process or thread writes; 0: give up */
static int on_busy(void *arg, int attempts)
{
    struct connection *c = arg;
    (void)attempts;
    if (c->busy_left_ms <= 0 || on_progress(c))
        return 0;
    sqlite3_sleep(BUSY_STEP_MS);
    c->busy_left_ms -= BUSY_STEP_MS;
    return 1;
}

static void connection_close(struct connection *c, size_t nsql)
{
    for (size_t i = 0; c->statements != NULL && i < nsql; i++)
        sqlite3_finalize(c->statements[i]);
    sqlite3_close(c->sqlite);
    free(c->statements);
    free(c);
}

/* NULL with a message in *why_r. A connection is used by one thread at a time: SQLite's own lock is not needed. */
static struct connection *connection_open(const struct database *d, const char **why_r)
{
    int flags = (d->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
    struct connection *c = calloc(1, sizeof(*c));
    *why_r = "out of memory";
    if (c == NULL)
        return NULL;
    c->statements = calloc(d->nsql, sizeof(*c->statements));
    int result = c->statements == NULL ? SQLITE_NOMEM : sqlite3_open_v2(d->file, &c->sqlite, flags, NULL);
    if (result != SQLITE_OK) {
        *why_r = sqlite3_errstr(result);
        connection_close(c, d->nsql);
        return NULL;
    }
    sqlite3_busy_handler(c->sqlite, on_busy, c);
    sqlite3_progress_handler(c->sqlite, PROGRESS_STEPS, on_progress, c);
    return c;
}

static struct connection *take_connection(struct database *d, const char **why_r)
{
    pthread_mutex_lock(&d->lock);
    struct connection *c = d->idle;
    if (c != NULL)
        d->idle = c->next;
    pthread_mutex_unlock(&d->lock);
    return c != NULL ? c : connection_open(d, why_r);
}

static void give_back(struct database *d, struct connection *c)
{
    c->call = NULL;
    pthread_mutex_lock(&d->lock);
    c->next = d->idle;
    d->idle = c;
    pthread_mutex_unlock(&d->lock);
}

static sqlite3_stmt *prepared(const struct database *d, struct connection *c, size_t index)
{
    if (c->statements[index] == NULL)
        sqlite3_prepare_v3(c->sqlite, d->sql[index].sql, -1, SQLITE_PREPARE_PERSISTENT, &c->statements[index], NULL);
    return c->statements[index];
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

static void database_close(void *state)
{
    struct database *d = state;
    while (d->idle != NULL) {
        struct connection *c = d->idle;
        d->idle = c->next;
        connection_close(c, d->nsql);
    }
    pthread_mutex_destroy(&d->lock);
    free(d->sql);
    free(d);
}

static bool read_statements(struct database *d, struct bulkhead_options *statements)
{
    size_t count = 0;
    while (statements != NULL && bulkhead_option_name(statements, count) != NULL)
        count++;
    d->sql = calloc(count + 1, sizeof(*d->sql));
    if (d->sql == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *name = bulkhead_option_name(statements, i);
        d->sql[i] = (struct named_sql){name, bulkhead_option_string(statements, name, "")};
    }
    d->sql[count] = (struct named_sql){"tables", "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"};
    d->nsql = count + 1;
    return true;
}

/* Opens the first connection and prepares everything on it, so that a mistake shows at the start. */
static int check_statements(struct database *d, struct bulkhead_options *options)
{
    const char *why;
    struct connection *c = take_connection(d, &why);
    if (c == NULL)
        return bulkhead_open_failed(options, "options.database: %s: %s", d->file, why);
    int result = 0;
    for (size_t i = 0; i < d->nsql && result == 0; i++)
        if (prepared(d, c, i) == NULL)
            result =
                bulkhead_open_failed(options, "options.statements.%s: %s", d->sql[i].name, sqlite3_errmsg(c->sqlite));
    give_back(d, c);
    return result;
}

static int database_open(struct bulkhead_options *options, void **state)
{
    struct database *d = calloc(1, sizeof(*d));
    if (d == NULL || !read_statements(d, bulkhead_option_object(options, "statements"))) {
        free(d);
        return bulkhead_open_failed(options, "out of memory");
    }
    pthread_mutex_init(&d->lock, NULL);
    d->file = bulkhead_option_string(options, "database", NULL);
    d->read_only = bulkhead_option_bool(options, "read_only", true);
    d->busy_timeout_ms = (int)bulkhead_option_int(options, "busy_timeout_ms", 5000, 0, 3600000);
    d->max_rows = (int)bulkhead_option_int(options, "max_rows", 1000, 1, 10000000);
    int result = d->file == NULL ? bulkhead_open_failed(options, "options.database: required: the database's file")
                                 : check_statements(d, options);
    if (result != 0)
        database_close(d);
    else
        *state = d;
    return result;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static int refuse(struct bulkhead_call *call, int status, const char *why)
{
    bulkhead_status(call, status);
    bulkhead_set_header(call, "content-type", "application/json");
    bulkhead_printf(call, "{\"error\":");
    bulkhead_write_json(call, why, strlen(why));
    return bulkhead_printf(call, "}\n") ? 0 : -1;
}

static void write_blob(struct bulkhead_call *call, const unsigned char *bytes, int length)
{
    bulkhead_printf(call, "\"");
    for (int i = 0; i < length; i++)
        bulkhead_printf(call, "%02x", bytes[i]);
    bulkhead_printf(call, "\"");
}

static void write_value(struct bulkhead_call *call, sqlite3_stmt *s, int column)
{
    double number;
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER:
        bulkhead_printf(call, "%lld", (long long)sqlite3_column_int64(s, column));
        break;
    case SQLITE_FLOAT:
        number = sqlite3_column_double(s, column);
        /* JSON has no infinities; SQLite has no NaN */
        bulkhead_printf(call, number - number == 0 ? "%.17g" : "null", number);
        break;
    case SQLITE_TEXT:
        bulkhead_write_json(call, (const char *)sqlite3_column_text(s, column),
                            (size_t)sqlite3_column_bytes(s, column));
        break;
    case SQLITE_BLOB:
        write_blob(call, sqlite3_column_blob(s, column), sqlite3_column_bytes(s, column));
        break;
    default:
        bulkhead_printf(call, "null");
    }
}

static bool write_row(struct bulkhead_call *call, sqlite3_stmt *s, bool first)
{
    bulkhead_printf(call, first ? "{" : ",\n{");
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const char *name = sqlite3_column_name(s, i);
        bulkhead_printf(call, i == 0 ? "" : ",");
        bulkhead_write_json(call, name, strlen(name));
        bulkhead_printf(call, ":");
        write_value(call, s, i);
    }
    return bulkhead_printf(call, "}");
}

/* What the values, and so the client, are to blame for; before the first row it can still be told. */
static int judge_error(struct bulkhead_call *call, struct connection *c, int result, bool begun)
{
    int kind = result & 0xff;
    bool clients =
        kind == SQLITE_CONSTRAINT || kind == SQLITE_MISMATCH || kind == SQLITE_RANGE || kind == SQLITE_TOOBIG;
    if (clients && !begun)
        return refuse(call, 400, sqlite3_errmsg(c->sqlite));
    return bulkhead_failed(call, "%s", sqlite3_errmsg(c->sqlite));
}

static int answer_rows(struct bulkhead_call *call, const struct database *d, struct connection *c, sqlite3_stmt *s)
{
    int rows = 0, result;
    bool wanted = true;
    while ((result = sqlite3_step(s)) == SQLITE_ROW && rows < d->max_rows && wanted) {
        if (rows == 0)
            wanted = bulkhead_set_header(call, "content-type", "application/json") && bulkhead_printf(call, "[");
        wanted = wanted && write_row(call, s, rows++ == 0);
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        return judge_error(call, c, result, rows != 0);
    if (rows == 0)
        return bulkhead_answer(call, 200, "application/json", "[]\n", 3);
    return bulkhead_printf(call, "]\n") ? 0 : -1;
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

/* an integer in the one way it is written: "007" and "+1" are text */
static bool is_integer(const char *text, sqlite3_int64 *n)
{
    char again[32], *end;
    *n = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return false;
    sqlite3_snprintf(sizeof(again), again, "%lld", *n);
    return strcmp(text, again) == 0;
}

/* the name of the first parameter that the query does not have; NULL when all are bound */
static const char *bind_parameters(struct bulkhead_call *call, sqlite3_stmt *s)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        const char *name = sqlite3_bind_parameter_name(s, i);
        size_t length;
        sqlite3_int64 n;
        const char *value = name == NULL ? NULL : bulkhead_query_value(call, name + 1, &length);
        if (value == NULL)
            return name == NULL ? "(without a name)" : name + 1;
        if (is_integer(value, &n))
            sqlite3_bind_int64(s, i, n);
        else
            sqlite3_bind_text64(s, i, value, length, SQLITE_STATIC, SQLITE_UTF8);
    }
    return NULL;
}

static int run(struct bulkhead_call *call, const struct database *d, struct connection *c, size_t index)
{
    sqlite3_stmt *s = prepared(d, c, index);
    if (s == NULL)
        return bulkhead_failed(call, "statement %s: %s", d->sql[index].name, sqlite3_errmsg(c->sqlite));
    if (!sqlite3_stmt_readonly(s) && strcmp(bulkhead_method(call), "POST") != 0) {
        bulkhead_set_header(call, "allow", "POST");
        return refuse(call, 405, "this statement writes: use POST");
    }
    const char *missing = bind_parameters(call, s);
    int result = missing != NULL ? refuse(call, 400, bulkhead_format(call, "parameter missing: %s", missing))
                                 : answer_rows(call, d, c, s);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return result;
}

static int database_handle(struct bulkhead_call *call, void *state)
{
    struct database *d = state;
    const char *name = strrchr(bulkhead_path(call), '/') + 1, *why;
    size_t index = 0;
    while (index < d->nsql && strcmp(d->sql[index].name, name) != 0)
        index++;
    if (index == d->nsql)
        return refuse(call, 404, "no such statement");
    struct connection *c = take_connection(d, &why);
    if (c == NULL)
        return bulkhead_failed(call, "cannot open %s: %s", d->file, why);
    c->call = call;
    c->busy_left_ms = d->busy_timeout_ms;
    int result = run(call, d, c, index);
    give_back(d, c);
    return result;
}

BULKHEAD_HANDLER(.name = "sqlite_query", .handle = database_handle, .open = database_open, .close = database_close);
