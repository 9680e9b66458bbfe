//! The same core without a world: machines driven on a simulated clock.

pub mod driver;

#[cfg(test)]
mod stories;
