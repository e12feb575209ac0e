//! File names from strangers, made harmless and unique.

use unicode_normalization::UnicodeNormalization as _;

use crate::entry::{cut, escape_control};
use crate::submission::EvidenceFile;

/// Longest file name that is kept, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// The last part of the name in Unicode's composed form (some systems write `é` as two characters), without control and invisible characters; `attachment` where nothing is left.
pub(super) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let composed: String = last.nfc().collect();
    let visible = escape_control(&composed).replace(['\n', '\t'], " ");
    let visible = cut(visible.trim(), MAX_NAME_BYTES);
    match visible.as_str() {
        "" | "." | ".." => "attachment".to_owned(),
        _ => visible,
    }
}

/// The file under a name that no other of its role has: a second `a.txt` becomes `a.txt (2)`.
pub(super) fn unique(file: EvidenceFile, others: &[EvidenceFile]) -> EvidenceFile {
    let taken = |name: &str| {
        others
            .iter()
            .any(|other| other.role == file.role && other.name == name)
    };
    if !taken(&file.name) {
        return file;
    }
    let mut number = 2;
    loop {
        let name = format!("{} ({number})", file.name);
        if !taken(&name) {
            return EvidenceFile { name, ..file };
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_last_part_and_nothing_that_a_terminal_obeys() {
        assert_eq!(clean("../../etc/passwd"), "passwd");
        assert_eq!(clean("C:\\x\\report.pdf"), "report.pdf");
        assert_eq!(clean(".."), "attachment");
        assert_eq!(clean(""), "attachment");
        assert_eq!(clean("a\u{1b}[2J\u{202e}fdp.exe"), "a\\u{1b}[2J\\u{202e}fdp.exe");
        assert_eq!(clean("re\u{301}sume\u{301}.pdf"), "r\u{e9}sum\u{e9}.pdf");
        assert_eq!(clean("two\nlines"), "two lines");
        assert!(clean(&"x".repeat(5000)).len() < 240);
    }

    proptest::proptest! {
        #[test]
        fn a_clean_name_names_a_file_and_nothing_else(name: String) {
            let clean = clean(&name);
            proptest::prop_assert!(!clean.is_empty() && clean != ".." && clean.len() < 260);
            proptest::prop_assert!(!clean.contains(['/', '\n', '\0', '\u{1b}']), "{clean:?}");
        }
    }
}
