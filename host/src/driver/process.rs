//! Whether a process of this machine is still the one that it was.

use std::fs;

/// What tells a process from every other that had or will have its number: the boot, the process namespace and the
/// time of its start. `None` where the system does not say, or there is no such process.
pub(crate) fn identity(pid: u32) -> Option<String> {
    let (boot, namespace) = surroundings()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name of the program, which may contain anything, come the state and, 19 fields on, the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let start = fields.nth(18)?;
    Some(format!("{boot}/{namespace}/{start}"))
}

/// Whether the process `pid`, which had this `identity`, has certainly ended.
pub(crate) fn has_ended(pid: u32, then: &str) -> bool {
    let Some((boot, namespace)) = surroundings() else {
        return false;
    };
    let mut parts = then.split('/');
    let same_boot = parts.next() == Some(boot.as_str());
    let same_namespace = parts.next() == Some(namespace.as_str());
    // The processes of another namespace are not to be seen from here.
    !same_boot || (same_namespace && identity(pid).as_deref() != Some(then))
}

/// Whether it has ended as far as this machine can tell: one of another machine, or of before it was started, may still be there.
pub(crate) fn is_seen_to_have_ended(pid: u32, then: &str) -> bool {
    let here = surroundings()
        .is_some_and(|(boot, namespace)| then.starts_with(&format!("{boot}/{namespace}/")));
    here && has_ended(pid, then)
}

fn surroundings() -> Option<(String, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some((
        boot.trim().to_owned(),
        namespace.to_string_lossy().into_owned(),
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn a_process_is_told_from_its_successors() {
        let own = std::process::id();
        let identity_now = identity(own).unwrap();
        assert!(!has_ended(own, &identity_now));
        assert!(has_ended(own, &format!("{identity_now}1")));
        assert!(has_ended(own, "another-boot/x/1"));
        assert!(is_seen_to_have_ended(own, &format!("{identity_now}1")));
        assert!(!is_seen_to_have_ended(own, &identity_now));
        assert!(!is_seen_to_have_ended(own, "another-boot/x/1"));

        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id();
        let child_identity = identity(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(pid, &child_identity));
    }
}
