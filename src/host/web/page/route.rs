//! The page's views, each with an address of its own behind the `#`: any server of files will do, and *back* works.

use super::state::Page;
use leptos::ev::hashchange;
use leptos::prelude::*;

/// What the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Test,
    Compare,
    Models,
    Chat,
}

impl View {
    pub(crate) const ALL: [Self; 4] = [Self::Test, Self::Compare, Self::Models, Self::Chat];

    /// As it stands in the address. No element has such an id: the browser would scroll to it, and move the focus.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Compare => "compare",
            Self::Models => "models",
            Self::Chat => "chat",
        }
    }

    /// What a person calls it. What can be done with a model depends on the model.
    pub(crate) fn name(self, page: Page) -> &'static str {
        match self {
            Self::Test => "Test this GPU",
            Self::Compare => "Compare",
            Self::Models => "Models",
            Self::Chat if page.is_for_talk() => "Chat",
            Self::Chat => "Write",
        }
    }

    /// The view that an address's fragment names; a received result is shown where one's own would be.
    fn of(hash: &str) -> Self {
        let named = |view: &Self| hash.strip_prefix('#') == Some(view.key());
        Self::ALL.into_iter().find(named).unwrap_or(Self::Test)
    }

    /// Goes there.
    pub(crate) fn open(self) {
        let _ = window().location().set_hash(self.key());
    }
}

/// The view that the page opens with.
pub(crate) fn at_first() -> View {
    View::of(&hash())
}

/// Follows the address.
pub(crate) fn listen(page: Page) {
    // The page lives as long as its window.
    window_event_listener(hashchange, move |_| {
        let view = View::of(&hash());
        if page.view.get_untracked() != view {
            page.view.set(view);
            page.history.said.set(String::new());
            window().scroll_to_with_x_and_y(0.0, 0.0);
        }
    });
    Effect::new(move |_| document().set_title(&format!("{} · headstart", page.view.get().name(page))));
}

fn hash() -> String {
    window().location().hash().unwrap_or_default()
}

/// The ways to the views.
#[component]
pub(crate) fn Ways(page: Page) -> impl IntoView {
    let way = move |view: View| {
        let current = move || (page.view.get() == view).then_some("page");
        view! { <li><a href=format!("#{}", view.key()) aria-current=current>{move || view.name(page)}</a></li> }
    };
    view! { <nav aria-label="Views"><ul class="ways">{View::ALL.map(way).collect_view()}</ul></nav> }
}
