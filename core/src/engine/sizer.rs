//! Adaptive chunk size: chooses the size of the next chunk from the duration of the previous ones.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::pace::{Pace, PaceChange};
use crate::store::db::Backend;

/// The size of the first chunk, while the speed of the database is not known.
const FIRST_CHUNK: usize = 2_000;
/// How much a chunk may grow over the previous one. The lower limit applies near the target duration, because one fast
/// chunk proves little. Far below the target a chunk may grow by half of what would fit, up to the upper limit; otherwise
/// the first seconds of a run would be wasted on small chunks.
const GROWTH: RangeInclusive<f64> = 1.2..=5.0;
/// The fraction of the target duration that a chunk aims at. Chunks of equal size differ in duration, and the target is
/// the longest time that other clients should wait.
const AIM: f64 = 0.8;
/// The same on SQLite. A client that waits for the only write lock polls every 25 ms at first, then less often, and may miss
/// the first pause. So two chunks and their pauses must fit into the target duration.
const AIM_SQLITE: f64 = 0.4;
/// The pause after a chunk on SQLite, at most as long as the chunk took. A client that waited for the chunk polls once in
/// this time. Without the pause it could wait until the sweep is over, because SQLite's lock is not fair.
const PAUSE_SQLITE: Duration = Duration::from_millis(26);
/// The weight of the newest chunk in the moving average of the speed.
const WEIGHT: f64 = 0.3;

/// Chooses the size of the next chunk.
#[derive(Debug, Clone)]
pub(crate) struct Sizer {
    /// The pace from the settings.
    given: Pace,
    /// What an operator changed.
    changed: PaceChange,
    /// `given` with the changes applied.
    pace: Pace,
    size: usize,
    /// Numbers per second, a moving average.
    speed: Option<f64>,
    /// The fraction of the target duration that a chunk aims at.
    aim: f64,
    /// The shortest pause after a chunk. Not used with a fixed chunk size.
    pause: Duration,
}

impl Sizer {
    pub(crate) fn new(pace: Pace, backend: Backend) -> Self {
        let size =
            if pace.target_chunk.is_some() { FIRST_CHUNK.min(pace.max_chunk.get()) } else { pace.max_chunk.get() };
        let (aim, pause) = if backend == Backend::Sqlite { (AIM_SQLITE, PAUSE_SQLITE) } else { (AIM, Duration::ZERO) };
        Self { given: pace, changed: PaceChange::default(), pace, size, speed: None, aim, pause }
    }

    /// The most numbers that the next chunk takes.
    pub(crate) fn size(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.size).unwrap_or(NonZeroUsize::MIN)
    }

    /// Applies the changes of an operator.
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

    /// The pause after a chunk of this duration.
    pub(crate) fn rest(&self, took: Duration) -> Duration {
        let pause = if self.pace.target_chunk.is_some() { self.pause.min(took) } else { Duration::ZERO };
        Duration::try_from_secs_f64(took.as_secs_f64() * self.pace.sleep_ratio).unwrap_or_default().max(pause)
    }

    /// Halves the size after a lock timeout.
    pub(crate) fn halve(&mut self) {
        self.size = (self.size / 2).max(1);
        self.speed = None;
    }

    /// Adapts the size to a chunk that processed `numbers` numbers in the time `took`.
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
            // Fixed size. It may have been halved, and then grows back.
            None => (size * GROWTH.start()).ceil(),
            // After a slow chunk the size shrinks at once, without averaging: others are waiting for its locks.
            Some(target) if took > target => size * self.aim * target.as_secs_f64() / took.as_secs_f64(),
            // A fast chunk with few numbers does not show how long a full one takes.
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
