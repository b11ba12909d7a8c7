//! What is allowed but risky. Said at every start, and by `config check`.

use r1_domain::near::{nearest, slip_of};

use super::{
    Config,
    layers::{PREFIX, variable_of},
    providers::{LOCAL, ProviderConfig},
    reader::Reader,
    value::Origin,
};

/// OWASP's least for Argon2id, as memory in KiB times passes: all of its pairs are about this much.
const PASSWORD_COST: u64 = 35 * 1024;

/// One sentence each; names no secret.
pub(crate) fn warnings(config: &Config, reader: &Reader, environment: &[(String, String)]) -> Vec<String> {
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
    warnings.extend(mistyped_titles(config));
    warnings.extend(environment.iter().filter_map(|(name, _)| mistyped_variable(name, reader)));
    warnings.extend(config.providers.iter().filter_map(readable_key));
    warnings.extend(readable_file(reader));
    warnings
}

/// A variable that was meant for this program, and is not read. One with the right beginning is a fault instead.
fn mistyped_variable(name: &str, reader: &Reader) -> Option<String> {
    let name_as_ours = name.to_ascii_uppercase();
    let looks_so = ["GPT_R1_", "GPTR1_", "GPT-R1_"].iter().any(|beginning| name_as_ours.starts_with(beginning));
    if !looks_so || name.starts_with(PREFIX) || is_of_kubernetes(&name_as_ours) {
        return None;
    }
    let known: Vec<String> = reader.defaults().keys().map(|key| variable_of(key)).collect();
    let flat = |name: &str| name.replace(['-', '_'], "");
    let same = known.iter().find(|known| flat(known) == flat(&name_as_ours)).map(String::as_str);
    let meant = same.or_else(|| nearest(&name_as_ours, known.iter().map(String::as_str)));
    let meant = meant.map_or_else(|| format!("settings begin with {PREFIX}"), |meant| format!("did you mean {meant}?"));
    Some(format!("the variable {name} stands for no setting, and is not read: {meant}"))
}

/// What Kubernetes tells every container of a service that is called gpt-r1, or gpt-r1-a.
fn is_of_kubernetes(name: &str) -> bool {
    let is_port = |rest: &str| rest.is_empty() || rest.starts_with('_');
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"]
        .iter()
        .any(|word| name.find(word).is_some_and(|at| is_port(&name[at + word.len()..])))
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

/// A model for titles whose provider was probably mistyped, or is not offered.
fn mistyped_titles(config: &Config) -> Option<String> {
    let model = config.titles.model.as_deref().filter(|_| config.titles.enabled)?;
    let (first, rest) = model.split_once('/')?;
    if first == LOCAL && config.local_model.is_none() {
        return Some(format!("titles.model: \"{model}\" is the local model, which is off: nobody makes titles"));
    }
    let meant = slip_of(first, config.providers.iter().map(|provider| provider.name.as_str()))?;
    Some(format!("titles.model: there is no provider \"{first}\"; did you mean \"{meant}/{rest}\"?"))
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
