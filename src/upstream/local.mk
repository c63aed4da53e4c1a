# room: upstream
noinst_LIBRARIES += libupstream.a libparsers.a

# requests out, answers in: pure, no h2o
UPSTREAM_PARSERS = \
  src/upstream/chunked.h src/upstream/chunked.c \
  src/upstream/fastcgi.h src/upstream/fastcgi_private.h \
  src/upstream/fastcgi_request.c src/upstream/fastcgi_response.c \
  src/upstream/response_field.h src/upstream/response_field.c \
  src/upstream/http1_request.h src/upstream/http1_request.c \
  src/upstream/http1_response.h src/upstream/http1_response.c \
  src/upstream/native.h src/upstream/native.c \
  src/upstream/ws_head.h src/upstream/ws_head.c
# the same alone: for tests and fuzzing
libparsers_a_SOURCES = $(UPSTREAM_PARSERS)
# with the connection itself, which lives on a loop's h2o socket
libupstream_a_SOURCES = $(UPSTREAM_PARSERS) \
  src/upstream/dial.c src/upstream/dial.h \
  src/upstream/farewell.c src/upstream/farewell.h \
  src/upstream/h2o_api.h \
  src/upstream/hop.c src/upstream/hop.h \
  src/upstream/protocol.c src/upstream/protocol.h \
  src/upstream/upgrade.c src/upstream/upgrade.h \
  src/upstream/ws.c src/upstream/ws.h src/upstream/ws_private.h \
  src/upstream/ws_in.c src/upstream/ws_out.c
libupstream_a_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
