# fuzz targets of the pure parsers in wire, upstream and front
check_PROGRAMS += tests/fuzz/fuzz_fastcgi_response tests/fuzz/fuzz_frame tests/fuzz/fuzz_http1_response \
  tests/fuzz/fuzz_strict tests/fuzz/fuzz_ws_event
tests_fuzz_fuzz_fastcgi_response_SOURCES = tests/fuzz/fuzz_fastcgi_response.c tests/fuzz/answer.h $(FUZZ_MAIN)
tests_fuzz_fuzz_fastcgi_response_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_fastcgi_response_LDADD = libparsers.a libbase.a
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_frame_LDADD = libwire.a libbase.a
tests_fuzz_fuzz_http1_response_SOURCES = tests/fuzz/fuzz_http1_response.c tests/fuzz/answer.h $(FUZZ_MAIN)
tests_fuzz_fuzz_http1_response_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_http1_response_LDADD = libparsers.a libbase.a
tests_fuzz_fuzz_strict_SOURCES = tests/fuzz/fuzz_strict.c $(FUZZ_MAIN)
tests_fuzz_fuzz_strict_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_strict_LDADD = libstrict.a libcall.a libbase.a
tests_fuzz_fuzz_ws_event_SOURCES = tests/fuzz/fuzz_ws_event.c $(FUZZ_MAIN)
tests_fuzz_fuzz_ws_event_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_ws_event_LDADD = libwire.a libbase.a
FUZZ_TARGETS += tests/fuzz/fuzz_fastcgi_response tests/fuzz/fuzz_frame tests/fuzz/fuzz_http1_response \
  tests/fuzz/fuzz_strict tests/fuzz/fuzz_ws_event
