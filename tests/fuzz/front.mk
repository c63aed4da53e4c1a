# fuzz targets of the front as a whole: the library and our code around it, driven by hand (front_rig.h). --wrap: the clock is
# the target's own. An input takes far longer than a parser's, so `make check` replays fewer of them.
check_PROGRAMS += tests/fuzz/fuzz_client tests/fuzz/fuzz_h2
FUZZ_FRONT_RIG = tests/fuzz/front_rig.c tests/fuzz/front_rig.h tests/fuzz/stub.c tests/fuzz/stub.h
FUZZ_FRONT_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS) $(JANSSON_CFLAGS) -DMUTATIONS_DEFAULT=300 \
  -DFUZZ_FILES='"$(abs_srcdir)/tests/fuzz/files"'
FUZZ_FRONT_LINK = $(FUZZ_LINK) $(FRONT_EXPORT) -Wl,--wrap=clock_gettime
FUZZ_FRONT_LIBS = libfront.a libexecutor.a libupstream.a libgate.a libhandler.a libcall.a libwire.a libconfig.a \
  libdiag.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS) $(JANSSON_LIBS) $(PCRE2_LIBS) -ldl -lpthread
tests_fuzz_fuzz_client_SOURCES = tests/fuzz/fuzz_client.c $(FUZZ_FRONT_RIG) $(FUZZ_MAIN)
tests_fuzz_fuzz_client_CPPFLAGS = $(FUZZ_FRONT_CPPFLAGS)
tests_fuzz_fuzz_client_LDFLAGS = $(FUZZ_FRONT_LINK)
tests_fuzz_fuzz_client_LDADD = $(FUZZ_FRONT_LIBS)
tests_fuzz_fuzz_h2_SOURCES = tests/fuzz/fuzz_h2.c $(FUZZ_FRONT_RIG) $(FUZZ_MAIN)
tests_fuzz_fuzz_h2_CPPFLAGS = $(FUZZ_FRONT_CPPFLAGS)
tests_fuzz_fuzz_h2_LDFLAGS = $(FUZZ_FRONT_LINK)
tests_fuzz_fuzz_h2_LDADD = $(FUZZ_FRONT_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_client tests/fuzz/fuzz_h2
EXTRA_DIST += tests/fuzz/files
