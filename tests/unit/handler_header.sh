#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The installed header as a module's author meets it: compiled by plain compilers in strict modes, as C and as C++, with the
# flags that pkg-config gives.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=$(pkg-config --define-variable=includedir="$srcdir/src/include" --cflags contrib/bulkhead.pc)

cat >"$work/c.c" <<'END'
#include <bulkhead/handler.h>

static int handle(struct bulkhead_call *call, void *state)
{
    (void)state;
    switch (bulkhead_kind(call)) {
    case BULKHEAD_MESSAGE:
        return bulkhead_send(call, bulkhead_opcode(call), "hello", 5) ? 0 : -1;
    case BULKHEAD_OPEN:
        return bulkhead_close(call, 1000, bulkhead_connection(call)) ? 0 : -1;
    case BULKHEAD_CLOSE:
        return bulkhead_close_code(call) == 1000 ? 0 : -1;
    case BULKHEAD_REQUEST:
        break;
    }
    return bulkhead_answer(call, 200, "text/plain", "hello\n", 6);
}

BULKHEAD_HANDLER(.name = "hello", .handle = handle);
END

cat >"$work/cxx.cc" <<'END'
#include <bulkhead/handler.h>

static int handle(bulkhead_call *call, void *)
{
    if (bulkhead_kind(call) == BULKHEAD_MESSAGE)
        return bulkhead_send(call, BULKHEAD_TEXT, "hello", 5) && bulkhead_close(call, 1000, nullptr) ? 0 : -1;
    return bulkhead_answer(call, 200, "text/plain", "hello\n", 6);
}

BULKHEAD_HANDLER("hello", handle, nullptr, nullptr);
END

build() # compiler standard source
{
    # shellcheck disable=SC2086 # the flags are words
    "$1" -std="$2" -Wall -Wextra -Wno-missing-field-initializers -pedantic -Werror -shared -fPIC $flags \
        -o "$work/module.so" "$3"
    # -fno-common, -fvisibility: the entry must be there whatever the author's flags
    # shellcheck disable=SC2086
    "$1" -std="$2" -fvisibility=hidden -O2 -shared -fPIC $flags -o "$work/hidden.so" "$3"
    for module in module hidden; do
        nm -D --defined-only "$work/$module.so" | grep -q ' bulkhead_handler_entry$' || {
            echo "$1 -std=$2: $module.so does not export its entry"
            exit 1
        }
    done
    echo "ok: $1 -std=$2"
}

for compiler in gcc clang; do
    command -v $compiler >/dev/null || continue
    for standard in c99 c11 c17 gnu11; do
        build $compiler $standard "$work/c.c"
    done
done
for compiler in g++ clang++; do
    command -v $compiler >/dev/null || continue
    for standard in c++11 c++17 c++20; do
        build $compiler $standard "$work/cxx.cc"
    done
done
