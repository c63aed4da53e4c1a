# room: config. Whoever links libconfig.a adds $(JANSSON_LIBS) $(PCRE2_LIBS).
noinst_LIBRARIES += libconfig.a
libconfig_a_SOURCES = \
  src/config/conf.h src/config/conf.c src/config/conf_build.h \
  src/config/conf_address.h src/config/conf_address.c \
  src/config/conf_change.h src/config/conf_change.c \
  src/config/conf_check.h src/config/conf_check.c src/config/conf_check_restart.c src/config/conf_check_system.c \
  src/config/conf_check_unused.c \
  src/config/conf_default.h src/config/conf_default.c \
  src/config/conf_dump.h src/config/conf_dump.c \
  src/config/conf_include.h src/config/conf_include.c \
  src/config/conf_read.h src/config/conf_read.c \
  src/config/expand.h src/config/expand.c \
  src/config/grammar.h src/config/grammar.c \
  src/config/jsonc.h src/config/jsonc.c \
  src/config/keys.h src/config/keys.c \
  src/config/nearest.h src/config/nearest.c \
  src/config/node.h src/config/node.c \
  src/config/oneline.h src/config/oneline.c \
  src/config/paths.h src/config/paths.c \
  src/config/problems.h src/config/problems.c \
  src/config/region.h src/config/region.c \
  src/config/source.h src/config/source.c \
  src/config/units.h src/config/units.c
libconfig_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(PCRE2_CFLAGS)

# What is made from the keyword table is kept in the tree, so that it can be read and shipped without a build;
# tests/unit/generated_files fails when it lags behind. After a change of the table: make update-keys
noinst_PROGRAMS += bulkhead-keys
bulkhead_keys_SOURCES = src/config/keys_doc.h src/config/keys_facts.c src/config/keys_main.c src/config/keys_man.c \
  src/config/keys_sample.c src/config/keys_schema.c
bulkhead_keys_CPPFLAGS = $(libconfig_a_CPPFLAGS)
bulkhead_keys_LDADD = libconfig.a libbase.a $(JANSSON_LIBS) $(PCRE2_LIBS)

update-keys: bulkhead-keys
	./bulkhead-keys schema >$(srcdir)/conf/bulkhead.schema.json
	./bulkhead-keys sample >$(srcdir)/conf/bulkhead.conf
	./bulkhead-keys man $(srcdir)/man/bulkhead.conf.5.in >$(srcdir)/man/bulkhead.conf.5
