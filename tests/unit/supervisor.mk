# unit tests of the room supervisor, and of what it says over its sockets (wire/control, wire/command)
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_control tests/unit/test_command
tests_unit_test_control_SOURCES = tests/unit/test_control.c
tests_unit_test_control_LDADD = libwire.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_command_SOURCES = tests/unit/test_command.c
tests_unit_test_command_LDADD = libwire.a libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_control tests/unit/test_command
endif

# not a test: a front for tests/e2e/test_supervisor.py
check_PROGRAMS += tests/unit/fake_front
tests_unit_fake_front_SOURCES = tests/unit/fake_front.c
tests_unit_fake_front_LDADD = libwire.a libbase.a
