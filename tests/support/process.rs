//! A process that cannot outlive the test process.
//!
//! Between the two stands a small shell, the keeper. It starts the program as its child and reads our
//! end of a pipe: a word is a signal to send, the end of the pipe means that we are gone, also when we
//! were killed, and then the child is killed. As the keeper is the parent, the child's id stays the
//! child's until the keeper has waited for it: no stranger is ever hit.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::sync::watch;

use super::eventually::eventually;

/// Two background jobs, the program and the reader of the pipe; whichever ends first ends the other.
/// Signals are sent by the reader, a builtin loop, so that nothing of it is left behind.
const KEEPER: &str = r#"
exec 3<&0 2>/dev/null
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "started $child"
( while read -r signal <&3; do kill -s "$signal" "$child" 2>/dev/null; done
  kill -s KILL "$child" 2>/dev/null ) >/dev/null 2>&1 &
reader=$!
wait "$child"
code=$?
kill "$reader" 2>/dev/null
echo "ended $code"
"#;

pub struct Process {
    name: String,
    id: u32,
    log: PathBuf,
    keeper: Child,
    pipe: Option<ChildStdin>,
    /// How it ended, once it has; told by a thread, since runtimes come and go with the stories.
    end: watch::Receiver<Option<i32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ask it to end.
    Terminate,
    /// End it as a crash would.
    Kill,
    /// Freeze it.
    Stop,
    /// Let it go on.
    Continue,
    /// Ask it to read its configuration again.
    Hangup,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Hangup => "HUP",
        }
    }
}

impl Process {
    /// Starts a program whose output goes to `log`, appended.
    ///
    /// # Errors
    /// If the keeper cannot be started. A program that cannot be run ends with 126 or 127.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self, String> {
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(log)
            .arg(program)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("failed to start the keeper of {name}: {error}"))?;
        let pipe = keeper.stdin.take();
        let mut lines =
            BufReader::new(keeper.stdout.take().expect("it was asked for as a pipe")).lines();
        let id = lines
            .next()
            .and_then(|line| line.ok()?.strip_prefix("started ")?.parse().ok())
            .ok_or_else(|| format!("the keeper of {name} did not start it"))?;
        let (told, end) = watch::channel(None);
        std::thread::spawn(move || {
            let code = lines
                .find_map(|line| line.ok()?.strip_prefix("ended ")?.parse().ok())
                // The keeper itself was killed: the child went with the pipe's end.
                .unwrap_or(-1);
            told.send_replace(Some(code));
        });
        Ok(Self {
            name: name.to_owned(),
            id,
            log: log.to_path_buf(),
            keeper,
            pipe,
            end,
        })
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal; nothing happens if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(pipe) = &mut self.pipe
            && let Err(error) = writeln!(pipe, "{}", signal.word())
            && self.end_code().is_none()
        {
            panic!(
                "{}: signal {signal:?} could not be sent: {error}",
                self.name
            );
        }
    }

    /// Freezes it, and returns when every thread of it stands still.
    pub async fn freeze(&mut self) {
        self.signal(Signal::Stop);
        let tasks = PathBuf::from(format!("/proc/{}/task", self.id));
        eventually("it is frozen", Duration::from_secs(10), || async {
            let states = states_of(&tasks);
            let still = !states.is_empty() && states.chars().all(|state| state == 'T');
            if still { Ok(()) } else { Err(states) }
        })
        .await;
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::Continue);
    }

    /// The exit code if it has ended; 128 + signal if one ended it.
    pub fn end_code(&self) -> Option<i32> {
        *self.end.borrow()
    }

    /// Waits for it to end, on its own or after a signal.
    pub async fn ended(&self, within: Duration) -> Option<i32> {
        let mut end = self.end.clone();
        let ended = tokio::time::timeout(within, end.wait_for(Option::is_some)).await;
        ended
            .ok()
            .and_then(|code| *code.expect("the thread tells before it ends"))
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::Kill);
        let gone = self.ended(Duration::from_secs(10)).await.is_some();
        assert!(gone, "{} survived being killed", self.name);
    }

    /// The last lines of its log, for messages.
    pub fn log_end(&self, lines: usize) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let end = all[all.len().saturating_sub(lines)..].join("\n");
        format!("{} ({}):\n{end}", self.name, self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of the pipe is the word for "kill it"; then only the keeper is left to wait for.
        self.pipe = None;
        if let Err(error) = self.keeper.wait() {
            eprintln!("failed to wait for the keeper of {}: {error}", self.name);
        }
    }
}

/// One letter a thread, as the kernel has it: `R` runs, `S` sleeps, `T` is stopped.
fn states_of(tasks: &Path) -> String {
    let entries = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // The name before the state may hold anything but is closed by the last parenthesis.
    stats
        .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .collect()
}

/// Ports of loopback that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: Vec<std::net::TcpListener> = (0..N)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"))
        .collect();
    std::array::from_fn(|index| {
        listeners[index]
            .local_addr()
            .expect("a bound socket has an address")
            .port()
    })
}
