//! A hub with one file: it can cut a transfer, forget how ranges work, and change its mind.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// How the next requests are answered.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: Option<String>,
    pub(crate) ranges: bool,
    /// The connection closes after this many bytes of each body.
    pub(crate) cut_after: Option<usize>,
    pub(crate) status: u16,
    /// Whether the length is said in advance.
    pub(crate) content_length: bool,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

pub(crate) struct FileServer {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FileServer {
    pub(crate) fn start(body: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour {
            body: body.to_vec(),
            etag: Some("\"one\"".to_owned()),
            ranges: true,
            cut_after: None,
            status: 200,
            content_length: true,
        }));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shared, log) = (behaviour.clone(), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up early is part of the tests.
                let _ = answer(&stream.unwrap(), &shared, &log);
            }
        });
        Self { address, behaviour, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(stream: &TcpStream, behaviour: &Mutex<Behaviour>, log: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let target = lines.next().unwrap()?.split(' ').nth(1).unwrap().to_owned();
    let mut request = Request { target, range: None, if_range: None };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => request.range = Some(value.to_owned()),
            Some((name, value)) if name.eq_ignore_ascii_case("if-range") => request.if_range = Some(value.to_owned()),
            Some(_) => {}
            None => break,
        }
    }
    let Behaviour { body, etag, ranges, cut_after, status, content_length } = behaviour.lock().unwrap().clone();
    let unchanged = request.if_range.is_none() || request.if_range == etag;
    let first = request
        .range
        .as_deref()
        .filter(|_| ranges && unchanged && status == 200)
        .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap());
    log.lock().unwrap().push(request);
    let part = &body[first.unwrap_or(0)..];
    let mut head = match first {
        Some(first) => {
            let (last, total) = (body.len() - 1, body.len());
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}\r\n")
        }
        None => format!("HTTP/1.1 {status} x\r\n"),
    };
    if let Some(etag) = etag {
        head += &format!("ETag: {etag}\r\n");
    }
    if content_length {
        head += &format!("Content-Length: {}\r\n", part.len());
    }
    let mut out = stream;
    out.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    out.write_all(&part[..cut_after.unwrap_or(part.len()).min(part.len())])
}
