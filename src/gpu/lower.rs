//! Lowering: a recording, the same for every adapter, becomes the program that one adapter runs. A stage becomes a dispatch
//! of the variant that is chosen for it, and, where the variant asks for it, helpers before and after, with scratch between. A
//! fused one becomes its parts again where that is chosen.

use super::fuse::Rule;
use super::op::{Access, Op, Spec, Variant};
use super::recording::{Recording, Slice, Stage};
use super::space::{self, Space};
use super::{Caps, Config, Tuning};

/// What an adapter runs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// In order; those of a stage stand together.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of each scratch buffer, which belong to the program.
    pub scratch: Vec<u64>,
}

impl Program {
    /// Bytes of all scratch buffers.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().sum()
    }
}

/// A dispatch, of a stage's kernel or of a helper's.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The stage that it belongs to, by its place in the recording.
    pub stage: usize,
    /// The kernel that its bindings and parameters are declared by.
    pub op: &'static Op,
    /// The chosen variant.
    pub variant: &'static Variant,
    /// What its text is made of: the stage's facts, and what was chosen.
    pub spec: Spec,
    /// Bytes of its `Params`.
    pub params: Vec<u8>,
    /// Slices for bindings 1, 2, …, of the arena or of the program's scratch.
    pub bindings: Vec<Slice>,
    /// Workgroups; the executor lays them out over x and y.
    pub n_workgroups: u32,
}

/// What a variant makes of a stage. Most variants make one dispatch: a text's chosen part and its workgroups, as a pair.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The chosen part of the variant's own text.
    pub spec: Spec,
    /// Its workgroups.
    pub n_workgroups: u64,
    /// Its parameters, where they are not the stage's.
    pub params: Option<Vec<u8>>,
    /// Its slices, where they are not the stage's.
    pub bindings: Option<Vec<Slice>>,
    /// Bytes of scratch buffers. [`Slice::scratch`] of their places in this list stands for them here.
    pub scratch: Vec<u64>,
    /// Helpers that run before, such as one that makes another form of the activations. Each becomes one dispatch of its
    /// kernel's first variant.
    pub before: Vec<Stage>,
    /// Rules by which the dispatch before may do the work of such a helper as well.
    pub joins: &'static [&'static Rule],
    /// Helpers that run after, such as one that adds up partial sums.
    pub after: Vec<Stage>,
}

impl From<(Spec, u64)> for Lowered {
    fn from((spec, n_workgroups): (Spec, u64)) -> Self {
        Self { spec, n_workgroups, ..Self::default() }
    }
}

/// Lowers every stage, in order.
///
/// # Panics
/// When a grid is too large: a mistake in this program, since shapes are checked before.
#[must_use]
pub fn lower(recording: &Recording, caps: &Caps, tuning: &Tuning) -> Program {
    let mut lowering = Lowering { caps, program: Program::default(), n_taken: 0, made: Vec::new(), last: None };
    for (index, stage) in recording.stages.iter().enumerate() {
        lowering.lower_chosen(index, stage, tuning);
    }
    lowering.program
}

/// Scratch buffers of a program at most. Stages take them by turns: an adapter orders dispatches by the buffers that they
/// share, so with one for all, stages that have nothing to do with each other would wait for each other.
const MOST_SCRATCH: usize = 4;

struct Lowering<'a> {
    caps: &'a Caps,
    program: Program,
    /// Scratch buffers handed out so far.
    n_taken: usize,
    made: Vec<Made>,
    /// What the last dispatch was made of, where it is all of its stage.
    last: Option<(Stage, &'static Variant, Config)>,
}

/// What a helper left in a scratch buffer, good for the next stage that asks for the same: q, k and v read one x. Only within
/// a layer, so that stages of all layers in a row, as a tuner times them, do no less than in a step.
struct Made {
    helper: Stage,
    scratch: u32,
}

impl Made {
    /// Whether another helper of a layer would make the same.
    fn is_as(&self, other: &Stage, layer: Option<u32>) -> bool {
        let helper = &self.helper;
        (helper.op.name, helper.layer, &helper.params) == (other.op.name, layer, &other.params)
            && helper.spec == other.spec
            && helper.slices(Access::Read).eq(other.slices(Access::Read))
    }
}

impl Lowering<'_> {
    fn lower_chosen(&mut self, index: usize, stage: &Stage, tuning: &Tuning) {
        match tuning.choose(stage, self.caps) {
            Some((variant, config)) => self.lower_stage(index, stage, variant, &config),
            None => stage.parts.iter().for_each(|part| self.lower_chosen(index, part, tuning)),
        }
    }

    fn lower_stage(&mut self, index: usize, stage: &Stage, variant: &'static Variant, config: &Config) {
        let Lowered { spec, n_workgroups, params, bindings, scratch, before, joins, after } =
            (variant.way.lower)(stage, self.caps, config);
        let is_whole = params.is_none() && bindings.is_none() && before.is_empty() && after.is_empty();
        assert!(scratch.len() <= MOST_SCRATCH, "{}: too much scratch", stage.name);
        let mut places: Vec<Option<u32>> = vec![None; scratch.len()];
        let is_needed = |helper: &Stage| {
            let made = self.made.iter().find(|made| made.is_as(helper, stage.layer)).map(|made| made.scratch);
            let written = helper.slices(Access::Write).find_map(|slice| slice.buffer.as_scratch());
            if let (Some(at), Some(_)) = (written, made) {
                places[at as usize] = made;
            }
            made.is_none()
        };
        let before: Vec<Stage> = before.into_iter().filter(is_needed).collect();
        for at in 0..places.len() {
            let place = places[at].unwrap_or_else(|| self.take(&places));
            places[at] = Some(place);
            let bytes = &mut self.program.scratch[place as usize];
            *bytes = scratch[at].next_multiple_of(16).max(*bytes);
        }
        let place = |slices: &[Slice]| -> Vec<Slice> {
            let placed = |slice: &Slice| {
                let place = slice.buffer.as_scratch().and_then(|at| places[at as usize]);
                place.map_or(*slice, |place| Slice::scratch(place, slice.bytes))
            };
            slices.iter().map(placed).collect()
        };
        let placed = |helper: Stage| Stage { bindings: place(&helper.bindings), layer: stage.layer, ..helper };
        for helper in before.into_iter().map(placed) {
            self.help(index, &helper, config, joins);
        }
        self.push(Dispatch {
            stage: index,
            op: stage.op,
            variant,
            spec: spec.with(&stage.spec),
            params: params.unwrap_or_else(|| stage.params.clone()),
            bindings: place(bindings.as_ref().unwrap_or(&stage.bindings)),
            n_workgroups: grid(n_workgroups),
        });
        for helper in after.into_iter().map(placed) {
            self.help(index, &helper, config, &[]);
        }
        self.last = is_whole.then(|| (stage.clone(), variant, *config));
    }

    /// The next scratch buffer that the stage at hand does not use yet.
    fn take(&mut self, used: &[Option<u32>]) -> u32 {
        loop {
            let number = (self.n_taken % MOST_SCRATCH) as u32;
            self.n_taken += 1;
            if !used.contains(&Some(number)) {
                self.made.retain(|made| made.scratch != number);
                self.program.scratch.resize(self.program.scratch.len().max(number as usize + 1), 0);
                return number;
            }
        }
    }

    /// The last dispatch and a helper as one, by the first rule that takes them and has a variant like that dispatch's.
    fn joined(&self, helper: &Stage, joins: &[&'static Rule]) -> Option<(Stage, &'static Variant, Config)> {
        let (stage, variant, config) = self.last.as_ref()?;
        let parts = [stage.clone(), helper.clone()];
        let fitting = joins.iter().filter(|rule| rule.parts == [stage.op.name, helper.op.name]);
        fitting.filter_map(|rule| (rule.fuse)(&parts)).find_map(|joined| {
            let is_alike = |of: &&Variant| of.source == variant.source && of.can(&joined, self.caps);
            joined.op.variants.iter().find(is_alike).map(|of| (joined, of, *config))
        })
    }

    fn help(&mut self, index: usize, helper: &Stage, config: &Config, joins: &[&'static Rule]) {
        let joined = self.joined(helper, joins).and_then(|joined| Some((self.program.dispatches.pop()?.stage, joined)));
        let (index, (stage, variant, config)) =
            joined.unwrap_or_else(|| (index, (helper.clone(), &helper.op.variants[0], *config)));
        let Lowered { spec, n_workgroups, before, after, .. } = (variant.way.lower)(&stage, self.caps, &config);
        assert!(before.is_empty() && after.is_empty(), "{}: a helper is one dispatch", helper.name);
        self.push(Dispatch {
            stage: index,
            op: stage.op,
            variant,
            spec: spec.with(&stage.spec),
            params: stage.params.clone(),
            bindings: stage.bindings.clone(),
            n_workgroups: grid(n_workgroups),
        });
        self.last = None;
        // What comes of the arena alone, and is one buffer.
        let written: Vec<Slice> = helper.slices(Access::Write).collect();
        let is_of_scratch = helper.slices(Access::Read).any(|slice| slice.buffer.as_scratch().is_some());
        if let ([slice], false) = (written.as_slice(), is_of_scratch)
            && let Some(scratch) = slice.buffer.as_scratch()
        {
            self.made.push(Made { helper: helper.clone(), scratch });
        }
    }

    /// What was made of a slice that is written now is out of date.
    fn push(&mut self, dispatch: Dispatch) {
        let bound = dispatch.bindings.iter().zip(dispatch.variant.bindings(dispatch.op));
        for (written, _) in bound.filter(|(_, (_, access))| *access == Access::Write) {
            self.made.retain(|made| !made.helper.slices(Access::Read).any(|read| read.overlaps(written)));
        }
        self.program.dispatches.push(dispatch);
    }
}

fn grid(n_workgroups: u64) -> u32 {
    u32::try_from(n_workgroups.max(1)).expect("a grid of less than 2^32 workgroups")
}

/// How stages become dispatches of a variant, and the configs worth trying.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// What it makes of a stage.
    pub lower: fn(&Stage, &Caps, &Config) -> Lowered,
    /// Configs worth trying.
    pub space: fn(&Caps) -> Space,
}

/// Results that many invocations share, each along a whole vector.
pub(crate) const VECTOR: Way =
    Way { lower: |stage, caps, config| shared(stage, config.sharing(caps, config.vector_lanes)), space: space::vector };

/// As [`VECTOR`], of so many turns of loops that one invocation might not be let go through them.
pub(crate) fn long_vector(stage: &Stage, caps: &Caps, config: &Config, n_turns: u64) -> Lowered {
    (VECTOR.lower)(stage, caps, &config.within_turns(caps, n_turns))
}

/// Results that a few invocations share, each along a row or a head.
pub(crate) const ROW: Way =
    Way { lower: |stage, caps, config| shared(stage, config.sharing(caps, config.row_lanes)), space: space::row };

/// Results of one invocation each.
pub(crate) const THREADS: Way = Way { lower: |stage, _, config| shared(stage, config.alone()), space: space::threads };

/// Register tiles of one invocation each.
pub(crate) const TILES: Way = Way { lower: |stage, _, config| shared(stage, config.tiles()), space: space::threads };

/// A text, and the workgroups for all results where each has so many.
fn shared(stage: &Stage, (spec, per_workgroup): (Spec, u32)) -> Lowered {
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup))).into()
}
