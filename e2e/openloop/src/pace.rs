//! Tells when the next request is meant to be sent.
//!
//! In: a rate. Out: instants, each when it has come. A reader that is late gets the ones it missed at once.

use anyhow::Result;
use rustix::{
    io,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use std::{num::NonZeroU32, os::fd::OwnedFd, time::Duration};
use tokio::{io::unix::AsyncFd, time::Instant};

/// A clock that ticks at a rate.
pub struct Pace {
    timer: AsyncFd<OwnedFd>,
    start: Instant,
    gap: Duration,
    ticks: u32,
    /// How many ticks have come that were not given out yet.
    due: u64,
}

impl Pace {
    /// Starts to tick: the first time after one gap.
    pub fn start(rate: NonZeroU32) -> Result<Self> {
        let gap = Duration::from_secs(1) / rate.get();
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let spec = Timespec { tv_sec: gap.as_secs().try_into()?, tv_nsec: gap.subsec_nanos().into() };
        // Sound here: an OwnedFd keeps its descriptor. What takes its place is an unsafe function.
        #[expect(deprecated)]
        let timer = AsyncFd::new(timer)?;
        let start = Instant::now();
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: spec, it_value: spec },
        )?;
        Ok(Self { timer, start, gap, ticks: 0, due: 0 })
    }

    /// When the next request is meant to be sent, once that has come.
    pub async fn next(&mut self) -> Result<Instant> {
        while self.due == 0 {
            let mut ready = self.timer.readable().await?;
            let mut ticks = [0; 8];
            match io::read(ready.get_inner(), &mut ticks) {
                Ok(_) => self.due = u64::from_ne_bytes(ticks),
                Err(io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        self.due -= 1;
        self.ticks += 1;
        Ok(self.start + self.gap * self.ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ticks_are_a_gap_apart_however_late_they_are_read() {
        let rate = NonZeroU32::new(1000).unwrap();
        let mut pace = Pace::start(rate).unwrap();
        let first = pace.next().await.unwrap();
        std::thread::sleep(Duration::from_millis(5)); // ticks pile up meanwhile
        for number in 1..=10 {
            let meant = pace.next().await.unwrap();
            assert_eq!(meant, first + Duration::from_millis(1) * number);
            assert!(Instant::now() >= meant, "not before its time");
        }
    }
}
