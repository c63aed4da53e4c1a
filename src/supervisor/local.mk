# room: supervisor. Whoever links libsupervisor.a adds libconfig.a libwire.a libdiag.a libbase.a and
# $(LIBEV_LIBS) $(SYSTEMD_LIBS).
noinst_LIBRARIES += libsupervisor.a
libsupervisor_a_SOURCES = \
  src/supervisor/activation.h src/supervisor/activation.c \
  src/supervisor/bindings.h src/supervisor/bindings.c \
  src/supervisor/census.h src/supervisor/census.c \
  src/supervisor/channel.h src/supervisor/channel.c \
  src/supervisor/control_server.h src/supervisor/control_server.c \
  src/supervisor/endpoint.h src/supervisor/endpoint.c \
  src/supervisor/environment.h src/supervisor/environment.c \
  src/supervisor/front_child.h src/supervisor/front_child.c \
  src/supervisor/guardian.h src/supervisor/guardian.c \
  src/supervisor/identity.h src/supervisor/identity.c \
  src/supervisor/libexec.h src/supervisor/libexec.c \
  src/supervisor/loader.h src/supervisor/loader.c \
  src/supervisor/logsink.h src/supervisor/logsink.c \
  src/supervisor/notify.h src/supervisor/notify.c \
  src/supervisor/nursery.h \
  src/supervisor/orders.h src/supervisor/orders.c \
  src/supervisor/output.h src/supervisor/output.c \
  src/supervisor/pool.h src/supervisor/pool.c \
  src/supervisor/probe.h src/supervisor/probe.c \
  src/supervisor/restart.h src/supervisor/restart.c \
  src/supervisor/rundir.h src/supervisor/rundir.c \
  src/supervisor/slot.h src/supervisor/slot.c \
  src/supervisor/spawn.h src/supervisor/spawn.c \
  src/supervisor/status_line.h src/supervisor/status_line.c \
  src/supervisor/status_page.h src/supervisor/status_page.c \
  src/supervisor/store.h src/supervisor/store.c \
  src/supervisor/strays.h src/supervisor/strays.c \
  src/supervisor/stuck_worker.h src/supervisor/stuck_worker.c \
  src/supervisor/supervisor.h src/supervisor/supervisor.c src/supervisor/supervisor_private.h \
  src/supervisor/supervisor_reload.c \
  src/supervisor/worker_plan.h src/supervisor/worker_plan.c
libsupervisor_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
