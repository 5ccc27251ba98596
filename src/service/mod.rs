//! Floor 3: the story of a request, and the listeners that tell it. Below here nobody knows a
//! status code; above here nobody knows a pixel.

mod admin;
pub mod compose;
pub mod failure;
pub mod http;
pub mod render;
pub mod run;
pub mod story;
