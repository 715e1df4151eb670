//! Contracts, endpoints and typed errors through the facade, on `memory://`.

mod arguments;
mod calculator;
mod endpoint;
mod errors;
#[allow(
    clippy::needless_pass_by_value,
    clippy::non_minimal_cfg,
    clippy::wrong_self_convention,
    reason = "names and attributes are what is tried"
)]
mod hygiene;
mod refusals;
mod rolling_upgrade;
mod typed;
