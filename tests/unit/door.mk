# unit tests of the HTTP door's pure parts (libdoor.a)
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_path tests/unit/test_router tests/unit/test_fields tests/unit/test_access_log \
  tests/unit/test_file_request tests/unit/test_push_request tests/unit/test_share tests/unit/test_ws_handshake
DOOR_TEST_LIBS = libdoor.a libcall.a libdiag.a libbase.a $(PCRE2_LIBS) $(CMOCKA_LIBS) -lpthread
tests_unit_test_path_SOURCES = tests/unit/test_path.c
tests_unit_test_path_LDADD = $(DOOR_TEST_LIBS)
tests_unit_test_router_SOURCES = tests/unit/test_router.c
tests_unit_test_router_LDADD = $(DOOR_TEST_LIBS)
tests_unit_test_router_CPPFLAGS = $(AM_CPPFLAGS) $(PCRE2_CFLAGS)
tests_unit_test_fields_SOURCES = tests/unit/test_fields.c
tests_unit_test_fields_LDADD = $(DOOR_TEST_LIBS)
tests_unit_test_access_log_SOURCES = tests/unit/test_access_log.c
tests_unit_test_access_log_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_access_log_LDADD = $(DOOR_TEST_LIBS) $(JANSSON_LIBS)
tests_unit_test_file_request_SOURCES = tests/unit/test_file_request.c
tests_unit_test_file_request_LDADD = $(DOOR_TEST_LIBS)
tests_unit_test_push_request_SOURCES = tests/unit/test_push_request.c
tests_unit_test_push_request_LDADD = libdoor.a libhandler.a $(DOOR_TEST_LIBS)
tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_LDADD = $(DOOR_TEST_LIBS)
tests_unit_test_ws_handshake_SOURCES = tests/unit/test_ws_handshake.c
tests_unit_test_ws_handshake_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
tests_unit_test_ws_handshake_LDADD = $(DOOR_TEST_LIBS) $(OPENSSL_LIBS)
TESTS += tests/unit/test_path tests/unit/test_router tests/unit/test_fields tests/unit/test_access_log \
  tests/unit/test_file_request tests/unit/test_push_request tests/unit/test_share tests/unit/test_ws_handshake
endif
