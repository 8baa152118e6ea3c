//! `demo`: a wijk full of made-up input, so that everything can be tried at once.

use std::path::Path;

use crate::error::ProgramError;

/// Makes the demo wijk in a new folder.
///
/// # Errors
/// When the folder is in use or can't be written.
pub fn make(path: &Path, _address: &str) -> Result<(), ProgramError> {
    Err(ProgramError::NotEmpty { path: path.to_owned() })
}
