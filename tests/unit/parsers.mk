# unit tests of the pure parsers in wire, upstream and front
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_fastcgi tests/unit/test_frame tests/unit/test_http1_request \
  tests/unit/test_http1_response tests/unit/test_lexis tests/unit/test_strict tests/unit/test_ws_event
tests_unit_test_fastcgi_SOURCES = tests/unit/test_fastcgi.c
tests_unit_test_fastcgi_LDADD = libparsers.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_frame_SOURCES = tests/unit/test_frame.c
tests_unit_test_frame_LDADD = libwire.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_http1_request_SOURCES = tests/unit/test_http1_request.c
tests_unit_test_http1_request_LDADD = libparsers.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_http1_response_SOURCES = tests/unit/test_http1_response.c
tests_unit_test_http1_response_LDADD = libparsers.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_lexis_SOURCES = tests/unit/test_lexis.c
tests_unit_test_lexis_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_strict_SOURCES = tests/unit/test_strict.c
tests_unit_test_strict_LDADD = libstrict.a libcall.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_ws_event_SOURCES = tests/unit/test_ws_event.c
tests_unit_test_ws_event_LDADD = libwire.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_fastcgi tests/unit/test_frame tests/unit/test_http1_request \
  tests/unit/test_http1_response tests/unit/test_lexis tests/unit/test_strict tests/unit/test_ws_event
endif
