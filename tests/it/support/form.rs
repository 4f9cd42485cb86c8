//! Forms of pages, as a browser finds and posts them.

/// A form of a page.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: String,
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// As a browser posts it.
    pub fn encoded(&self) -> String {
        let encode = |text: &str| -> String {
            let unreserved = |byte: u8| byte.is_ascii_alphanumeric();
            text.bytes()
                .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
                .collect()
        };
        self.fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
    }
}

/// The first form of a page that contains `mark`; `None` when there is none.
pub fn form_of(page: &str, mark: &str) -> Option<Form> {
    let form =
        page.split("<form").skip(1).filter_map(|form| form.split("</form>").next()).find(|form| form.contains(mark))?;
    let fields =
        form.split("<input").skip(1).filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)));
    Some(Form { action: attribute(form, "action")?, fields: fields.collect() })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = tag.get(start..)?.split('"').next()?;
    let entities = [("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    Some(entities.iter().fold(value.to_owned(), |text, (entity, character)| text.replace(entity, character)))
}
