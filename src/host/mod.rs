//! The platform: the command line natively, the page and its worker in a browser; and what both know of model hubs
//! and of models that come in pieces.

pub mod arrival;
pub mod hub;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod web;

/// Where the code of this program is, as its package says (`repository` in Cargo.toml); `None` where it says nothing that a
/// browser should follow.
#[must_use]
pub fn code_address(repository: &str) -> Option<&str> {
    let address = repository.trim();
    (address.starts_with("https://") && !address.contains(char::is_whitespace)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_link_to_the_code_where_the_package_has_one() {
        assert_eq!(code_address("https://example.org/headstart"), Some("https://example.org/headstart"));
        for none in ["", " ", "example.org/headstart", "javascript:alert(1)", "https://a b"] {
            assert_eq!(code_address(none), None, "{none}");
        }
    }
}
