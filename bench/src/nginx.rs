//! nginx as a raw proxy: `proxy_buffering off`, one worker, kept upstream connections, no log.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::process::{self, Process};

/// Whether it is installed, and which it is.
pub(crate) fn version() -> Option<String> {
    // It says so on standard error.
    let out = Command::new("nginx").arg("-v").output().ok()?;
    let line = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    line.rsplit_once('/').map(|(_, version)| format!("nginx {version}"))
}

/// Starts it in a directory of its own.
pub(crate) async fn start(directory: &Path, upstream: SocketAddr) -> anyhow::Result<(Process, SocketAddr)> {
    // nginx can't be asked which port it took.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    std::fs::create_dir_all(directory)?;
    let configuration = directory.join("nginx.conf");
    std::fs::write(&configuration, configure(directory, address, upstream))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(&configuration).args(["-e", "stderr"]);
    let process = Process::start_silent(command)?;
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(10), "nginx does not listen at {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process::say(format_args!("nginx at {address}"));
    Ok((process, address))
}

fn configure(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 9000; }}
http {{
  access_log off;
  tcp_nodelay on;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  upstream paced {{ server {upstream}; keepalive 1024; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://paced;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"
    )
}
