//! TLS of all that this process connects to: rustls, with the cryptography of aws-lc, which also signs receipts.

/// Makes aws-lc the provider of this process, unless it has one: HTTP clients are built without one of their own. A second time
/// changes nothing.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
