//! What is allowed but risky. Said at every start, and by `config check`.

use r1_domain::near::{nearest, slip_of};

use super::{Config, providers::ProviderConfig, reader::Reader, value::Origin};

/// OWASP's least for Argon2id, as memory in KiB times passes: all of its pairs are about this much.
const PASSWORD_COST: u64 = 35 * 1024;

/// One sentence each; names no secret.
pub(crate) fn warnings(config: &Config, reader: &Reader) -> Vec<String> {
    let mut warnings = Vec::new();
    let public = config.server.api.is_public() || config.server.web.is_public();
    let url = config.server.public_url.as_ref();
    let https = url.is_some_and(|url| url.scheme_str() == Some("https"));
    if public && !https {
        warnings.push(
            "other machines can reach the server (server.host), but server.public_url is not https: passwords and \
             answers may cross the network readable"
                .to_owned(),
        );
    }
    if !public && !https && url.is_some_and(|url| !is_local(url)) {
        warnings.push("server.public_url is not https: passwords and answers cross the network readable".to_owned());
    }
    if (public || https) && config.auth.registration_open {
        warnings.push(
            "auth.registration is open: whoever reaches the server can make an account and use its models".to_owned(),
        );
    }
    if https && config.server.trusted_proxies.is_empty() {
        warnings.push(
            "server.public_url is https, but server.trusted_proxies is empty: all clients of the proxy share its \
             address, and one of them can use up the sign-ins and registrations of all"
                .to_owned(),
        );
    }
    if config.server.metrics.is_public() {
        warnings.push("other machines can reach server.metrics_addr, which asks nobody who they are".to_owned());
    }
    if config.auth.attempts.is_none() {
        warnings
            .push("limits.enabled is false: nothing slows down guessing of passwords or one user's load".to_owned());
    }
    let passwords = &config.auth.passwords;
    if u64::from(passwords.memory_kib) * u64::from(passwords.iterations) < PASSWORD_COST {
        warnings.push("auth.password_memory and password_iterations are weaker than OWASP asks for".to_owned());
    }
    if matches!(reader.origin("default_model"), Origin::Environment(name) if name == "OPENAI_MODEL")
        && !config.providers.iter().any(|provider| provider.name == "openai")
    {
        warnings.push("OPENAI_MODEL is set, but neither OPENAI_API_KEY nor OPENAI_BASE_URL: it is not used".to_owned());
    }
    warnings.extend(mistyped_default(config, reader));
    warnings.extend(config.providers.iter().filter_map(readable_key));
    warnings.extend(readable_file(reader));
    warnings
}

/// A default model whose provider, or name, was probably mistyped: the default provider is asked for it all the same.
fn mistyped_default(config: &Config, reader: &Reader) -> Option<String> {
    let model = config.default_model.model.as_deref().filter(|_| reader.is_given("default_model"))?;
    let name = &config.default_model.provider;
    let provider = config.providers.iter().find(|provider| provider.name == *name)?;
    if provider.models.iter().any(|known| known == model) {
        return None;
    }
    let names = config.providers.iter().map(|provider| provider.name.as_str());
    let slip = model.split_once('/').and_then(|(first, rest)| Some((first, slip_of(first, names)?, rest)));
    if let Some((first, meant, rest)) = slip {
        return Some(format!(
            "default_model: there is no provider \"{first}\", so {name} is asked for the model \"{model}\"; did you \
             mean \"{meant}/{rest}\"?"
        ));
    }
    if provider.models.is_empty() {
        return None;
    }
    let near = nearest(model, provider.models.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean \"{name}/{near}\"?")).unwrap_or_default();
    Some(format!("default_model: \"{model}\" is not among providers.{name}.models{near}"))
}

fn is_local(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn readable_key(provider: &ProviderConfig) -> Option<String> {
    let url: http::Uri = provider.base_url.parse().ok()?;
    let readable = provider.api_key.is_some() && url.scheme_str() == Some("http") && !is_local(&url);
    readable.then(|| {
        format!("providers.{0}.base_url is not https: the key of {0} crosses the network readable", provider.name)
    })
}

/// A file that holds a secret and that every user of the machine can read.
#[cfg(unix)]
fn readable_file(reader: &Reader) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = reader.given().iter().find_map(|(key, entry)| match &entry.origin {
        Origin::File(path, _) if super::show::is_secret(key, &entry.value) => Some(path),
        _ => None,
    })?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0)
        .then(|| format!("{0} holds a secret and every user can read it: `chmod 600 {0}`", path.display()))
}

#[cfg(not(unix))]
fn readable_file(_reader: &Reader) -> Option<String> {
    None
}
