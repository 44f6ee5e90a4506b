// Reports for the page's tests: good ones with known figures, and those that a page must survive.
import { deflateRawSync } from 'node:zlib';

const spread = (median) => ({ n: 5, median, mean: median, sd: median / 50, min: median * 0.9, max: median * 1.1 });

/** A bench as another machine would have measured it: `base`, a report of the page's own, with other figures. */
export function bench_of(base, adapter_name, tokens_per_s) {
  const stage = (name, ms, share) => ({ name, count: 5, ms, share, bytes: 1_000_000, ops: 2_000_000, gb_per_s: 1 / ms, of_limit: null });
  return {
    ...base,
    measured_at: 1_760_000_000,
    platform: { host: 'native', os: 'Debian 12, x86_64', browser: null, clock_us: 0.05 },
    adapter: { ...base.adapter, name: adapter_name, backend: 'vulkan', kind: 'discrete', features: ['timestamp-query'] },
    probes: [{ kind: 'read', value: spread(20), right: true }],
    text: null,
    tests: [
      {
        n_prompt: 0, n_gen: 128, depth: 0, tokens_per_s: spread(tokens_per_s), ms_per_token: 1000 / tokens_per_s,
        first_token_ms: 9, prefill_ms: 0, decode_ms: 0, bytes_per_token: 8_000_000, ops_per_token: 16_000_000, gb_per_s: 1.5,
        share: { of: 'read', share: 0.41 },
      },
    ],
    profiles: [{ n_tokens: 1, depth: 0, stages: [stage('attend', 3, 0.75), stage('q', 1, 0.25)], layers: [] }],
    check: {
      verdict: 'right', summary: 'all 64 tokens agree', kernels: null, first_wrong_stage: null, stages: [],
      tokens: { n_tokens: 64, n_same: 64, kl_mean: 1e-9, kl_p999: 1e-8, kl_max: 2e-8, worst_position: 7 },
      prefill_equals_decode: null, twice_the_same: null, fault: null,
    },
  };
}

/** A fragment that carries a report, or any other text. */
export const pack = (value) => `1.${deflateRawSync(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')}`;

/** Would run if any text of a report became markup, and set `window.hacked`. */
export const MARKUP = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&lt;';

/** A well-formed report in which every text that may be anything is markup. */
export function hostile_report(base) {
  const { check, ...report } = bench_of(base, MARKUP, 10);
  const { adapter, model, profiles, platform } = report;
  return {
    ...report,
    program: MARKUP,
    platform: { ...platform, host: 'browser', os: MARKUP, browser: MARKUP },
    adapter: { ...adapter, backend: MARKUP, kind: MARKUP, driver: MARKUP, variant: MARKUP, features_used: [MARKUP] },
    model: { ...model, name: MARKUP, format: MARKUP },
    profiles: profiles.map((profile) => ({ ...profile, stages: profile.stages.map((stage) => ({ ...stage, name: MARKUP })) })),
    check: {
      ...check, verdict: 'wrong', summary: MARKUP, fault: MARKUP,
      first_wrong_stage: { stage: MARKUP, layer: 1, position: 2, error: 1, budget: 0.1 },
      kernels: { n_cases: 2, n_wrong: 1, first_wrong: MARKUP },
    },
  };
}

/** Texts that are no reports, each with what the page must say of it. */
export const MALFORMED = [
  ['no-json.json', '{"schema": 2,', /no JSON/],
  ['other.json', '{"name": "a package", "version": "1.0.0"}', /neither a report/],
  ['future.json', '{"schema": 99}', /version 99/],
  ['deep.json', '['.repeat(100_000), /no JSON/],
  ['negative.json', '{"schema": 2, "measured_at": -1}', /measured_at/],
];
