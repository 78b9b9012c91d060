//! Who gives a command.

/// The length of the ledger's column.
const ACTOR_MAX_CHARS: usize = 100;

/// Who sits at the keyboard, and where.
pub(crate) fn actor() -> String {
    let user =
        ["SUDO_USER", "USER"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    // Linux only; elsewhere the name of the user has to do.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let actor = if host.trim().is_empty() { user } else { format!("{user}@{}", host.trim()) };
    actor.chars().filter(|c| !c.is_control()).take(ACTOR_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_fits_the_ledger() {
        let chars = actor().chars().count();
        assert!((1..=ACTOR_MAX_CHARS).contains(&chars));
    }
}
