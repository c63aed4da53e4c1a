# unit tests of the room executor, and of upstream's connections, on a real event loop of the library
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_crew
EXECUTOR_TEST_LIBS = libexecutor.a libupstream.a libwire.a libcall.a libdiag.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS) \
  $(CMOCKA_LIBS)
tests_unit_test_crew_SOURCES = tests/unit/test_crew.c tests/unit/rig.c tests/unit/rig.h
tests_unit_test_crew_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_crew_LDADD = $(EXECUTOR_TEST_LIBS)
TESTS += tests/unit/test_crew
endif
