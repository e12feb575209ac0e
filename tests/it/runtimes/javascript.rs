//! JavaScript checks that are hostile or answer nonsense.

use assay::sandbox::Language;

use super::{End, each_ends_as_it_should};

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
