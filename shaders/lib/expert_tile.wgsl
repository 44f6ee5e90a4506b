// Which entries a tile of TILE_TOKENS takes: the lists of the shard's experts lie one after the other, each in whole tiles.
struct ExpertTile {
    expert: u32,    // its number in the shard
    list: u32,      // where the tile's entries begin in `lists`
    n_entries: u32, // 0: there is no such tile
}

// All counts are looked at, without an early end: reads that do not wait for each other.
fn expert_tile(number: u32) -> ExpertTile {
    var found = ExpertTile(0u, 0u, 0u);
    var begin = 0u;
    for (var expert = 0u; expert < params.n_experts; expert += 1u) {
        let count = counts[params.first_expert + expert];
        let end = begin + (count + TILE_TOKENS - 1u) / TILE_TOKENS;
        if number >= begin && number < end {
            let first = (number - begin) * TILE_TOKENS;
            let list = (params.first_expert + expert) * params.max_tokens + first;
            found = ExpertTile(expert, list, min(count - first, TILE_TOKENS));
        }
        begin = end;
    }
    return found;
}

// Four entries (token · n_slots + slot); those past the end repeat the last one.
fn entries_of(tile: ExpertTile, four: u32) -> vec4<u32> {
    let places = tile.list + min(four * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(tile.n_entries - 1u));
    return vec4<u32>(lists[places.x], lists[places.y], lists[places.z], lists[places.w]);
}
