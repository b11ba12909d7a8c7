//! Proofs by force: kills and cuts at random instants and bytes, and an oracle that knows what must
//! be there afterwards.
//!
//! They run for a short while with all tests and for a long one with `make soak`. What is chosen at
//! random follows from `R1_SEED`, which every run prints; what the machine makes of it does not, so
//! a fault may take a few runs to show again.

mod answer;
mod chaos;
mod crashes;
mod cuts;
mod nodes;
mod oracle;
mod play;
mod seed;
mod strangers;
mod world;
