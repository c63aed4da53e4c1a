# room: call
noinst_LIBRARIES += libcall.a
libcall_a_SOURCES = src/call/call.h src/call/call.c src/call/loop.h src/call/reason.h src/call/reason.c
