//! Part `web`: a real browser opens the board's page of the demo wijk, served by the real program.
//!
//! It looks whether the queue shows the demo and news comes in by itself, decides as a person would, and passes on what the
//! browser complained about (the page's security policy forbids much). What the server answers in every case is tested
//! without a browser, in `server/tests/board.rs`.

mod browser;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::report::{Outcome, Report};
use crate::{child, place};
use browser::Browser;

/// Contributions that the demo wijk has at least.
const DEMO_CONTRIBUTIONS: u64 = 60;
/// Says that the page is there and its script ran to its end.
const READY: &str = "document.documentElement.dataset.script === 'runs'";
/// What a resident writes while the page is open.
const NEWS: &str = "Geschreven terwijl de pagina open staat";

type Step = fn(&Served, &mut Browser) -> Result<(), String>;

/// Runs the part.
pub fn run(root: &Path, report: &mut Report) {
    let begun = Instant::now();
    let folder = place::target(root).join("web-check");
    let served = build(root).and_then(|()| Served::start(root, &folder));
    let served = match served {
        Ok(served) => {
            report.add("web: demo is served", Outcome::Passed, begun.elapsed());
            served
        }
        Err(problem) => return report.add("web: demo is served", Outcome::Failed(problem), begun.elapsed()),
    };
    let steps: [(&str, Step); 3] =
        [("web: queue", Served::queue), ("web: news comes in", Served::news), ("web: a decision", Served::decide)];
    let mut browser = Browser::start(&folder.join("browser"));
    for (name, step) in steps {
        let begun = Instant::now();
        let done = browser.as_mut().map_err(|problem| problem.clone()).and_then(|browser| {
            step(&served, browser)?;
            browser.complaint().map_or(Ok(()), |words| Err(format!("the browser complains: {words}")))
        });
        report.add(name, Outcome::of(done), begun.elapsed());
    }
}

fn build(root: &Path) -> Result<(), String> {
    let status = child::show(place::cargo(root).args(["build", "--package", "samenspraak-server"]))?;
    if status.success() { Ok(()) } else { Err("the program does not build".into()) }
}

/// The demo wijk, served; it ends with this value.
struct Served {
    program: PathBuf,
    folder: PathBuf,
    server: Child,
    /// With `http://`.
    address: String,
    card: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Served {
    fn start(root: &Path, folder: &Path) -> Result<Self, String> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|problem| format!("cannot clear {}: {problem}", folder.display()))?;
        }
        let (program, wijk) = (place::program(root, "debug"), folder.join("wijk"));
        child::read(Command::new(&program).arg("demo").arg(&wijk))?;
        let mut serve = Command::new(&program);
        serve.arg("serve").arg(&wijk).args(["--listen", "127.0.0.1:0", "--show-card"]);
        let started = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = started.map_err(|problem| format!("cannot start `{}`: {problem}", child::line(&serve)))?;
        let printed = server.stdout.take();
        let mut served =
            Self { program, folder: folder.to_owned(), server, address: String::new(), card: String::new() };
        for line in printed.into_iter().flat_map(|printed| BufReader::new(printed).lines()).map_while(Result::ok) {
            if let Some((_, address)) = line.split_once(" is served at ") {
                address.clone_into(&mut served.address);
            }
            if line.contains("/kaart#") {
                served.card = line;
                return Ok(served);
            }
        }
        Err("the server ended before it showed a card".into())
    }

    /// The queue shows the demo.
    fn queue(&self, browser: &mut Browser) -> Result<(), String> {
        browser.go(&format!("{}/bestuur", self.address))?;
        browser.until(READY)?;
        let rows = browser.ask("document.querySelectorAll('#queue tbody tr').length")?.as_u64().unwrap_or(0);
        let least = DEMO_CONTRIBUTIONS;
        if rows >= least { Ok(()) } else { Err(format!("the queue has {rows} rows, not {least} or more")) }
    }

    /// What a resident writes appears on a page that is open.
    fn news(&self, browser: &mut Browser) -> Result<(), String> {
        let phone = |arguments: &[&str]| {
            let mut phone = Command::new(&self.program);
            child::read(phone.arg("phone").arg("--data").arg(self.folder.join("phone")).args(arguments)).map(drop)
        };
        phone(&["join", &self.card])?;
        phone(&["write", "--title", NEWS, "--text", "Komt dit vanzelf in beeld?"])?;
        phone(&["sync"])?;
        browser.until(&format!("document.getElementById('queue').textContent.includes('{NEWS}')"))
    }

    /// Somebody opens the first contribution, fills in the form and sends it.
    fn decide(&self, browser: &mut Browser) -> Result<(), String> {
        browser.ask("document.querySelector('#queue tbody a').click()")?;
        browser.until(&format!("{READY} && document.querySelector('form[method=post]') !== null"))?;
        browser.ask(
            "document.querySelector('[name=outcome][value=ja]').click(); \
             document.getElementById('answer').value = 'We komen kijken.'; \
             document.getElementById('reason').value = 'Omdat het kan.'; \
             document.querySelector('form button').click()",
        )?;
        browser.until(&format!(
            "{READY} && document.querySelector('#saved .notice:not(.warning)') !== null \
             && document.querySelector('#contribution .decision').textContent.includes('We komen kijken.')"
        ))
    }
}
