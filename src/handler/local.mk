# room: handler
noinst_LIBRARIES += libhandler.a
libhandler_a_SOURCES = \
  src/handler/api.h src/handler/api_message.c src/handler/api_request.c \
  src/handler/api_response.c src/handler/api_text.c \
  src/handler/arena.h src/handler/arena.c \
  src/handler/cgi.h src/handler/cgi.c \
  src/handler/cgi_environment.h src/handler/cgi_environment.c \
  src/handler/cgi_head.h src/handler/cgi_head.c \
  src/handler/cgi_process.h src/handler/cgi_process.c \
  src/handler/cgi_script.h src/handler/cgi_script.c \
  src/handler/host.h src/handler/host.c \
  src/handler/module.h src/handler/module.c \
  src/handler/options.h src/handler/options.c \
  src/handler/params.h src/handler/params.c \
  src/handler/serve.h src/handler/serve.c
libhandler_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)

# The interface of handler modules; the only installed header.
bulkheadincludedir = $(includedir)/bulkhead
bulkheadinclude_HEADERS = src/include/bulkhead/handler.h

# Modules link against nothing: the executable that loads them provides the bulkhead_* functions. Every executable that
# links libhandler.a has HANDLER_EXPORT_LDFLAGS (configure.ac) in its _LDFLAGS, so that the linker puts those functions, and only
# those, into its dynamic symbol table. module.c refers to each object that holds some, so that none is left out of the
# archive. In _LDADD, behind libhandler.a:
HANDLER_LIBS = libwire.a libdiag.a libbase.a $(JANSSON_LIBS) -ldl -lpthread
