# unit tests of the rooms base and call
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_buf tests/unit/test_call tests/unit/test_fd tests/unit/test_heap tests/unit/test_jitter
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_LDADD = libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
tests_unit_test_call_SOURCES = tests/unit/test_call.c
tests_unit_test_call_LDADD = libcall.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_fd_SOURCES = tests/unit/test_fd.c
tests_unit_test_fd_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_heap_SOURCES = tests/unit/test_heap.c
tests_unit_test_heap_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_jitter_SOURCES = tests/unit/test_jitter.c
tests_unit_test_jitter_LDADD = $(CMOCKA_LIBS)
TESTS += tests/unit/test_buf tests/unit/test_call tests/unit/test_fd tests/unit/test_heap tests/unit/test_jitter
endif
