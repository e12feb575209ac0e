"""What of Python's standard library a check may import, and what becomes of the rest.

All of it is imported while the component is built: inside there are no files to import from later.
"""

import builtins
import gc
import importlib
import io
import sys

MODULES = (
    "abc",
    "array",
    "base64",
    "binascii",
    "bisect",
    "builtins",
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
    "time",
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
    "encodings.cp437",
    "encodings.idna",
    "encodings.iso8859_1",
    "encodings.iso8859_15",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_7",
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
    "secrets": "a check has no randomness but `random`, which is the same each time",
}

LEVELS = 500
"""How deep JSON may be nested."""

_import = builtins.__import__
# What is imported behind a script's back looks as if the script did it.
_KNOWN = frozenset(MODULES + BEHIND) | {
    name.rsplit(".", dots)[0] for name in MODULES for dots in range(1, name.count(".") + 1)
}
CLOCKS = (
    "clock_gettime",
    "clock_gettime_ns",
    "ctime",
    "gmtime",
    "localtime",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "sleep",
    "time",
    "time_ns",
)


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


def bounded(raw_decode, error_type):
    """A decoder that refuses nesting which the stack of the interpreter has no room for.

    What a stranger hands in must not end in a trap: a check that expects broken JSON expects this error too.
    """
    others = bytes(set(range(256)) - set(b'[]{}"'))

    def decode(self, s, idx=0):
        if s.count("[") + s.count("{") > LEVELS:
            unescaped = s.replace("\\\\", "").replace('\\"', "").encode("utf-8", "surrogatepass")
            brackets = b"".join(unescaped.translate(None, others).split(b'"')[::2])
            levels = 0
            while levels <= LEVELS:
                inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
                if len(inner) == len(brackets):
                    break
                brackets, levels = inner, levels + 1
            if levels + brackets.count(b"[") + brackets.count(b"{") > LEVELS:
                raise error_type(f"nested in more than {LEVELS} levels", s, idx)
        return raw_decode(self, s, idx)

    return decode


def seeded(random_type):
    """The type of random generators, with a fixed seed where none is given."""

    class Random(random_type):
        def __new__(cls, seed=0):
            return super().__new__(cls, seed)

        def __init__(self, seed=0):
            super().__init__(seed)

        def seed(self, a=0, version=2):
            super().seed(0 if a is None else a, version)

    return Random


def load():
    """Imports everything and takes away what would need an operating system. Called once, at build."""
    for name in MODULES + BEHIND:
        importlib.import_module(name)

    import datetime
    import json
    import os
    import random
    import time
    import warnings

    # They would be shown with a line of a file.
    warnings.simplefilter("ignore")
    json.JSONDecoder.raw_decode = bounded(json.JSONDecoder.raw_decode, json.JSONDecodeError)

    # The same numbers in each run: a check that draws a sample draws it again in a dispute.
    random.seed(0)
    random.Random = seeded(random.Random)
    random.SystemRandom = denied("random.SystemRandom", WHY["secrets"])

    no_clock, no_files = "a check has no clock", "a check has no files: use submission.files"
    no_processes = "a check has no processes: return an answer instead"
    for name in CLOCKS:
        setattr(time, name, denied(f"time.{name}", no_clock))
    for name in ("_exit", "abort", "kill", "system", "popen"):
        setattr(os, name, denied(f"os.{name}", no_processes))
    for name in ("listdir", "scandir", "stat", "open", "remove", "mkdir", "getcwd"):
        setattr(os, name, denied(f"os.{name}", no_files))
    for kind, names in (datetime.datetime, ("now", "utcnow", "today")), (datetime.date, ("today",)):
        # These types are closed to assignment, the dicts behind them are not. Without this the check would end
        # in a trap that names no line.
        (behind,) = gc.get_referents(kind.__dict__)
        for name in names:
            behind[name] = staticmethod(denied(f"{kind.__name__}.{name}", no_clock))
    sys._clear_internal_caches()
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
