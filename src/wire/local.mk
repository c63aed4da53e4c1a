# room: wire
noinst_LIBRARIES += libwire.a
libwire_a_SOURCES = src/wire/heritage.h src/wire/frame.h src/wire/frame.c
libwire_a_SOURCES += src/wire/control.h src/wire/control.c src/wire/command.h src/wire/command.c \
  src/wire/ws_code.h src/wire/ws_event.h src/wire/ws_event.c
