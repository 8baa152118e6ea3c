//! The one door through which every entry enters.
