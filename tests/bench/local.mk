# benchmarks: built by `make bench-programs` only, run by hand (tests/bench/run.py and the bench_* programs)
EXTRA_PROGRAMS += tests/bench/tiny_worker tests/bench/prober tests/bench/empty.so
tests_bench_prober_SOURCES = tests/bench/prober.c
tests_bench_tiny_worker_SOURCES = tests/bench/tiny_worker.c
tests_bench_empty_so_SOURCES = tests/bench/empty.c
tests_bench_empty_so_CFLAGS = $(BH_CFLAGS) $(BH_HARDEN_CFLAGS) -fPIC
tests_bench_empty_so_LDFLAGS = $(BH_LDFLAGS) -shared
EXTRA_PROGRAMS += tests/bench/bench_gate
tests_bench_bench_gate_SOURCES = tests/bench/bench_gate.c
tests_bench_bench_gate_LDADD = libgate.a libbase.a -lpthread
bench-programs: $(EXTRA_PROGRAMS)
.PHONY: bench-programs
EXTRA_DIST += tests/bench/run.py tests/bench/websocket.py
EXTRA_PROGRAMS += tests/bench/bench_strict
tests_bench_bench_strict_SOURCES = tests/bench/bench_strict.c
tests_bench_bench_strict_LDADD = libstrict.a libcall.a libbase.a $(H2O_LIBS)
EXTRA_PROGRAMS += tests/bench/bench_router
tests_bench_bench_router_SOURCES = tests/bench/bench_router.c
tests_bench_bench_router_LDADD = libdoor.a libbase.a $(PCRE2_LIBS)
EXTRA_PROGRAMS += tests/bench/bench_host
tests_bench_bench_host_SOURCES = tests/bench/bench_host.c
tests_bench_bench_host_LDADD = libwire.a libbase.a
EXTRA_PROGRAMS += tests/bench/ws_load tests/bench/h2o_ws
tests_bench_ws_load_SOURCES = tests/bench/ws_load.c
tests_bench_h2o_ws_SOURCES = tests/bench/h2o_ws.c
tests_bench_h2o_ws_CPPFLAGS = $(AM_CPPFLAGS) $(H2O_CPPFLAGS)
tests_bench_h2o_ws_LDADD = $(H2O_LIBS) $(OPENSSL_LIBS) -lpthread
