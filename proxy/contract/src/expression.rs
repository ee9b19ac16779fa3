//! The expression at which a circuit breaker trips: the grammar and the meaning of Traefik's.
//!
//! In: text, such as `NetworkErrorRatio() > 0.30 || ResponseCodeRatio(500, 600, 0, 600) > 0.25`. Out: an [`Expression`],
//! which holds or does not for what was measured; or an error that says where and how to mend it.
//!
//! ```text
//! any        = all { "||" all }
//! all        = comparison { "&&" comparison }
//! comparison = value [ ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) value ]
//! value      = { "!" } ( number | function "(" numbers ")" | "(" any ")" )
//! function   = "NetworkErrorRatio" | "ResponseCodeRatio" | "LatencyAtQuantileMS"
//! ```
//!
//! These are the precedences of Go, whose parser Traefik uses. Everything that Traefik takes means the same here. Besides,
//! a number may be whole or not everywhere (Traefik wants `0.0` for a ratio and `100` for a latency), `!` negates a
//! condition, and lines may be broken anywhere.

mod parse;

use std::fmt;

/// The longest expression, in bytes. People write dozens.
pub const LONGEST: usize = 1024;
/// How deep parentheses may be nested, so that no text takes more of the stack than this.
pub const DEEPEST: usize = 32;

/// When a circuit breaker trips.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(Term);

/// What an expression asks about the requests of the last ten seconds.
pub trait Measures {
    /// The share of requests whose connection failed; 0 where there was none.
    fn network_error_ratio(&self) -> f64;

    /// How many answers had a status from `from` up to, but not including, `to`, for each with one from `by_from` up to,
    /// but not including, `by_to`; 0 where there was none of the latter.
    fn response_code_ratio(&self, from: u16, to: u16, by_from: u16, by_to: u16) -> f64;

    /// How many milliseconds at most the fastest `quantile` percent of the requests took; 0 where there was none.
    fn latency_at_quantile_ms(&self, quantile: f64) -> f64;
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct ExpressionError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What, and how to mend it.
    pub problem: Problem,
}

/// What is wrong with a text, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing is there.
    #[error("the expression is empty; write a condition such as `NetworkErrorRatio() > 0.3`")]
    Empty,
    /// It is too long.
    #[error("the expression has {0} bytes where {LONGEST} may be; shorten it")]
    TooLong(usize),
    /// Parentheses are nested too deep.
    #[error("parentheses are nested deeper than {DEEPEST}; take out those that are not needed")]
    TooDeep,
    /// Something else should stand here.
    #[error("{found} where {wanted} is expected")]
    Unexpected {
        /// What stands here.
        found: String,
        /// What should.
        wanted: &'static str,
    },
    /// Half an operator.
    #[error("`{0}` is no operator; write `{0}{1}`")]
    HalfOperator(char, char),
    /// A number with a sign.
    #[error("numbers have no sign here, for nothing measured is below 0; take out the `{0}`")]
    Sign(char),
    /// Not a number.
    #[error("`{0}` is not a number; write one such as 50 or 0.25")]
    Number(String),
    /// Not a function.
    #[error(
        "there is no `{0}`; there are NetworkErrorRatio(), ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) and \
         LatencyAtQuantileMS(quantile)"
    )]
    Function(String),
    /// Too many arguments or too few.
    #[error("{function} takes {takes} arguments, not {given}")]
    Arguments {
        /// Whose.
        function: &'static str,
        /// How many it takes.
        takes: usize,
        /// How many there are.
        given: usize,
    },
    /// Not a status code.
    #[error("`{0}` is not a status code; write a whole number such as 500")]
    Status(String),
    /// A value where a condition should be.
    #[error("{0} alone is no condition; compare it, as in `NetworkErrorRatio() > 0.3`")]
    NoCondition(String),
    /// `!` before something other than a condition.
    #[error(
        "`!` negates a condition; write it before one in parentheses, as in `!(NetworkErrorRatio() > 0.3)`"
    )]
    Negated,
    /// A comparison of something other than a function with a number.
    #[error(
        "a comparison has a function on its left and a number on its right, as in `NetworkErrorRatio() > 0.3`"
    )]
    Comparison,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
enum Term {
    /// One of these holds; two or more, none of them an `Any`.
    Any(Vec<Term>),
    /// All of these hold; two or more, none of them an `All`.
    All(Vec<Term>),
    /// This does not hold; it is no `Not`.
    Not(Box<Term>),
    Compare(Measure, Comparison, f64),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    NetworkErrorRatio,
    ResponseCodeRatio { from: u16, to: u16, by_from: u16, by_to: u16 },
    LatencyAtQuantileMs(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

// === impl Expression ===

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where the text is no expression, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let expression = Self(parse::parse(text)?);
        // What is written back must be readable too, and it may have blanks that the text does without.
        let written = expression.to_string().len();
        if written > LONGEST {
            return Err(ExpressionError { column: 1, problem: Problem::TooLong(written) });
        }
        Ok(expression)
    }

    /// Whether it holds for what was measured.
    pub fn holds(&self, measures: &impl Measures) -> bool {
        self.0.holds(measures)
    }

    /// Whether it asks for latencies, which take memory to keep.
    #[must_use]
    pub fn asks_for_latency(&self) -> bool {
        self.0.asks_for_latency()
    }
}

impl fmt::Display for Expression {
    /// Writes the expression as Traefik takes it too (but for `!`, which it does not know).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

// === impl Term ===
// These recur as deep as parentheses are nested, which is bounded.

impl Term {
    fn holds(&self, measures: &impl Measures) -> bool {
        match self {
            Self::Any(terms) => terms.iter().any(|term| term.holds(measures)),
            Self::All(terms) => terms.iter().all(|term| term.holds(measures)),
            Self::Not(term) => !term.holds(measures),
            Self::Compare(measure, comparison, number) => comparison.holds(measure.of(measures), *number),
        }
    }

    fn asks_for_latency(&self) -> bool {
        match self {
            Self::Any(terms) | Self::All(terms) => terms.iter().any(Self::asks_for_latency),
            Self::Not(term) => term.asks_for_latency(),
            Self::Compare(Measure::LatencyAtQuantileMs(_), _, _) => true,
            Self::Compare(Measure::NetworkErrorRatio | Measure::ResponseCodeRatio { .. }, _, _) => false,
        }
    }

    /// Writes these with `between` them, each of `parenthesized` in parentheses.
    fn join(
        terms: &[Self],
        between: &str,
        parenthesized: fn(&Self) -> bool,
        formatter: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for (index, term) in terms.iter().enumerate() {
            if index > 0 {
                formatter.write_str(between)?;
            }
            if parenthesized(term) {
                write!(formatter, "({term})")?;
            } else {
                write!(formatter, "{term}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(terms) => Self::join(terms, " || ", |_| false, formatter),
            Self::All(terms) => Self::join(terms, " && ", |term| matches!(term, Self::Any(_)), formatter),
            Self::Not(term) => write!(formatter, "!({term})"),
            // Traefik wants a whole number for a latency, and one with a point for a ratio.
            Self::Compare(measure @ Measure::LatencyAtQuantileMs(_), comparison, number) => {
                let point_zero = format!("{number:?}");
                let number = point_zero.strip_suffix(".0").unwrap_or(&point_zero);
                write!(formatter, "{measure} {comparison} {number}")
            }
            Self::Compare(measure, comparison, number) => {
                write!(formatter, "{measure} {comparison} {number:?}")
            }
        }
    }
}

// === impl Measure ===

impl Measure {
    fn of(self, measures: &impl Measures) -> f64 {
        match self {
            Self::NetworkErrorRatio => measures.network_error_ratio(),
            Self::ResponseCodeRatio { from, to, by_from, by_to } => {
                measures.response_code_ratio(from, to, by_from, by_to)
            }
            // In whole milliseconds, as Traefik: `== 50` and `> 50` must mean here what they do there.
            Self::LatencyAtQuantileMs(quantile) => measures.latency_at_quantile_ms(quantile).floor(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkErrorRatio => formatter.write_str("NetworkErrorRatio()"),
            Self::ResponseCodeRatio { from, to, by_from, by_to } => {
                write!(formatter, "ResponseCodeRatio({from}, {to}, {by_from}, {by_to})")
            }
            Self::LatencyAtQuantileMs(quantile) => {
                write!(formatter, "LatencyAtQuantileMS({quantile:?})")
            }
        }
    }
}

// === impl Comparison ===

impl Comparison {
    fn holds(self, measured: f64, number: f64) -> bool {
        match self {
            Self::Above => measured > number,
            Self::AtLeast => measured >= number,
            Self::Below => measured < number,
            Self::AtMost => measured <= number,
            Self::Equal => measured == number,
            Self::Unequal => measured != number,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::Unequal => "!=",
        })
    }
}

#[cfg(test)]
mod tests;
