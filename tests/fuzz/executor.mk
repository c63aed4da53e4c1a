# fuzz targets of what the room executor speaks with its own workers
check_PROGRAMS += tests/fuzz/fuzz_native
tests_fuzz_fuzz_native_SOURCES = tests/fuzz/fuzz_native.c $(FUZZ_MAIN)
tests_fuzz_fuzz_native_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_native_LDADD = libparsers.a libwire.a libbase.a
FUZZ_TARGETS += tests/fuzz/fuzz_native
