//! Changes of headers, on one line.
//!
//! In: `set NAME=VALUE, add NAME="VALUE, WITH A COMMA", remove NAME`. Out: the changes in this order.

use super::value;
use weft_contract::policy::HeaderChange;

/// More than a line that a person can read has.
const MOST: usize = 64;

/// Reads changes of headers.
pub(super) fn changes(text: &str) -> Result<Vec<HeaderChange>, String> {
    let mut changes = Vec::new();
    let mut rest = text;
    loop {
        let (change, after) = change(rest)?;
        changes.push(change);
        if changes.len() > MOST {
            return Err(format!("there are more than {MOST} changes"));
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(changes);
        }
        rest = after.strip_prefix(',').ok_or_else(|| format!("a comma is missing before {after:?}"))?;
    }
}

/// One change, and what follows it.
fn change(text: &str) -> Result<(HeaderChange, &str), String> {
    let text = text.trim_start();
    let verb_ends = text.find(|character: char| character.is_whitespace() || character == ',');
    let (verb, rest) = text.split_at(verb_ends.unwrap_or(text.len()));
    let rest = rest.trim_start();
    let with_value = match verb {
        "set" => HeaderChange::Set,
        "add" => HeaderChange::Add,
        "remove" => {
            let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            return Ok((HeaderChange::Remove(value::changeable_header(name.trim_end())?), after));
        }
        "" => return Err("an entry is empty".into()),
        _ => return Err(format!("{verb:?} is none of set, add and remove")),
    };
    let (name, rest) = rest.split_once('=').ok_or_else(|| format!("{verb} lacks NAME=VALUE"))?;
    let name = value::changeable_header(name.trim())?;
    let (content, after) = content(rest.trim_start())?;
    Ok((with_value(name, value::header_value(&content)?), after))
}

/// A value, in quotes or up to the next comma, and what follows it.
fn content(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (content, after) = text.split_at(text.find(',').unwrap_or(text.len()));
        return Ok((content.trim_end().to_owned(), after));
    };
    let mut content = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((content, &quoted[at + 1..])),
            '\\' => content.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => content.push(character),
        }
    }
    Err("a quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_in_order() {
        let (set, add) = (
            |name: &str, value: &str| HeaderChange::Set(name.into(), value.into()),
            |name: &str, value: &str| HeaderChange::Add(name.into(), value.into()),
        );
        for (text, wanted) in [
            ("set X-A=1", vec![set("x-a", "1")]),
            (
                " set X-A = 1 ,add X-B=a b,remove X-C ",
                vec![set("x-a", "1"), add("x-b", "a b"), HeaderChange::Remove("x-c".into())],
            ),
            (r#"set a="1, \"2\" \\", add b=c=d"#, vec![set("a", r#"1, "2" \"#), add("b", "c=d")]),
            ("set a=, set b=\"\"", vec![set("a", ""), set("b", "")]),
        ] {
            assert_eq!(changes(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_change_says_why() {
        for (text, says) in [
            ("", "empty"),
            ("set a=1,", "empty"),
            ("drop a", "none of set, add and remove"),
            ("set a", "NAME=VALUE"),
            ("set a b=1", "not the name of a header"),
            ("remove", "not the name of a header"),
            ("set a=\"1", "not closed"),
            ("set a=\"1\" b", "a comma is missing"),
            ("set a=1\u{7f}", "no header may have"),
            ("remove Connection", "belongs to one connection"),
            ("set content-length=0", "belongs to one connection"),
            ("set :path=/", "not the name of a header"),
        ] {
            let why = changes(text).unwrap_err();
            assert!(why.contains(says), "{text:?}: {why}");
        }
        assert!(changes(&vec!["remove a"; MOST + 1].join(",")).is_err());
    }
}
