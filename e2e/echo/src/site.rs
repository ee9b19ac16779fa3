//! What a server knows of itself.
//!
//! In: its settings, the signal to end, and switches turned from outside. Out: who it is, whether it is on its way out,
//! and which requests it fails on purpose.

use crate::{
    answer::Answer,
    arguments::{Connect, Serve},
    client::Client,
    fault::Switch,
};
use anyhow::Result;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// How long a server that this one calls may take.
const CALL: Duration = Duration::from_secs(5);

/// How far a server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not at all.
    Serving,
    /// It serves on, but says that it is not ready.
    Draining,
    /// It takes no connections any more, and ends what would last for ever.
    Closing,
}

/// What a server knows.
pub struct Site {
    /// What it says of itself.
    pub me: Answer,
    /// What it calls when `/` is asked for.
    pub calls: Vec<(String, Client)>,
    /// The failures on purpose.
    pub switch: Switch,
    /// What goes on after its request was answered.
    pub tasks: TaskTracker,
    phase: watch::Sender<Phase>,
}

impl Site {
    /// By the settings.
    pub fn new(arguments: &Serve) -> Result<Self> {
        let Serve { name, pod, node, calls, .. } = arguments.clone();
        let client = |url: String| Ok((url.clone(), Client::new(&url, Connect::default(), CALL)?));
        let calls = calls.into_iter().filter(|url| !url.is_empty()).map(client).collect::<Result<_>>()?;
        let me = Answer { service: name, pod, node, ..Answer::default() };
        let (phase, _) = watch::channel(Phase::Serving);
        Ok(Self { me, calls, switch: Switch::default(), tasks: TaskTracker::new(), phase })
    }

    /// How far it is on its way out.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// It goes on to this phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Resolves when it ends what would last for ever.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            let _ = phase.wait_for(|phase| *phase == Phase::Closing).await; // the server itself is gone: so be it
        }
    }
}
