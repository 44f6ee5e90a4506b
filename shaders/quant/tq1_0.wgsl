// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// TQ1_0: three vectors and a word of scales for eight blocks, in bytes of digits to the base of three, each digit a weight
// of -1, 0 or 1. Block n < 5 has digit n of the first 32 bytes; blocks 5 and 6 have digits 0 to 3 of the next 16, block 7 the
// last digit of these and, of the four bytes among the scales, all digits. The f16 scale follows them.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    power: vec2<u32>,
    scale: f32,
}

// Four bytes times a number below 256, each by itself and without what runs over.
fn times_bytes(word: u32, factor: u32) -> u32 {
    let mask = 0x00ff00ffu;
    return (((word & mask) * factor) & mask) | (((((word >> 8u) & mask) * factor) & mask) << 8u);
}

// Powers of three, from 0 to 4.
fn power_of_three(n: u32) -> u32 {
    return select(select(1u, 3u, (n & 1u) == 1u) * select(1u, 9u, (n & 2u) == 2u), 81u, n == 4u);
}

fn load_block(i: u32) -> Block {
    let first = i / 8u * 3u;
    let at = i / 8u * 2u;
    let n = i & 7u;
    let scale = unpack2x16float(scales[at + 1u]).x;
    if n < 5u {
        return Block(quants[first], quants[first + 1u], vec2<u32>(power_of_three(n)), scale);
    }
    let sixteen = quants[first + 2u];
    if n < 7u {
        let power = power_of_three(2u * (n - 5u));
        return Block(sixteen, sixteen, vec2<u32>(power, 3u * power), scale);
    }
    let last = scales[at];
    let digits = vec4<u32>(last, times_bytes(last, 3u), times_bytes(last, 9u), times_bytes(last, 27u));
    return Block(sixteen, digits, vec2<u32>(81u, 1u), scale);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let late = j >= 4u;
    let word = select(b.first[j & 3u], b.second[j & 3u], late);
    let bytes = (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    let shifted = (bytes * select(b.power.x, b.power.y, late)) & vec4<u32>(255u);
    return vec4<f32>((shifted * vec4<u32>(3u)) >> vec4<u32>(8u)) - 1.0;
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
