//! The operations under `/api/v1`, one file each; the folders are the nouns.

pub(crate) mod auth;
pub(crate) mod chat;
pub(crate) mod conversations;
mod failure;
pub(crate) mod health;
pub(crate) mod list_models;
pub(crate) mod me;
mod params;
mod part;
