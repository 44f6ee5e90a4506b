//! Whether a probe's kernel computes right: over its own small cases, before it is timed.

use super::{Alter, Prober};
use crate::error::Result;
use crate::gpu::{Case, Executor, Op, Recording};

impl Prober<'_, '_> {
    /// Whether the adapter agrees with the reference on a kernel's cases, of those that `wanted` chooses.
    pub(super) async fn is_right(&mut self, kernel: &Op, wanted: fn(&Case) -> bool) -> Result<bool> {
        let caps = self.adapter.caps;
        let runs = |case: &Case| case.recording.stages.iter().all(|stage| caps.run(&stage.spec));
        let cases = (kernel.cases)().into_iter().filter(|case| runs(case) && wanted(case));
        agrees_on(&mut self.executor, cases, self.options.alter).await
    }
}

/// Whether an executor agrees with the reference on cases.
pub(super) async fn agrees_on(
    executor: &mut Executor,
    cases: impl Iterator<Item = Case>,
    alter: &Alter<'_>,
) -> Result<bool> {
    for case in cases {
        let expected = outputs(&mut Executor::Cpu(Box::default()), &case, &|_| {}).await?;
        let found = outputs(executor, &case, alter).await?;
        let mut pairs = expected.iter().zip(&found).zip(&case.outputs);
        if !pairs.all(|((expected, found), (_, tolerance))| agree(expected, found, *tolerance)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A case's outputs as an executor computes them, as bytes.
async fn outputs(executor: &mut Executor, case: &Case, alter: &Alter<'_>) -> Result<Vec<Vec<u8>>> {
    executor.allocate(&case.arena).await?;
    for (buffer, bytes) in &case.inputs {
        executor.write(case.arena.whole(*buffer), 0, bytes);
    }
    let mut recording: Recording = case.recording.clone();
    alter(&mut recording);
    let prepared = executor.prepare(&recording).await?;
    executor.run(prepared, 1).await?;
    let mut read = Vec::new();
    for (buffer, _) in &case.outputs {
        read.push(executor.read(case.arena.whole(*buffer)).await?);
    }
    Ok(read)
}

/// Whether all values agree, relative to `1 + |expected|`; equal words always do, and must where the tolerance is 0.
pub(super) fn agree(expected: &[u8], found: &[u8], tolerance: f32) -> bool {
    let words = |bytes: &[u8]| -> Vec<u32> { bytemuck::pod_collect_to_vec(bytes) };
    let same = |(e, f): (u32, u32)| {
        let (x, y) = (f32::from_bits(e), f32::from_bits(f));
        e == f || (tolerance > 0.0 && (x - y).abs() <= tolerance * (1.0 + x.abs()))
    };
    expected.len() == found.len() && words(expected).into_iter().zip(words(found)).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_too_much_or_are_none_do_not_agree() {
        let bytes = |v: f32| v.to_le_bytes();
        assert!(agree(&bytes(1.0), &bytes(1.001), 1e-3));
        assert!(!agree(&bytes(1.0), &bytes(1.001), 0.0) && !agree(&bytes(1.0), &bytes(1.01), 1e-3));
        assert!(!agree(&bytes(1.0), &bytes(f32::NAN), 1.0) && !agree(&bytes(1.0), &[], 1.0));
    }
}
