# unit tests of the rooms supervisor and cli, and of what they say over their sockets (wire/control, wire/command)
if HAVE_CMOCKA
SUPERVISOR_TESTS = \
  tests/unit/test_activation \
  tests/unit/test_channel \
  tests/unit/test_command \
  tests/unit/test_control \
  tests/unit/test_environment \
  tests/unit/test_restart \
  tests/unit/test_status_text
check_PROGRAMS += $(SUPERVISOR_TESTS)
tests_unit_test_activation_SOURCES = tests/unit/test_activation.c
tests_unit_test_activation_LDADD = libsupervisor.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_channel_SOURCES = tests/unit/test_channel.c
tests_unit_test_channel_LDADD = libsupervisor.a libwire.a libbase.a $(LIBEV_LIBS) $(CMOCKA_LIBS)
tests_unit_test_command_SOURCES = tests/unit/test_command.c
tests_unit_test_command_LDADD = libwire.a libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
tests_unit_test_control_SOURCES = tests/unit/test_control.c
tests_unit_test_control_LDADD = libwire.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_environment_SOURCES = tests/unit/test_environment.c
tests_unit_test_environment_LDADD = libsupervisor.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_restart_SOURCES = tests/unit/test_restart.c
tests_unit_test_restart_LDADD = libsupervisor.a $(CMOCKA_LIBS)
tests_unit_test_status_text_SOURCES = tests/unit/test_status_text.c src/cli/status_text.c src/cli/table.c
tests_unit_test_status_text_LDADD = libbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
TESTS += $(SUPERVISOR_TESTS)
endif

# not a test: a front for tests/e2e/test_supervisor.py
check_PROGRAMS += tests/unit/fake_front
tests_unit_fake_front_SOURCES = tests/unit/fake_front.c
tests_unit_fake_front_LDADD = libwire.a libbase.a
