//! What a session's steps must move and do, and how long each of their stages takes: the two sides of every share of a
//! limit. Counted from the recordings of the steps, not from a formula of its own.

use crate::error::Result;
use crate::gpu::Recording;
use crate::gpu::recording::Cost;

use crate::engine::arch::step::Kind;
use crate::engine::run::sampling::Sampling;
use crate::engine::run::session::Session;

impl Session {
    /// What a prompt of `n` tokens that begins at position `depth` must move and do, in steps as large as they can be.
    /// The head is left out, as it is in [`Self::prefill`].
    #[must_use]
    pub fn work_of_prompt(&self, depth: u32, n: u32) -> Cost {
        let chunk = self.largest_capacity();
        let mut work = Cost::default();
        let mut whole: Option<(Kind, Recording)> = None;
        for begin in (0..n / chunk).map(|step| depth.saturating_add(step * chunk)) {
            work = sum(work, of_step(self.recorded(&mut whole, self.body_at(begin, chunk)), begin));
        }
        let (rest, begin) = (n % chunk, depth.saturating_add(n - n % chunk));
        if rest > 0 {
            work = sum(work, of_step(&self.record(self.body_at(begin, rest).sized(rest)), begin));
        }
        work
    }

    /// What [`Self::generate_from`] must move and do for `n_new` ids after a prompt of `n_prompt` tokens that begins at
    /// position `depth`: the prompt, its head, and all steps but that of the last id, which is not computed.
    #[must_use]
    pub fn work_of_generation(&self, depth: u32, n_prompt: u32, n_new: u32) -> Cost {
        let first = depth.saturating_add(n_prompt);
        let mut work = sum(self.work_of_prompt(depth, n_prompt), of_step(&self.record(Kind::HeadLast(1)), first));
        let mut decode: Option<(Kind, Recording)> = None;
        for position in (0..n_new.saturating_sub(1)).map(|step| first.saturating_add(step)) {
            work = sum(work, of_step(self.recorded(&mut decode, self.network.decode_at(position)), position));
        }
        work
    }

    /// The recording of a kind of step, which is the last one if that is of the kind.
    fn recorded<'a>(&self, last: &'a mut Option<(Kind, Recording)>, kind: Kind) -> &'a Recording {
        let same = last.take().filter(|(of, _)| *of == kind);
        &last.insert(same.unwrap_or_else(|| (kind, self.record(kind)))).1
    }

    /// Runs one step of `n` tokens at `position` stage by stage, and gives its recording and the time of each of its
    /// stages in milliseconds; `None` where the adapter has no timestamps. One token is a decode step; more are a
    /// step of a prompt, at most the largest that is recorded.
    ///
    /// # Errors
    /// When the adapter fails.
    pub async fn profile_step(&mut self, position: u32, n: u32) -> Result<(Recording, Option<Vec<f64>>)> {
        let n = n.clamp(1, self.largest_capacity());
        let kind = if n == 1 { self.network.decode_at(position) } else { self.body_at(position, n).sized(n) };
        let prepared = self.prepare(kind).await?;
        self.write_step(position, n, &Sampling::default());
        let times = self.executor.profile(prepared).await?;
        Ok((self.record(kind), times))
    }
}

fn of_step(recording: &Recording, position: u32) -> Cost {
    recording.stages.iter().fold(Cost::default(), |total, stage| sum(total, stage.work(position)))
}

fn sum(a: Cost, b: Cost) -> Cost {
    Cost { bytes: a.bytes.saturating_add(b.bytes), ops: a.ops.saturating_add(b.ops) }
}
