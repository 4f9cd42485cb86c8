//! HTML of the pages: plain forms, one small style sheet, everything escaped.

/// Escapes text for HTML and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A hidden field of a form.
pub(super) fn hidden(name: &str, value: &str) -> String {
    format!(r#"<input type="hidden" name="{}" value="{}">"#, escape(name), escape(value))
}

/// A link, only to a web address; anything else becomes plain text.
pub(super) fn link(url: &str, text: &str) -> String {
    if url.starts_with("http://") || url.starts_with("https://") || url.starts_with('/') {
        format!(r#"<a class="button" href="{}">{}</a>"#, escape(url), escape(text))
    } else {
        escape(url)
    }
}

/// A whole page. `body` is HTML already.
pub(super) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<p class="banner">Payment sandbox: no money moves</p>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"#
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 40rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
.banner { margin: 0; padding: .4rem 1rem; background: #8a5a00; color: #fff; text-align: center; }
h1 { font-size: 1.4rem; }
label { display: block; margin: .8rem 0; }
select, input { display: block; width: 100%; box-sizing: border-box; padding: .6rem; font: inherit; }
button, .button { display: inline-block; margin: .4rem 0; padding: .7rem 1.2rem; border: 0; border-radius: .4rem;
  background: #1456a0; color: #fff; font: inherit; text-decoration: none; cursor: pointer; }
button.fail { background: #a01f1f; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem .3rem 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
code { font-size: .95em; }
.sum { font-size: 1.8rem; margin: .4rem 0; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_an_attribute() {
        let field = hidden("MD", r#""><script>alert('x')</script>"#);
        assert!(!field.contains("<script>"));
        assert_eq!(escape("a&b"), "a&amp;b");
    }

    #[test]
    fn only_web_addresses_are_links() {
        assert!(link("https://shop.example/", "Back").contains("href"));
        assert!(!link("javascript:alert(1)", "Back").contains("href"));
    }
}
