# unit tests of the room handler: they load real modules, so they export what modules call
if HAVE_CMOCKA
HANDLER_TEST_LINK = $(AM_LDFLAGS) $(HANDLER_EXPORT_LDFLAGS)
HANDLER_PROBE_CFLAGS = $(HANDLER_MODULE_CFLAGS) -Wno-unused-parameter

check_PROGRAMS += tests/unit/probe.so tests/unit/probe_bare.so tests/unit/probe_other.so
tests_unit_probe_so_SOURCES = tests/unit/probe.c
tests_unit_probe_so_CFLAGS = $(HANDLER_PROBE_CFLAGS)
tests_unit_probe_so_LDFLAGS = $(HANDLER_MODULE_LINK)
tests_unit_probe_bare_so_SOURCES = tests/unit/probe.c
tests_unit_probe_bare_so_CFLAGS = $(HANDLER_PROBE_CFLAGS) -DPROBE_BARE
tests_unit_probe_bare_so_LDFLAGS = $(HANDLER_MODULE_LINK)
tests_unit_probe_other_so_SOURCES = tests/unit/probe.c
tests_unit_probe_other_so_CFLAGS = $(HANDLER_PROBE_CFLAGS) -DPROBE_ABI=99u
tests_unit_probe_other_so_LDFLAGS = $(HANDLER_MODULE_LINK)

check_PROGRAMS += tests/unit/test_params tests/unit/test_module
tests_unit_test_params_SOURCES = tests/unit/test_params.c
tests_unit_test_params_LDADD = libhandler.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_module_SOURCES = tests/unit/test_module.c tests/unit/capture.h tests/unit/capture.c
tests_unit_test_module_LDFLAGS = $(HANDLER_TEST_LINK)
tests_unit_test_module_LDADD = libhandler.a $(HANDLER_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_samples
tests_unit_test_samples_SOURCES = tests/unit/test_samples.c tests/unit/capture.h tests/unit/capture.c
tests_unit_test_samples_LDFLAGS = $(HANDLER_TEST_LINK)
tests_unit_test_samples_LDADD = libhandler.a $(HANDLER_LIBS) $(SQLITE_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_samples
if HAVE_SQLITE
tests_unit_test_samples_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS) -DHAVE_SQLITE
endif
TESTS += tests/unit/test_params tests/unit/test_module

check_PROGRAMS += tests/unit/test_host
tests_unit_test_host_SOURCES = tests/unit/test_host.c tests/unit/native_client.h tests/unit/native_client.c
tests_unit_test_host_LDFLAGS = $(HANDLER_TEST_LINK)
tests_unit_test_host_LDADD = libhandler.a $(HANDLER_LIBS) $(CMOCKA_LIBS)
TESTS += tests/unit/test_host

check_PROGRAMS += tests/unit/test_cgi tests/unit/test_cgi_head
tests_unit_test_cgi_SOURCES = tests/unit/test_cgi.c tests/unit/capture.h tests/unit/capture.c
tests_unit_test_cgi_CPPFLAGS = $(AM_CPPFLAGS) -DCGI_DIRECTORY='"$(CGI_PROGRAMS_DIRECTORY)"'
tests_unit_test_cgi_LDADD = libhandler.a $(HANDLER_LIBS) $(CMOCKA_LIBS)
tests_unit_test_cgi_head_SOURCES = tests/unit/test_cgi_head.c
tests_unit_test_cgi_head_LDADD = libhandler.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_cgi tests/unit/test_cgi_head

# starts ./bulkhead-worker, which `make check` has built
check_PROGRAMS += tests/unit/test_worker
tests_unit_test_worker_SOURCES = tests/unit/test_worker.c tests/unit/native_client.h tests/unit/native_client.c
tests_unit_test_worker_CPPFLAGS = $(AM_CPPFLAGS) -DCGI_DIRECTORY='"$(CGI_PROGRAMS_DIRECTORY)"'
tests_unit_test_worker_LDADD = libwire.a libbase.a $(CMOCKA_LIBS)
TESTS += tests/unit/test_worker

# the manual page's example, built as the page says
check_DATA = tests/unit/example.so
tests/unit/example.so: man/bulkhead-handler.3 src/include/bulkhead/handler.h
	@$(MKDIR_P) tests/unit
	$(AM_V_GEN)$(SED) -e '/^.\\" begin example/,/^.\\" end example/!d' -e '/^\./d' -e 's/\\e/\\/g' \
	  $(srcdir)/man/bulkhead-handler.3 >tests/unit/example.c && \
	$(CC) -shared -fPIC -Wall -Wextra -Werror -I$(srcdir)/src/include -o $@ tests/unit/example.c
CLEANFILES += tests/unit/example.so tests/unit/example.c
endif

TESTS += tests/unit/handler_header.sh
EXTRA_DIST += tests/unit/handler_header.sh

# programs for test_cgi
CGI_PROGRAMS_DIRECTORY = $(abs_top_srcdir)/tests/unit/cgi
EXTRA_DIST += tests/unit/cgi/copy tests/unit/cgi/deaf tests/unit/cgi/empty_header tests/unit/cgi/environment \
  tests/unit/cgi/exit_status tests/unit/cgi/hang tests/unit/cgi/killed tests/unit/cgi/large_header \
  tests/unit/cgi/large_output tests/unit/cgi/no_header tests/unit/cgi/nothing tests/unit/cgi/plain \
  tests/unit/cgi/redirect tests/unit/cgi/status tests/unit/cgi/stubborn tests/unit/cgi/tools/nested
