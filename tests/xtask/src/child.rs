//! Other programs: started, shown on the screen as they print, and judged.

use std::io::{self, IsTerminal, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked whether a program has ended.
const GLANCE: Duration = Duration::from_millis(100);
/// How long the output of a program that has ended is read on: a server that a broken test left behind keeps it open.
const LEFT_BEHIND_PATIENCE: Duration = Duration::from_secs(2);

/// What a program left behind.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All it printed, standard output and error as they came.
    pub text: String,
}

/// Runs a program to its end; what it prints goes to the screen at once.
pub fn show(command: &mut Command) -> Result<ExitStatus, String> {
    announce(command);
    command.stdin(Stdio::null()).status().map_err(|problem| cannot_start(command, &problem))
}

/// Like [`show`], and keeps what was printed.
pub fn show_and_keep(command: &mut Command) -> Result<Finished, String> {
    announce(command);
    if io::stdout().is_terminal() {
        // The child writes to a pipe and would leave its colours out.
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|problem| cannot_start(command, &problem))?;
    let (sender, pieces) = mpsc::channel::<Vec<u8>>();
    let readers = [
        child.stdout.take().map(|pipe| copy(pipe, io::stdout(), sender.clone())),
        child.stderr.take().map(|pipe| copy(pipe, io::stderr(), sender)),
    ];
    // Each reader ends with its pipe, or when nobody listens any more.
    drop(readers);
    let mut text = Vec::new();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match pieces.recv_timeout(GLANCE) {
            Ok(piece) => text.extend(piece),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        match ended {
            Some((_, since)) if since.elapsed() > LEFT_BEHIND_PATIENCE => {
                println!("`{}` has ended and left a program running that holds its output.", line(command));
                break;
            }
            Some(_) => {}
            None => {
                ended =
                    child.try_wait().map_err(|problem| lost(command, &problem))?.map(|status| (status, Instant::now()))
            }
        }
    }
    let status = match ended {
        Some((status, _)) => status,
        None => child.wait().map_err(|problem| lost(command, &problem))?,
    };
    Ok(Finished { status, text: String::from_utf8_lossy(&text).into_owned() })
}

/// Runs a program silently, and gives what it printed on standard output when it ended well.
pub fn read(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|problem| cannot_start(command, &problem))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`{}` failed: {}", line(command), String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Whether a program ends well within `patience`. It is silent, and is ended when it takes longer.
pub fn succeeds_within(command: &mut Command, patience: Duration) -> bool {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else { return false };
    if !closes_output_within(&mut child, patience) {
        // It may have ended between the two lines, which is as good.
        drop(child.kill());
    }
    child.wait().is_ok_and(|status| status.success())
}

/// A program that ends closes its output, and that can be waited for with a limit.
fn closes_output_within(child: &mut Child, patience: Duration) -> bool {
    let Some(mut pipe) = child.stdout.take() else { return true };
    let (sender, closed) = mpsc::channel();
    thread::spawn(move || sender.send(io::copy(&mut pipe, &mut io::sink())));
    closed.recv_timeout(patience).is_ok()
}

/// The command as somebody would type it.
pub fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.get_args().fold(name, |line, argument| line + " " + &argument.to_string_lossy())
}

fn announce(command: &Command) {
    println!("$ {}", line(command));
}

fn cannot_start(command: &Command, problem: &io::Error) -> String {
    format!("cannot run `{}`: {problem}", line(command))
}

fn lost(command: &Command, problem: &io::Error) -> String {
    format!("cannot see how `{}` ends: {problem}", line(command))
}

fn copy<From, To>(mut from: From, mut to: To, kept: mpsc::Sender<Vec<u8>>) -> thread::JoinHandle<()>
where
    From: Read + Send + 'static,
    To: Write + Send + 'static,
{
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // A closed screen is no reason to stop counting what passed.
            drop(to.write_all(&buffer[..count]).and_then(|()| to.flush()));
            if kept.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_prints_on_either_output_is_kept() {
        let finished = show_and_keep(&mut shell("echo to out; echo to err >&2; exit 3")).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert!(finished.text.contains("to out\n") && finished.text.contains("to err\n"), "{:?}", finished.text);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        assert!(succeeds_within(&mut shell("exit 0"), Duration::from_secs(60)));
        assert!(!succeeds_within(&mut shell("exit 1"), Duration::from_secs(60)));
        assert!(!succeeds_within(&mut shell("exec sleep 600"), Duration::from_millis(20)));
    }

    #[test]
    fn a_server_that_a_test_left_behind_does_not_hold_up_the_rest() {
        let begun = Instant::now();
        let finished = show_and_keep(&mut shell("sleep 30 & echo done")).unwrap();
        assert!(finished.status.success() && finished.text.contains("done"));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let problem = show(&mut Command::new("/nowhere/at-all")).unwrap_err();
        assert!(problem.starts_with("cannot run `at-all`"), "{problem}");
    }
}
