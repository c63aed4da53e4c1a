# room: gate
noinst_LIBRARIES += libgate.a
libgate_a_SOURCES = src/gate/gate.h src/gate/gate.c
