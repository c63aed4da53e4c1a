# SPDX-License-Identifier: MIT
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(scope="session", autouse=True)
def built():
    from harness import BULKHEAD
    if not os.path.exists(BULKHEAD):
        pytest.exit(f"no {BULKHEAD}: build first, or set BULKHEAD_BUILD to the build directory", 2)
