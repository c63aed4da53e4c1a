# unit tests of the room executor, and of upstream's connections, on a real event loop of the library
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_crew tests/unit/test_crew_native tests/unit/test_crew_threads tests/unit/test_proxy \
  tests/unit/test_inloop tests/unit/test_upgrade tests/unit/test_ws
EXECUTOR_TEST_LIBS = libexecutor.a libupstream.a libwire.a libcall.a libdiag.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS) \
  $(CMOCKA_LIBS)
RIG = tests/unit/rig.c tests/unit/rig.h
CREW_RIG = tests/unit/crew_rig.c tests/unit/crew_rig.h $(RIG)
tests_unit_test_crew_SOURCES = tests/unit/test_crew.c $(CREW_RIG)
tests_unit_test_crew_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_crew_LDADD = $(EXECUTOR_TEST_LIBS)
tests_unit_test_crew_native_SOURCES = tests/unit/test_crew_native.c $(CREW_RIG)
tests_unit_test_crew_native_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_crew_native_LDADD = $(EXECUTOR_TEST_LIBS)
tests_unit_test_crew_threads_SOURCES = tests/unit/test_crew_threads.c $(RIG)
tests_unit_test_crew_threads_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_crew_threads_LDADD = $(EXECUTOR_TEST_LIBS)
tests_unit_test_proxy_SOURCES = tests/unit/test_proxy.c $(RIG)
tests_unit_test_proxy_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_proxy_LDADD = $(EXECUTOR_TEST_LIBS)
tests_unit_test_inloop_SOURCES = tests/unit/test_inloop.c $(RIG)
tests_unit_test_inloop_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_inloop_LDADD = $(EXECUTOR_TEST_LIBS)
tests_unit_test_upgrade_SOURCES = tests/unit/test_upgrade.c $(RIG)
tests_unit_test_upgrade_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_upgrade_LDADD = $(EXECUTOR_TEST_LIBS)
WS_RIG = tests/unit/ws_rig.c tests/unit/ws_rig.h $(RIG)
tests_unit_test_ws_SOURCES = tests/unit/test_ws.c $(WS_RIG)
tests_unit_test_ws_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_ws_LDADD = $(EXECUTOR_TEST_LIBS)
TESTS += tests/unit/test_crew tests/unit/test_crew_native tests/unit/test_crew_threads tests/unit/test_proxy \
  tests/unit/test_inloop tests/unit/test_upgrade tests/unit/test_ws
endif
