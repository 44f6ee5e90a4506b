//! A result as a picture to share: the rate large, the sentence that people quote, and what it means. It is drawn on a
//! canvas, in the page's light colours, and handed over as a PNG file; nothing is sent.

use super::history::files::{file_name, offer};
use super::history::record::Record;
use crate::host::web::source::{get, message_of};
use crate::measure::headline::{Headline, card_name};
use crate::measure::panel::figures;
use js_sys::{Array, Function, Reflect};
use leptos::prelude::*;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

/// What links are shown with, in pixels.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 630.0;
const MARGIN: f64 = 72.0;
/// The footer's line; what would reach it is left out.
const FOOT: f64 = HEIGHT - 56.0;

const PAPER: &str = "#f3f5f6";
const INK: &str = "#14191d";
const SOFT: &str = "#55606a";
const ACCENT: &str = "#c23613";

/// Draws the card of a result and hands it to the person as a file.
pub(crate) fn save(record: &Record, told: &Headline) {
    let name = file_name(record, "png");
    let on_blob = Closure::once_into_js(move |blob: JsValue| match blob.dyn_into::<Blob>() {
        Ok(blob) => offer(&name, &blob),
        Err(_) => web_sys::console::error_1(&"the picture was not made".into()),
    });
    let drawn = draw(record, told).and_then(|canvas| call(&canvas, "toBlob", &[on_blob, "image/png".into()]));
    if let Err(thrown) = drawn {
        web_sys::console::error_1(&format!("the picture was not drawn: {}", message_of(&thrown)).into());
    }
}

fn draw(record: &Record, told: &Headline) -> Result<JsValue, JsValue> {
    let canvas: JsValue = document().create_element("canvas")?.into();
    set(&canvas, "width", WIDTH)?;
    set(&canvas, "height", HEIGHT)?;
    let pen = Pen(call(&canvas, "getContext", &["2d".into()])?);
    pen.colour(PAPER)?;
    pen.fill(0.0, 0.0, WIDTH, HEIGHT)?;
    pen.colour(ACCENT)?;
    pen.fill(0.0, 0.0, 12.0, HEIGHT)?;

    let name = record.report().map(|report| card_name(&report.adapter.identity.name)).unwrap_or_default();
    pen.colour(INK)?;
    pen.line(&name, MARGIN, 112.0, 52.0, "600")?;
    pen.colour(ACCENT)?;
    let width = pen.line(&figures(told.tokens_per_s), MARGIN, 262.0, 144.0, "700")?;
    pen.colour(SOFT)?;
    pen.line("tokens/s", MARGIN + width + 24.0, 262.0, 44.0, "400")?;

    pen.colour(INK)?;
    let mut y = pen.words(&told.claim, 330.0, 32.0)?;
    pen.colour(SOFT)?;
    for remark in &told.remarks {
        y = pen.words(remark, y + 8.0, 25.0)?;
    }
    let address = window().location().href().unwrap_or_default();
    let page = address.split(['#', '?']).next().unwrap_or_default();
    pen.line(&format!("headstart, {}, {page}", record.when()), MARGIN, FOOT + 20.0, 22.0, "400")?;
    Ok(canvas)
}

/// A canvas's context.
struct Pen(JsValue);

impl Pen {
    fn colour(&self, colour: &str) -> Result<(), JsValue> {
        set(&self.0, "fillStyle", colour)
    }

    fn fill(&self, x: f64, y: f64, width: f64, height: f64) -> Result<(), JsValue> {
        call(&self.0, "fillRect", &[x, y, width, height].map(JsValue::from)).map(drop)
    }

    fn font(&self, px: f64, weight: &str) -> Result<(), JsValue> {
        set(&self.0, "font", format!("{weight} {px}px system-ui, \"Segoe UI\", \"DejaVu Sans\", sans-serif"))
    }

    fn width(&self, text: &str) -> Result<f64, JsValue> {
        let measured = call(&self.0, "measureText", &[text.into()])?;
        Ok(get(&measured, "width").as_f64().unwrap_or_default())
    }

    /// One line, smaller where it is too long; returns its width.
    fn line(&self, text: &str, x: f64, y: f64, px: f64, weight: &str) -> Result<f64, JsValue> {
        self.font(px, weight)?;
        let (width, room) = (self.width(text)?, WIDTH - MARGIN - x);
        let scale = (room / width.max(1.0)).min(1.0);
        self.font(px * scale, weight)?;
        call(&self.0, "fillText", &[text.into(), x.into(), y.into()])?;
        Ok(width * scale)
    }

    /// Words in as many lines as they take, the first at `y`; returns where the next line would stand. What would reach
    /// the footer is left out, whole.
    fn words(&self, text: &str, y: f64, px: f64) -> Result<f64, JsValue> {
        self.font(px, "400")?;
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let longer = lines.last().map(|line| format!("{line} {word}"));
            match longer {
                Some(longer) if self.width(&longer)? <= WIDTH - 2.0 * MARGIN => {
                    lines.pop();
                    lines.push(longer);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        let step = px * 1.35;
        if y + step * lines.len() as f64 > FOOT {
            return Ok(y);
        }
        for (index, line) in lines.iter().enumerate() {
            self.line(line, MARGIN, y + step * index as f64, px, "400")?;
        }
        Ok(y + step * lines.len() as f64)
    }
}

fn set(object: &JsValue, key: &str, value: impl Into<JsValue>) -> Result<(), JsValue> {
    Reflect::set(object, &key.into(), &value.into()).map(drop)
}

fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let method: Function = get(object, method).dyn_into()?;
    method.apply(object, &arguments.iter().collect::<Array>())
}
