//! A model behind an endpoint that speaks `OpenAI`'s chat completions. The only folder that knows async-openai.
//!
//! One call is one request: async-openai's own retries are left out by giving it a transport of ours, because
//! they would hide rate limits from us and wait without a bound.

mod call;
mod chunk;
mod complaint;
mod endpoint;
mod failure;
mod hearing;
mod transport;

pub(super) use call::{Live, RESPONSE_FORMAT, tokens_of};
