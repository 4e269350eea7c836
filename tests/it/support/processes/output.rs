//! What a process writes, as it writes it: a test waits for a line instead of reading a file again and again.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// After its end, what a process has written is read within this, unless a child of its own keeps the pipe open.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Both outputs of a process, as one text.
pub(crate) struct Output(watch::Receiver<String>);

impl Output {
    /// Starts a command, and reads what it writes until it ends.
    pub(crate) fn of(mut command: Command) -> (Child, Self) {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (written, output) = watch::channel(String::new());
        // The pipe ends when the process does; a thread, because the pipe has no asynchronous form.
        std::thread::spawn(move || {
            let (mut piece, mut bytes) = (vec![0; 64 * 1024], Vec::new());
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                bytes.extend_from_slice(&piece[..length]);
                // A character may come in two pieces: what is not whole yet stays for the next one.
                let whole = bytes.len()
                    - std::str::from_utf8(&bytes).err().map_or(0, |error| bytes.len() - error.valid_up_to());
                let text = String::from_utf8(bytes.drain(..whole).collect()).unwrap();
                written.send_modify(|all| all.push_str(&text));
            }
        });
        (child, Self(output))
    }

    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// Waits until the process has written these words; fails the test, with the output, if it takes longer or ends before.
    pub(crate) async fn says(&self, words: &str, limit: Duration) {
        let mut output = self.0.clone();
        let said = timeout(limit, output.wait_for(|text| text.contains(words))).await;
        assert!(matches!(said, Ok(Ok(_))), "it does not say `{words}` within {limit:?}; it said:\n{}", self.text());
    }

    /// Waits until everything that an ended process has written is read.
    pub(crate) async fn ends(&self) {
        let mut output = self.0.clone();
        let _ = timeout(READ_WITHIN, async { while output.changed().await.is_ok() {} }).await;
    }
}
