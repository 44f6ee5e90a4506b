//! Rotation tables for rotary embeddings, made on the CPU because shaders' sines are inexact at large angles.
//! Two levels, so that a million positions take a few thousand rows; twin of `shaders/lib/rope.wgsl`.

/// Positions in the table's fine level, and from row to row in its coarse level.
const FINE: u32 = 256;

pub(crate) const ROPE: &str = shader_text!("../../shaders/lib/rope.wgsl");

/// Rows of a table for so many positions.
pub const fn table_rows(n_positions: u32) -> u64 {
    let coarse = n_positions.div_ceil(FINE);
    FINE as u64 + if coarse == 0 { 1 } else { coarse as u64 }
}

/// `(cos, sin)` of position · frequency, `[256 + ⌈n_positions / 256⌉, frequencies.len()]`: rows 0 … 255 are positions
/// 0 … 255, row 256 + k is position 256 · k. Frequencies are in radians per position; angles are formed in f64.
pub fn table(frequencies: &[f64], n_positions: u32) -> Vec<[f32; 2]> {
    let coarse = (0..n_positions.div_ceil(FINE).max(1)).map(|row| f64::from(row) * f64::from(FINE));
    let positions = (0..FINE).map(f64::from).chain(coarse);
    let rows = positions.map(|position| frequencies.iter().map(move |frequency| (position * frequency).sin_cos()));
    rows.flatten().map(|(sin, cos)| [cos as f32, sin as f32]).collect()
}

/// `(cos, sin)` by which pair number `pair` turns at a position.
///
/// # Panics
/// When the position lies beyond the table.
pub fn turn(table: &[[f32; 2]], rope_pairs: u32, position: u32, pair: u32) -> [f32; 2] {
    let row = |row: u32| table[(row * rope_pairs + pair) as usize];
    rotate(row(position % FINE), row(FINE + position / FINE))
}

/// A pair turned, as complex numbers multiply.
pub(crate) fn rotate([a, b]: [f32; 2], [cos, sin]: [f32; 2]) -> [f32; 2] {
    [a * cos - b * sin, a * sin + b * cos]
}

/// Turns the last `2 · rope_pairs` elements of a head in place; `sign` is 1, or −1 to turn back.
pub(crate) fn rotate_head(head: &mut [f32], table: &[[f32; 2]], rope_pairs: u32, position: u32, sign: f32) {
    let first = head.len() - 2 * rope_pairs as usize;
    for (pair, v) in (0..rope_pairs).zip(head[first..].chunks_exact_mut(2)) {
        let [cos, sin] = turn(table, rope_pairs, position, pair);
        v.copy_from_slice(&rotate([v[0], v[1]], [cos, sign * sin]));
    }
}

/// Frequencies as in the models, for cases and tests.
pub(crate) fn frequencies(rope_pairs: u32, base: f64) -> Vec<f64> {
    (0..rope_pairs).map(|pair| base.powf(-f64::from(pair) / f64::from(rope_pairs))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_levels_give_the_angles_of_a_million_positions() {
        let (pairs, n_positions) = (4, 1 << 20);
        let frequencies = frequencies(pairs, 10_000.0);
        let table = table(&frequencies, n_positions);
        assert_eq!(table.len(), (256 + n_positions as usize / 256) * pairs as usize);
        for position in [0, 1, 255, 256, 257, 65_535, 65_536, n_positions - 1] {
            for pair in 0..pairs {
                let (sin, cos) = (f64::from(position) * frequencies[pair as usize]).sin_cos();
                let [c, s] = turn(&table, pairs, position, pair);
                assert!((f64::from(c) - cos).abs() < 3e-7 && (f64::from(s) - sin).abs() < 3e-7, "{position} {pair}");
            }
        }
    }

    #[test]
    fn turning_back_restores_a_head_and_leaves_its_front() {
        let table = table(&frequencies(2, 10_000.0), 600);
        let head = [9.0, 8.0, 1.0, 2.0, 3.0, 4.0];
        let mut turned = head;
        rotate_head(&mut turned, &table, 2, 517, 1.0);
        assert!(turned[..2] == head[..2] && (turned[2] - head[2]).abs() > 0.1);
        rotate_head(&mut turned, &table, 2, 517, -1.0);
        assert!(turned.iter().zip(head).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
