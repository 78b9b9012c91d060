//! How large a chunk is: its size follows its duration.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::pace::{Pace, PaceChange};
use crate::store::db::Backend;

/// The first chunk of a run that has yet to learn how fast the database is.
const FIRST_CHUNK: usize = 2_000;
/// A chunk is at most so many times as large as the one before: one lucky chunk says little. As long as chunks are far
/// from their time, half of what fits may be dared, or the first seconds of a run would be wasted.
const GROWTH: RangeInclusive<f64> = 1.2..=5.0;
/// The share of its time that a chunk aims at. Chunks of one size differ, and the time is what others are promised to wait
/// at most.
const AIM: f64 = 0.8;
/// The same on SQLite. Whoever waits for its only writer asks again every 25 ms at first, then more and more seldom, and may
/// miss the first pause. So two chunks and their pauses must fit.
const AIM_SQLITE: f64 = 0.4;
/// After a chunk SQLite is left to others for so long, and no longer than the chunk took: those who have waited for a chunk
/// ask once in this time. Without it they would wait until the sweep is over.
const PAUSE_SQLITE: Duration = Duration::from_millis(26);
/// The weight of the newest chunk in the moving average of the speed.
const WEIGHT: f64 = 0.3;

/// Learns from the chunks how large the next should be.
#[derive(Debug, Clone)]
pub(crate) struct Sizer {
    given: Pace,
    changed: PaceChange,
    pace: Pace,
    size: usize,
    /// Numbers a second, a moving average.
    speed: Option<f64>,
    /// The share of its time that a chunk aims at.
    aim: f64,
    /// What others get at least after a chunk, unless it is of a fixed size.
    pause: Duration,
}

impl Sizer {
    pub(crate) fn new(pace: Pace, backend: Backend) -> Self {
        let size =
            if pace.target_chunk.is_some() { FIRST_CHUNK.min(pace.max_chunk.get()) } else { pace.max_chunk.get() };
        let (aim, pause) = if backend == Backend::Sqlite { (AIM_SQLITE, PAUSE_SQLITE) } else { (AIM, Duration::ZERO) };
        Self { given: pace, changed: PaceChange::default(), pace, size, speed: None, aim, pause }
    }

    /// Numbers that the next chunk takes at most.
    pub(crate) fn size(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.size).unwrap_or(NonZeroUsize::MIN)
    }

    /// Takes over what a person changed.
    pub(crate) fn change(&mut self, change: PaceChange) {
        if change == self.changed {
            return;
        }
        self.changed = change;
        self.pace = change.apply(self.given);
        if self.pace.target_chunk.is_none() {
            self.size = self.pace.max_chunk.get();
        }
        self.size = self.size.min(self.pace.max_chunk.get());
    }

    /// How long to let others work after a chunk that took so long.
    pub(crate) fn rest(&self, took: Duration) -> Duration {
        let pause = if self.pace.target_chunk.is_some() { self.pause.min(took) } else { Duration::ZERO };
        Duration::try_from_secs_f64(took.as_secs_f64() * self.pace.sleep_ratio).unwrap_or_default().max(pause)
    }

    /// A chunk ran into a timeout.
    pub(crate) fn halve(&mut self) {
        self.size = (self.size / 2).max(1);
        self.speed = None;
    }

    /// A chunk took so many numbers in such a time.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are small, and an estimate"
    )]
    pub(crate) fn learn(&mut self, numbers: i64, took: Duration) {
        let max = self.pace.max_chunk.get() as f64;
        let size = self.size as f64;
        let size = match self.pace.target_chunk {
            // It may have been halved.
            None => (size * GROWTH.start()).ceil(),
            // A slow chunk counts at once: others are waiting for its locks.
            Some(target) if took > target => size * self.aim * target.as_secs_f64() / took.as_secs_f64(),
            // A quick chunk with few numbers in it says nothing about large ones.
            Some(_) if numbers * 2 < i64::try_from(self.size).unwrap_or(i64::MAX) => return,
            Some(target) => {
                let now = numbers as f64 / took.as_secs_f64().max(1e-6);
                let speed = self.speed.map_or(now, |speed| speed + WEIGHT * (now - speed));
                self.speed = Some(speed);
                let fits = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
                let growth = (fits / 2.0).clamp(*GROWTH.start(), *GROWTH.end());
                (speed * self.aim * target.as_secs_f64()).min(size * growth)
            }
        };
        let size = size.min(max);
        self.size = (size as usize).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizer(target_ms: u64, max: usize) -> Sizer {
        let max_chunk = NonZeroUsize::new(max).unwrap();
        let pace = Pace { target_chunk: Some(Duration::from_millis(target_ms)), ..Pace::fixed(max_chunk) };
        Sizer::new(pace, Backend::Postgres)
    }

    /// Lets chunks go at a speed (numbers a second).
    fn run(sizer: &mut Sizer, chunks: usize, speed: f64) -> Vec<usize> {
        let one = |_| {
            let size = sizer.size().get();
            #[allow(clippy::cast_precision_loss, reason = "small")]
            sizer.learn(i64::try_from(size).unwrap(), Duration::from_secs_f64(size as f64 / speed));
            size
        };
        (0..chunks).map(one).collect()
    }

    #[test]
    fn it_finds_a_size_that_stays_below_the_target() {
        let mut sizer = sizer(250, 100_000);
        let sizes = run(&mut sizer, 40, 100_000.0);
        assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] * 5), "{sizes:?}");
        assert!((19_000..=20_500).contains(sizes.last().unwrap()), "{sizes:?}");
        // The database becomes ten times slower: the next chunk is as much smaller.
        let slower = run(&mut sizer, 3, 10_000.0);
        assert!(slower[1] <= 2_600, "{slower:?}");
    }

    #[test]
    fn it_stays_within_its_bounds() {
        assert!(run(&mut sizer(250, 3_000), 20, 1e9).iter().all(|size| *size <= 3_000));
        assert!(run(&mut sizer(250, 3_000), 20, 0.1).iter().all(|size| *size >= 1));
        let mut fixed = Sizer::new(Pace::fixed(NonZeroUsize::new(7).unwrap()), Backend::Sqlite);
        assert_eq!(run(&mut fixed, 3, 1.0), [7, 7, 7]);
        fixed.halve();
        assert_eq!(fixed.size().get(), 3);
        for _ in 0..9 {
            fixed.halve();
        }
        assert_eq!(fixed.size().get(), 1);
    }

    #[test]
    fn a_person_changes_it_while_it_runs() {
        let mut sizer = sizer(250, 100_000);
        run(&mut sizer, 40, 100_000.0);
        sizer.change(PaceChange { target_chunk_ms: Some(25), ..PaceChange::default() });
        let sizes = run(&mut sizer, 3, 100_000.0);
        assert!(sizes[1] <= 2_600, "{sizes:?}");
        let cap = PaceChange { max_chunk: NonZeroUsize::new(10), sleep_ratio: Some(2.0), ..PaceChange::default() };
        sizer.change(cap);
        assert_eq!(sizer.size().get(), 10);
        assert_eq!(sizer.rest(Duration::from_millis(100)), Duration::from_millis(200));
    }

    #[test]
    fn on_sqlite_others_get_a_pause() {
        let pace = |target_chunk| Pace { target_chunk, ..Pace::fixed(NonZeroUsize::new(100_000).unwrap()) };
        let mut adaptive = Sizer::new(pace(Some(Duration::from_millis(250))), Backend::Sqlite);
        let sizes = run(&mut adaptive, 40, 100_000.0);
        assert!((9_500..=10_500).contains(sizes.last().unwrap()), "{sizes:?}");
        assert_eq!(adaptive.rest(Duration::from_millis(100)), PAUSE_SQLITE);
        assert_eq!(adaptive.rest(Duration::from_millis(3)), Duration::from_millis(3));
        let fixed = Sizer::new(pace(None), Backend::Sqlite);
        assert_eq!(fixed.rest(Duration::from_millis(100)), Duration::ZERO);
    }
}
