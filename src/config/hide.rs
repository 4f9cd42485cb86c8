//! What is left out where settings are printed: words of parsers and names of users may be, or stand beside, a secret.

use config::ConfigError;

/// An address without its user and password; any other text as it is.
pub(super) fn without_user(text: &str) -> String {
    let Some((user, rest)) = text.rsplit_once('@') else { return text.to_owned() };
    match (text.split_once("://"), user.contains([':', '/'])) {
        (Some((scheme, _)), true) if scheme.len() < user.len() => format!("{scheme}://***@{rest}"),
        (_, true) => format!("***@{rest}"),
        (_, false) => text.to_owned(),
    }
}

/// Where a file stops to be TOML. The parser's own words quote the line, which may hold a secret: only its number is taken.
pub(super) fn place_of(error: &ConfigError) -> String {
    let text = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        _ => String::new(),
    };
    let line = text.strip_prefix("TOML parse error at line ").map(|rest| {
        let digits = rest.find(|symbol: char| !symbol.is_ascii_digit()).unwrap_or(rest.len());
        rest.split_at(digits).0.to_owned()
    });
    match line.filter(|digits| !digits.is_empty()) {
        Some(line) => format!("line {line} is not TOML, or repeats what stands above it; the line is not shown here"),
        None => "it is not TOML; what is wrong is not shown here, as it may be a secret".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_left_out_of_addresses() {
        for (text, shown) in [
            ("https://user:word@pay.kmic.kz/x", "https://***@pay.kmic.kz/x"),
            ("https://token@pay.kmic.kz", "https://***@pay.kmic.kz"),
            ("https://user:wo/rd@x@pay.kmic.kz", "https://***@pay.kmic.kz"),
            ("user:word@10.0.0.1:8080", "***@10.0.0.1:8080"),
            ("https://a.kz,https://user:word@b.kz", "https://***@b.kz"),
            ("https://pay.kmic.kz", "https://pay.kmic.kz"),
            ("info@kmic.kz", "info@kmic.kz"),
        ] {
            assert_eq!(without_user(text), shown);
        }
    }
}
