# room: contrib

pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = contrib/bulkhead.pc
EXTRA_DIST += contrib/examples
include contrib/systemd/local.mk

# Debian packages: make deb
EXTRA_DIST += contrib/debian
deb: dist-gzip
	$(SHELL) $(srcdir)/contrib/debian/build $(distdir).tar.gz deb
clean-local:
	rm -rf deb
.PHONY: deb

# Sample handlers (bulkhead-handler(3)): shared objects that are loaded by path. bulkhead_* stay undefined in them until a
# process that provides these functions loads them, hence no -z defs; and no -pie.
HANDLER_MODULE_CFLAGS = $(BH_CFLAGS) $(BH_HARDEN_CFLAGS) -fPIC
HANDLER_MODULE_LINK = $(BH_LDFLAGS) -shared
handlers_PROGRAMS += contrib/handlers/echo.so contrib/handlers/hash.so contrib/handlers/progress.so \
  contrib/handlers/sleep.so contrib/handlers/spin.so

contrib_handlers_echo_so_SOURCES = contrib/handlers/echo.c
contrib_handlers_echo_so_CFLAGS = $(HANDLER_MODULE_CFLAGS)
contrib_handlers_echo_so_LDFLAGS = $(HANDLER_MODULE_LINK)

contrib_handlers_hash_so_SOURCES = contrib/handlers/hash.c
contrib_handlers_hash_so_CFLAGS = $(HANDLER_MODULE_CFLAGS) $(LIBCRYPT_CFLAGS)
contrib_handlers_hash_so_LDFLAGS = $(HANDLER_MODULE_LINK)
contrib_handlers_hash_so_LDADD = $(LIBCRYPT_LIBS)

contrib_handlers_progress_so_SOURCES = contrib/handlers/progress.c
contrib_handlers_progress_so_CFLAGS = $(HANDLER_MODULE_CFLAGS)
contrib_handlers_progress_so_LDFLAGS = $(HANDLER_MODULE_LINK)

contrib_handlers_sleep_so_SOURCES = contrib/handlers/sleep.c
contrib_handlers_sleep_so_CFLAGS = $(HANDLER_MODULE_CFLAGS)
contrib_handlers_sleep_so_LDFLAGS = $(HANDLER_MODULE_LINK)

contrib_handlers_spin_so_SOURCES = contrib/handlers/spin.c
contrib_handlers_spin_so_CFLAGS = $(HANDLER_MODULE_CFLAGS)
contrib_handlers_spin_so_LDFLAGS = $(HANDLER_MODULE_LINK)

if HAVE_SQLITE
handlers_PROGRAMS += contrib/handlers/sqlite_query.so
contrib_handlers_sqlite_query_so_SOURCES = contrib/handlers/sqlite_query.c
contrib_handlers_sqlite_query_so_CFLAGS = $(HANDLER_MODULE_CFLAGS) $(SQLITE_CFLAGS)
contrib_handlers_sqlite_query_so_LDFLAGS = $(HANDLER_MODULE_LINK)
contrib_handlers_sqlite_query_so_LDADD = $(SQLITE_LIBS)
endif
