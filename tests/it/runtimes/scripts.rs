//! What scripts of both languages are given, what becomes of what they say, and what they leave behind.

use assay::sandbox::{Language, Role};

use super::{answer, call, file, run, run_on, sandbox};

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
