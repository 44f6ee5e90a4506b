//! Facts of an adapter that decide what can run on it. What is worth running is [`super::Tuning`]'s.

use super::op::Spec;

/// What an adapter can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caps {
    /// Whether it is a program on the CPU: there a barrier costs a switch of coroutines.
    pub is_software: bool,
    /// Invocations of a subgroup at least; 0 where there are none.
    pub subgroup: u32,
    /// Whether another pipeline's may have more, as on AMD's, Intel's and Apple's: then a text counts them.
    pub subgroup_varies: bool,
    /// Whether `enable subgroups;` must be written (browsers) or must not (naga).
    pub subgroups_directive: bool,
    /// Whether shaders may use 16-bit floats.
    pub f16: bool,
    /// Whether shaders may use dot products of four packed 8-bit integers.
    pub packed_dot: bool,
    /// Buffers that a text may bind.
    pub storage_buffers: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Rows and columns of the cooperative matrices that multiply 16-bit floats and add up in 32 bits; 0 without.
    pub cooperative: u32,
    /// Invocations of the subgroups that hold those.
    pub cooperative_subgroup: u32,
}

impl Default for Caps {
    /// The least: a program on the CPU without extensions. The reference executor passes for it.
    fn default() -> Self {
        Self {
            is_software: true,
            subgroup: 0,
            subgroup_varies: false,
            subgroups_directive: false,
            f16: false,
            packed_dot: false,
            storage_buffers: 8,
            workgroup_bytes: 16 << 10,
            cooperative: 0,
            cooperative_subgroup: 0,
        }
    }
}

impl Caps {
    /// Whether the adapter can run a text of these constants and parts.
    #[must_use]
    pub fn run(&self, spec: &Spec) -> bool {
        (self.f16 || !spec.f16)
            && (self.packed_dot || !spec.packed_dot)
            && (self.subgroup > 0 || !spec.subgroups)
            && (self.cooperative > 0 || !spec.cooperative)
    }
}
