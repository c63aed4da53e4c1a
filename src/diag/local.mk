# room: diag
noinst_LIBRARIES += libdiag.a
libdiag_a_SOURCES = src/diag/log.h src/diag/log.c src/diag/ring.h src/diag/ring.c src/diag/writer.h src/diag/writer.c
