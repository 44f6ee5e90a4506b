// The third contract of weight formats, for packed dot products: `block_word(b, j)` gives codes 4j to 4j+3 as four signed bytes of
// a word, and `block_sum(b, dots, sums)` what a block adds to Σ w·v, given Σ code·v and Σ v over its first 16 weights and
// over its last 16. Here is what formats share: how codes of fewer bits are spread over the bytes of a word.
fn nibble_word(bytes: vec4<u32>, j: u32) -> u32 {
    return (bytes[j & 3u] >> select(0u, 4u, j >= 4u)) & 0x0f0f0f0fu;
}

// Bit 4j of the word and the three above it, one to a byte.
fn bit_word(word: u32, j: u32) -> u32 {
    let bits = word >> (4u * j);
    return (bits & 1u) | ((bits & 2u) << 7u) | ((bits & 4u) << 14u) | ((bits & 8u) << 21u);
}

// The two-bit codes of quad j, as in two_bits.wgsl.
fn two_bit_word(words: vec2<u32>, j: u32) -> u32 {
    let pairs = select(words.x, words.y, j >= 4u) >> ((j & 3u) * 8u);
    return (pairs & 3u) | ((pairs & 12u) << 6u) | ((pairs & 48u) << 12u) | ((pairs & 192u) << 18u);
}

// Twice the values of four E2M1 codes, one to a byte, plus 12, so that none is negative: a borrow would reach the next byte.
// Magnitudes are 0 1 2 3 4 6 8 12: from 4 on the two low bits count once more, and both together twice again.
fn e2m1_word(codes: u32) -> u32 {
    let magnitude = codes & 0x07070707u;
    let great = (codes >> 2u) & 0x01010101u;
    let more = (magnitude & (great | (great << 1u))) + ((codes & (codes >> 1u) & great) << 1u);
    let value = magnitude + more;
    // 255 in the bytes of what is negative, without a multiplication: those are slow on AMD's GPUs.
    let sign = (codes >> 3u) & 0x01010101u;
    let minus = (sign << 8u) - sign;
    return 0x0c0c0c0cu + value - ((value & minus) << 1u);
}
