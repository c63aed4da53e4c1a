# unit tests of the pure parsers in wire, upstream and front
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_strict
tests_unit_test_strict_SOURCES = tests/unit/test_strict.c
tests_unit_test_strict_LDADD = libstrict.a libcall.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_strict
endif
