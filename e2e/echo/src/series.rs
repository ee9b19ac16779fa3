//! Messages over something that lasts, each answered before the next is sent, by a client that connects again.
//!
//! In: a place to open lines to, and a plan. Out: the outcome of each message.
//!
//! A line may end. Where the other side ends it in the order that its protocol has for that, a message that was not
//! answered is sent once more on a new line, and has failed only if it is not answered there. Where a line just breaks,
//! it has failed. Where a line ends while nothing is under way, nothing is lost. A client that does not connect again
//! counts each end as a failure.

use crate::{answer::Answer, client::Outcome};
use std::{num::NonZeroU64, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Why a line ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side ended it as its protocol has it: it looks at nothing that it did not answer.
    Orderly(String),
    /// Nobody knows what became of a message that was not answered.
    Broken(String),
}

/// Something that carries messages and their answers.
pub trait Line: Send {
    /// Sends a message.
    fn send(&mut self, number: u64) -> impl Future<Output = Result<(), End>> + Send;
    /// The next answer, and of which message. It may be given up at any time without a loss.
    fn receive(&mut self) -> impl Future<Output = Result<(u64, Answer), End>> + Send;
    /// Ends it well.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Where lines lead.
pub trait Place: Send + Sync {
    /// What leads there.
    type Line: Line;
    /// Opens one.
    fn open(&self) -> impl Future<Output = Result<Self::Line, End>> + Send;
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many messages.
    pub messages: u64,
    /// After how many a new line is opened; none keeps one for all.
    pub per_line: Option<NonZeroU64>,
    /// How long to wait between them.
    pub interval: Duration,
    /// How long one may take.
    pub limit: Duration,
    /// Whether to connect again.
    pub reconnect: bool,
}

/// How it went on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many lines were opened.
    pub opened: u64,
    /// How many messages were sent once more.
    pub resent: u64,
}

/// Sends all of them, and tells each outcome.
pub async fn exchange<P: Place>(place: &P, plan: Plan, mut tell: impl FnMut(Outcome)) -> Lines {
    let mut series = Series { place, plan, line: None, on_line: 0, lines: Lines::default() };
    for number in 0..plan.messages {
        let idle = if number > 0 { series.idle().await } else { Ok(()) };
        let start = Instant::now();
        let sent = match idle {
            Err(end) if !plan.reconnect => Err(text(end)),
            Ok(()) | Err(_) => timeout(plan.limit, series.message(number)).await.unwrap_or_else(|_| {
                series.line = None;
                Err("timeout".to_owned())
            }),
        };
        tell(Outcome { answer: sent, start, latency: start.elapsed(), ..Outcome::default() });
    }
    if let Some(line) = series.line {
        line.close().await;
    }
    series.lines
}

struct Series<'a, P: Place> {
    place: &'a P,
    plan: Plan,
    line: Option<P::Line>,
    /// How many messages the line has had.
    on_line: u64,
    lines: Lines,
}

impl<P: Place> Series<'_, P> {
    /// Waits for the next message's time, and sees it if the line ends meanwhile.
    async fn idle(&mut self) -> Result<(), End> {
        let pause = sleep(self.plan.interval);
        let full = self.plan.per_line.is_some_and(|most| self.on_line >= most.get());
        if let Some(line) = self.line.take_if(|_| full) {
            line.close().await;
        }
        let Some(line) = &mut self.line else {
            pause.await;
            return Ok(());
        };
        let end = tokio::select! {
            () = pause => return Ok(()),
            received = line.receive() => match received {
                Ok((number, _)) => End::Broken(format!("an answer to {number}, which was not under way")),
                Err(end) => end,
            }
        };
        self.line = None;
        Err(end)
    }

    async fn message(&mut self, number: u64) -> Result<Answer, String> {
        match self.once(number).await {
            Err(End::Orderly(_)) if self.plan.reconnect => {
                self.lines.resent += 1;
                self.once(number).await.map_err(text)
            }
            other => other.map_err(text),
        }
    }

    async fn once(&mut self, number: u64) -> Result<Answer, End> {
        // Without a line again if this fails, or is given up halfway.
        let mut line = match self.line.take() {
            Some(line) => line,
            None => {
                self.on_line = 0;
                let line = self.place.open().await?;
                self.lines.opened += 1;
                line
            }
        };
        line.send(number).await?;
        let (answered, answer) = line.receive().await?;
        if answered != number {
            return Err(End::Broken(format!("an answer to {answered} instead of {number}")));
        }
        self.on_line += 1;
        self.line = Some(line);
        Ok(answer)
    }
}

fn text(end: End) -> String {
    match end {
        End::Orderly(text) | End::Broken(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::VecDeque, sync::Mutex};

    /// What one line does: answers so many messages, and then ends, at once or when the next message has come.
    #[derive(Clone)]
    struct Script {
        answers: u64,
        end: End,
        after_next: bool,
    }

    struct Scripts(Mutex<VecDeque<Script>>);

    struct Scripted {
        script: Script,
        last: Option<u64>,
    }

    impl Place for Scripts {
        type Line = Scripted;
        async fn open(&self) -> Result<Scripted, End> {
            let script = self.0.lock().unwrap().pop_front();
            let script = script.ok_or_else(|| End::Broken("connect".into()))?;
            Ok(Scripted { script, last: None })
        }
    }

    impl Line for Scripted {
        async fn send(&mut self, number: u64) -> Result<(), End> {
            self.last = Some(number);
            Ok(())
        }
        async fn receive(&mut self) -> Result<(u64, Answer), End> {
            if self.script.answers == 0 && self.script.after_next && self.last.is_none() {
                std::future::pending::<()>().await;
            }
            if self.script.answers == 0 {
                return Err(self.script.end.clone());
            }
            match self.last.take() {
                Some(number) => {
                    self.script.answers -= 1;
                    Ok((number, Answer::default()))
                }
                None => std::future::pending().await,
            }
        }
        async fn close(self) {}
    }

    fn script(answers: u64, orderly: bool, after_next: bool) -> Script {
        let end = if orderly { End::Orderly("closed".into()) } else { End::Broken("reset".into()) };
        Script { answers, end, after_next }
    }

    async fn run(
        scripts: &[Script],
        reconnect: bool,
        per_line: Option<u64>,
    ) -> (Vec<Result<(), String>>, Lines) {
        let place = Scripts(Mutex::new(scripts.to_vec().into()));
        let plan = Plan {
            messages: 6,
            per_line: per_line.and_then(NonZeroU64::new),
            interval: Duration::from_secs(1),
            limit: Duration::from_secs(5),
            reconnect,
        };
        let mut outcomes = Vec::new();
        let lines = exchange(&place, plan, |outcome| outcomes.push(outcome.answer.map(drop))).await;
        (outcomes, lines)
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_ends_between_messages_loses_none() {
        for orderly in [true, false] {
            let (outcomes, lines) =
                run(&[script(3, orderly, false), script(9, true, true)], true, None).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            assert_eq!(lines, Lines { opened: 2, resent: 0 });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_orderly_end_lets_a_message_be_sent_once_more_and_a_break_does_not() {
        let (outcomes, lines) = run(&[script(3, true, true), script(9, true, true)], true, None).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(lines, Lines { opened: 2, resent: 1 });

        let (outcomes, lines) = run(&[script(3, false, true), script(9, true, true)], true, None).await;
        assert_eq!(outcomes[3], Err("reset".into()));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        assert_eq!(lines, Lines { opened: 2, resent: 0 });

        let ends = [script(3, true, true), script(0, true, true), script(9, true, true)];
        let (outcomes, _) = run(&ends, true, None).await;
        assert_eq!(outcomes[3], Err("closed".into()), "once more, not twice");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_connecting_again_an_end_is_a_failure() {
        for after_next in [true, false] {
            let (outcomes, _) = run(&[script(3, true, after_next), script(9, true, true)], false, None).await;
            assert_eq!(outcomes[3], Err("closed".into()));
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_cannot_be_reached_fails_every_message() {
        let (outcomes, lines) = run(&[script(2, true, true)], true, None).await;
        let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, true, true, true, true]);
        assert_eq!(lines.opened, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_line_after_so_many_messages() {
        let lines = vec![script(9, true, true); 9];
        let (outcomes, lines) = run(&lines, true, Some(2)).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(lines, Lines { opened: 3, resent: 0 });
    }
}
