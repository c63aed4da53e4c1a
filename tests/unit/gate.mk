# unit tests of the room gate
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_gate tests/unit/test_gate_threads
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c
tests_unit_test_gate_LDADD = libgate.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_gate_threads_SOURCES = tests/unit/test_gate_threads.c
tests_unit_test_gate_threads_LDADD = libgate.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_gate tests/unit/test_gate_threads
endif
