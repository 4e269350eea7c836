//! The fields of a form.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use url::form_urlencoded;

use super::fault::Fault;
use crate::http::problem::Problem;
use crate::http::request::FormBody;

/// Fields of one form.
const FIELDS_MAX: usize = 1_000;

/// What a form was filled in with, in its order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn read(bytes: &Bytes) -> Result<Self, Problem> {
        let fields: Vec<(String, String)> = form_urlencoded::parse(bytes)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if fields.len() > FIELDS_MAX {
            return Err(Problem::invalid(format!("the form has more than {FIELDS_MAX} fields")));
        }
        if fields.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Problem::invalid("a field of the form contains the character U+0000, which cannot be stored"));
        }
        Ok(Self(fields))
    }

    /// A field by name; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A field by name, without the blanks around it; none if it is empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name).trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Every value of a field that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number, if the field is filled in.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let read =
            |text: String| text.parse().map_err(|_| Problem::invalid(format!("`{name}` must be a whole number")));
        self.some(name).map(read).transpose()
    }

    /// All fields as one text, of which a repetition is recognised.
    pub(super) fn identity(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Fault;
    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let FormBody(bytes) = FormBody::from_request(request, state).await?;
        Ok(Self::read(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_bounded() {
        let fields = Fields::read(&Bytes::from("a=1&a=2&b=%20x+y%20&c=")).unwrap();
        assert_eq!((fields.text("a"), fields.some("b"), fields.some("c")), ("1", Some("x y".into()), None));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(fields.number("a").is_ok_and(|number| number == Some(1)) && fields.number("b").is_err());
        assert!(Fields::read(&Bytes::from("a=1&".repeat(FIELDS_MAX + 1))).is_err());
        assert!(Fields::read(&Bytes::from("a=%00")).is_err());
    }
}
