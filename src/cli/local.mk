# room: cli
include src/cli/check.mk
