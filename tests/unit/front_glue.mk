# unit tests of the front's glue to the library
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_cidr tests/unit/test_guard tests/unit/test_peers tests/unit/test_proxy_line \
  tests/unit/test_steady_clock
tests_unit_test_cidr_SOURCES = tests/unit/test_cidr.c
tests_unit_test_cidr_LDADD = libfront.a $(CMOCKA_LIBS)
tests_unit_test_guard_SOURCES = tests/unit/test_guard.c
tests_unit_test_guard_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_unit_test_guard_LDFLAGS = $(AM_LDFLAGS) $(FRONT_EXPORT)
tests_unit_test_guard_LDADD = libfront.a libupstream.a libcall.a libbase.a $(H2O_LIBS) $(OPENSSL_LIBS) $(CMOCKA_LIBS) -ldl
tests_unit_test_peers_SOURCES = tests/unit/test_peers.c
tests_unit_test_peers_LDADD = libfront.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_proxy_line_SOURCES = tests/unit/test_proxy_line.c
tests_unit_test_proxy_line_LDADD = libfront.a $(CMOCKA_LIBS)
tests_unit_test_steady_clock_SOURCES = tests/unit/test_steady_clock.c
tests_unit_test_steady_clock_LDADD = libfront.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_cidr tests/unit/test_guard tests/unit/test_peers tests/unit/test_proxy_line \
  tests/unit/test_steady_clock
endif
