# unit tests of the room diag
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_log tests/unit/test_ring tests/unit/test_writer
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = libdiag.a libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
tests_unit_test_ring_SOURCES = tests/unit/test_ring.c
tests_unit_test_ring_LDADD = libdiag.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_writer_SOURCES = tests/unit/test_writer.c
tests_unit_test_writer_LDADD = libdiag.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_log tests/unit/test_ring tests/unit/test_writer
endif
