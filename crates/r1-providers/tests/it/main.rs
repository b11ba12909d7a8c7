//! The client and the catalogue against the scripted upstream, over real sockets.

#[cfg(test)]
mod catalog;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fits;
#[cfg(test)]
mod http;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod local_servers;
#[cfg(test)]
mod model_lists;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod ways;
