//! Texts that end what a model writes, also where tokens cut them.

/// Lets a text pass until one of some strings comes up in it. What may be the beginning of one is held back until it is
/// decided, so that nothing of it is ever given out.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    /// The end of the text, which may begin a stop.
    held: String,
    found: Option<usize>,
}

impl StopStrings {
    /// Of these strings; an empty one stops nothing.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            held: String::new(),
            found: None,
        }
    }

    /// What of the text is now sure to stand before every stop; nothing once one was found.
    pub fn push(&mut self, text: &str) -> String {
        if self.found.is_some() {
            return String::new();
        }
        self.held += text;
        let places = self.stops.iter().enumerate().filter_map(|(stop, text)| Some((self.held.find(text)?, stop)));
        let n_sure = match places.min() {
            Some((place, stop)) => {
                self.found = Some(stop);
                place
            }
            None => self.held.len() - self.n_begun(),
        };
        let rest = self.held.split_off(n_sure);
        let sure = std::mem::replace(&mut self.held, rest);
        if self.found.is_some() {
            self.held.clear();
        }
        sure
    }

    /// The stop that was found.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        self.found.map(|stop| self.stops[stop].as_str())
    }

    /// What was held back; the text is over, so that it begins nothing.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// How many bytes at the end are the beginning of a stop: of the longest such beginning.
    fn n_begun(&self) -> usize {
        let begun = |stop: &String| {
            let cuts = stop.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
            cuts.filter(|at| self.held.ends_with(&stop[..*at])).max()
        };
        self.stops.iter().filter_map(begun).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of a text in these parts, what is given at the end, and what stopped it.
    fn passed(stops: &[&str], parts: &[&str]) -> (Vec<String>, String, Option<String>) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut text = StopStrings::new(&stops);
        let passed = parts.iter().map(|part| text.push(part)).collect();
        (passed, text.finish(), text.found().map(str::to_owned))
    }

    #[test]
    fn a_stop_is_found_however_tokens_cut_it() {
        let (parts, rest, found) = passed(&["User:", "\n\n"], &["a Us", "er", ": b", "c"]);
        assert_eq!(
            (parts, rest.as_str(), found.as_deref()),
            (vec!["a ".into(), "".into(), "".into(), "".into()], "", Some("User:"))
        );
        // A text in every pair of parts gives the same.
        let text = "Ünï – ab\nUser\n\nx";
        for (cut, _) in text.char_indices() {
            let (parts, rest, found) = passed(&["User:", "\n\n"], &[&text[..cut], &text[cut..]]);
            assert_eq!((parts.concat() + &rest, found.as_deref()), ("Ünï – ab\nUser".to_owned(), Some("\n\n")));
        }
    }

    #[test]
    fn what_begins_a_stop_and_does_not_go_on_passes_late_but_whole() {
        let (parts, rest, found) = passed(&["aab"], &["xa", "a", "a", "c", "aa"]);
        assert_eq!(parts, ["x", "", "a", "aac", ""]);
        assert_eq!((rest.as_str(), found), ("aa", None));
    }

    #[test]
    fn the_first_in_the_text_counts_and_an_empty_one_never() {
        assert_eq!(passed(&["", "b", "abc"], &["xabcd"]).0, ["x"]);
        assert_eq!(passed(&[], &["abc", "d"]).0, ["abc", "d"]);
    }
}
