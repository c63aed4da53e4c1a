#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the sources under src/ against the include table (includes.tsv) and the rules for files:

- a room includes only the rooms that its row names; a private header (*_private.h) stays in its room
- a fenced third-party header is included only where its row says
- own headers are included by their rooted path ("room/name.h"), and config.h first in every .c file
- the first line of every file is the SPDX line
- no two rooms have a file of the same stem (main.c and the public header aside)
- each header compiles alone

Every violation is printed as file:line: text; any of them makes the exit status 1. Runs anywhere: the source tree is
`top_srcdir` or `srcdir` of the environment, or the one that this script lies in; config.h is looked for in
`top_builddir` or the current directory. CC and CPPFLAGS are respected.
"""

import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
SPDX = re.compile(r"^/\* SPDX-License-Identifier: MIT$")
STEM_EXEMPT = {"main"}  # each executable has one


class Table:
    def __init__(self, text):
        self.rooms, self.fences = {}, {}
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            kind, name, allowed = line.split("\t")
            allowed = [] if allowed == "-" else allowed.split()
            {"room": self.rooms, "fence": self.fences}[kind][name] = allowed

    def fence(self, header):
        """The row that fences this header, or None"""
        return next((n for n in self.fences if header == n or (n.endswith("/") and header.startswith(n))), None)


def includes(text):
    """(line number, quoted?, header) of each include"""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1] == '"', match[2]


def room_of(path):
    return path.split("/")[0]


def check_fence(table, path, header):
    row = table.fence(header)
    if row is None or path == row:
        return None
    allowed = table.fences[row]
    if room_of(path) in allowed or path in allowed:
        return None
    return f"{header} may be included only in: {' '.join(allowed)}"


def check_room(table, path, header):
    here, there = room_of(path), room_of(header)
    if here == there:
        return None
    if header.endswith("_private.h"):
        return f"{header} is private to room {there}"
    if there not in table.rooms[here]:
        allowed = " ".join(table.rooms[here]) or "nothing of ours"
        return f"room {here} may not include {header} (it may include: {allowed})"
    return None


def check_file(table, path, text, exists):
    """Violations of one file as (line, text). path is below src/; exists tells whether such a header is there."""
    if room_of(path) not in table.rooms:
        return [(1, f"room {room_of(path)} has no row in includes.tsv")]
    found = []
    if not SPDX.match(text.split("\n", 1)[0]):
        found.append((1, "the first line is not /* SPDX-License-Identifier: MIT"))
    every = list(includes(text))
    if path.endswith(".c") and (not every or every[0][2] != "config.h"):
        found.append((every[0][0] if every else 1, 'the first include is not "config.h"'))
    for line, quoted, header in every:
        if header == "config.h":
            continue
        if header.startswith("bulkhead/"):
            header = "include/" + header
        own = exists(header)
        if quoted and not own:
            found.append((line, f'"{header}" is no header of ours by its rooted path'))
        for problem in (check_fence(table, path, header), own and check_room(table, path, header)):
            if problem:
                found.append((line, problem))
    return found


def check_stems(paths):
    seen, found = {}, []
    for path in sorted(paths):
        place, stem = os.path.split(os.path.splitext(path)[0])
        if stem in STEM_EXEMPT or room_of(path) == "include":
            continue
        if seen.setdefault(stem, place) != place:
            found.append((path, 1, f"{seen[stem]}/ has files named {stem}.* already"))
    return found


def check_compiles(src, build, header):
    cc = shlex.split(os.environ.get("CC", "cc")) + shlex.split(os.environ.get("CPPFLAGS", ""))
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-DH2O_USE_LIBUV=0", "-Wall", "-Wno-unused-function"]
    paths = [f"-I{src}", f"-I{src / 'include'}", f"-I{build}", "-include", "config.h"]
    source = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run(cc + flags + paths + ["-fsyntax-only", "-x", "c", "-"], input=source, text=True,
                          capture_output=True, check=False)
    if done.returncode == 0:
        return []
    return [(header, 1, "does not compile alone:\n" + done.stderr.rstrip())]


def check_headers(src, build, paths):
    headers = [p for p in paths if p.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(lambda h: check_compiles(src, build, h), headers), [])


def check_itself():
    """Each rule must catch an offender, and leave an innocent file alone."""
    table = Table("room\tbase\t-\nroom\tgate\tbase\nroom\tfront\tgate base\n"
                  "fence\th2o.h\tfront/h2o_api.h\nfence\tssl/\tfront\n")
    headers = {"base/buf.h", "gate/gate.h", "gate/gate_private.h", "front/h2o_api.h"}
    top = '/* SPDX-License-Identifier: MIT\n */\n#include "config.h"\n'
    cases = [
        ("gate/gate.c", top + '#include <stdio.h>\n#include "base/buf.h"\n#include "gate/gate_private.h"\n', []),
        ("front/h2o_api.h", top + "#include <h2o.h>\n", []),
        ("front/tls.c", top + "#include <ssl/x.h>\n", []),
        ("gate/gate.c", top + '#include "front/h2o_api.h"\n', [4]),
        ("gate/gate.c", top + "#  include <h2o.h>\n", [4]),
        ("front/tls.c", top + "#include <h2o.h>\n", [4]),
        ("gate/gate.c", top + "#include <ssl/x.h>\n", [4]),
        ("front/a.c", top + '#include "gate/gate_private.h"\n', [4]),
        ("gate/gate.c", top + '#include "gate.h"\n', [4]),
        ("gate/gate.c", top.replace("MIT", "GPL"), [1]),
        ("gate/gate.c", top.replace('"config.h"', "<stdio.h>"), [3]),
        ("attic/a.c", top, [1]),
    ]
    for path, text, lines in cases:
        found = check_file(table, path, text, headers.__contains__)
        assert [line for line, _ in found] == lines, (path, text, found)
    twins = check_stems(["base/a.c", "base/a.h", "gate/a.c", "front/main.c", "gate/main.c"])
    assert [path for path, _, _ in twins] == ["gate/a.c"]


def main():
    check_itself()
    top = pathlib.Path(os.environ.get("top_srcdir") or os.environ.get("srcdir") or HERE.parent.parent)
    src = top / "src"
    build = pathlib.Path(os.environ.get("top_builddir", "."))
    table = Table((HERE / "includes.tsv").read_text(encoding="utf-8"))
    paths = sorted(str(p.relative_to(src)) for p in src.rglob("*.[ch]"))
    if not paths:
        sys.exit(f"{src}: no sources found")
    found = check_stems(paths)
    for path in paths:
        text = (src / path).read_text(encoding="utf-8")
        found += [(path, *violation) for violation in check_file(table, path, text, lambda h: (src / h).is_file())]
    if (build / "config.h").is_file():
        found += check_headers(src, build, paths)
    else:
        print(f"{build}/config.h is not there (run from the build directory): headers were not compiled")
    for path, line, problem in found:
        print(f"{src / path}:{line}: {problem}")
    print(f"{len(paths)} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
