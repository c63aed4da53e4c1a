# room: base
noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = src/base/buf.h src/base/buf.c src/base/clock.h src/base/fd.h src/base/fd.c src/base/heap.h \
  src/base/heap.c src/base/jitter.h src/base/lexis.h src/base/lexis.c src/base/list.h src/base/mem.h src/base/mem.c src/base/str.h \
  src/base/utf8.h src/base/utf8.c
