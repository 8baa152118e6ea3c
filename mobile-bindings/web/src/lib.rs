//! The core in a browser's worker.
//!
//! `border` is what JavaScript sees, `ask` what travels, `machine` the driver, `rows` what is kept. The worker itself, which has
//! sockets, timers and the browser's storage, is TypeScript and stands beside this in `ts/`. No rule of the domain lives here.
//! Why it is as it is: `core/docs/decisions/0018-the-core-in-a-browser.md`.

pub mod ask;
pub mod border;
pub mod machine;
pub mod rows;
