//! One file from the Hugging Face hub, or whatever speaks its URLs, with resume.
//!
//! The file is pinned by size and checksum, so the hub need not be trusted, and a part may always
//! be continued: at worst the checksum finds out, and the whole file is fetched once more. The
//! ETag (`If-Range`, RFC 9110, 13.1.5) only saves that detour.

use std::{path::Path, time::Duration};

use http::{StatusCode, header};
use tokio::{fs, io::AsyncWriteExt};

use super::{
    FetchOptions, OnProgress,
    cache::Cache,
    progress::{Progress, Step},
};

/// This many cuts without a new byte in between, and the hub is given up.
const MAX_FRUITLESS: u32 = 3;
/// Bytes gathered before a write.
const WRITE_BUFFER: usize = 1 << 20;

enum Fault {
    /// Going on may help.
    Cut(String),
    /// The part does not fit what the hub has now: start over.
    Mismatch(String),
    /// Asking again does not help.
    Refused(String),
}

/// The hub's name without whatever it carries as a secret.
pub(super) fn shown(hub: &str) -> String {
    match reqwest::Url::parse(hub) {
        Ok(mut url) => {
            // These fail only for URLs that have no host, and so no secret before it.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string().trim_end_matches('/').to_owned()
        }
        Err(_) => "(no valid URL)".to_owned(),
    }
}

/// Fetches the file into the cache. The error is a reason for people.
pub(super) async fn fetch(
    options: &FetchOptions,
    hub: &str,
    cache: &Cache,
    progress: OnProgress<'_>,
) -> Result<(), String> {
    let model = &options.model;
    let url =
        format!("{}/{}/resolve/{}/{}", hub.trim_end_matches('/'), model.repository, model.revision, model.file_name);
    let client = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.stall_timeout)
        .user_agent(concat!("gpt-r1/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(reason)?;
    let transfer = Transfer { client, url, size: model.size, cache, progress };
    loop {
        let resumed = length(&cache.part()).await > 0;
        transfer.run(options.retry_delay).await?;
        match cache.check(&cache.part(), progress).await {
            Ok(()) => {
                cache.adopt(&cache.part()).await.map_err(|error| error.to_string())?;
                return cleared(cache);
            }
            Err(mismatch) => {
                cleared(cache)?;
                if !resumed {
                    return Err(mismatch);
                }
                tracing::info!("the resumed model file has a wrong checksum, fetching all of it again");
            }
        }
    }
}

fn cleared(cache: &Cache) -> Result<(), String> {
    cache.discard_part().map_err(|error| error.to_string())
}

async fn length(path: &Path) -> u64 {
    fs::metadata(path).await.map_or(0, |metadata| metadata.len())
}

struct Transfer<'a> {
    client: reqwest::Client,
    url: String,
    size: u64,
    cache: &'a Cache,
    progress: OnProgress<'a>,
}

impl Transfer<'_> {
    /// Goes on until the part has the model's size.
    async fn run(&self, retry_delay: Duration) -> Result<(), String> {
        let mut fruitless = 0;
        loop {
            let before = length(&self.cache.part()).await;
            let fault = match self.attempt(before).await {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            let why = match fault {
                Fault::Refused(why) => return Err(why),
                Fault::Mismatch(why) => {
                    cleared(self.cache)?;
                    why
                }
                Fault::Cut(why) => why,
            };
            fruitless = if length(&self.cache.part()).await > before { 0 } else { fruitless + 1 };
            if fruitless == MAX_FRUITLESS {
                return Err(why);
            }
            tracing::debug!(why, "the transfer of the model file was cut, going on");
            tokio::time::sleep(retry_delay).await;
        }
    }

    async fn attempt(&self, have: u64) -> Result<(), Fault> {
        if have == self.size {
            return Ok(());
        }
        if have > self.size {
            return Err(Fault::Mismatch(format!("sent more than {} bytes", self.size)));
        }
        let known_etag = fs::read_to_string(self.cache.part_etag()).await.ok().filter(|_| have > 0);
        let mut request = self.client.get(&self.url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let Some(etag) = &known_etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let response = request.send().await.map_err(|error| match error.is_connect() || error.is_builder() {
            true => Fault::Refused(reason(error)),
            false => Fault::Cut(reason(error)),
        })?;
        let etag = strong_etag(&response);
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if content_range(&response) != Some((have, self.size)) => {
                return Err(Fault::Mismatch("sent another part than was asked for".to_owned()));
            }
            StatusCode::PARTIAL_CONTENT if known_etag.is_some() && etag != known_etag => {
                return Err(Fault::Mismatch("the file changed under way".to_owned()));
            }
            StatusCode::PARTIAL_CONTENT => have,
            StatusCode::OK => 0,
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                return Err(Fault::Mismatch("does not have the missing part".to_owned()));
            }
            status => return Err(Fault::Refused(format!("answered {status}"))),
        };
        if let Some(length) = response.content_length().filter(|length| *length != self.size - start) {
            return Err(Fault::Refused(format!("offers {length} bytes instead of {}", self.size - start)));
        }
        self.receive(response, start, etag).await
    }

    async fn receive(&self, mut response: reqwest::Response, start: u64, etag: Option<String>) -> Result<(), Fault> {
        let broken = |error: std::io::Error| Fault::Refused(format!("could not write the file: {error}"));
        if start == 0 {
            self.cache.discard_part().map_err(broken)?;
        }
        if let Some(etag) = etag {
            fs::write(self.cache.part_etag(), etag).await.map_err(broken)?;
        }
        let file = fs::File::options().create(true).append(true).open(self.cache.part()).await.map_err(broken)?;
        let mut file = tokio::io::BufWriter::with_capacity(WRITE_BUFFER, file);
        let mut done = start;
        let outcome = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    done += bytes.len() as u64;
                    if done > self.size {
                        break Err(Fault::Mismatch(format!("sent more than {} bytes", self.size)));
                    }
                    file.write_all(&bytes).await.map_err(broken)?;
                    (self.progress)(Progress { step: Step::Hub, done, total: self.size });
                }
                Ok(None) if done < self.size => {
                    break Err(Fault::Cut(format!("ended after {done} of {} bytes", self.size)));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Fault::Cut(reason(error))),
            }
        };
        // What has arrived is kept, however the transfer ended.
        file.flush().await.map_err(broken)?;
        outcome
    }
}

/// `If-Range` takes no weak one (RFC 9110, 13.1.5).
fn strong_etag(response: &reqwest::Response) -> Option<String> {
    let etag = response.headers().get(header::ETAG)?.to_str().ok()?;
    etag.starts_with('"').then(|| etag.to_owned())
}

/// First byte and total size of a `Content-Range: bytes 5-9/10`.
fn content_range(response: &reqwest::Response) -> Option<(u64, u64)> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _last) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}

/// The innermost cause says what happened; the URL may carry a secret and stays out.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "could not be reached in time" } else { "sent nothing for too long" }
            .to_owned();
    }
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let what = if error.is_connect() { "could not be reached" } else { "failed" };
    format!("{what}: {innermost}")
}
