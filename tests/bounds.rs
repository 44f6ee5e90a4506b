//! No text reads or writes outside of its buffers, even what it does not use: natively nothing stops it
//! (`ShaderChecks::Off`). Each index is looked at where it is used, in every kernel's cases.

use std::collections::HashMap;

use headstart::format::Format;
use headstart::gpu::lower::{Dispatch, lower};
use headstart::gpu::op::{Access, Op, compose};
use headstart::gpu::{Adapter, Case, Config, Tuning};
use headstart::kernels;
use headstart::measure::verify::{configs, tunings};
use pollster::block_on;

/// The text with each index of its buffers handed through a function, which notes the number of an array that is too short
/// for it. Gives those numbers with the names, too.
fn watched(text: &str) -> (String, Vec<(u32, String)>) {
    let mut code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let declared = code.split("var<storage").skip(1).filter_map(|rest| {
        let (name, kind) = rest.split(';').next()?.split_once("> ")?.1.split_once(':')?;
        kind.trim_start().starts_with("array<").then(|| name.trim().to_owned())
    });
    let arrays: Vec<(u32, String)> = (1..).zip(declared).collect();
    for (number, name) in &arrays {
        code = with_indices_through(&code, name, &format!("inside_{number}"));
    }
    code.push_str("\n@group(1) @binding(0) var<storage, read_write> outside: atomic<u32>;\n");
    for (number, name) in &arrays {
        code.push_str(&format!(
            "fn inside_{number}(i: u32) -> u32 {{\n    if i >= arrayLength(&{name}) {{ atomicStore(&outside, {number}u); }}\n    \
             return i;\n}}\n"
        ));
    }
    (code, arrays)
}

/// `name[i]` becomes `name[through(u32(i))]`, at any depth.
fn with_indices_through(code: &str, name: &str, through: &str) -> String {
    let opening = format!("{name}[");
    let mut made = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(&opening) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let (before, from) = rest.split_at(at + opening.len());
        made.push_str(before);
        rest = from;
        if before[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let mut depth = 1;
        let ends = |c: char| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        };
        let end = from.find(ends).expect("a bracket that closes");
        made.push_str(&format!("{through}(u32({}))]", with_indices_through(&from[..end], name, through)));
        rest = &from[end + 1..];
    }
    made + rest
}

/// Whether a text declares a binding to be of floats: all of whose bits are set in no number, of 16 bits or of 32.
fn holds_floats(text: &str, binding: usize) -> bool {
    let declared = text.split_once(&format!("@binding({binding})")).map_or("", |(_, rest)| rest);
    let kind = declared.split(';').next().unwrap_or_default();
    ["f32", "KeyQuad", "KeyPair", "ValueQuad", "ValuePair"].iter().any(|float| kind.contains(float))
}

struct Watch {
    adapter: Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: HashMap<String, (wgpu::ComputePipeline, Vec<(u32, String)>)>,
}

impl Watch {
    fn open(adapter: &Adapter) -> Self {
        let wanted = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.inner().features() & wanted,
            required_limits: adapter.inner().limits(),
            ..Default::default()
        };
        let (device, queue) = block_on(adapter.inner().request_device(&descriptor)).expect("a device");
        Self { adapter: adapter.clone(), device, queue, pipelines: HashMap::new() }
    }

    fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    }

    fn filled(&self, bytes: &[u8]) -> wgpu::Buffer {
        let buffer = self.buffer(bytes.len() as u64, wgpu::BufferUsages::STORAGE);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// Every binding that the kernel declares, whether or not the text looks at it.
    fn layout(&self, bindings: impl Iterator<Item = Access>) -> wgpu::BindGroupLayout {
        let entry = |(binding, access)| {
            let ty = wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
            let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
            wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
        };
        let entries: Vec<_> = (0..).zip(bindings).map(entry).collect();
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
    }

    fn compile(&mut self, dispatch: &Dispatch, text: &str) {
        if self.pipelines.contains_key(text) {
            return;
        }
        let (code, arrays) = watched(text);
        let bindings = dispatch.variant.bindings(dispatch.op).map(|(_, access)| access);
        let own = self.layout([Access::Read].into_iter().chain(bindings));
        let beside = self.layout([Access::Write].into_iter());
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&own), Some(&beside)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderSource::Wgsl(code.into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&layout),
            module: &module,
            entry_point: Some(dispatch.variant.entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        self.pipelines.insert(text.to_owned(), (pipeline, arrays));
    }

    /// Runs a case, and tells of each dispatch that leaves a buffer. `is_spoilt`: where a text reads numbers, none is one.
    fn outside(&mut self, case: &Case, tuning: &Tuning, is_spoilt: bool) -> Vec<String> {
        let program = lower(&case.recording, &self.adapter.caps, tuning);
        if program.dispatches.iter().any(|dispatch| !self.adapter.caps.run(&dispatch.spec) || dispatch.spec.cooperative)
        {
            return Vec::new();
        }
        let mut contents: Vec<Vec<u8>> = case.arena.buffers.iter().map(|plan| vec![0; plan.bytes as usize]).collect();
        for (buffer, bytes) in &case.inputs {
            contents[buffer.0 as usize][..bytes.len()].copy_from_slice(bytes);
        }
        if is_spoilt {
            for dispatch in &program.dispatches {
                let text = compose(dispatch.variant, &dispatch.spec, false);
                let read = dispatch.variant.bindings(dispatch.op).zip(&dispatch.bindings).enumerate();
                let read = read
                    .filter(|(_, ((_, access), slice))| *access == Access::Read && slice.buffer.as_scratch().is_none());
                for (_, (_, slice)) in read.filter(|(index, _)| holds_floats(&text, index + 1)) {
                    let range = slice.offset as usize..(slice.offset + slice.bytes) as usize;
                    contents[slice.buffer.0 as usize][range].fill(0xff);
                }
            }
        }
        let buffers: Vec<wgpu::Buffer> = contents.iter().map(|bytes| self.filled(bytes)).collect();
        let scratch: Vec<wgpu::Buffer> =
            program.scratch.iter().map(|&bytes| self.buffer(bytes, wgpu::BufferUsages::STORAGE)).collect();
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let read = self.buffer(4 * program.dispatches.len() as u64, wgpu::BufferUsages::MAP_READ);
        let mut texts = Vec::new();
        for (at, dispatch) in program.dispatches.iter().enumerate() {
            let text = compose(dispatch.variant, &dispatch.spec, false);
            self.compile(dispatch, &text);
            let pipeline = &self.pipelines[&text].0;
            let params = self.filled(&dispatch.params);
            let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() }];
            for (index, slice) in dispatch.bindings.iter().enumerate() {
                let buffer = match slice.buffer.as_scratch() {
                    Some(number) => &scratch[number as usize],
                    None => &buffers[slice.buffer.0 as usize],
                };
                let size = std::num::NonZeroU64::new(slice.bytes);
                let resource =
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: slice.offset, size });
                entries.push(wgpu::BindGroupEntry { binding: index as u32 + 1, resource });
            }
            let told = self.buffer(4, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
            let group = |number: u32, entries: &[wgpu::BindGroupEntry<'_>]| {
                let layout = &pipeline.get_bind_group_layout(number);
                self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
            };
            let groups = [
                group(0, &entries),
                group(1, &[wgpu::BindGroupEntry { binding: 0, resource: told.as_entire_binding() }]),
            ];
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(pipeline);
            groups.iter().enumerate().for_each(|(number, group)| pass.set_bind_group(number as u32, group, &[]));
            pass.dispatch_workgroups(dispatch.n_workgroups, 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(&told, 0, &read, 4 * at as u64, 4);
            texts.push(text);
        }
        self.queue.submit([encoder.finish()]);
        read.map_async(wgpu::MapMode::Read, .., |result| result.expect("it can be read"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("an end");
        let told = read.get_mapped_range(..).expect("a range");
        let told: &[u32] = bytemuck::cast_slice(&told);
        let named = program.dispatches.iter().zip(&texts).zip(told).filter(|(_, number)| **number > 0);
        let name = |number: &u32, text: &String| {
            let arrays = &self.pipelines[text].1;
            arrays.iter().find(|(binding, _)| binding == number).map_or("?", |(_, name)| name).to_owned()
        };
        named.map(|((dispatch, text), number)| format!("{}: {}", dispatch.variant.name, name(number, text))).collect()
    }
}

/// Runs cases of every kernel with some configs, and gives what left a buffer. Formats differ in what they make of a block, and not in
/// which they take: of kernels that read weights through a format's functions, one is tried in all.
fn left(adapter: &Adapter, configs: &[Config], is_format: impl Fn(&Op, Format) -> bool) -> Vec<String> {
    let mut watch = Watch::open(adapter);
    let mut left = Vec::new();
    for kernel in kernels::ALL {
        let is_wanted = |case: &Case| {
            let format = case.recording.stages.iter().find_map(|stage| stage.spec.value_of("FORMAT"));
            format.is_none_or(|format| is_format(kernel, Format::ALL[format as usize]))
        };
        for case in (kernel.cases)().iter().filter(|case| is_wanted(case)) {
            for tuning in configs.iter().flat_map(|config| tunings(case, *config)) {
                for (is_spoilt, with) in [(false, ""), (true, " with numbers that are none")] {
                    let outside = watch.outside(case, &tuning, is_spoilt).into_iter();
                    left.extend(outside.map(|left| format!("{left} of {}{with}", case.name)));
                }
            }
        }
    }
    left.sort();
    left.dedup();
    left
}

#[test]
fn no_text_leaves_its_buffers() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let left = left(&adapter, &[adapter.tuning().config], |_, format| format == Format::Q4_0);
    assert!(left.is_empty(), "{} times:\n{}", left.len(), left.join("\n"));
}

#[test]
#[ignore = "ten minutes and more: cargo test -- --ignored bounds"]
fn no_text_of_any_config_leaves_its_buffers() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let configs = configs().into_iter().chain([adapter.tuning().config]);
    let configs: Vec<Config> = configs.filter(|config| config.runs_on(&adapter.caps)).collect();
    let is_format = |kernel: &Op, format| kernel.name == "linear" || matches!(format, Format::F32 | Format::Q4_0);
    let left = left(&adapter, &configs, is_format);
    assert!(left.is_empty(), "{} times:\n{}", left.len(), left.join("\n"));
}

#[test]
fn a_text_that_leaves_its_buffers_is_told_with_the_array() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let mut watch = Watch::open(&adapter);
    let mut cases = (kernels::ALL.iter().find(|kernel| kernel.name == "linear").expect("it").cases)();
    let case = &mut cases[0];
    let tuning = Tuning::uniform(adapter.tuning().config);
    assert_eq!(watch.outside(case, &tuning, false), Vec::<String>::new());
    for (at, name) in [(1, "x"), (2, "quants"), (4, "y")] {
        let whole = case.recording.stages[0].bindings[at].bytes;
        case.recording.stages[0].bindings[at].bytes = 16;
        let told = watch.outside(case, &tuning, false);
        case.recording.stages[0].bindings[at].bytes = whole;
        assert_eq!(told, [format!("linear: {name}")]);
    }
}
