//! The grammar of JSON (RFC 8259), and the strings that it writes.

use memchr::memchr2;

/// How deep arrays and objects may be nested, as in `serde_json`.
const MOST_DEPTH: usize = 128;

/// A value or a key: where it starts, and which node comes after it and all that is in it. 8 bytes: there may be millions.
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) next: u32,
}

/// A strict parser. An error says what is wrong at `at`.
pub(super) struct Parser<'t> {
    text: &'t [u8],
    /// How far the parser is, or where it stopped.
    pub(super) at: usize,
    pub(super) nodes: Vec<Node>,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            at: 0,
            nodes: Vec::new(),
        }
    }

    pub(super) fn document(&mut self) -> Result<(), &'static str> {
        self.skip_space();
        if self.peek().is_none() {
            return Err("no JSON value");
        }
        self.value(0)?;
        self.skip_space();
        if self.peek().is_some() {
            Err("text after the JSON value")
        } else {
            Ok(())
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), &'static str> {
        let node = self.open();
        match self.peek() {
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => self.string()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err("no JSON value"),
            None => return Err("an end within a JSON value"),
        }
        self.close(node);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), &'static str> {
        self.enter(depth)?;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err("no key");
            }
            let key = self.open();
            self.string()?;
            self.skip_space();
            if !self.takes(b':') {
                return Err("no colon after a key");
            }
            self.skip_space();
            self.value(depth)?;
            self.close(key);
            self.skip_space();
            if self.takes(b'}') {
                return Ok(());
            }
            if !self.takes(b',') {
                return Err("neither a comma nor the end of the object");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), &'static str> {
        self.enter(depth)?;
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value(depth)?;
            self.skip_space();
            if self.takes(b']') {
                return Ok(());
            }
            if !self.takes(b',') {
                return Err("neither a comma nor the end of the array");
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), &'static str> {
        if depth > MOST_DEPTH {
            return Err("arrays and objects nested more than 128 deep");
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err("an end within a string"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(..0x20) => return Err("a control character in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match hex4(&self.text[self.at + 2..]) {
                None => return Err("an unknown escape in a string"),
                Some(0xdc00..0xe000) => return Err("half of a surrogate pair in a string"),
                Some(0xd800..0xdc00) => {
                    let is_pair = self.text[self.at + 6..].starts_with(b"\\u")
                        && matches!(hex4(&self.text[self.at + 8..]), Some(0xdc00..0xe000));
                    if !is_pair {
                        return Err("half of a surrogate pair in a string");
                    }
                    self.at += 12;
                }
                Some(_) => self.at += 6,
            },
            _ => return Err("an unknown escape in a string"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), &'static str> {
        self.takes(b'-');
        if !self.takes(b'0') && self.digits() == 0 {
            return Err("no digit in a number");
        }
        if self.takes(b'.') && self.digits() == 0 {
            return Err("no digit after a decimal point");
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err("no digit in an exponent");
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let count = self.text[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        count
    }

    fn word(&mut self, word: &[u8]) -> Result<(), &'static str> {
        if !self.text[self.at..].starts_with(word) {
            return Err("no JSON value");
        }
        self.at += word.len();
        Ok(())
    }

    fn open(&mut self) -> usize {
        self.nodes.push(Node {
            start: in_32_bits(self.at),
            next: 0,
        });
        self.nodes.len() - 1
    }

    fn close(&mut self, node: usize) {
        self.nodes[node].next = in_32_bits(self.nodes.len());
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// The length of the string that `text` starts with, quotes included.
pub(super) fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The characters that the inside of a checked string stands for.
pub(super) fn unescaped(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(found) = rest.find('\\') {
        out.push_str(&rest[..found]);
        let escape = rest.as_bytes()[found + 1];
        rest = &rest[found + 2..];
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let high = hex4(rest.as_bytes()).unwrap_or(0);
                rest = &rest[4..];
                let code = if (0xd800..0xdc00).contains(&high) {
                    let low = hex4(&rest.as_bytes()[2..]).unwrap_or(0);
                    rest = &rest[6..];
                    0x1_0000 + ((high - 0xd800) << 10) + (low.saturating_sub(0xdc00))
                } else {
                    high
                };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            itself => out.push(char::from(itself)),
        }
    }
    out.push_str(rest);
    out
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// `compare` refuses texts that would need more.
pub(super) fn in_32_bits(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
