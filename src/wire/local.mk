# room: wire
noinst_LIBRARIES += libwire.a
libwire_a_SOURCES = src/wire/heritage.h src/wire/frame.h src/wire/frame.c
