//! Reads a Corefile as CoreDNS does, as far as the mesh needs to know it.
//!
//! In: the text of a Corefile. Out: its server blocks, snippets and top-level imports, or the line where CoreDNS
//! would read something else than its author meant. Plugins are not known here: what they do is theirs to check.

use std::ops::Range;

/// A Corefile, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caddyfile {
    /// The server blocks, in their order.
    pub blocks: Vec<Block>,
    /// The snippets, `(name) { … }`.
    pub snippets: Vec<Block>,
    /// What is imported outside of any block.
    pub imports: Vec<String>,
}

/// Keys and, in braces, directives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The keys: zones, or a snippet's name.
    pub keys: Vec<String>,
    /// The directives.
    pub directives: Vec<Directive>,
}

/// One directive with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its words on the first line, up to a brace; the first one is its name.
    pub words: Vec<String>,
    /// Its source.
    pub source: String,
}

/// Why a Corefile cannot be read, or not be added to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A quote has no end.
    #[error("the quote that begins in line {0} is not closed")]
    OpenQuote(usize),
    /// A block has no end.
    #[error("the brace that opens in line {0} is not closed")]
    OpenBrace(usize),
    /// A closing brace has no opening one.
    #[error("the brace in line {0} closes nothing")]
    StrayBrace(usize),
    /// A comma promises a key that does not follow.
    #[error("the comma in line {0} is not followed by another zone")]
    StrayComma(usize),
    /// The directives of a block are not in braces.
    #[error("the server block in line {0} has no braces, so nothing can be added after it")]
    NoBraces(usize),
}

/// A word with its place.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
    last_line: usize,
    source: Range<usize>,
}

/// Reads a whole Corefile.
///
/// # Errors
/// Tells the first line that CoreDNS could not read, or after which nothing could be added.
pub fn parse(text: &str) -> Result<Caddyfile, SyntaxError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
    let mut read = Caddyfile::default();
    while let Some(token) = parser.peek() {
        match token.text.as_str() {
            "import" => read.imports.extend(parser.line().into_iter().skip(1)),
            "}" => return Err(SyntaxError::StrayBrace(token.line)),
            _ => {
                let block = parser.block(&mut read.imports)?;
                match block.snippet() {
                    Some(_) => read.snippets.push(block),
                    None => read.blocks.push(block),
                }
            }
        }
    }
    Ok(read)
}

/// Reads the inside of a block, such as a file that a block imports.
///
/// # Errors
/// As [`parse`].
pub fn parse_directives(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
    let mut directives = Vec::new();
    while let Some(token) = parser.peek() {
        if token.text == "}" {
            return Err(SyntaxError::StrayBrace(token.line));
        }
        directives.extend(parser.directive()?);
    }
    Ok(directives)
}

impl Block {
    /// The name, if this is a snippet.
    #[must_use]
    pub fn snippet(&self) -> Option<&str> {
        match self.keys.as_slice() {
            [key] => key.strip_prefix('(')?.strip_suffix(')'),
            _ => None,
        }
    }

    /// The directives of a name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.directives.iter().filter(move |directive| directive.name() == name)
    }
}

impl Directive {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn at(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.text == text)
    }

    /// Whether the next token begins a line.
    fn at_new_line(&self) -> bool {
        match (self.next.checked_sub(1).and_then(|before| self.tokens.get(before)), self.peek()) {
            (Some(before), Some(token)) => before.last_line < token.line,
            (_, _) => true,
        }
    }

    /// Takes the rest of a line.
    fn line(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(token) = self.peek() {
            words.push(token.text.clone());
            self.next += 1;
            if self.at_new_line() {
                break;
            }
        }
        words
    }

    /// Takes keys, braces and what is in them. An import between blocks may stand before the keys of one.
    fn block(&mut self, imports: &mut Vec<String>) -> Result<Block, SyntaxError> {
        let mut block = Block::default();
        let mut another = false;
        let first = self.peek().map_or(0, |token| token.line);
        while let Some(token) = self.peek() {
            let line = token.line;
            if token.text == "{" {
                if another {
                    return Err(SyntaxError::StrayComma(line));
                }
                break;
            }
            if token.text == "import" && self.at_new_line() {
                imports.extend(self.line().into_iter().skip(1));
                continue;
            }
            let key = token.text.strip_suffix(',');
            another = key.is_some();
            let key = key.unwrap_or(&token.text).to_owned();
            if !key.is_empty() {
                block.keys.push(key);
            }
            self.next += 1;
            if another && self.peek().is_none() {
                return Err(SyntaxError::StrayComma(line));
            }
            if !another && self.at_new_line() {
                break;
            }
        }
        if !self.at("{") {
            return Err(SyntaxError::NoBraces(first));
        }
        let open = self.peek().map_or(first, |token| token.line);
        self.next += 1;
        while !self.at("}") {
            let directive = self.directive()?.ok_or(SyntaxError::OpenBrace(open))?;
            block.directives.push(directive);
        }
        self.next += 1;
        Ok(block)
    }

    /// Takes one directive with its nested braces.
    fn directive(&mut self) -> Result<Option<Directive>, SyntaxError> {
        let Some(first) = self.peek().cloned() else { return Ok(None) };
        let mut words = vec![first.text.clone()];
        let mut open = Vec::new();
        let mut nested = false;
        let mut end = first.source.end;
        self.next += 1;
        while let Some(token) = self.peek() {
            match token.text.as_str() {
                "{" => {
                    open.push(token.line);
                    nested = true;
                }
                _ if open.is_empty() && self.at_new_line() => break,
                "}" if open.pop().is_none() => return Err(SyntaxError::StrayBrace(token.line)),
                word if !nested => words.push(word.to_owned()),
                _ => {}
            }
            end = token.source.end;
            self.next += 1;
        }
        if let Some(line) = open.pop() {
            return Err(SyntaxError::OpenBrace(line));
        }
        Ok(Some(Directive { words, source: self.text[first.source.start..end].to_owned() }))
    }
}

/// Cuts a text into words as CoreDNS does: at white space; a quote holds one word; `#` begins a comment anywhere.
fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut word: Option<Token> = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\r' => {}
            '#' => while characters.next_if(|(_, next)| *next != '\n').is_some() {},
            '"' if word.is_none() => {
                let start = Token { text: String::new(), line, last_line: line, source: at..at + 1 };
                let token = quoted(start, &mut characters).ok_or(SyntaxError::OpenQuote(line))?;
                line = token.last_line;
                tokens.push(token);
            }
            _ if character.is_whitespace() => {
                tokens.extend(word.take());
                line += usize::from(character == '\n');
            }
            _ => {
                let token = word.get_or_insert_with(|| Token {
                    text: String::new(),
                    line,
                    last_line: line,
                    source: at..at,
                });
                token.text.push(character);
                token.source.end = at + character.len_utf8();
            }
        }
    }
    tokens.extend(word);
    Ok(tokens)
}

/// Takes the rest of a quoted word; nothing where the quote does not end.
fn quoted(mut token: Token, characters: &mut impl Iterator<Item = (usize, char)>) -> Option<Token> {
    let mut escaped = false;
    for (at, character) in characters {
        match character {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => {
                token.source.end = at + 1;
                return Some(token);
            }
            '\n' => token.last_line += 1,
            _ => {}
        }
        if escaped && character != '"' {
            token.text.push('\\'); // only quotes are escaped
        }
        token.text.push(character);
        escaped = false;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(block: &Block) -> Vec<&str> {
        block.directives.iter().map(Directive::name).collect()
    }

    #[test]
    fn a_corefile_with_everything_is_read() {
        let read = parse(concat!(
            "# a comment { with braces\r\n",
            "(log) {\n  log\n  errors # \"\n}\n",
            "dns://example.org:1053, 10.0.0.0/24,\n",
            "  shop.local:53 {\n  import log\n  hosts {\n    reload 5s\n    10.0.0.1 a\n  }\n}\n",
            "import custom/*.server\n",
            "{$ZONE}:{$PORT}\n{\n  respond \"a { \\\" brace\n and # more\" {$X}\n  bind 10.0.0.1 ::1 # here\n}"
        ))
        .unwrap();
        assert_eq!(read.imports, ["custom/*.server"]);
        assert_eq!(read.snippets.len(), 1);
        assert_eq!(read.snippets[0].snippet(), Some("log"));
        assert_eq!(read.blocks[0].keys, ["dns://example.org:1053", "10.0.0.0/24", "shop.local:53"]);
        assert_eq!(names(&read.blocks[0]), ["import", "hosts"]);
        assert_eq!(read.blocks[1].keys, ["{$ZONE}:{$PORT}"]);
        assert_eq!(read.blocks[1].directives[0].words, ["respond", "a { \" brace\n and # more", "{$X}"]);
        assert_eq!(read.blocks[1].directives[1].source, "bind 10.0.0.1 ::1");
    }

    #[test]
    fn what_coredns_would_misread_is_told_with_its_line() {
        for (text, error) in [
            (".:53 {\n errors\n", SyntaxError::OpenBrace(1)),
            (".:53 {\n hosts {\n }\n", SyntaxError::OpenBrace(1)),
            (".:53 {\n hosts {\n", SyntaxError::OpenBrace(2)),
            (".:53 {\n errors\n}\n}\n", SyntaxError::StrayBrace(4)),
            (".:53 {\n errors }\n", SyntaxError::StrayBrace(2)),
            (".:53\nerrors\n", SyntaxError::NoBraces(1)),
            (".:53", SyntaxError::NoBraces(1)),
            ("a, {\n}\n", SyntaxError::StrayComma(1)),
            ("a,", SyntaxError::StrayComma(1)),
            (".:53 {\n respond \"x\n}\n", SyntaxError::OpenQuote(2)),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        assert_eq!(parse("").unwrap(), Caddyfile::default());
    }

    #[test]
    fn an_imported_file_holds_directives() {
        let read = parse_directives("log\nrewrite {\n name a b\n}\nreload 10s").unwrap();
        assert_eq!(read.iter().map(Directive::name).collect::<Vec<_>>(), ["log", "rewrite", "reload"]);
        assert_eq!(parse_directives("log\n}\n"), Err(SyntaxError::StrayBrace(2)));
    }
}
