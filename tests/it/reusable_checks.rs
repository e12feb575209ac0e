//! The checks of `graders/checks/` that are scripts: what each accepts, rejects, and refuses of its params.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assay::sandbox::{Call, File, Language, Role, Script};
use serde_json::{Value, json};

use crate::runtimes::{limits, sandbox};

/// What a check says of a text and files: `pass REASON`, `fail REASON` or `error TEXT`.
async fn says(check: &str, text: &str, files: &[(&str, &[u8])], params: Value) -> String {
    let path = format!("{}/graders/checks/{check}", env!("CARGO_MANIFEST_DIR"));
    let language = Language::of(check).unwrap();
    let script = Script {
        name: check.into(),
        source: std::fs::read_to_string(path).unwrap(),
    };
    let file = |(name, content): &(&str, &[u8])| File {
        name: (*name).into(),
        content_type: None,
        size: content.len() as u64,
        sha256: String::new(),
        role: Role::Output,
        content: Some(content.to_vec()),
    };
    let call = Call {
        job_id: "job-1".into(),
        attempt: 1,
        title: String::new(),
        prompt: String::new(),
        description: None,
        requirements: None,
        output_text: text.into(),
        files: files.iter().map(file).collect(),
        params: params.to_string(),
    };
    let sandbox = sandbox().await;
    let ran = sandbox
        .run_script(language, &script, &call, &limits(language))
        .await;
    match ran.unwrap().answer {
        Ok(answer) if answer.pass => format!("pass {}", answer.reason),
        Ok(answer) => format!("fail {}", answer.reason),
        Err(text) => format!("error {text}"),
    }
}

#[tokio::test]
async fn word_count_counts_what_is_between_white_space() {
    let params = json!({"min": 2, "max": 3});
    let say = async |text| says("word-count.py", text, &[], params.clone()).await;
    assert_eq!(say("eins  zwei\ndrei").await, "pass 3 words");
    assert_eq!(say("").await, "fail 0 words, at least 2 are asked for");
    assert_eq!(say("a b c d").await, "fail 4 words, at most 3 are asked for");
    let wrong = says("word-count.py", "", &[], json!({"minimum": 2})).await;
    assert!(wrong.starts_with("error word-count.py:"), "{wrong}");
}

#[tokio::test]
async fn required_files_names_what_is_missing_empty_or_too_much() {
    let files: [(&str, &[u8]); 2] = [("a.csv", b"x"), ("b.png", b"")];
    let say = async |params| says("required-files.py", "", &files, params).await;
    assert_eq!(
        say(json!({"files": ["*.csv"]})).await,
        "pass 1 of 1 files are there"
    );
    assert_eq!(
        say(json!({"files": ["*.csv", "b.png", "c.txt"], "only": true})).await,
        "fail `b.png` is empty; `c.txt` is missing"
    );
    assert_eq!(
        say(json!({"files": ["a.csv"], "only": true})).await,
        "fail `b.png` was not asked for"
    );
    assert!(say(json!({"files": []})).await.starts_with("error "));
}

#[tokio::test]
async fn utf8_text_names_the_line_of_what_is_not_clean() {
    let say = async |content: &[u8]| says("utf8-text.py", "", &[("a.txt", content)], json!({})).await;
    assert_eq!(say("grüße\r\n\t😀".as_bytes()).await, "pass 1 clean text files");
    assert_eq!(say(b"a\nb\xff").await, "fail `a.txt`:2: byte 3 is not UTF-8");
    assert_eq!(
        say(b"\xef\xbb\xbfa").await,
        "fail `a.txt` begins with a byte order mark"
    );
    assert_eq!(say(b"a\n\nb\0").await, "fail `a.txt`:3: control character U+0000");
    assert_eq!(
        says("utf8-text.py", "", &[], json!({"files": ["a.txt"]})).await,
        "fail no file called a.txt was handed in"
    );
}

#[tokio::test]
async fn image_header_reads_format_and_size_of_each_format() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
    let gif = b"GIF89a\x80\x02\xe0\x01\0\0\0";
    let jpeg = b"\xff\xd8\xff\xe0\0\x04xx\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03";
    let vp8x = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0";
    let vp8l = b"RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f\x7f\xc2\x77\0";
    let vp8 = b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01";
    let images: [(&str, &[u8]); 6] = [
        ("png", png),
        ("gif", gif),
        ("jpeg", jpeg),
        ("webp", vp8x),
        ("webp", vp8l),
        ("webp", vp8),
    ];
    for (format, content) in images {
        let say = async |params| says("image-header.py", "", &[("i", content)], params).await;
        let said = format!("`i` is a {format} image of 640 x 480 pixels");
        let exact = json!({"formats": [format], "min_width": 640, "max_height": 480});
        assert_eq!(say(exact).await, format!("pass {said}"));
        assert_eq!(
            say(json!({"min_width": 641})).await,
            format!("fail {said}, min width is 641")
        );
        let cut = says("image-header.py", "", &[("i", &content[..9])], json!({})).await;
        assert!(cut.starts_with("fail `i` is no image in"), "{cut}");
    }
    let wrong = says("image-header.py", "", &[("i", png)], json!({"formats": ["bmp"]})).await;
    assert!(wrong.starts_with("error "), "{wrong}");
    assert_eq!(
        says("image-header.py", "", &[("i", png)], json!({"formats": ["jpeg"]})).await,
        "fail `i` is a png image of 640 x 480 pixels, asked for is jpeg"
    );
}

#[tokio::test]
async fn json_schema_checks_shape_and_refuses_keywords_that_it_does_not_know() {
    let schema = json!({
        "type": "object", "required": ["id", "lines"], "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "pattern": "^INV-[0-9]+$"},
            "total": {"type": "number", "minimum": 0},
            "kind": {"enum": ["invoice", 1]},
            "lines": {"type": "array", "minItems": 1, "items": {"type": "integer", "maximum": 9}},
        },
    });
    let say = async |text: &str| says("json-schema.py", text, &[], json!({"schema": schema})).await;
    let good = r#"{"id": "INV-1", "total": 1.5, "kind": 1.0, "lines": [1, 2.0]}"#;
    assert_eq!(say(good).await, "pass the JSON is of the wanted shape");
    insta::assert_snapshot!(
        say(r#"{"id": "x", "total": -1, "kind": true, "lines": [10, 0.5, true], "a/b": 0}"#).await,
        @"fail /id does not match the pattern; /total is below 0; /kind is none of the allowed values; /lines/0 is above 9; /lines/1 is not of type integer; /lines/2 is not of type integer; /a~1b is not allowed"
    );
    insta::assert_snapshot!(say("[]").await, @"fail the document is not of type object");
    insta::assert_snapshot!(say(r#"{"lines": []}"#).await, @"fail the document lacks `id`; /lines has 0 items, at least 1 are asked for");
    for broken in [
        "",
        "{",
        "{} {}",
        "NaN",
        "[1e999]",
        r#"{"a": 1, "a": 1}"#,
        &"[".repeat(100_000),
    ] {
        let said = say(broken).await;
        assert!(said.starts_with("fail not valid JSON: "), "{broken:.20}: {said}");
    }
    for wrong in [
        json!({"oneOf": []}),
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"type": "strnig"}),
        json!({"items": {"pattern": "("}}),
        json!({"minItems": -1}),
        json!("object"),
    ] {
        let said = says("json-schema.py", "{}", &[], json!({"schema": wrong})).await;
        assert!(said.starts_with("error json-schema.py:"), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn link_list_names_the_lines_that_are_no_links_or_come_twice() {
    let say = async |text| says("link-list.js", text, &[], json!({"min": 2, "max": 3})).await;
    assert_eq!(
        say("https://example.com/a?b=c\n\nhttp://EXAMPLE.org:8080\r\n").await,
        "pass 2 links"
    );
    assert_eq!(
        say("https://example.com/\nHTTPS://example.com#top").await,
        "fail line 2 is the same as line 1"
    );
    assert_eq!(
        say("see https://example.com\nftp://example.com\nhttps://localhost\nhttps://a.b:0").await,
        "fail line 1 is no http or https address; line 2 is no http or https address; line 3 is no http or https \
         address; line 4 is no http or https address; 4 links, at most 3 are asked for"
    );
    assert_eq!(say("").await, "fail 0 links, at least 2 are asked for");
    let wrong = says("link-list.js", "", &[], json!({"mni": 1})).await;
    assert!(wrong.starts_with("error link-list.js:"), "{wrong}");
}
