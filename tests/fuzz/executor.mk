# fuzz targets of what the room executor speaks with its own workers, and of upstream's connections
check_PROGRAMS += tests/fuzz/fuzz_native
tests_fuzz_fuzz_native_SOURCES = tests/fuzz/fuzz_native.c $(FUZZ_MAIN)
tests_fuzz_fuzz_native_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_native_LDADD = libparsers.a libwire.a libbase.a
FUZZ_TARGETS += tests/fuzz/fuzz_native
# every input makes a connection on a loop: fewer mutations of each for `make check`
check_PROGRAMS += tests/fuzz/fuzz_ws
tests_fuzz_fuzz_ws_SOURCES = tests/fuzz/fuzz_ws.c $(FUZZ_MAIN)
tests_fuzz_fuzz_ws_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS) -DMUTATIONS_DEFAULT=1000
tests_fuzz_fuzz_ws_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_ws_LDADD = libupstream.a libwire.a libcall.a libdiag.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_ws
