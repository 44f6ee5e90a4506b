//! What a kernel is: its variants with their WGSL texts, its bindings, the layout of its parameters and its scalar reference.
//! One value per file of `shaders/kernels/`; `kernels::ALL` lists them.

use bytemuck::{Pod, Zeroable};

use super::Caps;
use super::lower::Way;
use super::recording::{BufferId, Recording, Stage};

/// How a kernel uses a binding. There are no uniforms: lavapipe clones a shader at every dispatch whose loops depend on
/// one (it looks for values to inline), which costs more than the dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// A field of a parameter struct: its name and byte offset, to be held against the WGSL struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, the same in Rust and in WGSL.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
}

/// A kernel: what is computed, and the ways to compute it.
#[derive(Debug)]
pub struct Op {
    /// Name of the module and of the first variant.
    pub name: &'static str,
    /// How it can be computed. The first runs on every adapter.
    pub variants: &'static [Variant],
    /// Bindings 1, 2, … of group 0, in order; binding 0 is `params`, read-only.
    pub bindings: &'static [(&'static str, Access)],
    /// The fields of `Params`.
    pub params: &'static [Field],
    /// The plainest scalar form of the same arithmetic.
    pub reference: fn(&mut Call<'_>),
    /// Small dispatches over odd shapes, for holding every variant against `reference`.
    pub cases: fn() -> Vec<Case>,
}

/// One way to compute a kernel: a text with one entry point, and the rule by which a stage becomes a dispatch of it.
#[derive(Debug)]
pub struct Variant {
    /// Its name in choices.
    pub name: &'static str,
    /// Text of `shaders/kernels/<entry>.wgsl`.
    pub source: &'static str,
    /// Name of the text's file and entry point; other variants may have the same.
    pub entry: &'static str,
    /// Library texts that stand before it whatever the stage.
    pub parts: &'static [&'static str],
    /// Bindings behind the kernel's own, of scratch that its helpers fill.
    pub also: &'static [(&'static str, Access)],
    /// Whether it waits at barriers in its inner loop: then it is not worth trying on a program on the CPU.
    pub waits: bool,
    /// Whether an adapter has what it asks for.
    pub needs: fn(&Caps) -> bool,
    /// Whether it can compute a stage.
    pub allows: fn(&Stage) -> bool,
    /// Whether it is thought to be faster than those listed before it, where nothing was measured. One that rounds is not
    /// chosen for that, only tried.
    pub pays: fn(&Stage) -> bool,
    /// How near its results are to those of f32.
    pub precision: Precision,
    /// How stages become dispatches of it.
    pub way: Way,
}

impl Variant {
    /// Whether it may be the fastest on an adapter, for some stage.
    #[must_use]
    pub fn is_worth_trying(&self, caps: &Caps) -> bool {
        (self.needs)(caps) && !(self.waits && caps.is_software)
    }

    /// Whether it can compute a stage on an adapter.
    #[must_use]
    pub fn can(&self, stage: &Stage, caps: &Caps) -> bool {
        // The parameters are bound too.
        let is_bound = self.bindings(stage.op).count() < caps.storage_buffers as usize;
        is_bound && (self.needs)(caps) && (self.allows)(stage)
    }

    /// What it binds of a kernel from binding 1 on.
    pub fn bindings(&self, op: &Op) -> impl Iterator<Item = (&'static str, Access)> {
        op.bindings.iter().chain(self.also).copied()
    }

    /// The one variant that a kernel has, or its first.
    pub(crate) const fn only(
        name: &'static str,
        source: &'static str,
        parts: &'static [&'static str],
        way: Way,
    ) -> Self {
        Self {
            name,
            source,
            entry: name,
            parts,
            also: &[],
            waits: false,
            needs: |_| true,
            allows: |_| true,
            pays: |_| true,
            precision: Precision::Exact,
            way,
        }
    }
}

/// How near the results of a variant are to those of f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision {
    /// They are equal to rounding: sums are taken in another order.
    Exact,
    /// Activations are rounded first. A result may be off by this much, relative to the greater of it and the root mean square
    /// of its stage's results.
    Rounded(f64),
    /// The same, to 8 bits: what a whole model predicts moves about as far as with weights of 8 bits.
    Quantized(f64),
}

impl Precision {
    /// What a result may be off by, where `exact` is allowed to what is exact.
    #[must_use]
    pub fn budget(self, exact: f64) -> f64 {
        match self {
            Self::Exact => exact,
            Self::Rounded(budget) | Self::Quantized(budget) => budget.max(exact),
        }
    }
}

/// One dispatch with its inputs, to be run by both executors and compared.
pub struct Case {
    /// What is odd about it.
    pub name: String,
    /// The buffers and the one or more stages.
    pub recording: Recording,
    /// The buffers of the case.
    pub arena: super::Arena,
    /// Contents to write before running.
    pub inputs: Vec<(BufferId, Vec<u8>)>,
    /// Buffers to compare, with the largest allowed difference relative to `1 + |reference|`;
    /// zero means that the words must be equal.
    pub outputs: Vec<(BufferId, f32)>,
}

/// What varies in a kernel's text: library parts of one contract, and constants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Texts placed before the kernel's own, such as a reduction or a weight format.
    pub parts: Vec<&'static str>,
    /// `const NAME: u32 = value;` lines.
    pub constants: Vec<(&'static str, u32)>,
    /// Whether the text uses 16-bit floats, which the adapter must have.
    pub f16: bool,
    /// Whether the text multiplies packed 8-bit integers, which the adapter must be able to.
    pub packed_dot: bool,
    /// Whether the text adds up by subgroups, which the adapter must have.
    pub subgroups: bool,
    /// Whether the text multiplies cooperative matrices, which the adapter must have.
    pub cooperative: bool,
}

impl Spec {
    /// A text of one contract, such as `lib/reduce_workgroup.wgsl`.
    #[must_use]
    pub fn part(mut self, text: &'static str) -> Self {
        self.parts.push(text);
        self
    }

    /// A constant that the text may use.
    #[must_use]
    pub fn constant(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// The value of a constant, if it was given.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<u32> {
        self.constants.iter().find(|(constant, _)| *constant == name).map(|(_, value)| *value)
    }

    /// The text uses 16-bit floats.
    #[must_use]
    pub fn with_f16(mut self) -> Self {
        self.f16 = true;
        self
    }

    /// The text multiplies packed 8-bit integers.
    #[must_use]
    pub fn with_packed_dot(mut self) -> Self {
        self.packed_dot = true;
        self
    }

    /// Both in one text.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.constants.extend(&other.constants);
        self.parts.extend(&other.parts);
        self.f16 |= other.f16;
        self.packed_dot |= other.packed_dot;
        self.subgroups |= other.subgroups;
        self.cooperative |= other.cooperative;
        self
    }
}

/// The whole text of a variant. It alone writes directives; `subgroups_directive` asks for `enable subgroups;` where
/// subgroups are used, which browsers demand and naga refuses.
pub fn compose(variant: &Variant, spec: &Spec, subgroups_directive: bool) -> String {
    let mut text = String::new();
    if subgroups_directive && spec.subgroups {
        text.push_str("enable subgroups;\n");
    }
    if spec.f16 {
        text.push_str("enable f16;\n");
    }
    if spec.cooperative {
        text.push_str("enable wgpu_cooperative_matrix;\n");
    }
    for (name, value) in &spec.constants {
        text.push_str(&format!("const {name}: u32 = {value}u;\n"));
    }
    for part in variant.parts.iter().chain(&spec.parts) {
        text.push_str(part);
        text.push('\n');
    }
    text.push_str(variant.source);
    text
}

/// A dispatch as a kernel's `reference` sees it: parameters, inputs and outputs in the order of the bindings.
pub struct Call<'a> {
    /// Bytes of the `Params` struct.
    pub params: &'a [u8],
    /// What the data asks of the text, for its constants.
    pub spec: &'a Spec,
    /// Read-only bindings, as words.
    pub inputs: Vec<&'a [u32]>,
    /// Writable bindings, as words.
    pub outputs: Vec<&'a mut [u32]>,
    /// The results that are wanted, where not all are.
    pub sample: Option<&'a Sample>,
}

/// Results of a dispatch that are wanted: those of some tokens, and of some rows of its weight matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Tokens of the step by number, ascending.
    pub tokens: Vec<u32>,
    /// Rows of the weight matrix, ascending. The planes among the inputs then hold these rows and no others.
    pub rows: Vec<u32>,
}

impl<'a> Call<'a> {
    /// Those of a step's first `n` tokens whose results are wanted, ascending.
    pub fn tokens(&self, n: u32) -> Vec<u32> {
        match self.sample {
            None => (0..n).collect(),
            Some(sample) => sample.tokens.iter().copied().filter(|token| *token < n).collect(),
        }
    }

    /// The parameters as the kernel's own struct.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params[..size_of::<P>()])
    }

    /// A constant of the stage.
    ///
    /// # Panics
    /// When the recording did not set it: a mistake in this program.
    pub fn constant(&self, name: &str) -> u32 {
        self.spec.value_of(name).unwrap_or_else(|| panic!("constant {name} is not set"))
    }

    /// Input number `index` as values of `T`, as many as are whole.
    pub fn input<T: Pod>(&self, index: usize) -> &'a [T] {
        let words = self.inputs[index];
        bytemuck::cast_slice(&words[..words.len() - words.len() % (size_of::<T>() / 4)])
    }

    /// The inputs by value, and all outputs at once, so that a reference can name each.
    pub fn outputs<T: Pod, const N: usize>(&mut self) -> [&mut [T]; N] {
        let mut outputs = self.outputs.iter_mut();
        std::array::from_fn(|_| bytemuck::cast_slice_mut(outputs.next().expect("a bound output")))
    }
}

/// What changes from token to token. It lives in one small GPU buffer, is set by the host before a prompt, and is
/// advanced by `sample` on the GPU. `shaders/lib/step.wgsl` has the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Step {
    /// Position of the first token of this step.
    pub position: u32,
    /// Tokens in this step.
    pub n_tokens: u32,
    /// Softmax temperature; 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the most likely tokens of this total probability.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely.
    pub min_p: f32,
    /// Divides (or multiplies, when negative) the logits of recent tokens.
    pub repeat_penalty: f32,
    /// Number of recent tokens that the penalties look at.
    pub repeat_window: u32,
    /// Seed of the random numbers.
    pub seed: u32,
    /// How many of `stops` there are.
    pub n_stops: u32,
    /// Taken from the logits of recent tokens.
    pub presence_penalty: f32,
    /// Taken from the logits of recent tokens for each time that they occur.
    pub frequency_penalty: f32,
    /// Ids that end a text: once one is chosen, the steps that follow have no tokens.
    pub stops: [u32; MAX_STOPS],
}

/// Ids that may end a text, at most.
pub const MAX_STOPS: usize = 8;

/// Declares a kernel's `Params`: a `#[repr(C)]` struct of 4-byte fields, and `FIELDS` for the reflection test.
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        pub struct $name { $($(#[$doc])* pub $field: $type),* }
        impl $name {
            /// Name and offset of every field.
            pub const FIELDS: &'static [$crate::gpu::Field] = &[
                $($crate::gpu::Field { name: stringify!($field), offset: std::mem::offset_of!($name, $field) }),*
            ];
        }
    };
}
