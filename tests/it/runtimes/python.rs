//! Python checks that are hostile or answer nonsense.

use assay::sandbox::Language;

use super::{End, each_ends_as_it_should};

#[tokio::test]
async fn hostile_python_scripts_end_in_a_clear_error_and_harm_nobody() {
    let cases = [
        ("def check(s):\n    while True: pass", End::Fuel, "5000000000"),
        (
            "def check(s):\n    x = []\n    while True: x.append('a' * 1_000_000)",
            End::Memory,
            "its limit is 134217728",
        ),
        (
            "def check(s):\n    return bytes(10**9)",
            End::Memory,
            "its limit is 134217728",
        ),
        (
            "def check(s):\n    return check(s)",
            End::Failed,
            "check.py:2: RecursionError",
        ),
        (
            "import sys\ndef check(s):\n    sys.setrecursionlimit(10**9)\n    f = lambda v: f([v])\n    return f(0)",
            End::Memory,
            "",
        ),
        (
            "def check(s)\n    return True",
            End::Failed,
            "check.py:1: SyntaxError: expected ':'",
        ),
        (
            "def check(s):\n\treturn True\n        return False",
            End::Failed,
            "check.py:3: ",
        ),
        ("x = '\0'", End::Failed, "check.py: SyntaxError"),
        (
            "def check(s):\n    return '\\d' + )",
            End::Failed,
            "check.py:2: SyntaxError: unmatched ')'",
        ),
        (
            "x = 1\ny = eval('1 +')",
            End::Failed,
            "check.py:2: SyntaxError: invalid syntax",
        ),
        (
            "def grade(s):\n    return True",
            End::Malformed,
            "there is no function `check`",
        ),
        ("check = 5", End::Malformed, "there is no function `check`"),
        (
            "def check():\n    return True",
            End::Failed,
            "check.py: TypeError: check() takes 0 positional arguments",
        ),
        (
            "def check(s):\n    return undefined_name",
            End::Failed,
            "check.py:2: NameError: name 'undefined_name'",
        ),
        (
            "import sys\ndef check(s):\n    sys.exit(0)",
            End::Failed,
            "check.py:3: SystemExit: 0",
        ),
        (
            "def check(s):\n    raise KeyboardInterrupt",
            End::Failed,
            "check.py:2: KeyboardInterrupt",
        ),
        (
            "class E(BaseException):\n    def __str__(self): raise self\ndef check(s):\n    raise E",
            End::Failed,
            "check.py:4: E: an exception whose text",
        ),
        (
            "import os\ndef check(s):\n    os._exit(0)",
            End::Failed,
            "check.py:1: ImportError: `os` cannot be imported: a check has no files",
        ),
        (
            "import sys\ndef check(s):\n    sys.modules['os']._exit(0)",
            End::Failed,
            "check.py:3: RuntimeError: os._exit does not work",
        ),
        (
            "import sys\ndef check(s):\n    sys.modules['posix'].fork()",
            End::Failed,
            "check.py:3: ",
        ),
        (
            "import re\ndef check(s):\n    return bool(re.match('(a+)+$', 'a' * 60 + 'b'))",
            End::Fuel,
            "",
        ),
        ("def check(s):\n    return 10**10**8 > 5", End::Fuel, ""),
        (
            "def check(s):\n    return len('x' * 10**10) > 5",
            End::Failed,
            "check.py:2: ",
        ),
        (
            "def check(s):\n    return open('/etc/passwd').read()",
            End::Failed,
            "check.py:2: RuntimeError: open does not work: a check has no files",
        ),
        (
            "import io\ndef check(s):\n    return io.FileIO('/etc/passwd')",
            End::Failed,
            "check.py:3: RuntimeError: open does not work",
        ),
        (
            "import socket\ndef check(s):\n    return True",
            End::Failed,
            "check.py:1: ImportError: `socket` cannot be imported: a check has no network",
        ),
        (
            "def check(s):\n    from urllib.request import urlopen",
            End::Failed,
            "check.py:2: ImportError: `urllib.request` cannot be imported",
        ),
        (
            "import numpy",
            End::Failed,
            "check.py:1: ImportError: `numpy` cannot be imported",
        ),
        (
            "import time\ndef check(s):\n    time.sleep(100)",
            End::Failed,
            "check.py:3: RuntimeError: time.sleep does not work: a check has no clock",
        ),
        (
            "import datetime\ndef check(s):\n    return datetime.datetime.now()",
            End::Failed,
            "check.py:3: RuntimeError: datetime.now does not work: a check has no clock",
        ),
        (
            "import time\ndef check(s):\n    time.strftime('%Y')",
            End::Trap,
            "unreachable",
        ),
        (
            "def check(s):\n    for _ in range(100):\n        print('x' * 1_000_000)\n    return 0",
            End::Malformed,
            "`check` answered 0 (int)",
        ),
        ("def check(s):\n    while True: print('x')", End::Fuel, ""),
        (
            "import json\ndef check(s):\n    json.loads('[' * 100_000)",
            End::Failed,
            "check.py:3: JSONDecodeError: nested in more than 500 levels",
        ),
        (
            "def check(s):\n    return {'pass': True, 'reason': 'x' * 10_000_000}",
            End::Malformed,
            "reason and notes take 10000000 bytes, at most 786432",
        ),
        (
            "def check(s):\n    return {'pass': True, 'notes': ['x' * 1000] * 1000}",
            End::Malformed,
            "at most 786432",
        ),
    ];
    each_ends_as_it_should(Language::Python, "def check(s): return True", &cases).await;
}

#[tokio::test]
async fn only_true_false_and_a_dict_that_says_so_are_answers_in_python() {
    let wrong = [
        (
            "None",
            "`check` answered None, expected True, False or a dict with `pass`",
        ),
        ("1", "`check` answered 1 (int)"),
        ("0.5", "`check` answered 0.5 (float)"),
        ("'True'", "`check` answered 'True' (str)"),
        ("[]", "`check` answered [] (list)"),
        ("(True, 'reason')", "(tuple)"),
        ("b'x' * 10**6", "… (bytes)"),
        ("s", "<Submission of 'job-1', "),
        ("check", "(function)"),
        ("(x for x in s.files)", "(generator)"),
        ("{}", "`pass` must be True or False, `check` answered None"),
        ("{'score': 1.0}", "`pass` must be True or False"),
        (
            "{'pass': 1}",
            "`pass` must be True or False, `check` answered 1 (int)",
        ),
        ("{'pass': 'yes'}", "`check` answered 'yes' (str)"),
        (
            "{'passed': True}",
            "the answer has a key 'passed' (str), expected some of pass, score",
        ),
        ("{1: True}", "the answer has a key 1 (int)"),
        (
            "{'pass': True, 'score': float('nan')}",
            "`score` must be a number from 0 to 1, `check` answered nan",
        ),
        ("{'pass': True, 'score': float('inf')}", "answered inf"),
        ("{'pass': True, 'score': 1.01}", "answered 1.01"),
        ("{'pass': True, 'score': -1}", "answered -1"),
        ("{'pass': True, 'score': True}", "answered True (bool)"),
        ("{'pass': True, 'score': None}", "answered None"),
        ("{'pass': True, 'score': '1'}", "answered '1' (str)"),
        ("{'pass': True, 'score': 10**400}", "`score` must be a number"),
        ("{'pass': True, 'reason': None}", "`reason` must be a str"),
        ("{'pass': True, 'reason': b'x'}", "`reason` must be a str"),
        ("{'pass': True, 'notes': 'text'}", "`notes` must be a list of str"),
        ("{'pass': True, 'notes': [1]}", "`notes` must be a list of str"),
    ]
    .map(|(value, text)| (format!("def check(s):\n    return {value}"), text));
    let cases: Vec<_> = wrong
        .iter()
        .map(|(source, text)| (source.as_str(), End::Malformed, *text))
        .collect();
    each_ends_as_it_should(Language::Python, "def check(s): return True", &cases).await;
}
