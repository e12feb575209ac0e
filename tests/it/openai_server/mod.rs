//! A server on the loopback that speaks `OpenAI`'s chat completions as a script tells it: well, badly or not at all.

mod http;
mod script;

pub(crate) use http::OpenAiServer;
pub(crate) use script::{Ending, Piece, Script, content, finish, reasoning, refusal, usage};
