// Where cached keys lie: blocks of KEYS_TOGETHER keys, in each [vector of 4][key], so that invocations which take a key each
// read what lies side by side; with 1, a key is a row. The vector of 4 in which quad i of a key lies, of keys of n quads:
fn key_quad(key: u32, i: u32, n: u32) -> u32 {
    return (key / KEYS_TOGETHER * n + i) * KEYS_TOGETHER + key % KEYS_TOGETHER;
}
