# the include table and the rules for files under src/
TESTS += tests/unit/check_includes.py
EXTRA_DIST += tests/unit/check_includes.py tests/unit/includes.tsv
