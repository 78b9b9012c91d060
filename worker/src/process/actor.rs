//! Who gives a command.

use nix::unistd::{Uid, User, gethostname};

/// The length of the ledger's column.
const ACTOR_MAX_CHARS: usize = 100;

/// The operator for the ledger: `dba@host`, or `root@host by dba` under sudo.
///
/// The name is that of the process's user id: the variable USER says what anybody likes. What follows "by" is the
/// variable SUDO_USER, which is only as good as whoever may set it.
pub(crate) fn actor() -> String {
    let sudo_user = std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty());
    let host = gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    describe(&user_name(Uid::current()), &host, sudo_user.as_deref())
}

/// The name of a user id, or `uid 1234` where the system has none.
fn user_name(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

fn describe(user: &str, host: &str, sudo_user: Option<&str>) -> String {
    let by = sudo_user.map(|user| format!(" by {user}")).unwrap_or_default();
    let at = if host.is_empty() { String::new() } else { format!("@{host}") };
    let actor = format!("{user}{at}{by}");
    actor.chars().filter(|c| !c.is_control()).take(ACTOR_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_names_user_host_and_who_used_sudo() {
        assert_eq!(describe("dba", "db1", None), "dba@db1");
        assert_eq!(describe("root", "db1", Some("dba")), "root@db1 by dba");
        assert_eq!(describe("uid 4711", "", None), "uid 4711");
        assert_eq!(describe("root", "db1", Some("a\u{1b}[2J\nb")), "root@db1 by a[2Jb");
    }

    #[test]
    fn the_actor_fits_the_ledger() {
        assert_eq!(describe(&"u".repeat(300), "db1", None).chars().count(), ACTOR_MAX_CHARS);
        assert!((1..=ACTOR_MAX_CHARS).contains(&actor().chars().count()));
    }

    #[test]
    fn a_user_id_without_a_name_is_shown_as_a_number() {
        assert_eq!(user_name(Uid::from_raw(4_000_000_000)), "uid 4000000000");
        assert_eq!(user_name(Uid::from_raw(0)), "root");
    }
}
