//! Writes the page's files, compressed where that pays, and the table of them to `OUT_DIR`.
//!
//! Everything is named by its content, so a file that has not changed is not compressed again.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A compressed form that saves less, in bytes, is not worth its place.
const MIN_SAVING: usize = 64;

/// Packs `page` and writes `assets.rs`. The error is a reason for people.
pub(crate) fn pack(page: &Path, placeholder: bool, out: &Path) -> Result<(), String> {
    let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    walk(page, &mut files).map_err(|error| at(page, error))?;
    let mut named = Vec::new();
    for file in files {
        let name = file.strip_prefix(page).map_err(|error| error.to_string())?;
        let name = name.to_str().ok_or_else(|| format!("{}: not a UTF-8 name", file.display()))?.to_owned();
        named.push((name, file));
    }
    // The table is searched by bisection.
    named.sort();
    let mut code = format!("pub(crate) const PLACEHOLDER: bool = {placeholder};\n");
    code += "pub(crate) static ASSETS: &[Asset] = &[\n";
    for (name, file) in named {
        entry(&mut code, &name, &file, out).map_err(|error| at(&file, error))?;
    }
    code += "];\n";
    let table = out.join("assets.rs");
    fs::write(&table, code).map_err(|error| at(&table, error))
}

fn entry(code: &mut String, name: &str, file: &Path, out: &Path) -> io::Result<()> {
    let raw = fs::read(file)?;
    let (mime, text) = mime(name);
    let hash = fnv1a(&raw);
    let stem = format!("{hash:016x}-{}", raw.len());
    let embed = |extension: &str, make: fn(&[u8]) -> io::Result<Vec<u8>>| -> io::Result<(String, usize)> {
        let path = stored(out, &format!("{stem}.{extension}"), || make(&raw))?;
        let size = usize::try_from(fs::metadata(&path)?.len()).unwrap_or(usize::MAX);
        Ok((format!("include_bytes!({path:?})"), size))
    };
    let small = |size: usize| size.saturating_add(MIN_SAVING) <= raw.len();
    let forms = if text { Some((embed("br", brotli)?, embed("gz", gzip)?)) } else { None };
    let kept = match forms {
        Some(((br, br_size), (gzip, gzip_size))) if small(br_size) && small(gzip_size) => {
            format!("Compressed {{ br: {br}, gzip: {gzip}, length: {} }}", raw.len())
        }
        _ => format!("Raw({})", embed("raw", |raw| Ok(raw.to_vec()))?.0),
    };
    writeln!(code, "Asset {{ name: {name:?}, mime: {mime:?}, hash: \"{hash:016x}\", stored: Stored::{kept} }},")
        .map_err(io::Error::other)
}

/// Whole or not at all: a killed build must not leave half a file under a name that is trusted.
fn stored(out: &Path, name: &str, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<PathBuf> {
    let path = out.join(name);
    if !path.is_file() {
        let partial = out.join(format!("{name}.partial"));
        fs::write(&partial, make()?)?;
        fs::rename(&partial, &path)?;
    }
    Ok(path)
}

/// Every file below, but for hidden ones.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The media type, and whether compressing pays.
fn mime(name: &str) -> (&'static str, bool) {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => ("text/html; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "json" | "map" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "svg" => ("image/svg+xml", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "wasm" => ("application/wasm", true),
        "woff2" => ("font/woff2", false),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "ico" => ("image/x-icon", false),
        _ => ("application/octet-stream", false),
    }
}

/// Names content, keeps no secret: 64-bit FNV-1a (draft-eastlake-fnv).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 22);
    writer.write_all(bytes)?;
    // Finishes the stream.
    drop(writer);
    Ok(out)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
