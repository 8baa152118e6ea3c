//! Chromium without a screen, told what to do over a pipe in its DevTools protocol: JSON, each message ended by a zero byte.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take; a busy machine needs some seconds only to start a browser.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the page itself waits before it is asked again, in milliseconds.
const GLANCE_MS: u32 = 100;

/// A browser with one page; it ends with this value.
pub struct Browser {
    running: Child,
    to: ChildStdin,
    from: mpsc::Receiver<Value>,
    page: Option<String>,
    asked: u64,
    complaints: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.running.kill());
        drop(self.running.wait());
    }
}

impl Browser {
    /// Starts it with an empty page.
    pub fn start(profile: &Path) -> Result<Self, String> {
        // It reads from file 3 and writes to file 4. The sandbox needs rights that a container seldom has; the only pages
        // it opens are ours.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]);
        shell.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]).args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]);
        shell.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = shell.spawn().map_err(|problem| format!("cannot run chromium: {problem}"))?;
        let (Some(to), Some(pipe)) = (running.stdin.take(), running.stdout.take()) else {
            return Err("chromium has no pipes".into());
        };
        let (sender, from) = mpsc::channel();
        thread::spawn(move || {
            let messages = BufReader::new(pipe).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { running, to, from, page: None, asked: 0, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attached =
            browser.call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        browser.page = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}))?;
        }
        Ok(browser)
    }

    /// Sends one command and waits for its answer.
    fn call(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.asked += 1;
        let mut command = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(page) = &self.page {
            command["sessionId"] = json!(page);
        }
        let bytes = [command.to_string().as_bytes(), &[0]].concat();
        self.to.write_all(&bytes).map_err(|problem| format!("the browser does not listen: {problem}"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.from.recv_timeout(left).map_err(|_| format!("the browser does not answer {method}"))?;
            if message["id"] != json!(self.asked) {
                self.complaints.extend(complaint(&message));
            } else if message["error"].is_object() {
                return Err(format!("{method}: {}", message["error"]["message"]));
            } else {
                return Ok(message["result"].clone());
            }
        }
    }

    /// Opens an address.
    pub fn go(&mut self, address: &str) -> Result<(), String> {
        let went = self.call("Page.navigate", &json!({ "url": address }))?;
        went["errorText"].as_str().map_or(Ok(()), |problem| Err(format!("{address}: {problem}")))
    }

    /// Runs a line of script on the page and gives its value.
    pub fn ask(&mut self, script: &str) -> Result<Value, String> {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", &params)?;
        match answer["exceptionDetails"]["exception"]["description"].as_str() {
            Some(problem) => Err(format!("{script}: {problem}")),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until a condition holds on the page, whatever page that is by then.
    pub fn until(&mut self, condition: &str) -> Result<(), String> {
        let patient = format!("new Promise(tell => setTimeout(() => tell({condition}), {GLANCE_MS}))");
        let begun = Instant::now();
        // A page that is just left answers with an error.
        while self.ask(&patient) != Ok(Value::Bool(true)) {
            if begun.elapsed() > PATIENCE {
                let words = self.ask("document.body.innerText")?;
                return Err(format!("never came true: {condition}; the page says {words:.600}"));
            }
        }
        Ok(())
    }

    /// The first thing that the browser found wrong with the pages so far.
    pub fn complaint(&self) -> Option<&str> {
        self.complaints.first().map(String::as_str)
    }
}

/// What a message says is wrong: an exception, something written as an error, or a rule that a page broke.
fn complaint(message: &Value) -> Option<String> {
    let params = &message["params"];
    match message["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Log.entryAdded" if params["entry"]["level"] == "error" => Some(params["entry"]["text"].to_string()),
        "Runtime.consoleAPICalled" if params["type"] == "error" => Some(params["args"].to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_rule_is_a_complaint_and_a_remark_is_none() {
        let entry =
            |level| json!({ "method": "Log.entryAdded", "params": { "entry": { "level": level, "text": "CSP" } } });
        assert_eq!(complaint(&entry("error")), Some("\"CSP\"".into()));
        assert_eq!(complaint(&entry("info")), None);
        assert!(complaint(&json!({ "method": "Runtime.exceptionThrown", "params": {} })).is_some());
        assert_eq!(complaint(&json!({ "id": 1, "result": {} })), None);
    }
}
