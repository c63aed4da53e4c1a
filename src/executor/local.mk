# room: executor
noinst_LIBRARIES += libexecutor.a
libexecutor_a_SOURCES = \
  src/executor/crew.c src/executor/crew.h src/executor/crew_private.h \
  src/executor/executor.h \
  src/executor/inloop.c src/executor/inloop.h \
  src/executor/proxy.c src/executor/proxy.h \
  src/executor/retry.h \
  src/executor/seat.c
