//! Signals to the processes of a server.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::LOOK_EVERY;

/// The running child processes of a process.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("reads /proc").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Sends a signal to processes. Ignores those that have ended meanwhile.
pub(super) fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        let _ = Command::new("kill").args(["-s", name, &process.to_string()]).output().expect("runs kill");
    }
}

/// Waits until all of them have ended.
pub(super) fn until_gone(processes: &[u32]) {
    while processes.iter().any(|process| is_alive(*process)) {
        thread::sleep(LOOK_EVERY / 10);
    }
}

/// Whether a process is running. A zombie is not: it has released all resources.
fn is_alive(process: u32) -> bool {
    let directory = format!("/proc/{process}");
    let status = fs::read_to_string(Path::new(&directory).join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
