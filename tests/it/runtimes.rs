//! Python and JavaScript checks, through the real runtimes and the real child processes.
//!
//! The runtimes are built by `make runtimes`; where they are missing these tests fail and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use assay::sandbox::{
    Answer, Call, File, Language, Limits, Ran, Role, Sandbox, SandboxConfig, SandboxError, Script,
};
use tokio::sync::OnceCell;

use crate::workbench::Workbench;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Shared by all test runs: compiling a runtime takes many seconds.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/runtimes-cache");

/// A sandbox with both runtimes compiled.
pub(crate) async fn sandbox() -> Sandbox {
    static COMPILED: OnceCell<()> = OnceCell::const_new();
    let sandbox = Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        children: 1,
        runtimes: Path::new(ROOT).join(".assay/runtimes"),
        ..SandboxConfig::new(CACHE.into())
    })
    .unwrap();
    let compile = || async {
        for language in Language::ALL {
            let prepared = sandbox.prepare_runtime(language).await;
            prepared.unwrap_or_else(|error| panic!("{error}"));
        }
    };
    COMPILED.get_or_init(compile).await;
    sandbox
}

/// The default limits, but no guard: a debugger or a busy machine must not decide here.
pub(crate) fn limits(language: Language) -> Limits {
    Limits {
        wall: Duration::from_secs(120),
        ..language.limits()
    }
}

fn call() -> Call {
    Call {
        job_id: "job-1".into(),
        attempt: 2,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: Some("well".into()),
        output_text: "nul \0, grüße, \u{1F600}, \u{FFFF}".into(),
        files: vec![
            file("data.csv", Role::Output, Some(b"a,b\n1,2\n".to_vec())),
            file("noise.bin", Role::Output, Some(vec![0xff, 0xfe, 0, 0x80])),
            file("large.bin", Role::Output, None),
            file("brief.txt", Role::Input, Some("für dich".into())),
        ],
        params: r#"{"words": 3, "nested": {"list": [1.5, null, "x"]}}"#.into(),
    }
}

fn file(name: &str, role: Role, content: Option<Vec<u8>>) -> File {
    File {
        name: name.into(),
        content_type: (role == Role::Input).then(|| "text/plain".into()),
        size: content
            .as_ref()
            .map_or(9_000_000_000, |content| content.len() as u64),
        sha256: "ab".repeat(32),
        role,
        content,
    }
}

fn file_name(language: Language) -> &'static str {
    match language {
        Language::Python => "check.py",
        Language::JavaScript => "check.js",
    }
}

async fn run(sandbox: &Sandbox, language: Language, source: &str) -> Result<Ran, SandboxError> {
    run_on(sandbox, language, source, &call()).await
}

async fn run_on(
    sandbox: &Sandbox,
    language: Language,
    source: &str,
    call: &Call,
) -> Result<Ran, SandboxError> {
    let script = Script {
        name: file_name(language).into(),
        source: source.into(),
    };
    sandbox
        .run_script(language, &script, call, &limits(language))
        .await
}

async fn answer(sandbox: &Sandbox, language: Language, source: &str) -> Answer {
    let ran = run(sandbox, language, source).await.unwrap();
    ran.answer.unwrap_or_else(|text| panic!("{text}"))
}

/// How a script ends that gives no verdict.
#[derive(Debug, PartialEq)]
enum End {
    /// The script's own error.
    Failed,
    Malformed,
    Trap,
    Fuel,
    Memory,
}

/// Runs each script, and a good one after it in the same child.
async fn each_ends_as_it_should(language: Language, good: &str, cases: &[(&str, End, &str)]) {
    let sandbox = sandbox().await;
    for (source, end, text) in cases {
        let began = Instant::now();
        let (seen, message) = match run(&sandbox, language, source).await {
            Ok(ran) => match ran.answer {
                Ok(answer) => panic!("{source}\nanswers {answer:?}"),
                Err(text) => (End::Failed, text),
            },
            Err(error @ SandboxError::MalformedAnswer(_)) => (End::Malformed, error.to_string()),
            Err(error @ SandboxError::Trap(_)) => (End::Trap, error.to_string()),
            Err(error @ SandboxError::FuelExhausted { .. }) => (End::Fuel, error.to_string()),
            Err(error @ SandboxError::MemoryRefused { .. }) => (End::Memory, error.to_string()),
            Err(error) => panic!("{source}\n{error}"),
        };
        assert_eq!(&seen, end, "{source}\n{message}");
        assert!(message.contains(text), "{source}\n{message}");
        assert!(began.elapsed() < Duration::from_secs(60), "{source}");
        assert!(answer(&sandbox, language, good).await.pass, "after {source}");
    }
}

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

#[tokio::test]
async fn hostile_javascript_scripts_end_in_a_clear_error_and_harm_nobody() {
    let cases = [
        ("function check(s) { for (;;); }", End::Fuel, "5000000000"),
        (
            "function check(s) { const x = []; for (;;) x.push(new Uint8Array(1000000)); }",
            End::Memory,
            "its limit is 134217728",
        ),
        (
            "\nfunction check(s) { return check(s); }",
            End::Failed,
            "check.js:2: InternalError: too much recursion",
        ),
        (
            "\nfunction check(s) { return fetch('https://example.com'); }",
            End::Failed,
            "check.js:2: Error: fetch does not work: a check has no network",
        ),
        (
            "setTimeout(() => {}, 1); function check(s) { return true; }",
            End::Failed,
            "check.js:1: Error: setTimeout does not work: a check has no clock",
        ),
        (
            "function check(s) { return Date.now(); }",
            End::Failed,
            "check.js:1: Error: Date.now does not work: a check has no clock",
        ),
        (
            "function check(s) { Object.prototype.pass = true; return {}; }",
            End::Malformed,
            "`pass` must be true or false, `check` answered undefined",
        ),
        (
            "function check(s) { Object.defineProperty(Object.prototype, 'pass', { get: () => true }); return []; }",
            End::Malformed,
            "expected true, false or an object",
        ),
        (
            "function check(s) { return Object.create({ pass: true }); }",
            End::Malformed,
            "answered undefined",
        ),
        (
            "async function check(s) { await new Promise(() => {}); }",
            End::Malformed,
            "`check` answered a Promise: it must not be async",
        ),
        (
            "async function check(s) { return true; }",
            End::Malformed,
            "a Promise",
        ),
        (
            "function check(s) { Promise.resolve().then(() => { for (;;); }); return true; }",
            End::Fuel,
            "",
        ),
        (
            "function check(s) {\n\n  return (;\n}",
            End::Failed,
            "check.js:3: SyntaxError: expected expression, got ';'",
        ),
        (
            "function check(s) {\n  return s.nothing.at(0);\n}",
            End::Failed,
            "check.js:2: TypeError",
        ),
        (
            "export function check(s) { return true; }",
            End::Failed,
            "check.js:1: SyntaxError: export declarations",
        ),
        (
            "function grade(s) { return true; } // no line after this",
            End::Malformed,
            "there is no function `check`",
        ),
        (
            "function check(s) { throw 3; }",
            End::Failed,
            "check.js: threw 3 (number)",
        ),
        (
            "function check(s) { return { get pass() { throw new Error('no'); } }; }",
            End::Failed,
            "check.js:1: Error: no",
        ),
        (
            "function check(s) { return /(a+)+$/.test('a'.repeat(60) + 'b'); }",
            End::Fuel,
            "",
        ),
        (
            "function check(s) { return 'x'.repeat(2 ** 29); }",
            End::Memory,
            "",
        ),
        (
            "function check(s) { return { pass: true, reason: 'x'.repeat(10000000) }; }",
            End::Malformed,
            "at most 786432 are allowed",
        ),
        (
            "function check(s) { for (const k of ['map', 'includes', 'every', 'reduce']) delete Array.prototype[k]; return {}; }",
            End::Malformed,
            "answered undefined",
        ),
    ];
    each_ends_as_it_should(Language::JavaScript, "function check(s) { return true; }", &cases).await;
}

#[tokio::test]
async fn only_true_false_and_an_object_that_says_so_are_answers_in_javascript() {
    let wrong = [
        (
            "undefined",
            "`check` answered undefined, expected true, false or an object with `pass`",
        ),
        ("null", "`check` answered null"),
        ("1", "`check` answered 1 (number)"),
        ("'true'", "`check` answered \"true\""),
        (
            "new Boolean(true)",
            "`pass` must be true or false, `check` answered undefined",
        ),
        ("[true]", "(array)"),
        ("Symbol('x')", "Symbol(x) (symbol)"),
        ("() => true", "(function)"),
        ("10n", "10 (bigint)"),
        (
            "({ pass: 1 })",
            "`pass` must be true or false, `check` answered 1 (number)",
        ),
        ("({ passed: true })", "the answer has a key \"passed\""),
        ("({ then() {} })", "the answer has a key \"then\""),
        (
            "({ pass: true, score: NaN })",
            "`score` must be a number from 0 to 1, `check` answered NaN",
        ),
        ("({ pass: true, score: 1.5 })", "answered 1.5"),
        ("({ pass: true, score: -0.1 })", "answered -0.1"),
        ("({ pass: true, score: '1' })", "answered \"1\""),
        ("({ pass: true, score: null })", "answered null"),
        ("({ pass: true, reason: 5 })", "`reason` must be a string"),
        (
            "({ pass: true, notes: 'text' })",
            "`notes` must be an array of strings",
        ),
        (
            "({ pass: true, notes: [1] })",
            "`notes` must be an array of strings",
        ),
    ]
    .map(|(value, text)| (format!("function check(s) {{ return {value}; }}"), text));
    let cases: Vec<_> = wrong
        .iter()
        .map(|(source, text)| (source.as_str(), End::Malformed, *text))
        .collect();
    each_ends_as_it_should(Language::JavaScript, "function check(s) { return true; }", &cases).await;
}

/// Says everything that it was given.
const TELLS_PYTHON: &str = r#"
def check(s):
    print("printed", s.params["nested"], end="!\n\n")
    data, noise, large, brief = s.files
    assert (s.job_id, s.attempt, s.title, s.prompt) == ("job-1", 2, "A job", "Do it")
    assert (s.description, s.requirements) == (None, "well")
    assert s.text == "nul \0, grüße, \U0001F600, \uffff"
    assert s.file("data.csv") is data and s.file("brief.txt", role="input") is brief
    assert (data.name, data.size, data.role, data.content_type) == ("data.csv", 8, "output", None)
    assert (brief.role, brief.content_type, brief.text()) == ("input", "text/plain", "für dich")
    assert data.bytes == b"a,b\n1,2\n" and noise.bytes == b"\xff\xfe\0\x80" and large.size == 9_000_000_000
    assert data.sha256 == "ab" * 32 and not large.has_bytes and noise.has_bytes
    return {"pass": True, "score": 0.25, "reason": f"{data.text()!r} \ud800", "notes": [s.text]}
"#;

const TELLS_JAVASCRIPT: &str = r#"
function check(s) {
  const same = (a, b) => { if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`); };
  console.log("printed", s.params.nested, "!\n\n");
  const [data, noise, large, brief] = s.files;
  same([s.jobId, s.attempt, s.title, s.prompt], ["job-1", 2, "A job", "Do it"]);
  same([s.description, s.requirements], [null, "well"]);
  same(s.text, "nul \0, grüße, \u{1F600}, \uffff");
  same([s.file("data.csv") === data, s.file("brief.txt", "input") === brief], [true, true]);
  same([data.name, data.size, data.role, data.contentType], ["data.csv", 8, "output", null]);
  same([brief.role, brief.contentType, brief.text()], ["input", "text/plain", "für dich"]);
  same([[...noise.bytes], large.size, data.sha256.length], [[255, 254, 0, 128], 9000000000, 64]);
  same([large.hasBytes, noise.hasBytes, data.bytes instanceof Uint8Array], [false, true, true]);
  return { pass: true, score: 0.25, reason: `${JSON.stringify(data.text())} \ud800`, notes: [s.text] };
}
"#;

#[tokio::test]
async fn a_script_is_given_the_whole_submission_and_what_it_prints_becomes_notes() {
    let sandbox = sandbox().await;
    let python = answer(&sandbox, Language::Python, TELLS_PYTHON).await;
    assert_eq!((python.pass, python.score), (true, 0.25));
    insta::assert_snapshot!(python.reason, @r"'a,b\n1,2\n' \ud800");
    let text = call().output_text;
    assert_eq!(python.notes, ["printed {'list': [1.5, None, 'x']}!", &text]);

    let javascript = answer(&sandbox, Language::JavaScript, TELLS_JAVASCRIPT).await;
    assert_eq!((javascript.pass, javascript.score), (true, 0.25));
    insta::assert_snapshot!(javascript.reason, @r#""a,b\n1,2\n" �"#);
    assert_eq!(javascript.notes, [r#"printed {"list":[1.5,null,"x"]} !"#, &text]);
}

#[tokio::test]
async fn a_broken_hand_in_fails_and_a_broken_plan_is_an_error() {
    let sandbox = sandbox().await;
    let fails = [
        (
            "def check(s): s.file('report.pdf')",
            "function check(s) { s.file('report.pdf'); }",
            "`report.pdf` was not handed in",
        ),
        (
            "def check(s): s.file('noise.bin').text()",
            "function check(s) { s.file('noise.bin').text(); }",
            "`noise.bin` is not UTF-8 text",
        ),
        (
            "def check(s): raise Fail('too short')",
            "function check(s) { throw new Fail('too short'); }",
            "too short",
        ),
    ];
    for (python, javascript, reason) in fails {
        for (language, source) in [(Language::Python, python), (Language::JavaScript, javascript)] {
            let answer = answer(&sandbox, language, source).await;
            assert_eq!((answer.pass, answer.score), (false, 0.0), "{source}");
            assert!(answer.reason.contains(reason), "{source}: {}", answer.reason);
        }
    }
    let errors = [
        (
            "def check(s): s.file('large.bin').bytes",
            "function check(s) { s.file('large.bin').bytes; }",
            "the check was not given the bytes of `large.bin`: name it in `attachments` of the plan",
        ),
        (
            "def check(s): s.file('other.txt', role='input')",
            "function check(s) { s.file('other.txt', 'input'); }",
            "the job has no input `other.txt`",
        ),
    ];
    for (python, javascript, text) in errors {
        for (language, source) in [(Language::Python, python), (Language::JavaScript, javascript)] {
            let error = run(&sandbox, language, source).await.unwrap().answer.unwrap_err();
            assert!(error.contains(text), "{source}: {error}");
        }
    }
}

#[tokio::test]
async fn more_than_is_kept_of_what_a_script_prints_is_cut_and_says_so() {
    let sandbox = sandbox().await;
    let sources = [
        (
            Language::Python,
            "def check(s):\n  for i in range(60): print(i)\n  return True",
        ),
        (
            Language::JavaScript,
            "function check(s) { for (let i = 0; i < 60; i++) console.log(i); return true; }",
        ),
        (
            Language::Python,
            "def check(s):\n  print('é' * 10**6)\n  return True",
        ),
        (
            Language::JavaScript,
            "function check(s) { console.log('é'.repeat(10 ** 6)); return true; }",
        ),
    ];
    for (language, source) in sources {
        let notes = answer(&sandbox, language, source).await.notes;
        assert!(notes.len() <= 51, "{source}: {}", notes.len());
        assert_eq!(notes.last().unwrap(), "more was printed and is cut", "{source}");
    }
}

#[tokio::test]
async fn nothing_of_one_run_is_there_in_the_next() {
    let sandbox = sandbox().await;
    let leaves = "import json, builtins\ndef check(s):\n    json.left = builtins.left = 1\n    json.loads = None\n    return True";
    let finds = "import json, builtins\ndef check(s):\n    return not hasattr(json, 'left') and not hasattr(builtins, 'left')";
    assert!(answer(&sandbox, Language::Python, leaves).await.pass);
    assert!(answer(&sandbox, Language::Python, finds).await.pass);
    let leaves =
        "function check(s) { globalThis.left = JSON.left = Object.prototype.left = 1; return true; }";
    let finds = "function check(s) { return typeof left === 'undefined' && !('left' in JSON); }";
    assert!(answer(&sandbox, Language::JavaScript, leaves).await.pass);
    assert!(answer(&sandbox, Language::JavaScript, finds).await.pass);
}

#[tokio::test]
async fn the_same_script_uses_the_same_fuel_and_draws_the_same_numbers() {
    let python = "import random, json\ndef check(s):\n    words = {w: hash(w) for w in s.text.split()}\n    \
                  return {'pass': True, 'reason': f'{words} {random.random()} {random.Random().random()} {set(words)}'}";
    let javascript =
        "function check(s) { return { pass: true, reason: `${Math.random()} ${s.text.split(' ')}` }; }";
    let (one, other) = (sandbox().await, sandbox().await);
    for (language, source) in [(Language::Python, python), (Language::JavaScript, javascript)] {
        let mut seen = Vec::new();
        for sandbox in [&one, &other, &one] {
            let ran = run(sandbox, language, source).await.unwrap();
            seen.push((ran.fuel_used, ran.peak_memory_bytes, ran.answer.unwrap().reason));
        }
        assert!(seen[0].0 > 100_000, "{seen:?}");
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    }
}

#[tokio::test]
async fn the_modules_that_are_promised_work() {
    let source = r#"
import array, base64, binascii, bisect, calendar, collections, copy, csv, dataclasses, datetime, decimal, difflib
import enum, fractions, functools, hashlib, html, html.parser, io, itertools, json, math, operator, random, re
import statistics, string, struct, textwrap, typing, unicodedata, urllib.parse, uuid, xml.etree.ElementTree as ET
import zipfile, zlib

def check(s):
    assert list(csv.reader(io.StringIO(s.file("data.csv").text()))) == [["a", "b"], ["1", "2"]]
    assert datetime.datetime.strptime("2024-02-29", "%Y-%m-%d").strftime("%d %b %Y") == "29 Feb 2024"
    assert ET.fromstring("<a><b c='1'/></a>").find("b").get("c") == "1"
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
    assert zlib.decompress(zlib.compress(b"x" * 1000)) == b"x" * 1000
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr(zipfile.ZipInfo("a.txt"), "hi")
    assert zipfile.ZipFile(archive).read("a.txt") == b"hi"
    assert urllib.parse.urlsplit("https://example.com/a?b=c").query == "b=c"
    assert html.unescape("&eacute;") == "é" and unicodedata.normalize("NFD", "é") == "e\u0301"
    assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3") and fractions.Fraction(1, 3) * 3 == 1
    assert statistics.median([1, 5, 2]) == 2 and struct.unpack(">H", b"\1\2") == (258,)
    assert difflib.SequenceMatcher(None, "abcd", "bcde").ratio() == 0.75
    assert "grüße".encode("utf-16").decode("utf-16") == "grüße" and "é".encode("cp1252") == b"\xe9"
    return True
"#;
    assert!(answer(&sandbox().await, Language::Python, source).await.pass);
}

#[tokio::test]
async fn a_file_of_8_mib_can_be_read_within_the_default_limits() {
    let mut call = call();
    let rows = "12345,some words of text,someone@example.com,0.125\n";
    let content = rows.repeat((8 << 20) / rows.len());
    call.files = vec![file("data.csv", Role::Output, Some(content.into_bytes()))];
    let python = "import csv, io\ndef check(s):\n    return {len(row) for row in csv.reader(io.StringIO(s.file('data.csv').text()))} == {4}";
    let javascript = "function check(s) { return s.file('data.csv').text().split('\\n').length > 100000; }";
    let sandbox = sandbox().await;
    for (language, source) in [(Language::Python, python), (Language::JavaScript, javascript)] {
        let ran = run_on(&sandbox, language, source, &call).await.unwrap();
        assert!(ran.answer.unwrap().pass, "{language}");
    }
}

#[test]
fn without_a_runtime_a_check_says_what_to_run_and_the_others_go_on() {
    let bench = Workbench::new();
    bench.write("mine.js", "function check(s) { return true; }");
    bench.fixture(
        "one",
        "expect = \"verified\"",
        serde_json::json!({"output_text": "x"}),
    );
    let ended = bench.assay(&[
        "check",
        "mine.js",
        "fixtures/one/job.json",
        "--runtimes",
        "nowhere",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    insta::assert_snapshot!(
        ended.out.trim_end(),
        @"error  plan-invalid: mine.js: the JavaScript runtime is missing (nowhere/javascript.wasm does not exist): run `make runtimes`, which needs node and npm"
    );
}

#[test]
fn the_verdict_of_a_script_names_the_digests_of_script_and_runtime() {
    let bench = Workbench::new();
    let script = "def check(submission):\n    return len(submission.text) == submission.params['length']\n";
    bench.write("mine.py", script);
    bench.fixture(
        "one",
        "expect = \"verified\"",
        serde_json::json!({"output_text": "four"}),
    );
    let runtimes = Path::new(ROOT).join(".assay/runtimes");
    let ended = bench.assay(&[
        "check",
        "mine.py",
        "fixtures/one/job.json",
        "--param",
        "length=4",
        "--json",
        "--cache",
        CACHE,
        "--runtimes",
        runtimes.to_str().unwrap(),
    ]);
    assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let provenance = &report["verdict"]["provenance"];
    assert_eq!(
        provenance["artifact"],
        assay::digest::Digest::of(script.as_bytes()).to_string()
    );
    let stated = std::fs::read_to_string(runtimes.join("python.wasm.sha256")).unwrap();
    assert_eq!(provenance["runtime"], stated.split(' ').next().unwrap());
    assert!(provenance["fuel"].as_u64().unwrap() > 0);
}
