// Cooperative matrices of 16 by 16: of 16-bit floats, with sums of 32.
const MATRIX: u32 = 16u;
alias MatrixA = coop_mat16x16<f16, A>;
alias MatrixB = coop_mat16x16<f16, B>;
alias MatrixC = coop_mat16x16<f32, C>;
