# fuzz target of the room config
check_PROGRAMS += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(FUZZ_MAIN)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_conf_LDADD = libconfig.a libbase.a $(JANSSON_LIBS) $(PCRE2_LIBS)
FUZZ_TARGETS += tests/fuzz/fuzz_conf
