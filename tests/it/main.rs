//! Tests of whole parts, from the outside.

mod openai_server;
mod rubric;
