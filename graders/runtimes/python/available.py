"""What of Python's standard library a check may import, and what becomes of the rest.

All of it is imported while the component is built: inside there are no files to import from later.
"""

import builtins
import importlib
import io
import sys

MODULES = (
    "abc",
    "array",
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "cmath",
    "codecs",
    "collections",
    "collections.abc",
    "colorsys",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.entities",
    "html.parser",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "keyword",
    "math",
    "numbers",
    "operator",
    "pprint",
    "random",
    "re",
    "reprlib",
    "shlex",
    "statistics",
    "string",
    "struct",
    "sys",
    "textwrap",
    "tokenize",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "xml.etree.ElementTree",
    "zipfile",
    "zlib",
)
"""Modules that a check may import, their packages included."""

BEHIND = (
    "_strptime",
    "encodings.ascii",
    "encodings.cp1252",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_8_sig",
)
"""Modules that others import only when they need them."""

WHY = {
    "os": "a check has no files, processes or environment",
    "pathlib": "a check has no files",
    "shutil": "a check has no files",
    "tempfile": "a check has no files",
    "glob": "a check has no files",
    "socket": "a check has no network",
    "ssl": "a check has no network",
    "http": "a check has no network",
    "urllib": "of `urllib` a check has `urllib.parse` only",
    "requests": "a check has no network and no packages",
    "subprocess": "a check has no processes",
    "multiprocessing": "a check has no processes",
    "threading": "a check has no threads",
    "asyncio": "a check has no threads and no network",
    "time": "a check has no clock",
    "secrets": "a check has no randomness but `random`, which is the same each time",
}

_import = builtins.__import__
_KNOWN = frozenset(MODULES) | {
    name.rsplit(".", dots)[0] for name in MODULES for dots in range(1, name.count(".") + 1)
}


def guarded_import(name, globals=None, locals=None, fromlist=(), level=0):
    """`import` as a check has it: the modules of `MODULES`, an error with a reason for others."""
    if level == 0 and name in _KNOWN:
        return _import(name, globals, locals, fromlist, level)
    root = name.partition(".")[0]
    why = WHY.get(root, "a check has part of the standard library only, and no packages")
    raise ImportError(f"`{name or '.'}` cannot be imported: {why}", name=name)


def denied(name, why):
    """A function that is not there for a check, and says so."""

    def call(*_arguments, **_named):
        raise RuntimeError(f"{name} does not work: {why}")

    return call


def load():
    """Imports everything and takes away what would need an operating system. Called once, at build."""
    for name in MODULES + BEHIND:
        importlib.import_module(name)

    import datetime
    import os
    import random
    import time

    datetime.datetime.strptime("2000-01-01", "%Y-%m-%d")
    # The same numbers in each run: a check that draws a sample draws it again in a dispute.
    random.seed(0)

    no_clock, no_files = "a check has no clock", "a check has no files: use submission.files"
    no_processes = "a check has no processes: return an answer instead"
    for name in ("sleep", "time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"):
        setattr(time, name, denied(f"time.{name}", no_clock))
    for name in ("_exit", "abort", "kill", "system", "popen"):
        setattr(os, name, denied(f"os.{name}", no_processes))
    for name in ("listdir", "scandir", "stat", "open", "remove", "mkdir", "getcwd"):
        setattr(os, name, denied(f"os.{name}", no_files))
    os.urandom = denied("os.urandom", WHY["secrets"])
    random._urandom = os.urandom
    builtins.open = io.open = io.open_code = io.FileIO = denied("open", no_files)
    builtins.input = denied("input", "nobody is there to type")
    builtins.breakpoint = denied("breakpoint", "nobody is there to debug")

    # Finding a module on disk would ask the operating system, which is not there.
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder.__name__ == "BuiltinImporter"]
