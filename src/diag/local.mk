# room: diag
noinst_LIBRARIES += libdiag.a
libdiag_a_SOURCES = src/diag/log.h src/diag/log.c
