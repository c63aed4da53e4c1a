# Fuzz targets, tests/fuzz/fuzz_<stem>.c, each with its corpus in tests/fuzz/corpus/<stem>. Configured with --enable-fuzzing
# (clang) each is a libFuzzer program: tests/fuzz/run builds and runs them. Otherwise `make check` replays the corpus and
# fixed changes of it (replay.c).
# A room's fragment adds: check_PROGRAMS, _SOURCES = its file and $(FUZZ_MAIN), _LDFLAGS = $(FUZZ_LINK), _LDADD, and FUZZ_TARGETS.
if FUZZING
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/replay.c tests/fuzz/fuzz.h
FUZZ_LINK = $(AM_LDFLAGS)
endif
FUZZ_TARGETS =
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run

include tests/fuzz/wire.mk
include tests/fuzz/executor.mk
include tests/fuzz/parsers.mk
include tests/fuzz/conf.mk
include tests/fuzz/front.mk

if !FUZZING
TESTS += $(FUZZ_TARGETS)
endif
