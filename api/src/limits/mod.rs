//! How much one client may use of what all share: requests, connections, and seats at the database.

pub mod connections;
mod fair_queue;
mod rate_limits;
mod seats;

pub(crate) use fair_queue::{FairQueue, Ticket};
pub use rate_limits::{InFlight, InFlightCount, OverLimit, RateLimits};
pub use seats::{Seat, Seats};
