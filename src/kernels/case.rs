//! Builds small dispatches with random inputs, on which every variant of a kernel is held against its reference:
//! by the test suite, and by anyone who wants to know whether an adapter computes right.

use crate::format::random::random_row;
use crate::format::{Format, repack};
use crate::gpu::op::Step;
use crate::gpu::{Arena, Case, Purpose, Recording, Slice};

use super::Matrix;

/// A case under construction.
pub struct CaseBuilder {
    name: String,
    arena: Arena,
    inputs: Vec<(crate::gpu::BufferId, Vec<u8>)>,
    outputs: Vec<(crate::gpu::BufferId, f32)>,
    /// The recording to push the stage to.
    pub recording: Recording,
    random: u64,
}

impl CaseBuilder {
    /// A case; its name also seeds the random numbers.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let random =
            name.bytes().fold(0x9e37_79b9_7f4a_7c15, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let recording = Recording::default();
        Self { name, arena: Arena::default(), inputs: Vec::new(), outputs: Vec::new(), recording, random }
    }

    /// The next random word.
    pub fn random_u32(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 32) as u32
    }

    /// A random value in −1 … 1.
    pub fn random_f32(&mut self) -> f32 {
        self.random_u32() as f32 / (1u64 << 31) as f32 - 1.0
    }

    /// `n` random values in −1 … 1.
    pub fn random_values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.random_f32()).collect()
    }

    /// An input buffer with these words or values.
    pub fn input<T: bytemuck::NoUninit>(&mut self, label: &str, values: &[T]) -> Slice {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let slice = self.arena.words(label, bytes.len() as u64 / 4, Purpose::Scratch);
        self.inputs.push((slice.buffer, bytes.to_vec()));
        slice
    }

    /// An input buffer of `n` random values in −1 … 1.
    pub fn random_input(&mut self, label: &str, n: usize) -> Slice {
        let values = self.random_values(n);
        self.input(label, &values)
    }

    /// The step buffer.
    pub fn step(&mut self, position: u32, n_tokens: u32) -> Slice {
        self.step_with(Step { position, n_tokens, top_p: 1.0, repeat_penalty: 1.0, ..bytemuck::Zeroable::zeroed() })
    }

    /// The step buffer with sampling settings.
    pub fn step_with(&mut self, step: Step) -> Slice {
        self.input("step", &[step])
    }

    /// An output buffer of `n` words, compared after running: largest difference relative to `1 + |reference|`,
    /// or 0 for equal words.
    pub fn output(&mut self, label: &str, n: usize, tolerance: f32) -> Slice {
        let slice = self.arena.words(label, n as u64, Purpose::Scratch);
        self.outputs.push((slice.buffer, tolerance));
        slice
    }

    /// Compares an input too, for kernels that work in place.
    pub fn also_compare(&mut self, slice: Slice, tolerance: f32) {
        self.outputs.push((slice.buffer, tolerance));
    }

    /// A matrix of random weights in a format.
    ///
    /// # Panics
    /// When `n_in` is no multiple of the format's block: a mistake in the case.
    pub fn matrix(&mut self, label: &str, format: Format, n_rows: usize, n_in: usize) -> Matrix {
        // What is only read gets random blocks, of weights of the same size or so.
        let largest = if format.can_encode() { 1.0 } else { 1.0 / 128.0 };
        let random = || self.random_u32();
        let bytes = random_row(format, n_rows * n_in, largest, random).expect("rows of whole blocks");
        let (mut quants, mut scales) = (Vec::new(), repack::grid_of(format).to_vec());
        repack::repack_rows(format, &bytes, n_rows as u64, n_in as u64, &mut quants, &mut scales).expect("whole rows");
        let quants = self.input(label, &quants);
        let scales = if scales.is_empty() { quants } else { self.input(&format!("{label}.scales"), &scales) };
        Matrix { format, n_rows: n_rows as u32, n_in: n_in as u32, first_row: 0, quants, scales }
    }

    /// The finished case.
    pub fn finish(self) -> Case {
        Case {
            name: self.name,
            recording: self.recording,
            arena: self.arena,
            inputs: self.inputs,
            outputs: self.outputs,
        }
    }
}
