//! The model's own chat template, which turns messages into the text it was trained on.
//!
//! Templates are programs from the internet: they run in minijinja, without any access to the
//! outside and on a bounded budget. They never see what people wrote: each content is a
//! placeholder while the template runs, and the result is cut at the placeholders, so that
//! template text and contents stay apart all the way to the tokenizer.
//!
//! **Invariant:** only text of the template itself becomes [`Segment::Template`].

#[cfg(test)]
mod tests;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, State, Value, context};

use crate::error::LoadError;
use crate::gguf::Gguf;
use crate::tokenizer::{Segment, Tokenizer};

const NAME: &str = "chat";
/// Instructions per message, and for the rest; a template in use takes about 60 per message.
const FUEL_PER_MESSAGE: u64 = 20_000;
/// Private-use characters that enclose a placeholder's number.
const OPEN: char = '\u{F0010}';
const CLOSE: char = '\u{F0011}';

/// For models without a template of their own that know its control tokens.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}\
{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// The template did not run to its end.
#[derive(Debug, thiserror::Error)]
#[error("the model's chat template failed: {message}")]
pub struct TemplateError {
    message: String,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

impl ChatTemplate {
    /// Compiles the file's template and tries it.
    ///
    /// # Errors
    /// [`LoadError`]: none there, or one that minijinja can't run.
    pub fn load(file: &Gguf, tokenizer: &Tokenizer) -> Result<Self, LoadError> {
        let source = match file.str("tokenizer.chat_template")? {
            Some(source) => source,
            None if tokenizer.special("<|im_start|>").is_some() => CHATML,
            None => return Err(LoadError::unsupported("a model without a chat template")),
        };
        let text = |key: &str| -> Result<String, LoadError> {
            let id = file.usize(key)?.and_then(|id| u32::try_from(id).ok());
            Ok(id.map(|id| tokenizer.text(id)).unwrap_or_default())
        };
        let begin = text("tokenizer.ggml.bos_token_id")?;
        let end = text("tokenizer.ggml.eos_token_id")?;
        Self::compile(source, begin, end)
            .map_err(|error| LoadError::unsupported(format!("its chat template ({error})")))
    }

    fn compile(source: &str, begin: String, end: String) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // As the reference implementation of chat templates does it.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(explain)?);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.set_unknown_method_callback(python_method);
        environment.add_template_owned(NAME, source.to_owned()).map_err(explain)?;
        let template = Self { environment, begin, end };
        let greeting = Message { role: Role::User, content: String::from("Hello") };
        let rendered = template.render(&[&greeting])?;
        if !rendered.segments().any(|segment| segment == Segment::Content("Hello")) {
            return Err(TemplateError { message: String::from("it leaves messages out") });
        }
        Ok(template)
    }

    /// The prompt for an answer to `messages`. The template adds its own system prompt where it
    /// has one and none is given.
    ///
    /// # Errors
    /// [`TemplateError`]: the template refuses such messages, or takes too long.
    pub fn render<'a>(&self, messages: &[&'a Message]) -> Result<Prompt<'a>, TemplateError> {
        let placeholders: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(i, message)| {
                let content = format!("{OPEN}{i}{CLOSE}");
                context! { role => message.role.as_str(), content => content }
            })
            .collect();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL_PER_MESSAGE * (messages.len() as u64 + 1)));
        let text = environment
            .get_template(NAME)
            .and_then(|template| {
                template.render(context! {
                    messages => placeholders,
                    add_generation_prompt => true,
                    bos_token => self.begin.as_str(),
                    eos_token => self.end.as_str(),
                })
            })
            .map_err(explain)?;
        Ok(Prompt { parts: cut(&text, messages) })
    }
}

/// A rendered prompt: what the template wrote, and what it wrote that around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt<'a> {
    parts: Vec<(String, Option<&'a str>)>,
}

impl Prompt<'_> {
    /// The pieces in order, ready to be encoded.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.parts.iter().flat_map(|(text, content)| {
            [Some(Segment::Template(text)), content.map(Segment::Content)].into_iter().flatten()
        })
    }
}

/// Puts the contents back in place of their placeholders.
fn cut<'a>(text: &str, messages: &[&'a Message]) -> Vec<(String, Option<&'a str>)> {
    let mut parts = Vec::with_capacity(messages.len() + 1);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let placeholder = after.split_once(CLOSE);
        let number = placeholder.and_then(|(number, _)| number.parse::<usize>().ok());
        let content = number.and_then(|number| messages.get(number));
        parts.push((before.to_owned(), content.map(|message| message.content.as_str())));
        rest = placeholder.map_or(after, |(_, after)| after);
    }
    parts.push((rest.to_owned(), None));
    parts
}

/// The few string methods of Python that templates are written with.
fn python_method(_state: &mut State<'_, '_>, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = arguments.first().and_then(|argument| argument.as_str());
    Ok(match (method, argument) {
        ("strip", None) => text.trim().into(),
        ("lstrip", None) => text.trim_start().into(),
        ("rstrip", None) => text.trim_end().into(),
        ("upper", None) => text.to_uppercase().into(),
        ("lower", None) => text.to_lowercase().into(),
        ("startswith", Some(prefix)) => text.starts_with(prefix).into(),
        ("endswith", Some(suffix)) => text.ends_with(suffix).into(),
        _ => return Err(unknown()),
    })
}

fn explain(error: Error) -> TemplateError {
    let message = error.to_string();
    drop(error);
    TemplateError { message }
}
