//! Passwords: Argon2id (RFC 9106) as PHC strings, computed away from the runtime.
//!
//! A hash costs tens of milliseconds of a core and 19 MiB on purpose. [`pool`] bounds both: a few
//! threads of their own, of low priority, so that a flood of sign-ins queues up and is then refused
//! while answers stream on. A sign-in for an account that does not exist does the same work as any other.
//!
//! **Invariant:** how long a check takes does not depend on whether the account exists, nor on how
//! much of the password is right.

use std::time::Duration;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, PasswordHash, Salt},
};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::error::AuthError;

mod memory;
mod pool;

use memory::Memory;
use pool::{Pool, PoolError};

/// Length of salt and hash, in bytes (RFC 9106, 3.1 and 4).
const SALT_LENGTH: usize = 16;
/// Stored hashes that ask for more memory are not computed, in KiB: 1 GiB.
const MEMORY_LIMIT: u32 = 1 << 20;
/// What an overloaded pool tells its callers: a full queue is through in about that time.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How passwords are hashed.
#[derive(Debug, Clone)]
pub struct PasswordConfig {
    /// Memory per hash, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes; they are computed one after the other.
    pub parallelism: u32,
    /// Hashes computed at the same time, at least 1.
    pub workers: usize,
    /// Hashes that may wait for a worker.
    pub queue: usize,
}

impl Default for PasswordConfig {
    /// OWASP's least for Argon2id (Password Storage Cheat Sheet), on half of the cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1, workers: (cores / 2).max(1), queue: 64 }
    }
}

/// Why passwords can't be hashed at all.
#[derive(Debug, thiserror::Error)]
pub enum PasswordSetupError {
    /// Argon2 does not work with these parameters.
    #[error("argon2 does not take these parameters: {0}")]
    Parameters(String),
    /// No thread can be started.
    #[error("can't start a thread for password hashing")]
    Thread(#[source] std::io::Error),
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another password, or no account.
    Wrong,
    /// The password.
    Right {
        /// It was hashed with other parameters than today's.
        outdated: bool,
    },
}

/// Hashes and checks passwords.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    pool: Pool,
    /// What the password of nobody is checked against: a random hash, made by today's parameters.
    nobody: SecretString,
}

impl Passwords {
    /// Starts the workers; they end when this is dropped.
    ///
    /// # Errors
    /// [`PasswordSetupError`].
    pub fn new(config: &PasswordConfig) -> Result<Self, PasswordSetupError> {
        let params = Params::new(config.memory_kib, config.iterations, config.parallelism, None)
            .map_err(|e| PasswordSetupError::Parameters(e.to_string()))?;
        if config.memory_kib > MEMORY_LIMIT {
            return Err(PasswordSetupError::Parameters(format!("more than {MEMORY_LIMIT} KiB of memory")));
        }
        let pool = Pool::new(config.workers, config.queue).map_err(PasswordSetupError::Thread)?;
        let (mut salt, mut output) = ([0; SALT_LENGTH], [0; Params::DEFAULT_OUTPUT_LEN]);
        rand::rng().fill_bytes(&mut salt);
        rand::rng().fill_bytes(&mut output);
        let nobody = phc_string(&params, &salt, &output).map_err(|e| PasswordSetupError::Parameters(e.to_string()))?;
        Ok(Self { params, pool, nobody })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`AuthError::Overloaded`] when the queue is full.
    pub async fn hash(&self, password: SecretString) -> Result<SecretString, AuthError> {
        let params = self.params.clone();
        self.run(move |memory| {
            let mut salt = [0; SALT_LENGTH];
            rand::rng().fill_bytes(&mut salt);
            let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            compute(&argon2, &password, &salt, &mut output, memory)?;
            phc_string(&params, &salt, &output)
        })
        .await
    }

    /// Checks a password against a stored hash, or against nobody's.
    ///
    /// # Errors
    /// [`AuthError::Overloaded`] when the queue is full; [`AuthError::Internal`] for a stored hash
    /// that can't be read.
    pub async fn verify(&self, password: SecretString, stored: Option<SecretString>) -> Result<Verdict, AuthError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        let params = self.params.clone();
        self.run(move |memory| {
            let hash = PasswordHash::new(stored.expose_secret())?;
            let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(Unreadable::from)?;
            let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from)?;
            let used = Params::try_from(&hash).map_err(Unreadable::from)?;
            let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
                return Err(Unreadable::Incomplete.into());
            };
            if used.m_cost() > MEMORY_LIMIT {
                return Err(Unreadable::TooLarge.into());
            }
            let outdated = algorithm != Algorithm::Argon2id
                || version != Version::V0x13
                || (used.m_cost(), used.t_cost(), used.p_cost()) != (params.m_cost(), params.t_cost(), params.p_cost());
            let mut output = [0; Output::MAX_LENGTH];
            let output = &mut output[..expected.len()];
            compute(&Argon2::new(algorithm, version, used), &password, salt, output, memory)?;
            let same = bool::from(output.ct_eq(expected.as_bytes()));
            Ok(if same && known { Verdict::Right { outdated } } else { Verdict::Wrong })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, AuthError> {
        match self.pool.run(work).await {
            Ok(done) => done.map_err(AuthError::Internal),
            Err(PoolError::Full) => Err(AuthError::Overloaded { retry_after: RETRY_AFTER }),
            Err(lost @ PoolError::Lost) => Err(AuthError::Internal(lost.into())),
        }
    }
}

type HashError = Box<dyn std::error::Error + Send + Sync>;

/// A stored hash that no sign-in can use. Names no part of the hash.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("a stored password hash is of an unknown kind")]
    Kind(#[from] argon2::password_hash::Error),
    #[error("a stored password hash has no salt or no hash")]
    Incomplete,
    #[error("a stored password hash asks for too much memory")]
    TooLarge,
}

fn compute(
    argon2: &Argon2<'_>,
    password: &SecretString,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> Result<(), HashError> {
    let blocks = memory.blocks(argon2.params().block_count())?;
    argon2.hash_password_into_with_memory(password.expose_secret().as_bytes(), salt, output, blocks)?;
    Ok(())
}

fn phc_string(params: &Params, salt: &[u8], output: &[u8]) -> Result<SecretString, HashError> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into()?,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(output)?),
    };
    Ok(SecretString::from(hash.to_string()))
}

#[cfg(test)]
mod tests;
