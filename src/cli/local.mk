# room: cli, the program bulkhead. It links neither libh2o nor OpenSSL: the supervisor is to stay small.
include src/cli/check.mk
bin_PROGRAMS += bulkhead
bulkhead_SOURCES = src/cli/main.c $(CLI_CHECK_SOURCES) \
  src/cli/run.h src/cli/run.c \
  src/cli/control_client.h src/cli/control_client.c \
  src/cli/order_command.h src/cli/order_command.c \
  src/cli/send_command.h src/cli/send_command.c \
  src/cli/status_command.h src/cli/status_command.c \
  src/cli/status_text.h src/cli/status_text.c \
  src/cli/table.h src/cli/table.c
bulkhead_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
bulkhead_LDADD = libsupervisor.a libconfig.a libwire.a libdiag.a libbase.a $(JANSSON_LIBS) $(PCRE2_LIBS) $(LIBEV_LIBS) \
  $(SYSTEMD_LIBS)
