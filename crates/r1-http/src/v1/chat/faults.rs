//! The checks that requests for an answer share; all faulty fields are named at once.

use crate::error::{ApiError, FieldProblem};

/// Most tokens that a request may ask for. What a model or a provider allows may be less.
const MOST_TOKENS: u32 = 1_000_000;

#[derive(Default)]
pub(super) struct Faults(Vec<FieldProblem>);

impl Faults {
    pub(super) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldProblem { field: field.to_owned(), message: message.into() });
    }

    pub(super) fn parse<T>(&mut self, field: &str, text: Option<&str>) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        text.and_then(|text| text.parse().map_err(|error: T::Err| self.add(field, error.to_string())).ok())
    }

    pub(super) fn check_temperature(&mut self, temperature: Option<f64>) {
        if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            self.add("temperature", "must be 0 to 2");
        }
    }

    pub(super) fn check_max_tokens(&mut self, tokens: Option<u32>) {
        if tokens.is_some_and(|tokens| !(1..=MOST_TOKENS).contains(&tokens)) {
            self.add("max_tokens", format!("must be 1 to {MOST_TOKENS}"));
        }
    }

    pub(super) fn check_model(&mut self, model: Option<&str>) {
        if model.is_some_and(|model| model.is_empty() || model.len() > 256) {
            self.add("model", "must have 1 to 256 characters");
        }
    }

    pub(super) fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.0)) }
    }
}
