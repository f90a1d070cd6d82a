//! What a user of configurations sees: messages, ranges, overrides, round trips.

mod damage;
mod describe;
mod example;
mod messages;
mod overrides;
mod ranges;
mod round_trip;
mod spans;
