//! Reads an expression.
//!
//! In: text. Out: its [`Term`], or what is wrong with it and where.

use super::{Comparison, DEEPEST, ExpressionError, LONGEST, Measure, Problem, Term};

pub(super) fn parse(text: &str) -> Result<Term, ExpressionError> {
    if text.len() > LONGEST {
        return Err(ExpressionError { column: 1, problem: Problem::TooLong(text.len()) });
    }
    if text.trim().is_empty() {
        return Err(ExpressionError { column: 1, problem: Problem::Empty });
    }
    let mut parser = Parser { text, rest: text, depth: 0 };
    let at = parser.here();
    let value = parser.any()?;
    match parser.next()? {
        (_, Token::End) => parser.condition(at, value),
        (at, other) => Err(parser.unexpected(at, &other, "`&&`, `||`, a comparison or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// What was not read yet; an end of `text`.
    rest: &'a str,
    /// How many parentheses are open.
    depth: usize,
}

/// Where something begins, in bytes.
type At = usize;

/// What stands where a value may.
enum Value {
    Condition(Term),
    Measure(Measure),
    Number(f64),
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Number(f64, &'a str),
    Name(&'a str),
    Compare(Comparison),
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
    End,
}

// === impl Parser: the grammar ===

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Value, ExpressionError> {
        self.chain(Token::Or, Self::all, |term| match term {
            Term::Any(terms) => terms,
            other => vec![other],
        })
        .map(|chain| chain.into_value(Term::Any))
    }

    fn all(&mut self) -> Result<Value, ExpressionError> {
        self.chain(Token::And, Self::comparison, |term| match term {
            Term::All(terms) => terms,
            other => vec![other],
        })
        .map(|chain| chain.into_value(Term::All))
    }

    /// Conditions with `operator` between them. `flat` takes apart one that is joined by the same operator already.
    fn chain(
        &mut self,
        operator: Token<'_>,
        part: fn(&mut Self) -> Result<Value, ExpressionError>,
        flat: fn(Term) -> Vec<Term>,
    ) -> Result<Chain, ExpressionError> {
        let at = self.here();
        let first = part(self)?;
        if self.peek()?.1 != operator {
            return Ok(Chain::One(first));
        }
        let mut terms = flat(self.condition(at, first)?);
        while self.peek()?.1 == operator {
            self.next()?;
            let at = self.here();
            let value = part(self)?;
            terms.extend(flat(self.condition(at, value)?));
        }
        Ok(Chain::Several(terms))
    }

    fn comparison(&mut self) -> Result<Value, ExpressionError> {
        let at = self.here();
        let mut left = self.value()?;
        while let (_, Token::Compare(comparison)) = self.peek()? {
            self.next()?;
            let (Value::Measure(measure), Value::Number(number)) = (left, self.value()?) else {
                return Err(self.error(at, Problem::Comparison));
            };
            left = Value::Condition(Term::Compare(measure, comparison, number));
        }
        Ok(left)
    }

    fn value(&mut self) -> Result<Value, ExpressionError> {
        let at = self.here();
        let mut negations = 0_usize;
        while self.peek()?.1 == Token::Not {
            self.next()?;
            negations += 1;
        }
        let value = match self.next()? {
            (_, Token::Number(number, _)) => Value::Number(number),
            (at, Token::Name(name)) => Value::Measure(self.call(at, name)?),
            (at, Token::Open) => self.parenthesized(at)?,
            (at, other) => return Err(self.unexpected(at, &other, "a function, a number, `!` or `(`")),
        };
        match value {
            value if negations == 0 => Ok(value),
            Value::Condition(term) if negations.is_multiple_of(2) => Ok(Value::Condition(term)),
            Value::Condition(Term::Not(term)) => Ok(Value::Condition(*term)),
            Value::Condition(term) => Ok(Value::Condition(Term::Not(Box::new(term)))),
            Value::Measure(_) | Value::Number(_) => Err(self.error(at, Problem::Negated)),
        }
    }

    fn parenthesized(&mut self, at: At) -> Result<Value, ExpressionError> {
        if self.depth == DEEPEST {
            return Err(self.error(at, Problem::TooDeep));
        }
        self.depth += 1;
        let value = self.any()?;
        self.depth -= 1;
        self.expect(Token::Close, "`)`")?;
        Ok(value)
    }

    fn call(&mut self, at: At, name: &str) -> Result<Measure, ExpressionError> {
        let (function, takes) = match name {
            "NetworkErrorRatio" => ("NetworkErrorRatio", 0),
            "ResponseCodeRatio" => ("ResponseCodeRatio", 4),
            "LatencyAtQuantileMS" => ("LatencyAtQuantileMS", 1),
            _ => return Err(self.error(at, Problem::Function(shortened(name)))),
        };
        self.expect(Token::Open, "`(`")?;
        let numbers = self.arguments()?;
        match (takes, numbers.as_slice()) {
            (0, []) => Ok(Measure::NetworkErrorRatio),
            (4, [from, to, by_from, by_to]) => Ok(Measure::ResponseCodeRatio {
                from: self.status(*from)?,
                to: self.status(*to)?,
                by_from: self.status(*by_from)?,
                by_to: self.status(*by_to)?,
            }),
            (1, [(_, quantile, _)]) => Ok(Measure::LatencyAtQuantileMs(*quantile)),
            (takes, numbers) => {
                Err(self.error(at, Problem::Arguments { function, takes, given: numbers.len() }))
            }
        }
    }

    /// Numbers with commas between them, and one after the last if the author likes, as Go allows.
    fn arguments(&mut self) -> Result<Vec<(At, f64, &'a str)>, ExpressionError> {
        let mut numbers = Vec::new();
        loop {
            match self.next()? {
                (_, Token::Close) => return Ok(numbers),
                (at, Token::Number(number, text)) => numbers.push((at, number, text)),
                (at, other) => return Err(self.unexpected(at, &other, "a number or `)`")),
            }
            match self.next()? {
                (_, Token::Close) => return Ok(numbers),
                (_, Token::Comma) => {}
                (at, other) => return Err(self.unexpected(at, &other, "`,` or `)`")),
            }
        }
    }

    fn status(&self, (at, number, text): (At, f64, &str)) -> Result<u16, ExpressionError> {
        if number.fract() == 0.0 && number <= f64::from(u16::MAX) {
            return Ok(number as u16);
        }
        Err(self.error(at, Problem::Status(shortened(text))))
    }

    fn condition(&self, at: At, value: Value) -> Result<Term, ExpressionError> {
        let what = match value {
            Value::Condition(term) => return Ok(term),
            Value::Measure(measure) => measure.to_string(),
            Value::Number(_) => "a number".to_owned(),
        };
        Err(self.error(at, Problem::NoCondition(what)))
    }

    fn expect(&mut self, token: Token<'_>, wanted: &'static str) -> Result<(), ExpressionError> {
        match self.next()? {
            (_, found) if found == token => Ok(()),
            (at, other) => Err(self.unexpected(at, &other, wanted)),
        }
    }
}

/// One part, or several that were joined.
enum Chain {
    One(Value),
    Several(Vec<Term>),
}

// === impl Chain ===

impl Chain {
    fn into_value(self, join: fn(Vec<Term>) -> Term) -> Value {
        match self {
            Self::One(value) => value,
            Self::Several(terms) => Value::Condition(join(terms)),
        }
    }
}

// === impl Parser: the tokens ===

impl<'a> Parser<'a> {
    /// Where the next token begins.
    fn here(&mut self) -> At {
        self.rest = self.rest.trim_start();
        self.text.len() - self.rest.len()
    }

    fn peek(&mut self) -> Result<(At, Token<'a>), ExpressionError> {
        let before = self.rest;
        let token = self.next();
        self.rest = before;
        token
    }

    fn next(&mut self) -> Result<(At, Token<'a>), ExpressionError> {
        let at = self.here();
        let mut characters = self.rest.chars();
        let Some(first) = characters.next() else { return Ok((at, Token::End)) };
        let second = characters.next();
        let token = match (first, second) {
            ('&', Some('&')) => self.symbol(2, Token::And),
            ('|', Some('|')) => self.symbol(2, Token::Or),
            ('>', Some('=')) => self.symbol(2, Token::Compare(Comparison::AtLeast)),
            ('<', Some('=')) => self.symbol(2, Token::Compare(Comparison::AtMost)),
            ('=', Some('=')) => self.symbol(2, Token::Compare(Comparison::Equal)),
            ('!', Some('=')) => self.symbol(2, Token::Compare(Comparison::Unequal)),
            ('>', _) => self.symbol(1, Token::Compare(Comparison::Above)),
            ('<', _) => self.symbol(1, Token::Compare(Comparison::Below)),
            ('!', _) => self.symbol(1, Token::Not),
            ('(', _) => self.symbol(1, Token::Open),
            (')', _) => self.symbol(1, Token::Close),
            (',', _) => self.symbol(1, Token::Comma),
            ('&' | '|' | '=', _) => return Err(self.error(at, Problem::HalfOperator(first, first))),
            ('-' | '+', _) => return Err(self.error(at, Problem::Sign(first))),
            ('0'..='9', _) | ('.', Some('0'..='9')) => self.number(at)?,
            ('a'..='z' | 'A'..='Z' | '_', _) => Token::Name(self.word(|_, character| is_word(character))),
            _ => {
                let found = format!("`{first}`");
                let wanted = "a function, a number or an operator";
                return Err(self.error(at, Problem::Unexpected { found, wanted }));
            }
        };
        Ok((at, token))
    }

    fn symbol(&mut self, bytes: usize, token: Token<'a>) -> Token<'a> {
        self.rest = &self.rest[bytes..];
        token
    }

    fn number(&mut self, at: At) -> Result<Token<'a>, ExpressionError> {
        let word = self.word(|before, character| {
            is_word(character)
                || character == '.'
                || (matches!(character, '+' | '-') && matches!(before, 'e' | 'E'))
        });
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Token::Number(number, word)),
            _ => Err(self.error(at, Problem::Number(shortened(word)))),
        }
    }

    /// Takes characters while `belongs` says so of the one before and each, the first in any case.
    fn word(&mut self, belongs: fn(char, char) -> bool) -> &'a str {
        let pairs = self.rest.char_indices().zip(self.rest.chars().skip(1));
        let end = pairs
            .map(|((at, before), character)| (at + before.len_utf8(), before, character))
            .find(|(_, before, character)| !belongs(*before, *character))
            .map_or(self.rest.len(), |(at, _, _)| at);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn unexpected(&self, at: At, found: &Token<'_>, wanted: &'static str) -> ExpressionError {
        let found = match found {
            Token::Number(_, text) | Token::Name(text) => format!("`{}`", shortened(text)),
            Token::Compare(comparison) => format!("`{comparison}`"),
            Token::And => "`&&`".to_owned(),
            Token::Or => "`||`".to_owned(),
            Token::Not => "`!`".to_owned(),
            Token::Open => "`(`".to_owned(),
            Token::Close => "`)`".to_owned(),
            Token::Comma => "`,`".to_owned(),
            Token::End => "the end".to_owned(),
        };
        self.error(at, Problem::Unexpected { found, wanted })
    }

    fn error(&self, at: At, problem: Problem) -> ExpressionError {
        ExpressionError { column: self.text[..at].chars().count() + 1, problem }
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// The beginning of a word that somebody may have made long, for an error is shown to people.
fn shortened(word: &str) -> String {
    match word.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &word[..end]),
        None => word.to_owned(),
    }
}
