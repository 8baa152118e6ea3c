//! The one door through which every entry enters.
pub mod change;
pub mod fold;
pub mod limits;
