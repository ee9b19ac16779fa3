//! What can be wrong with an annotation.
//!
//! In: nothing. Out: [`Mistake`], and its words for an Event.

use super::table;

/// How much of a value an Event repeats, in characters: its note has room for 1 KiB.
const SHOWN: usize = 100;
/// How much it says of what is wrong, which may repeat a part of the value.
const SAID: usize = 250;

/// A mistake in one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The value cannot be read.
    Invalid {
        /// The annotation, with its prefix.
        annotation: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
        /// What it may be.
        values: &'static str,
        /// The last good value, which is in force instead; none where it is the default.
        last_good: Option<String>,
        /// The default.
        default: &'static str,
    },
    /// The key is not known.
    Unknown {
        /// The annotation, with its prefix.
        annotation: String,
    },
    /// The value can be read, but has no effect beside the others.
    Unused {
        /// The annotation, with its prefix.
        annotation: String,
        /// Why, as the end of a sentence that begins with the annotation.
        why: String,
    },
}

impl Mistake {
    /// The annotation, with its prefix.
    #[must_use]
    pub fn annotation(&self) -> &str {
        match self {
            Self::Invalid { annotation, .. }
            | Self::Unknown { annotation }
            | Self::Unused { annotation, .. } => annotation,
        }
    }

    /// What is wrong, what the mesh does meanwhile, how to put it right.
    #[must_use]
    pub fn note(&self) -> String {
        match self {
            Self::Invalid { annotation, value, why, values, last_good, default } => {
                let (value, why) = (shortened(value, SHOWN), shortened(why, SAID));
                let meanwhile = match last_good {
                    Some(last) => format!("the last good value {:?} is in force", shortened(last, SHOWN)),
                    None => format!("the default ({}) is in force", plain(default)),
                };
                format!(
                    "{annotation}: {value:?} cannot be read: {why}. Meanwhile {meanwhile}. It may be {}.",
                    plain(values)
                )
            }
            Self::Unknown { annotation } => format!(
                "{annotation} is not an annotation that this version of Weft knows; it is ignored.{} Correct or remove \
                 it; docs/annotations.md has them all.",
                similar(annotation).map_or_else(String::new, |name| format!(" Did you mean {name}?"))
            ),
            Self::Unused { annotation, why } => format!("{annotation} {why}. Correct or remove it."),
        }
    }
}

/// Text of the table without its marks for the docs page.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn shortened(value: &str, most: usize) -> String {
    match value.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// The known key that is nearest to a mistyped one, where one is near.
fn similar(annotation: &str) -> Option<&'static str> {
    let name = table::PREFIXES.iter().find_map(|prefix| annotation.strip_prefix(prefix))?;
    // What is longer than every key by more than a slip is no slip; and the comparison stays cheap.
    let near = |row: &&table::Row| row.name.len().abs_diff(name.len()) <= 2;
    let distances = table::rows().filter(near).map(|row| (distance(name, row.name), row.name));
    distances.min().filter(|(distance, _)| *distance <= 2).map(|(_, name)| name)
}

/// How many characters must be put in, taken out or exchanged to make one text of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in other.bytes().enumerate() {
            let exchanged = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_key_that_was_meant() {
        assert_eq!(similar("weft.mesh/trafic-type"), Some("traffic-type"));
        assert_eq!(similar("maesh.containo.us/retry-atempts"), Some("retry-attempts"));
        assert_eq!(similar("weft.mesh/something-else"), None);
        assert_eq!(similar("weft.mesh/"), None);
    }

    #[test]
    fn a_long_value_does_not_hide_what_is_wrong_with_it() {
        let mistake = Mistake::Invalid {
            annotation: "weft.mesh/retry-on".into(),
            value: "ü".repeat(2000),
            why: "the reason".into(),
            values: "`a` or `b`",
            last_good: None,
            default: "`a`",
        };
        let note = mistake.note();
        assert!(
            note.len() < 1024 && note.contains("cannot be read: the reason. Meanwhile the default (a)"),
            "{note}"
        );
        assert!(note.ends_with("It may be a or b."), "{note}");
    }
}
