// The element type of a kernel that is written for several: 32-bit floats.
alias Float = f32;
alias Float4 = vec4<f32>;
