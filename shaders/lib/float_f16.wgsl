// The element type of a kernel that is written for several: 16-bit floats, for adapters that have them.
alias Float = f16;
alias Float4 = vec4<f16>;
