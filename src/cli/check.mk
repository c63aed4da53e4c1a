# the command `bulkhead check`
CLI_CHECK_SOURCES = src/cli/check.h src/cli/check.c
