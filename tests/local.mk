include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/bench/local.mk
# what ./quickstart check runs, on every kind of build
EXTRA_DIST += quickstart tests/run tests/tools/build-h2o tests/chaos tests/e2e
dist-hook:
	find $(distdir) -name __pycache__ -prune -exec rm -rf {} +
