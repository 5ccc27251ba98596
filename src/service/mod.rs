//! Floor 3: the story of a request, and the listeners that tell it. Below here nobody knows a
//! status code; above here nobody knows a pixel.

mod admin;
pub mod ahead;
pub mod answer;
mod at_hand;
pub mod batch;
mod budget;
mod cdn;
pub mod compose;
pub mod events;
pub mod failure;
pub mod http;
pub mod info;
pub mod job;
mod outgoing;
mod peers;
pub mod probe;
pub mod purge;
pub mod recent;
pub mod render;
pub mod run;
mod sharing;
pub mod story;
pub mod territory;
pub mod warm;
pub mod workshop;
