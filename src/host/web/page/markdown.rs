//! An answer as it is meant to look. What a model writes is a stranger's text: it becomes text nodes, in elements that are
//! chosen here, and never HTML. While it grows, only the block that grows is drawn again.

use crate::text::markdown::{Block, Item, Span, blocks};
use leptos::prelude::*;

/// A text with its headings, lists, code and emphasis.
#[component]
pub(crate) fn Markdown(#[prop(into)] text: Signal<String>) -> impl IntoView {
    let all = Memo::new(move |_| text.with(|text| blocks(text)));
    view! {
        <div class="text markdown">
            <For each=move || 0..all.with(Vec::len) key=|index| *index children=move |index| {
                let block = Memo::new(move |_| all.with(|all| all.get(index).cloned()));
                move || block.get().map(drawn)
            } />
        </div>
    }
}

fn drawn(block: Block) -> AnyView {
    match block {
        Block::Paragraph(words) => view! { <p>{look(words)}</p> }.into_any(),
        // The page's own headings, and those that say who speaks, stand above these.
        Block::Heading(1, words) => view! { <h3>{look(words)}</h3> }.into_any(),
        Block::Heading(2, words) => view! { <h4>{look(words)}</h4> }.into_any(),
        Block::Heading(_, words) => view! { <h5>{look(words)}</h5> }.into_any(),
        Block::Quote(words) => view! { <blockquote>{look(words)}</blockquote> }.into_any(),
        // It may be wider than the page: the keyboard has to reach it, to scroll.
        Block::Code { language, text } => {
            view! { <pre tabindex="0" data-language=language><code>{text}</code></pre> }.into_any()
        }
        Block::Rule => view! { <hr /> }.into_any(),
        Block::List(items) => {
            let item = |Item { depth, mark, text }: Item| {
                view! { <li style=format!("--depth: {depth}")><span class="bullet">{mark}" "</span><span>{look(text)}</span></li> }
            };
            view! { <ul role="list">{items.into_iter().map(item).collect_view()}</ul> }.into_any()
        }
    }
}

fn look(words: Vec<Span>) -> Vec<AnyView> {
    let span = |Span { text, look }: Span| match (look.code, look.strong, look.emphasis) {
        (true, ..) => view! { <code>{text}</code> }.into_any(),
        (_, true, true) => view! { <strong><em>{text}</em></strong> }.into_any(),
        (_, true, _) => view! { <strong>{text}</strong> }.into_any(),
        (.., true) => view! { <em>{text}</em> }.into_any(),
        _ => text.into_any(),
    };
    words.into_iter().map(span).collect()
}
