# room: worker
pkglibexec_PROGRAMS += bulkhead-worker
bulkhead_worker_SOURCES = src/worker/main.c
bulkhead_worker_LDFLAGS = $(AM_LDFLAGS) $(HANDLER_EXPORT_LDFLAGS)
bulkhead_worker_LDADD = libhandler.a libcall.a $(HANDLER_LIBS)
