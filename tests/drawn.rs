//! Reports whose values are drawn at random, for the tests of their format.

use headstart::gpu::{Choice, Config, Problem, Reduce};
use headstart::measure::adapter_facts::KernelSettings;
use headstart::measure::report::{
    Check, Decode, Host, KernelCheck, LayerTimes, Load, MemoryBytes, ModelFacts, OtherCheck, Platform, Prefill, Probe,
    ProbeKind, Probes, Profile, Published, PublishedFigure, SCHEMA, SampledCheck, SamplingSettings, Settings, Share,
    SingleConfig, StageError, StandardResult, StepGain, Test, TextTimes, TokenCheck, TunedProblem, TuningFacts,
    TuningSource, Verdict,
};
use headstart::measure::{AdapterFacts, Report, Spread, StageTime};

/// Values for a report, taken from numbers that proptest chooses.
pub(crate) struct Draw(pub(crate) std::vec::IntoIter<u64>);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0.next().unwrap_or(0)
    }
    pub(crate) fn u32(&mut self) -> u32 {
        self.next() as u32
    }
    pub(crate) fn bool(&mut self) -> bool {
        self.next() % 2 == 1
    }
    /// From 0 to 10^18, of every size.
    pub(crate) fn f64(&mut self) -> f64 {
        let (digits, power) = (self.next(), self.next());
        (digits as f64 * 10_f64.powi(-((power % 40) as i32))).min(1e18)
    }
    pub(crate) fn share(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
    pub(crate) fn text(&mut self) -> String {
        const LETTERS: [char; 12] = ['a', 'Z', '0', ' ', '<', '"', '\\', '\'', '&', '|', 'µ', '😀'];
        let n = self.next() % 9;
        (0..n).map(|_| LETTERS[(self.next() % 12) as usize]).collect()
    }
    pub(crate) fn option<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| of(self))
    }
    pub(crate) fn list<T>(&mut self, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let n = self.next() % 4;
        (0..n).map(|_| of(self)).collect()
    }
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }

    pub(crate) fn spread(&mut self) -> Spread {
        let n = 1 + self.next() % 5;
        let samples: Vec<f64> = (0..n).map(|_| self.f64() / 1e3).collect();
        Spread::of(&samples).expect("finite numbers")
    }

    pub(crate) fn share_of(&mut self) -> Share {
        Share { of: self.one_of(&ProbeKind::ALL), share: self.f64() }
    }

    pub(crate) fn stage(&mut self) -> StageTime {
        StageTime {
            name: self.text(),
            count: self.u32(),
            ms: self.f64(),
            share: self.share(),
            bytes: self.next(),
            ops: self.next(),
            gb_per_s: self.f64(),
            of_limit: self.option(Self::share_of),
        }
    }

    pub(crate) fn stage_error(&mut self) -> StageError {
        StageError {
            stage: self.text(),
            layer: self.option(Self::u32),
            position: self.u32(),
            error: self.f64(),
            budget: self.f64(),
        }
    }

    pub(crate) fn adapter(&mut self) -> AdapterFacts {
        let mut adapter = AdapterFacts::of_cpu();
        adapter.identity.name = self.text();
        adapter.identity.backend = self.text();
        adapter.identity.kind = self.text();
        adapter.identity.driver = self.text();
        (adapter.identity.vendor_id, adapter.identity.device_id) = (self.u32(), self.u32());
        adapter.features = self.list(Self::text);
        adapter.features_used = self.list(Self::text);
        adapter.variant = self.text();
        adapter.subgroup_sizes = (self.u32(), self.u32());
        (adapter.limits.buffer_bytes, adapter.limits.binding_bytes) = (self.next(), self.next());
        (adapter.limits.storage_buffers, adapter.limits.workgroups) = (self.u32(), self.u32());
        let reduce = self.one_of(&[Reduce::Thread, Reduce::Workgroup, Reduce::Subgroup]);
        adapter.kernels =
            KernelSettings { reduce, rows: self.u32(), subgroups_directive: self.bool(), ..KernelSettings::default() };
        adapter
    }

    pub(crate) fn model(&mut self) -> ModelFacts {
        ModelFacts {
            name: self.text(),
            file_bytes: self.next(),
            sha256: self.option(Self::text),
            n_params: self.next(),
            format: self.text(),
            n_context: self.u32(),
        }
    }

    pub(crate) fn written(&mut self) -> TextTimes {
        let temperature = self.share() as f32;
        let sampling =
            SamplingSettings { n_predict: self.u32(), temperature, seed: self.u32(), ..SamplingSettings::default() };
        let decode = |draw: &mut Self| Decode {
            n_tokens: draw.u32(),
            tokens_per_s: draw.f64(),
            median_ms: draw.f64(),
            p10_ms: draw.f64(),
            p90_ms: draw.f64(),
            encode_share: draw.option(Self::share),
        };
        TextTimes {
            sampling,
            prefill: Prefill { n_tokens: self.u32(), ms: self.f64(), tokens_per_s: self.f64() },
            first_token_ms: self.option(Self::f64),
            decode: self.option(decode),
        }
    }

    pub(crate) fn test(&mut self) -> Test {
        Test {
            n_prompt: self.u32().max(1),
            n_gen: self.u32(),
            depth: self.u32(),
            tokens_per_s: self.spread(),
            ms_per_token: self.f64(),
            first_token_ms: self.option(Self::f64),
            prefill_ms: self.f64(),
            decode_ms: self.f64(),
            bytes_per_token: self.next(),
            ops_per_token: self.next(),
            gb_per_s: self.f64(),
            share: self.option(Self::share_of),
            streaming_ms: self.option(Self::f64),
            rest_ms: self.option(Self::f64),
        }
    }

    pub(crate) fn profile(&mut self) -> Profile {
        let layer = |draw: &mut Self| LayerTimes {
            kind: draw.text(),
            n_layers: draw.u32(),
            ms_per_layer: draw.f64(),
            stages: draw.list(Self::stage),
        };
        Profile { n_tokens: self.u32(), depth: self.u32(), stages: self.list(Self::stage), layers: self.list(layer) }
    }

    pub(crate) fn check(&mut self) -> Check {
        let n = self.u32();
        let tokens = |draw: &mut Self| TokenCheck {
            n_tokens: n,
            n_same: n / 2,
            kl_mean: draw.f64(),
            kl_p999: draw.f64(),
            kl_max: draw.f64(),
            worst_position: draw.u32(),
        };
        Check {
            verdict: self.one_of(&[Verdict::Right, Verdict::Wrong, Verdict::Unknown]),
            summary: self.text(),
            kernels: self.option(|draw| KernelCheck {
                n_cases: n,
                n_wrong: n / 3,
                first_wrong: draw.option(Self::text),
            }),
            first_wrong_stage: self.option(Self::stage_error),
            stages: self.list(Self::stage_error),
            sampled: self.option(|draw| SampledCheck {
                n_results: draw.next(),
                n_dispatches: n,
                fewest_rows: draw.option(Self::u32),
                missed: draw.f64(),
                idle: draw.list(Self::text),
                seed: draw.u32(),
            }),
            tokens: self.option(tokens),
            prefill_equals_decode: self.option(Self::bool),
            twice_the_same: self.option(Self::bool),
            others: self.list(|draw| OtherCheck { adapter: draw.text(), tokens: tokens(draw) }),
            fault: self.option(Self::text),
            rounded: self.list(Self::text),
        }
    }

    pub(crate) fn choice(&mut self) -> Choice {
        Choice { variant: self.text(), config: Config { rows: self.u32(), ..Config::default() } }
    }

    pub(crate) fn tuning(&mut self) -> TuningFacts {
        let gain = |draw: &mut Self| StepGain { n_tokens: draw.u32(), untuned_ms: draw.f64(), tuned_ms: draw.f64() };
        let problem = |draw: &mut Self| TunedProblem {
            n_tokens: draw.u32(),
            stage: draw.text(),
            n_stages: draw.u32(),
            problem: Problem {
                kernel: draw.text(),
                facts: draw.list(Self::text),
                n_results: draw.next(),
                bytes: draw.next(),
                ops: draw.next(),
            },
            guess: draw.choice(),
            choice: draw.choice(),
            n_tried: draw.u32(),
            guess_ms: draw.f64(),
            choice_ms: draw.f64(),
        };
        let single =
            |draw: &mut Self| SingleConfig { config: draw.choice().config, n_problems: draw.u32(), gain: draw.f64() };
        TuningFacts {
            source: self.one_of(&[TuningSource::Guessed, TuningSource::Kept, TuningSource::Quick, TuningSource::Full]),
            seconds: self.f64(),
            given_up: self.list(Self::u32),
            gains: self.list(gain),
            problems: self.list(problem),
            single: self.option(single),
            wrong: self.list(Self::text),
            rounded: self.list(Self::text),
        }
    }

    pub(crate) fn probe(&mut self) -> Probe {
        Probe { kind: self.one_of(&ProbeKind::ALL), value: self.spread(), right: self.bool() }
    }

    pub(crate) fn standard(&mut self) -> StandardResult {
        StandardResult {
            model: self.text(),
            ran: self.text(),
            n_layers: self.u32(),
            n_measured_layers: self.u32(),
            tests: self.list(Self::test),
            measured: self.list(Self::test),
            tuning: self.option(Self::tuning),
            check: self.option(Self::check),
        }
    }

    pub(crate) fn report(&mut self) -> Report {
        let host = self.one_of(&[Host::Native, Host::Browser]);
        let settings = |draw: &mut Self| Settings {
            shader_checks: draw.bool(),
            repeats: draw.u32(),
            warm_up: draw.bool(),
            f16_keys: draw.bool(),
            f16_values: draw.bool(),
        };
        let load = |draw: &mut Self| Load { directory_ms: draw.f64(), upload_ms: draw.f64(), compile_ms: draw.f64() };
        let memory = |draw: &mut Self| MemoryBytes { weights: draw.next(), cache: draw.next(), scratch: draw.next() };
        let platform = Platform { host, os: self.text(), browser: self.option(Self::text), clock_us: self.f64() };
        Report {
            schema: SCHEMA,
            program: self.text(),
            measured_at: self.next(),
            probes: Probes(self.list(Self::probe)),
            model: self.option(Self::model),
            settings: self.option(settings),
            load: self.option(load),
            memory: self.option(memory),
            text: self.option(Self::written),
            tests: self.list(Self::test),
            profiles: self.list(Self::profile),
            check: self.option(Self::check),
            tuning: self.option(Self::tuning),
            standard: self.list(Self::standard),
            ..Report::of_adapter(platform, self.adapter())
        }
    }

    pub(crate) fn published(&mut self) -> Published {
        let figure =
            |draw: &mut Self| PublishedFigure { name: "tg1".into(), value: draw.f64(), unit: "tokens/s".into() };
        Published {
            published: 1,
            machine: format!("m{}", self.text()),
            model: self.option(Self::text),
            figures: [vec![figure(self)], self.list(figure)].concat(),
            source: "https://example.org/".into(),
            date: "2026-10-30".into(),
            note: self.option(Self::text),
        }
    }
}
