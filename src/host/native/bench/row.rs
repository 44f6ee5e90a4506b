//! One row of results: a test of a model on an adapter, flat, as the machine-readable formats have it and the table
//! shows it.

use crate::measure::Report;
use crate::measure::panel;
use crate::measure::report::{ProbeKind, Share, Test, Verdict};
use serde::Serialize;

/// A test's figures with all that they depend on. The order of the fields is that of the columns; none has the
/// name of a word of SQL.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) report_schema: u32,
    pub(super) program: String,
    pub(super) measured_at: u64,
    pub(super) os: String,
    pub(super) model: String,
    pub(super) model_sha256: Option<String>,
    pub(super) model_format: String,
    pub(super) model_bytes: u64,
    pub(super) model_params: u64,
    pub(super) n_context: u32,
    pub(super) adapter: String,
    pub(super) backend: String,
    pub(super) adapter_kind: String,
    pub(super) driver: String,
    pub(super) kernels: String,
    pub(super) shader_checks: bool,
    pub(super) warm_up: bool,
    pub(super) test: String,
    pub(super) n_prompt: u32,
    pub(super) n_gen: u32,
    pub(super) n_depth: u32,
    pub(super) runs: u32,
    pub(super) tokens_per_s: f64,
    pub(super) tokens_per_s_sd: f64,
    pub(super) tokens_per_s_mean: f64,
    pub(super) tokens_per_s_min: f64,
    pub(super) tokens_per_s_max: f64,
    pub(super) ms_per_token: f64,
    pub(super) first_token_ms: Option<f64>,
    pub(super) bytes_per_token: u64,
    pub(super) ops_per_token: u64,
    pub(super) gb_per_s: f64,
    pub(super) share: Option<f64>,
    pub(super) share_of: Option<ProbeKind>,
    pub(super) streaming_ms: Option<f64>,
    pub(super) rest_ms: Option<f64>,
    pub(super) load_ms: f64,
    pub(super) compile_ms: f64,
    pub(super) prefill_ms: f64,
    pub(super) decode_ms: f64,
    pub(super) verdict: Verdict,
    pub(super) check_summary: Option<String>,
}

/// The columns of [`Row::cells`]: a row has room in 80 characters.
pub(super) const COLUMNS: [&str; 6] = ["test", "t/s", "ms/token", "first", "GB/s", "share"];

/// The rows of a report, in the order of its tests.
pub(super) fn rows(report: &Report) -> impl Iterator<Item = Row> {
    report.tests.iter().map(|test| row(report, test))
}

fn row(report: &Report, test: &Test) -> Row {
    let model = report.model.clone().unwrap_or_default();
    let settings = report.settings.clone().unwrap_or_default();
    let load = report.load.unwrap_or_default();
    let identity = report.adapter.identity.clone();
    Row {
        report_schema: report.schema,
        program: report.program.clone(),
        measured_at: report.measured_at,
        os: report.platform.os.clone(),
        model: model.name,
        model_sha256: model.sha256,
        model_format: model.format,
        model_bytes: model.file_bytes,
        model_params: model.n_params,
        n_context: model.n_context,
        adapter: identity.name,
        backend: identity.backend,
        adapter_kind: identity.kind,
        driver: identity.driver,
        kernels: report.adapter.variant.clone(),
        shader_checks: settings.shader_checks,
        warm_up: settings.warm_up,
        test: test.name(),
        n_prompt: test.n_prompt,
        n_gen: test.n_gen,
        n_depth: test.depth,
        runs: test.tokens_per_s.n,
        tokens_per_s: test.tokens_per_s.median,
        tokens_per_s_sd: test.tokens_per_s.sd,
        tokens_per_s_mean: test.tokens_per_s.mean,
        tokens_per_s_min: test.tokens_per_s.min,
        tokens_per_s_max: test.tokens_per_s.max,
        ms_per_token: test.ms_per_token,
        first_token_ms: test.first_token_ms,
        bytes_per_token: test.bytes_per_token,
        ops_per_token: test.ops_per_token,
        gb_per_s: test.gb_per_s,
        share: test.share.map(|share| share.share),
        share_of: test.share.map(|share| share.of),
        streaming_ms: test.streaming_ms,
        rest_ms: test.rest_ms,
        load_ms: load.directory_ms + load.upload_ms,
        compile_ms: load.compile_ms,
        prefill_ms: test.prefill_ms,
        decode_ms: test.decode_ms,
        verdict: report.check.as_ref().map_or(Verdict::Unknown, |check| check.verdict),
        check_summary: report.check.as_ref().map(|check| check.summary.clone()),
    }
}

impl Row {
    /// What all rows of a model on an adapter have in common: of the model, and of the adapter.
    pub(super) fn heading(&self) -> [String; 2] {
        let (size, params) = (panel::bytes(self.model_bytes), panel::params(self.model_params));
        let (load, compile) = (panel::millis(self.load_ms), panel::millis(self.compile_ms));
        let checked = self.verdict.label();
        [
            format!("{}, {size}, {params} parameters", self.model),
            format!("{} ({}): load {load}, compile {compile}, numbers {checked}", self.adapter, self.backend),
        ]
    }

    /// For the table of speeds.
    pub(super) fn cells(&self) -> [String; 6] {
        let share = self.share.zip(self.share_of).map(|(share, of)| panel::share(&Share { of, share }));
        [
            self.test.clone(),
            format!("{} ± {}", panel::figures(self.tokens_per_s), panel::figures(self.tokens_per_s_sd)),
            panel::figures(self.ms_per_token),
            self.first_token_ms.map(panel::millis).unwrap_or_default(),
            panel::figures(self.gb_per_s),
            share.unwrap_or_else(|| "not probed".to_owned()),
        ]
    }

    /// How long reading and writing took, of a test that does both; and of a written token, how long its bytes take to be read
    /// at the adapter's limit, and the rest.
    pub(super) fn phases(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.n_prompt > 0 && self.n_gen > 0 {
            parts.push(format!("prefill {}", panel::millis(self.prefill_ms)));
            parts.push(format!("decode {}", panel::millis(self.decode_ms)));
        }
        if let Some((streaming, rest)) = self.streaming_ms.zip(self.rest_ms) {
            parts.push(format!(
                "a token streams for {}, the rest takes {}",
                panel::millis(streaming),
                panel::millis(rest)
            ));
        }
        (!parts.is_empty()).then(|| format!("{}: {}", self.test, parts.join(", ")))
    }
}
