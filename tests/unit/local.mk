# unit tests: tests/unit/test_<stem>.c, one program each, cmocka
include tests/unit/gate.mk
include tests/unit/supervisor.mk
include tests/unit/diag.mk
include tests/unit/base.mk
include tests/unit/includes.mk
include tests/unit/handler.mk
include tests/unit/executor.mk
include tests/unit/parsers.mk
include tests/unit/front_glue.mk
include tests/unit/door.mk
include tests/unit/config.mk
