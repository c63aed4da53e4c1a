# unit tests of the room config. Bad confs and the messages about them: tests/unit/conf/*.conf and *.expected
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_conf tests/unit/test_conf_change tests/unit/test_dump tests/unit/test_jsonc tests/unit/test_units
CONFIG_TEST_LIBS = libconfig.a libbase.a $(JANSSON_LIBS) $(PCRE2_LIBS) $(CMOCKA_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_LDADD = $(CONFIG_TEST_LIBS)
tests_unit_test_conf_change_SOURCES = tests/unit/test_conf_change.c
tests_unit_test_conf_change_LDADD = $(CONFIG_TEST_LIBS)
tests_unit_test_dump_SOURCES = tests/unit/test_dump.c
tests_unit_test_dump_LDADD = $(CONFIG_TEST_LIBS)
tests_unit_test_jsonc_SOURCES = tests/unit/test_jsonc.c
tests_unit_test_jsonc_LDADD = $(CONFIG_TEST_LIBS)
tests_unit_test_units_SOURCES = tests/unit/test_units.c
tests_unit_test_units_LDADD = $(CONFIG_TEST_LIBS)
TESTS += tests/unit/test_conf tests/unit/test_conf_change tests/unit/test_dump tests/unit/test_jsonc tests/unit/test_units
endif
TESTS += tests/unit/generated_files tests/unit/schema_accepts.py
EXTRA_DIST += tests/unit/conf tests/unit/generated_files tests/unit/schema_accepts.py
