//! Reports for people and for CI servers: what strangers wrote in them is text and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::json;

use crate::workbench::Workbench;

const SAME: &str =
    "[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"lines\"\nexpected = { text = \"yes\" }\n";

const HOSTILE: &str = "<script>alert(1)</script>\" onload=\"alert(2)' x='</pre></details><!--]]>";

/// A bench whose fixture has hostile text in every field that reaches a report.
fn hostile() -> Workbench {
    let bench = Workbench::new();
    let quoted = toml_text(HOSTILE);
    bench.plan("same", &SAME.replace("\"yes\"", &quoted));
    // No slash in the name of a folder.
    let name = HOSTILE.replace('/', "|");
    let fixture = format!("description = {quoted}\nplan = \"same\"\nexpect = \"verified\"\n");
    let text = format!("{HOSTILE}\u{0}\u{1}\u{1b}[31m\u{b}\u{ffff}\u{fffe}\u{202e}\n{HOSTILE} again");
    bench.fixture(
        &name,
        &fixture,
        json!({"id": HOSTILE, "title": HOSTILE, "output_text": text}),
    );
    bench.plan(
        "judged",
        &format!("[[graders]]\nname = \"j\"\nkind = \"rubric\"\ncriteria = [{{ id = \"c\", text = {quoted}, evidence = \"none\" }}]\n"),
    );
    bench.fixture(
        "judged",
        "plan = \"judged\"\nexpect = \"retry\"\n",
        json!({"output_text": HOSTILE}),
    );
    bench.write("fixtures/judged/answers.toml", &format!("[j]\nraw = {quoted}\n"));
    bench
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn report(bench: &Workbench, kind: &str) -> String {
    let flag = format!("{kind}=out/report");
    let ended = bench.assay(&["run", "fixtures", "--report", &flag]);
    assert!(ended.code <= 1, "{}{}", ended.out, ended.err);
    std::fs::read_to_string(bench.path("out/report")).unwrap()
}

/// The tags of a page, text and attributes' values left out.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let end = end.unwrap();
        tags.push(rest[..=end].to_owned());
        rest = &rest[end..];
    }
    tags
}

#[test]
fn hostile_text_is_text_in_a_page() {
    let page = report(&hostile(), "html");
    assert!(page.contains("&lt;script&gt;alert(1)"), "the text is shown");
    let body = page.split_once("</style>").unwrap().1;
    for tag in tags(body) {
        let name = tag
            .trim_start_matches(['<', '/'])
            .split([' ', '>'])
            .next()
            .unwrap();
        let known = [
            "head", "body", "main", "h1", "h2", "h3", "p", "a", "code", "pre", "span", "strong", "details",
            "summary", "dl", "dt", "dd", "div", "table", "thead", "tbody", "tr", "th", "td", "ol", "ul",
            "li", "html",
        ];
        assert!(known.contains(&name), "{tag}");
        assert!(!tag.contains("onload") && !tag.contains("alert"), "{tag}");
    }
    for never in ["<script", "src=", "@import", "url("] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(
        !body.contains("http:") && !body.contains("https:"),
        "nothing is loaded"
    );
    let control = page.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
    assert_eq!(control, None);
    assert!(!page.contains('\u{202e}'), "what reorders text is escaped");
}

#[test]
fn a_page_says_what_was_expected_and_who_judged() {
    let page = report(&hostile(), "html");
    for said in [
        "0 of 2 fixtures as expected",
        "answers written by hand, no model was asked",
        "class=\"del\"",
        "class=\"add\"",
        "<li class=\"operator\">",
        "<li class=\"public\">",
        "judge-off-menu",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

/// Issue "Writing graders is a pleasure": under 1 MB for 100 fixtures.
#[test]
fn a_page_of_100_fixtures_with_long_logs_stays_under_1_mb() {
    let bench = Workbench::new();
    bench.plan("same", SAME);
    let mut text = String::new();
    for row in 0..4000 {
        writeln!(text, "<{row}> \"&'/").unwrap();
    }
    for number in 0..100 {
        let fixture = "plan = \"same\"\nexpect = \"verified\"\n";
        bench.fixture(&format!("{number:03}"), fixture, json!({"output_text": text}));
    }
    let page = report(&bench, "html");
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("[cut: "), "what is left out is said");
    assert_eq!(page.matches("<details class=\"fixture").count(), 100);
}

#[test]
fn control_characters_never_make_xml_invalid() {
    let text = report(&hostile(), "junit");
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    assert_eq!(text.chars().find(|c| !allowed(*c)), None);
    let mut reader = Reader::from_str(&text);
    let (mut names, mut depth) = (Vec::new(), 0);
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(start) => {
                depth += 1;
                names.push(start.name().as_ref().to_owned());
                for attribute in start.attributes() {
                    attribute.unwrap();
                }
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    assert!(
        text.contains("&lt;script>") || text.contains("&lt;script&gt;"),
        "{text}"
    );
    assert!(!text.contains("<script"), "{text}");
    // One of another outcome, one that nobody could decide.
    let count = |name: &str| format!("{names:?}").matches(&format!("{:?}", name)).count();
    assert_eq!(
        (count("failure"), count("error"), count("testcase")),
        (1, 1, 2),
        "{names:?}"
    );
    assert!(text.contains("tests=\"2\" failures=\"1\" errors=\"1\""), "{text}");
}

#[test]
fn an_expected_error_is_no_failure_in_junit() {
    let bench = Workbench::new();
    bench.plan(
        "same",
        &SAME.replace("{ text = \"yes\" }", "{ attachment = \"none.txt\" }"),
    );
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"error\"\n",
        json!({"output_text": "x"}),
    );
    let text = report(&bench, "junit");
    assert!(text.contains("tests=\"1\" failures=\"0\" errors=\"0\""), "{text}");
    assert!(
        text.contains("name=\"a\"") && !text.contains("<failure"),
        "{text}"
    );
}

#[test]
fn a_report_of_no_known_kind_is_wrong_use() {
    let bench = hostile();
    let ended = bench.assay(&["run", "fixtures", "--report", "pdf=x"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("html=FILE, json=FILE or junit=FILE"),
        "{}",
        ended.err
    );
}

#[test]
fn a_pipe_gets_plain_lines_without_colour_and_without_a_bar() {
    let bench = hostile();
    let ended = bench.assay(&["run", "fixtures"]);
    assert!(!ended.out.contains('\u{1b}'), "{}", ended.out);
    assert_eq!(ended.err, "");
    let head = ended.out.lines().next().unwrap();
    assert!(
        head.starts_with("     FIXTURE ") && head.contains("OUTCOME"),
        "{head}"
    );
}
