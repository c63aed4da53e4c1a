# room: front
#
# libh2o-evloop's .pc file names only the library. The rest of what it needs is in H2O_CPPFLAGS (the evloop flavour of its headers;
# without it they select the libuv one, whose structs differ) and H2O_LIBS (wslay, which it uses and does not name).
noinst_LIBRARIES += libfront.a
pkglibexec_PROGRAMS += bulkhead-front

# the glue to libh2o: threads, listeners, TLS, connections, what clients may send, the link to the supervisor
FRONT_GLUE_SOURCES = \
  src/upstream/h2o_api.h \
  src/front/cidr.c src/front/cidr.h \
  src/front/conn.c src/front/conn.h \
  src/front/guard.c src/front/guard.h \
  src/front/handover.c src/front/handover.h \
  src/front/library_log.c src/front/library_log.h \
  src/front/library_spool.c src/front/library_spool.h \
  src/front/link.c src/front/link.h \
  src/front/listener.c src/front/listener.h \
  src/front/peers.c src/front/peers.h \
  src/front/proxy_line.c src/front/proxy_line.h \
  src/front/reload.c src/front/reload.h \
  src/front/setup.c src/front/setup.h \
  src/front/sockets.c src/front/sockets.h \
  src/front/steady_clock.c src/front/steady_clock.h \
  src/front/stuck.c src/front/stuck.h \
  src/front/strict.c src/front/strict.h \
  src/front/sweep.c src/front/sweep.h \
  src/front/thread.c src/front/thread.h src/front/thread_private.h \
  src/front/tls.c src/front/tls.h

# the parts of the HTTP door that are bytes in, bytes out: no h2o in them
FRONT_PURE_SOURCES = \
  src/front/access_log.c src/front/access_log.h \
  src/front/field.h \
  src/front/fields.c src/front/fields.h \
  src/front/file_request.c src/front/file_request.h \
  src/front/path.c src/front/path.h \
  src/front/push_request.c src/front/push_request.h \
  src/front/route_index.c src/front/route_index.h \
  src/front/router.c src/front/router.h \
  src/front/share.c src/front/share.h \
  src/front/ws_handshake.c src/front/ws_handshake.h

# the HTTP door: exchange, router, generation, sending, error pages, files, status, access log
FRONT_DOOR_SOURCES = $(FRONT_PURE_SOURCES) \
  src/front/admin.c src/front/admin.h \
  src/front/arrival.c \
  src/front/departure.c src/front/departure.h \
  src/front/dispatch.c src/front/dispatch.h \
  src/front/door.c src/front/door.h \
  src/front/exchange.c src/front/exchange.h src/front/exchange_private.h \
  src/front/exchange_log.c \
  src/front/files.c src/front/files.h \
  src/front/generation.c src/front/generation.h \
  src/front/intake.c src/front/intake.h \
  src/front/problem.c src/front/problem.h \
  src/front/relay.c src/front/relay.h \
  src/front/reply.c src/front/reply.h \
  src/front/route.c src/front/route.h \
  src/front/status.c \
  src/front/ws_berth.c src/front/ws_berth.h \
  src/front/ws_bridge.c src/front/ws_bridge_private.h \
  src/front/ws_bridge_dial.c \
  src/front/ws_bridge_queue.c \
  src/front/ws_bridge_reconnect.c \
  src/front/ws_counters.c src/front/ws_counters.h \
  src/front/ws_door.c src/front/ws_door.h \
  src/front/ws_log.c src/front/ws_log.h \
  src/front/ws_message_answer.c \
  src/front/ws_message_call.c \
  src/front/ws_messages.c src/front/ws_messages.h \
  src/front/ws_messages_events.c \
  src/front/ws_push.c src/front/ws_push.h \
  src/front/ws_session.c src/front/ws_session.h \
  src/front/ws_tunnel.c

libfront_a_SOURCES = $(FRONT_GLUE_SOURCES) $(FRONT_DOOR_SOURCES)
libfront_a_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS) $(OPENSSL_CFLAGS) $(JANSSON_CFLAGS) $(PCRE2_CFLAGS)

bulkhead_front_SOURCES = src/front/main.c
bulkhead_front_CPPFLAGS = $(libfront_a_CPPFLAGS)
# Names that must be in the dynamic symbol table, and no others: what libh2o is to call instead of its own
# (src/front/guard.c, library_spool.c, steady_clock.c), and what handler modules call (HANDLER_EXPORT_LDFLAGS, configure.ac).
FRONT_EXPORT = \
  -Wl,--export-dynamic-symbol=phr_parse_request \
  -Wl,--export-dynamic-symbol=phr_decode_chunked \
  -Wl,--export-dynamic-symbol=gettimeofday \
  -Wl,--export-dynamic-symbol=posix_fallocate
bulkhead_front_LDFLAGS = $(AM_LDFLAGS) $(HANDLER_EXPORT_LDFLAGS) $(FRONT_EXPORT)
bulkhead_front_LDADD = libfront.a libexecutor.a libupstream.a libgate.a libhandler.a libcall.a libwire.a \
  libconfig.a libdiag.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS) $(JANSSON_LIBS) $(PCRE2_LIBS) -ldl -lpthread

# what clients may send as HTTP/1, alone: for tests and fuzzing without h2o
noinst_LIBRARIES += libstrict.a
libstrict_a_SOURCES = src/front/strict.h src/front/strict.c src/upstream/chunked.h src/upstream/chunked.c \
  src/call/reason.h

# the door's pure parts, alone: for unit tests and benches
noinst_LIBRARIES += libdoor.a
libdoor_a_SOURCES = $(FRONT_PURE_SOURCES)
libdoor_a_CPPFLAGS = $(AM_CPPFLAGS) $(PCRE2_CFLAGS)
