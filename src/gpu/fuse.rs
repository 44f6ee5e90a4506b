//! Fusion: rules that rewrite a recording. Neighbouring stages become one that does the work of all, so that a step has fewer
//! dispatches, each of which waits for the one before it. A rule looks at stages and never at an adapter: where an adapter is
//! faster with the parts, [`super::Tuning`] chooses those.

use super::op::{Access, Case, Op};
use super::recording::{BufferId, Recording, Slice, Stage};

/// A rule: which neighbouring stages become which one.
#[derive(Debug)]
pub struct Rule {
    /// Names of the kernels of the stages that it takes, in order.
    pub parts: &'static [&'static str],
    /// The stage that does their work, of their layer's first; none where they do not fit together.
    pub fuse: fn(&[Stage]) -> Option<Stage>,
    /// Kernels, beside those of the parts, that may be next to bind what the parts leave to each other. They write it again, and
    /// never read what they write.
    pub writers: &'static [&'static str],
    /// Small recordings of the parts, each of which the rule fuses.
    pub cases: fn() -> Vec<Case>,
}

impl Rule {
    /// The stage that takes the place of the recording's stages from `first` on.
    fn apply(&self, stages: &[Stage], first: usize) -> Option<Stage> {
        let end = first + self.parts.len();
        let parts = stages.get(first..end)?;
        if !parts.iter().zip(self.parts).all(|(stage, name)| stage.op.name == *name) {
            return None;
        }
        let fused = (self.fuse)(parts)?;
        let kept: Vec<Slice> = written(&fused).collect();
        let is_kept = |slice: &Slice| kept.iter().any(|kept| kept.contains(slice));
        let is_lost = |part: &Stage, slice: &Slice| !is_kept(slice) && !self.is_dead(stages, end, part, *slice);
        let loses = parts.iter().any(|part| written(part).any(|slice| is_lost(part, &slice)));
        (!loses).then(|| Stage { parts: parts.to_vec(), ..fused })
    }

    /// Whether nobody reads what `part` left in a slice, as far as the recording tells: who next binds its buffer, from stage
    /// `end` on and then from the first stage on, is a stage that writes it again.
    fn is_dead(&self, stages: &[Stage], end: usize, part: &Stage, slice: Slice) -> bool {
        let binds = |stage: &&Stage| stage.bindings.iter().any(|of| of.buffer == slice.buffer);
        let Some(next) = stages[end..].iter().chain(&stages[..end]).find(binds) else { return true };
        (next.op.name == part.op.name || self.writers.contains(&next.op.name))
            && bound(next).all(|(of, access)| of.buffer != slice.buffer || access == Access::Write)
    }

    /// The cases after fusion, for the fused kernel's own list.
    ///
    /// # Panics
    /// When the rule does not take one: a mistake in this program.
    #[must_use]
    pub fn fused_cases(&'static self) -> Vec<Case> {
        let fused = |case: Case| {
            let recording = fuse(&case.recording, &[self]);
            assert_eq!(recording.stages.len(), 1, "{}: the rule does not take it", case.name);
            Case { recording, ..case }
        };
        (self.cases)().into_iter().map(fused).collect()
    }
}

/// Rewrites a recording by one rule after the other, each from the first stage to the last: later rules may take what earlier
/// ones made.
#[must_use]
pub fn fuse(recording: &Recording, rules: &[&Rule]) -> Recording {
    fuse_where(recording, rules, &|_| true)
}

/// As [`fuse`], of the fused stages those alone that are wanted.
#[must_use]
pub fn fuse_where(recording: &Recording, rules: &[&Rule], is_wanted: &dyn Fn(&Stage) -> bool) -> Recording {
    rules.iter().fold(recording.clone(), |recording, rule| fuse_by(&recording, rule, is_wanted))
}

fn fuse_by(recording: &Recording, rule: &Rule, is_wanted: &dyn Fn(&Stage) -> bool) -> Recording {
    let stages = &recording.stages;
    let mut fused = Recording { stages: Vec::with_capacity(stages.len()), layer: recording.layer };
    let mut at = 0;
    while let Some(stage) = stages.get(at) {
        let taken = rule.apply(stages, at).filter(is_wanted);
        at += if taken.is_some() { rule.parts.len() } else { 1 };
        fused.stages.push(taken.unwrap_or_else(|| stage.clone()));
    }
    fused
}

/// The slices that a stage writes.
fn written(stage: &Stage) -> impl Iterator<Item = Slice> {
    bound(stage).filter(|(_, access)| *access == Access::Write).map(|(slice, _)| slice)
}

fn bound(stage: &Stage) -> impl Iterator<Item = (Slice, Access)> {
    stage.bindings.iter().zip(stage.op.bindings).map(|(slice, (_, access))| (*slice, *access))
}

/// The longest chain of steps (kernels with their slices) of which each waits for one before it: for what that wrote, or to
/// write what that binds. Buffers count whole, as WebGPU has it.
#[must_use]
pub fn n_ordered_steps<'a>(steps: impl IntoIterator<Item = (&'static Op, &'a [Slice])>) -> usize {
    let mut before: Vec<(Vec<(BufferId, Access)>, usize)> = Vec::new();
    for (op, slices) in steps {
        let bound: Vec<_> =
            slices.iter().zip(op.bindings).map(|(slice, (_, access))| (slice.buffer, *access)).collect();
        let clash = |(a, of_a): &(BufferId, Access), (b, of_b): &(BufferId, Access)| {
            a == b && (*of_a, *of_b) != (Access::Read, Access::Read)
        };
        let waits = |other: &[(BufferId, Access)]| other.iter().any(|a| bound.iter().any(|b| clash(a, b)));
        let depth = before.iter().filter(|(other, _)| waits(other)).map(|(_, depth)| *depth).max().unwrap_or(0);
        before.push((bound, depth + 1));
    }
    before.into_iter().map(|(_, depth)| depth).max().unwrap_or(0)
}
