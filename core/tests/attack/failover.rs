//! Failover: a PostgreSQL primary is killed under load, and its synchronous standby is promoted.
//!
//! `ATTACK_FAILOVERS=100` sets the number of failovers.

use std::thread;

use callsweep_core::bounds::Bounds;
use callsweep_core::clock::Clock;
use callsweep_core::engine::{Control, Outcome, resume};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{Backend, Store};
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::{Server, TestDatabase, backends, tables};
use url::Url;

use crate::load::{self, MEMBERS, STEPS, check, under_load};
use crate::support::{campaign, engine, manual, stop_after};

/// A store that connects to the one of the two servers that accepts writes.
fn either(a: &TestDatabase, b: &TestDatabase) -> Store {
    let (a, b): (Url, Url) = (a.url().parse().unwrap(), b.url().parse().unwrap());
    let hosts = [&a, &b].map(|url| format!("127.0.0.1:{}", url.port().unwrap())).join(",");
    let (user, password) = (a.username(), a.password().unwrap());
    let url = format!("postgres://{user}:{password}@{hosts}{}?target_session_attrs=read-write", a.path());
    let settings = DatabaseSettings { url: url.into(), ..DatabaseSettings::default() };
    Store::open(&settings, Clock::system()).unwrap()
}

#[test]
#[cfg_attr(not(feature = "postgres"), ignore = "the feature `postgres` is not compiled in")]
fn reported_results_survive_a_failover() {
    if !backends().contains(&Backend::Postgres) {
        return;
    }
    let mut attack = Attack::new("failover", Backend::Postgres);
    let mut primary = Server::to_be_killed(Backend::Postgres, &[]);
    let mut db = TestDatabase::on(&primary);
    for id in 1.. {
        let standby = primary.standby();
        let promoted = db.replicated_to(&standby);
        let store = either(&db, &promoted);
        let campaign = campaign(&db, id, &load::numbers());
        let before = tables::numbers(&mut db.connect(), campaign);
        // One sweep continues by itself; another was stopped and is resumed on the new primary.
        let stopped_in = crate::support::campaign(&db, 1_000_000 + id, &load::numbers());
        let before_stop = tables::numbers(&mut db.connect(), stopped_in);
        let stopped = stop_after(&engine(db.store(), 5), &manual(stopped_in, MEMBERS, true), 7);
        let reported = under_load(&store, &store, campaign, |meter| {
            meter.wait(rand::random_range(5..STEPS / 2));
            primary.kill();
            thread::sleep(std::time::Duration::from_millis(rand::random_range(0..300)));
            standby.promote();
        });
        attack.fault("primary killed, standby promoted");
        check(&mut attack, &mut promoted.connect(), &store, (campaign, &before), &reported);
        let runs = attack.promises(&mut promoted.connect(), stopped_in, &before_stop);
        let kept = runs.iter().any(|run| (run.id, run.counts, run.chunks) == (stopped.run_id, stopped.counts, 7));
        attack.holds(kept, || format!("the primary reported {stopped:?}, the standby has {runs:?}"));
        let resumed =
            resume(&engine(promoted.store(), 5), stopped.run_id, Bounds::default(), &mut Control::unattended());
        let completed = resumed.is_ok_and(|report| matches!(report.outcome, Outcome::Succeeded));
        attack.holds(completed, || "the sweep was not resumed on the new primary".to_owned());
        let left = tables::numbers(&mut promoted.connect(), stopped_in);
        let due = left.iter().filter(|number| number.status == 0 && number.recycle_time.is_some()).count();
        attack.holds(due == 0, || format!("{due} numbers were left behind"));
        attack.promises(&mut promoted.connect(), stopped_in, &before_stop);
        (primary, db) = (standby, promoted);
        if attack.faults() >= times("ATTACK_FAILOVERS", 1) {
            break;
        }
    }
    attack.verify(&db.store());
    attack.end();
}
