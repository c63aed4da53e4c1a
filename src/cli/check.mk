# the command `bulkhead check`; src/cli/local.mk adds these to the program
CLI_CHECK_SOURCES = src/cli/check.h src/cli/check.c
